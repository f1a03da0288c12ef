/* One SIMD body of BLAKE3: up to LANES chunks or parent nodes at once, word i of every lane in one
 * vector. Included once for each body, with these defined (and undefined again at the end):
 *
 *   LANES          4, 8 or 16
 *   NAME(x)        x with the body's suffix
 *   BYTE_SHUFFLE   1 where a byte shuffle beats shifts for rotations by 16 and 8 (pshufb);
 *                  0 where words rotate in one instruction, or there is no byte shuffle
 *
 * One body for each width and instruction set, because 16 lanes compiled for AVX2 run at half the
 * speed of 8. There is no separate code for a single chunk: one lane of a narrow body takes as long
 * as one compression with its rows in vectors, both being bound by latency.
 */

typedef uint32_t NAME(words) __attribute__((vector_size(4 * LANES)));
typedef uint8_t NAME(bytes) __attribute__((vector_size(4 * LANES)));
/* As above, at any address, and free to alias the input. */
typedef uint32_t NAME(input) __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

#if LANES == 16
#define INTERLEAVE_LOW {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}
#define INTERLEAVE_HIGH {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31}
#elif LANES == 8
#define INTERLEAVE_LOW {0, 8, 1, 9, 2, 10, 3, 11}
#define INTERLEAVE_HIGH {4, 12, 5, 13, 6, 14, 7, 15}
#define EACH_WORD(M) {M(0), M(4), M(8), M(12), M(16), M(20), M(24), M(28)}
#else
#define INTERLEAVE_LOW {0, 4, 1, 5}
#define INTERLEAVE_HIGH {2, 6, 3, 7}
#define EACH_WORD(M) {M(0), M(4), M(8), M(12)}
#endif

static inline __attribute__((always_inline)) NAME(words) NAME(rotate)(NAME(words) x, int right)
{
#if BYTE_SHUFFLE
#define RIGHT_16(b) (b) + 2, (b) + 3, (b), (b) + 1
#define RIGHT_8(b) (b) + 1, (b) + 2, (b) + 3, (b)
    if (right == 16)
        return (NAME(words))__builtin_shuffle((NAME(bytes))x, (NAME(bytes))EACH_WORD(RIGHT_16));
    if (right == 8)
        return (NAME(words))__builtin_shuffle((NAME(bytes))x, (NAME(bytes))EACH_WORD(RIGHT_8));
#undef RIGHT_16
#undef RIGHT_8
#endif
    return (x >> right) | (x << (32 - right));
}

/* Transpose LANES x LANES words: log2(LANES) perfect shuffles of the first with the second half. */
static inline __attribute__((always_inline)) void NAME(transpose)(NAME(words) rows[LANES])
{
    for (int stage = 1; stage < LANES; stage *= 2) {
        NAME(words) shuffled[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; i++) {
            NAME(words) a = rows[i], b = rows[i + LANES / 2];
            shuffled[2 * i] = __builtin_shuffle(a, b, (NAME(words))INTERLEAVE_LOW);
            shuffled[2 * i + 1] = __builtin_shuffle(a, b, (NAME(words))INTERLEAVE_HIGH);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            rows[i] = shuffled[i];
    }
}

#define G(a, b, c, d, x, y)                                                                        \
    a = a + m[x] + b;                                                                              \
    d = NAME(rotate)(d ^ a, 16);                                                                   \
    c += d;                                                                                        \
    b = NAME(rotate)(b ^ c, 12);                                                                   \
    a = a + m[y] + b;                                                                              \
    d = NAME(rotate)(d ^ a, 8);                                                                    \
    c += d;                                                                                        \
    b = NAME(rotate)(b ^ c, 7);

/* The arguments are the message words in the order in which this round takes them. */
#define ROUND(a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q)                                      \
    G(v0, v4, v8, v12, a, b)                                                                       \
    G(v1, v5, v9, v13, c, d)                                                                       \
    G(v2, v6, v10, v14, e, f)                                                                      \
    G(v3, v7, v11, v15, g, h)                                                                      \
    G(v0, v5, v10, v15, i, j)                                                                      \
    G(v1, v6, v11, v12, k, l)                                                                      \
    G(v2, v7, v8, v13, n, o)                                                                       \
    G(v3, v4, v9, v14, p, q)

/* Compress the block at at[lane] into the chaining values of every lane. */
static inline __attribute__((always_inline)) void
NAME(compress)(NAME(words) cv[8], const uint8_t *const at[LANES], size_t offset,
               NAME(words) counter_low, NAME(words) counter_high, NAME(words) block_bytes,
               NAME(words) flags)
{
    NAME(words) m[16];
#pragma GCC unroll 4
    for (int word = 0; word < 16; word += LANES) {
#pragma GCC unroll 16
        for (int lane = 0; lane < LANES; lane++)
            m[word + lane] = *(const NAME(input) *)(at[lane] + offset + 4 * word);
        NAME(transpose)(m + word);
    }
    NAME(words) zero = {0};
    NAME(words) v0 = cv[0], v1 = cv[1], v2 = cv[2], v3 = cv[3];
    NAME(words) v4 = cv[4], v5 = cv[5], v6 = cv[6], v7 = cv[7];
    NAME(words) v8 = zero + iv[0], v9 = zero + iv[1], v10 = zero + iv[2], v11 = zero + iv[3];
    NAME(words) v12 = counter_low, v13 = counter_high, v14 = block_bytes, v15 = flags;
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1)
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6)
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4)
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7)
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)
    cv[0] = v0 ^ v8;
    cv[1] = v1 ^ v9;
    cv[2] = v2 ^ v10;
    cv[3] = v3 ^ v11;
    cv[4] = v4 ^ v12;
    cv[5] = v5 ^ v13;
    cv[6] = v6 ^ v14;
    cv[7] = v7 ^ v15;
}

/* Run `count` (1 to LANES) jobs and store their chaining values. All input is read before any
 * output of a job without further blocks is written, so parents may be reduced in place. */
static void NAME(run)(const uint32_t key[8], const struct job *jobs, size_t count)
{
    const uint8_t *at[LANES];
    NAME(words) cv[8], flags, counter_low, counter_high;
    size_t blocks_max = 0, whole = SIZE_MAX; /* blocks that are neither last nor short anywhere */
    for (int lane = 0; lane < LANES; lane++) {
        const struct job *job = &jobs[(size_t)lane < count ? lane : 0]; /* idle lanes repeat one */
        at[lane] = job->data;
        flags[lane] = job->flags & ~(uint32_t)ROOT;
        counter_low[lane] = (uint32_t)job->counter;
        counter_high[lane] = (uint32_t)(job->counter >> 32);
        size_t blocks = blocks_of(job);
        blocks_max = blocks > blocks_max ? blocks : blocks_max;
        whole = blocks - 1 < whole ? blocks - 1 : whole;
    }
    NAME(words) zero = {0};
    for (int word = 0; word < 8; word++)
        cv[word] = zero + key[word];

    /* A parent is one block without start or end, so this loop sees chunks only. */
    for (size_t block = 0; block < whole; block++)
        NAME(compress)(cv, at, block * BLOCK_BYTES, counter_low, counter_high,
                       zero + BLOCK_BYTES, block ? flags : flags | CHUNK_START);

    for (size_t block = whole; block < blocks_max; block++) {
        uint8_t padded[LANES][BLOCK_BYTES];
        const uint8_t *last_at[LANES];
        NAME(words) block_bytes = {0}, block_flags = flags, live = {0}, before[8];
        for (int lane = 0; lane < LANES; lane++) {
            const struct job *job = &jobs[(size_t)lane < count ? lane : 0];
            size_t blocks = blocks_of(job), offset = block * BLOCK_BYTES;
            last_at[lane] = padded[lane];
            if (block >= blocks) {
                memset(padded[lane], 0, BLOCK_BYTES);
                continue;
            }
            live[lane] = UINT32_MAX;
            if (!(job->flags & PARENT) && block == 0)
                block_flags[lane] |= CHUNK_START;
            if (block == blocks - 1)
                block_flags[lane] |= (job->flags & ROOT) | (job->flags & PARENT ? 0 : CHUNK_END);
            if (job->bytes - offset >= BLOCK_BYTES) {
                block_bytes[lane] = BLOCK_BYTES;
                last_at[lane] = job->data + offset;
            } else {
                block_bytes[lane] = (uint32_t)(job->bytes - offset);
                memset(padded[lane], 0, BLOCK_BYTES);
                if (block_bytes[lane]) /* the data of an empty input may be NULL */
                    memcpy(padded[lane], job->data + offset, block_bytes[lane]);
            }
        }
        memcpy(before, cv, sizeof cv);
        NAME(compress)(cv, last_at, 0, counter_low, counter_high, block_bytes, block_flags);
        for (int word = 0; word < 8; word++)
            cv[word] = (cv[word] & live) | (before[word] & ~live);
    }

    for (size_t lane = 0; lane < count; lane++) {
        uint32_t out[8];
        for (int word = 0; word < 8; word++)
            out[word] = cv[word][lane];
        memcpy(jobs[lane].out, out, sizeof out);
    }
}

#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH
#undef EACH_WORD
#undef G
#undef ROUND
#undef LANES
#undef NAME
#undef BYTE_SHUFFLE
