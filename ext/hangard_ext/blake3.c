/* The tree of BLAKE3 over the SIMD bodies of blake3_lanes.h.
 *
 * Work is cut into jobs (one chunk or one parent node each) that share a key and nothing else, so
 * lanes fill with whatever is at hand: small samples, the chunks of one large input, the parents of
 * one level of several trees.
 */
#include "blake3.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are loaded as they lie in memory, which must be little-endian"
#endif

#define BLOCK_BYTES 64
#define CHUNK_BYTES 1024
#define LANES_MAX 16

/* Chunks reduced together: a power of two, so that such a piece of a large input is a subtree;
 * 32 full groups of lanes make the partly filled groups near the top of the tree cheap (1 %). */
#define WORK_CHUNKS 512

/* Subtrees waiting for a right sibling: one for each bit of the number of pieces. */
#define PIECES_DEPTH_MAX 56

enum {
    CHUNK_START = 1,
    CHUNK_END = 2,
    PARENT = 4,
    ROOT = 8,
    KEYED_HASH = 16,
    DERIVE_KEY_CONTEXT = 32,
    DERIVE_KEY_MATERIAL = 64,
};

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* One chunk, or one parent (64 bytes: the chaining values of both children). */
struct job {
    const uint8_t *data;
    size_t bytes;     /* 0 to CHUNK_BYTES */
    uint64_t counter; /* of the chunk in its input; 0 for a parent */
    uint32_t flags;   /* mode, PARENT, ROOT; a body adds CHUNK_START and CHUNK_END */
    uint8_t *out;     /* 32 bytes */
};

static inline size_t blocks_of(const struct job *job)
{
    return job->bytes ? (job->bytes + BLOCK_BYTES - 1) / BLOCK_BYTES : 1;
}

#define LANES 4
#define NAME(x) x##_portable
#define BYTE_SHUFFLE 0
#include "blake3_lanes.h"

#if defined(__x86_64__)

#pragma GCC push_options
#pragma GCC target("sse4.1")
#define LANES 4
#define NAME(x) x##_sse41
#define BYTE_SHUFFLE 1
#include "blake3_lanes.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2")
#define LANES 8
#define NAME(x) x##_avx2
#define BYTE_SHUFFLE 1
#include "blake3_lanes.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512vl")
#define LANES 8
#define NAME(x) x##_avx512_half
#define BYTE_SHUFFLE 0
#include "blake3_lanes.h"
#define LANES 16
#define NAME(x) x##_avx512
#define BYTE_SHUFFLE 0
#include "blake3_lanes.h"
#pragma GCC pop_options

#endif

/* ---- bodies ---- */

typedef void run_jobs(const uint32_t key[8], const struct job *jobs, size_t count);

struct body {
    const char *name;
    run_jobs *run;
    size_t lanes;
    run_jobs *run_few; /* for no more jobs than `few`: narrower vectors, half the latency */
    size_t few;
};

static struct body bodies[4];
static size_t bodies_count;
static const struct body *forced;

/* A constructor runs under the loader's lock: no thread sees half of the list. */
__attribute__((constructor)) static void find_bodies(void)
{
    bodies[bodies_count++] = (struct body){"portable", run_portable, 4, run_portable, 0};
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.1"))
        bodies[bodies_count++] = (struct body){"sse4.1", run_sse41, 4, run_sse41, 0};
    if (__builtin_cpu_supports("avx2"))
        bodies[bodies_count++] = (struct body){"avx2", run_avx2, 8, run_sse41, 4};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl"))
        bodies[bodies_count++] = (struct body){"avx512", run_avx512, 16, run_avx512_half, 8};
#endif
}

static const struct body *body_in_use(void)
{
    const struct body *body = __atomic_load_n(&forced, __ATOMIC_RELAXED);
    return body ? body : &bodies[bodies_count - 1];
}

const char *hangard_blake3_body_name(size_t i)
{
    return i < bodies_count ? bodies[i].name : NULL;
}

const char *hangard_blake3_body(void)
{
    return body_in_use()->name;
}

int hangard_blake3_force_body(const char *name)
{
    const struct body *body = NULL;
    for (size_t i = 0; name && i < bodies_count; i++)
        if (strcmp(name, bodies[i].name) == 0)
            body = &bodies[i];
    if (name && !body)
        return -1;
    __atomic_store_n(&forced, body, __ATOMIC_RELAXED);
    return 0;
}

/* ---- jobs waiting for a full set of lanes ---- */

struct queue {
    const struct hangard_blake3_key *key;
    const struct body *body;
    size_t count;
    struct job jobs[LANES_MAX];
};

static void flush(struct queue *queue)
{
    if (queue->count == 0)
        return;
    const struct body *body = queue->body;
    (queue->count <= body->few ? body->run_few : body->run)(queue->key->words, queue->jobs,
                                                            queue->count);
    queue->count = 0;
}

static inline void add(struct queue *queue, const uint8_t *data, size_t bytes, uint64_t counter,
                       uint32_t flags, uint8_t *out)
{
    queue->jobs[queue->count++] =
        (struct job){data, bytes, counter, queue->key->flags | flags, out};
    if (queue->count == queue->body->lanes)
        flush(queue);
}

/* ---- trees of a few hundred chunks, several at a time ---- */

struct tree {
    const uint8_t *data;
    size_t bytes;
    uint64_t counter; /* of its first chunk */
    uint32_t root;    /* ROOT, or 0 for a piece of something larger */
    uint8_t *out;
    uint32_t first;   /* its first chaining value in the work space */
    uint32_t width;   /* chaining values at the level reached so far */
};

struct work {
    struct queue queue;
    size_t trees_count;
    size_t chunks; /* of all the trees */
    struct tree trees[WORK_CHUNKS];
    uint8_t values[WORK_CHUNKS][HANGARD_BLAKE3_BYTES];
};

static size_t chunks_of(size_t bytes)
{
    return bytes ? (bytes - 1) / CHUNK_BYTES + 1 : 1;
}

/* Full chunks and last short ones go in separate passes: lanes of one group run equally long. */
static void hash_chunks(struct work *work, int short_ones)
{
    for (size_t t = 0; t < work->trees_count; t++) {
        struct tree *tree = &work->trees[t];
        size_t full = tree->bytes / CHUNK_BYTES, chunks = chunks_of(tree->bytes);
        for (size_t i = short_ones ? full : 0; i < (short_ones ? chunks : full); i++) {
            size_t offset = i * CHUNK_BYTES, left = tree->bytes - offset;
            add(&work->queue, left ? tree->data + offset : NULL,
                left < CHUNK_BYTES ? left : CHUNK_BYTES, tree->counter + i,
                chunks == 1 ? tree->root : 0,
                chunks == 1 ? tree->out : work->values[tree->first + i]);
        }
    }
    flush(&work->queue);
}

/* Join neighbours level by level; one without a neighbour moves up as it is. That is BLAKE3's tree,
 * whose left subtrees are the largest powers of two. */
static void join_parents(struct work *work)
{
    for (int joined = 1; joined;) {
        joined = 0;
        for (size_t t = 0; t < work->trees_count; t++) {
            struct tree *tree = &work->trees[t];
            uint32_t root = tree->width == 2 ? tree->root : 0;
            for (uint32_t i = 0; i + 1 < tree->width; i += 2) {
                uint8_t *pair = work->values[tree->first + i];
                add(&work->queue, pair, BLOCK_BYTES, 0, PARENT | root,
                    tree->width == 2 ? tree->out : work->values[tree->first + i / 2]);
                joined = 1;
            }
        }
        flush(&work->queue);
        for (size_t t = 0; t < work->trees_count; t++) {
            struct tree *tree = &work->trees[t];
            if (tree->width % 2 && tree->width > 1)
                memcpy(work->values[tree->first + tree->width / 2],
                       work->values[tree->first + tree->width - 1], HANGARD_BLAKE3_BYTES);
            tree->width = tree->width > 2 ? (tree->width + 1) / 2 : 1;
        }
    }
}

static void finish_trees(struct work *work)
{
    hash_chunks(work, 0);
    hash_chunks(work, 1);
    join_parents(work);
    work->trees_count = work->chunks = 0;
}

/* Add a tree of at most WORK_CHUNKS chunks; `out` is written by finish_trees at the latest. */
static void add_tree(struct work *work, const uint8_t *data, size_t bytes, uint64_t counter,
                     uint32_t root, uint8_t *out)
{
    size_t chunks = chunks_of(bytes);
    if (work->chunks + chunks > WORK_CHUNKS)
        finish_trees(work);
    work->trees[work->trees_count++] = (struct tree){
        data, bytes, counter, root, out, (uint32_t)work->chunks, (uint32_t)chunks};
    work->chunks += chunks;
}

static void start(struct work *work, const struct hangard_blake3_key *key)
{
    work->queue.key = key;
    work->queue.body = body_in_use();
    work->queue.count = work->trees_count = work->chunks = 0;
}

/* ---- inputs of any size ---- */

/* Join the two topmost subtrees of the stack. */
static void join_top(struct work *work, uint8_t (*stack)[HANGARD_BLAKE3_BYTES], uint32_t root,
                     uint8_t *out)
{
    add(&work->queue, stack[0], BLOCK_BYTES, 0, PARENT | root, out);
    flush(&work->queue);
}

/* An input of more than WORK_CHUNKS chunks, piece by piece. Complete pieces are joined as soon as
 * there are two of a size; the last piece then joins what is left, from the right. */
static void hash_large(struct work *work, const uint8_t *data, size_t bytes, uint8_t *out)
{
    const size_t piece_bytes = (size_t)WORK_CHUNKS * CHUNK_BYTES;
    uint8_t stack[PIECES_DEPTH_MAX][HANGARD_BLAKE3_BYTES];
    size_t depth = 0;
    uint64_t pieces = 0;
    finish_trees(work);
    for (size_t offset = 0;;) {
        size_t left = bytes - offset, taken = left < piece_bytes ? left : piece_bytes;
        add_tree(work, data + offset, taken, pieces * WORK_CHUNKS, 0, stack[depth++]);
        finish_trees(work);
        offset += taken;
        pieces++;
        if (offset == bytes)
            break;
        for (uint64_t sized = pieces; sized % 2 == 0; sized /= 2, depth--)
            join_top(work, &stack[depth - 2], 0, stack[depth - 2]);
    }
    for (; depth > 2; depth--)
        join_top(work, &stack[depth - 2], 0, stack[depth - 2]);
    join_top(work, &stack[0], ROOT, out);
}

static void hash_any(struct work *work, const uint8_t *data, size_t bytes, uint8_t *out)
{
    if (chunks_of(bytes) <= WORK_CHUNKS)
        add_tree(work, data, bytes, 0, ROOT, out);
    else
        hash_large(work, data, bytes, out);
}

void hangard_blake3(const struct hangard_blake3_key *key, const void *data, size_t n,
                    uint8_t out[32])
{
    struct work work;
    start(&work, key);
    hash_any(&work, data, n, out);
    finish_trees(&work);
}

void hangard_blake3_many(const struct hangard_blake3_key *key, const void *rows, size_t row_bytes,
                         size_t count, uint8_t *out)
{
    struct work work;
    start(&work, key);
    for (size_t i = 0; i < count; i++)
        hash_any(&work, row_bytes ? (const uint8_t *)rows + i * row_bytes : NULL, row_bytes,
                 out + i * HANGARD_BLAKE3_BYTES);
    finish_trees(&work);
}

void hangard_blake3_ragged(const struct hangard_blake3_key *key, const void *data,
                           const uint64_t *ends, size_t count, uint8_t *out)
{
    struct work work;
    uint64_t begin = 0;
    start(&work, key);
    for (size_t i = 0; i < count; i++) {
        uint64_t end;
        memcpy(&end, &ends[i], sizeof end); /* the array may lie at any address */
        hash_any(&work, end > begin ? (const uint8_t *)data + begin : NULL, end - begin,
                 out + i * HANGARD_BLAKE3_BYTES);
        begin = end;
    }
    finish_trees(&work);
}

/* ---- keys ---- */

struct hangard_blake3_key hangard_blake3_plain(void)
{
    struct hangard_blake3_key key = {.flags = 0};
    memcpy(key.words, iv, sizeof iv);
    return key;
}

struct hangard_blake3_key hangard_blake3_keyed(const uint8_t bytes[32])
{
    struct hangard_blake3_key key = {.flags = KEYED_HASH};
    memcpy(key.words, bytes, sizeof key.words);
    return key;
}

struct hangard_blake3_key hangard_blake3_derived(const void *context, size_t n)
{
    struct hangard_blake3_key plain = hangard_blake3_plain(), key = {.flags = DERIVE_KEY_MATERIAL};
    plain.flags = DERIVE_KEY_CONTEXT;
    hangard_blake3(&plain, context, n, (uint8_t *)key.words);
    return key;
}
