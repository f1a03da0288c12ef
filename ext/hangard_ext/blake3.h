/* BLAKE3 with 32-byte digests, from the published specification ("BLAKE3: one function, fast
 * everywhere", sections 2.1 to 2.6), in SIMD lanes over many chunks.
 *
 * Thread-safe. No call allocates: the largest work space, WORK_CHUNKS chaining values and the
 * records of one group, lies on the stack (below 64 KiB). `data` may be NULL when nothing is read.
 */
#ifndef HANGARD_BLAKE3_H
#define HANGARD_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

#define HANGARD_BLAKE3_BYTES 32

struct hangard_blake3_key {
    uint32_t words[8];
    uint32_t flags; /* the mode, added to every compression */
};

/* The three modes: plain hash, keyed hash (32 bytes of key), derive-key under a context string. */
struct hangard_blake3_key hangard_blake3_plain(void);
struct hangard_blake3_key hangard_blake3_keyed(const uint8_t key[32]);
struct hangard_blake3_key hangard_blake3_derived(const void *context, size_t n);

/* The digest of n bytes. */
void hangard_blake3(const struct hangard_blake3_key *key, const void *data, size_t n,
                    uint8_t out[32]);

/* Digests of `count` rows of row_bytes each, one after another in memory; out: count x 32. */
void hangard_blake3_many(const struct hangard_blake3_key *key, const void *rows, size_t row_bytes,
                         size_t count, uint8_t *out);

/* Digests of `count` records; record i lies in data[ends[i-1]:ends[i]], ends[-1] being 0.
 * The caller has checked that ends ascend and stay within the data. */
void hangard_blake3_ragged(const struct hangard_blake3_key *key, const void *data,
                           const uint64_t *ends, size_t count, uint8_t *out);

/* The bodies this CPU can run, slowest first: the i-th name, or NULL behind the last. */
const char *hangard_blake3_body_name(size_t i);

/* The name of the body in use: the last of them, unless one was forced. */
const char *hangard_blake3_body(void);

/* Use this body in the whole process (NULL: the fastest). Returns 0, or -1 for an unknown name. */
int hangard_blake3_force_body(const char *name);

#pragma GCC visibility pop

#endif
