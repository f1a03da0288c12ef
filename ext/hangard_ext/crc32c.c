/* CRC32C: the SSE4.2 instruction where the CPU has it, slicing by eight tables elsewhere. */
#include "crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u

/* The instruction has a latency of 3 cycles and a throughput of 1, so three independent streams
 * keep it busy. Their checksums are then joined by shifting each over the bytes that follow it;
 * the shift is linear, and stands in tables for these two stream lengths. */
#define LONG_STREAM_BYTES 4096
#define SHORT_STREAM_BYTES 256

static uint32_t slices[8][256];
static uint32_t shift_long[4][256];
static uint32_t shift_short[4][256];

/* Fill a shift table from what becomes of each single bit of the register. */
static void fill_shift(uint32_t table[4][256], const uint32_t of_bit[32])
{
    for (int byte = 0; byte < 4; byte++)
        for (int n = 0; n < 256; n++) {
            uint32_t sum = 0;
            for (int bit = 0; bit < 8; bit++)
                if (n >> bit & 1)
                    sum ^= of_bit[8 * byte + bit];
            table[byte][n] = sum;
        }
}

static inline uint32_t shifted(uint32_t table[4][256], uint32_t value)
{
    return table[0][value & 0xff] ^ table[1][value >> 8 & 0xff] ^ table[2][value >> 16 & 0xff] ^
           table[3][value >> 24];
}

/* A constructor runs under the loader's lock: no thread can see half-filled tables. */
__attribute__((constructor)) static void fill_tables(void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t value = n;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
        slices[0][n] = value;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int n = 0; n < 256; n++) {
            uint32_t before = slices[slice - 1][n];
            slices[slice][n] = (before >> 8) ^ slices[0][before & 0xff];
        }
    uint32_t of_bit[32];
    for (int bit = 0; bit < 32; bit++) {
        of_bit[bit] = 1u << bit;
        for (int zero = 0; zero < SHORT_STREAM_BYTES; zero++)
            of_bit[bit] = (of_bit[bit] >> 8) ^ slices[0][of_bit[bit] & 0xff];
    }
    fill_shift(shift_short, of_bit);
    for (int bit = 0; bit < 32; bit++)
        for (int times = 1; times < LONG_STREAM_BYTES / SHORT_STREAM_BYTES; times++)
            of_bit[bit] = shifted(shift_short, of_bit[bit]);
    fill_shift(shift_long, of_bit);
}

uint32_t hangard_crc32c_portable(uint32_t value, const void *data, size_t n)
{
    const uint8_t *at = data;
    value = ~value;
    for (; n >= 8; n -= 8, at += 8) {
        uint32_t low = value ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                (uint32_t)at[3] << 24);
        value = slices[7][low & 0xff] ^ slices[6][low >> 8 & 0xff] ^ slices[5][low >> 16 & 0xff] ^
                slices[4][low >> 24] ^ slices[3][at[4]] ^ slices[2][at[5]] ^ slices[1][at[6]] ^
                slices[0][at[7]];
    }
    for (; n; n--, at++)
        value = (value >> 8) ^ slices[0][(value ^ *at) & 0xff];
    return ~value;
}

#if defined(__x86_64__)

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* Consume as many triples of streams of `stream` bytes as there are. */
__attribute__((target("sse4.2"))) static inline uint32_t
triples(uint32_t value, const uint8_t **data, size_t *n, size_t stream, uint32_t table[4][256])
{
    const uint8_t *at = *data;
    size_t left = *n;
    for (; left >= 3 * stream; left -= 3 * stream, at += 3 * stream) {
        uint64_t first = value, second = 0, third = 0;
        for (size_t i = 0; i < stream; i += 8) {
            first = __builtin_ia32_crc32di(first, load64(at + i));
            second = __builtin_ia32_crc32di(second, load64(at + stream + i));
            third = __builtin_ia32_crc32di(third, load64(at + 2 * stream + i));
        }
        uint32_t joined = shifted(table, (uint32_t)first) ^ (uint32_t)second;
        value = shifted(table, joined) ^ (uint32_t)third;
    }
    *data = at;
    *n = left;
    return value;
}

__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t value, const void *data,
                                                           size_t n)
{
    const uint8_t *at = data;
    value = ~value;
    value = triples(value, &at, &n, LONG_STREAM_BYTES, shift_long);
    value = triples(value, &at, &n, SHORT_STREAM_BYTES, shift_short);
    uint64_t wide = value;
    for (; n >= 8; n -= 8, at += 8)
        wide = __builtin_ia32_crc32di(wide, load64(at));
    value = (uint32_t)wide;
    for (; n; n--, at++)
        value = __builtin_ia32_crc32qi(value, *at);
    return ~value;
}

uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n)
{
    if (__builtin_cpu_supports("sse4.2"))
        return hardware(value, data, n);
    return hangard_crc32c_portable(value, data, n);
}

#else

uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n)
{
    return hangard_crc32c_portable(value, data, n);
}

#endif
