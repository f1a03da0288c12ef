/* What the table and the runs share: the order of digests, their sorting, prefetching.
 *
 * A digest is uniform, so its first 8 bytes, read big-endian (`head`), serve as hash, as sort key
 * and as a fraction to interpolate with. Nothing here is wrong for other input, only slow.
 */
#ifndef HANGARD_DIGESTORDER_H
#define HANGARD_DIGESTORDER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 32
#define SORT_INSERTION_MAX 24

static inline uint64_t digest_head(const uint8_t *digest) {
    uint64_t head = 0;
    for (int i = 0; i < 8; i++) head = head << 8 | digest[i];
    return head;
}

/* head * n / 2^64: the place of a head among n equal ranges, in their order. */
static inline uint64_t digest_range(uint64_t head, uint64_t n) {
    return (uint64_t)(((unsigned __int128)head * n) >> 64);
}

/* How far into its range a head lies, as a fraction of 2^64. */
static inline uint64_t digest_fraction(uint64_t head, uint64_t n) { return head * n; }

static inline int digest_equal(const uint8_t *a, const uint8_t *b) {
    return memcmp(a, b, DIGEST_BYTES) == 0;
}

static inline void prefetch(const void *at) { __builtin_prefetch(at, 0, 3); }

static inline uint32_t load_le32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *at) {
    return load_le32(at) | (uint64_t)load_le32(at + 4) << 32;
}

static inline void store_le16(uint8_t *to, uint16_t value) {
    to[0] = value & 0xff;
    to[1] = value >> 8;
}

static inline void store_le32(uint8_t *to, uint32_t value) {
    store_le16(to, (uint16_t)value);
    store_le16(to + 2, (uint16_t)(value >> 16));
}

static inline void store_le64(uint8_t *to, uint64_t value) {
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

typedef struct {
    uint64_t head;
    const uint8_t *digest;
} sort_item;

/* Digests, and equal ones in the order in which they lie in memory. */
static int sort_item_compare(const void *left, const void *right) {
    const sort_item *a = left, *b = right;
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    int order = memcmp(a->digest, b->digest, DIGEST_BYTES);
    if (order) return order;
    return a->digest < b->digest ? -1 : a->digest > b->digest;
}

static void sort_few(sort_item *items, size_t n) {
    if (n > SORT_INSERTION_MAX) {
        qsort(items, n, sizeof *items, sort_item_compare);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        sort_item item = items[i];
        size_t j = i;
        for (; j > 0 && sort_item_compare(&items[j - 1], &item) > 0; j--) items[j] = items[j - 1];
        items[j] = item;
    }
}

/* Sort n digests that lie `stride` bytes apart: items[] receives them in order. Counting into as
 * many ranges as there are pairs of digests, then a few comparisons in each range. -1: no memory. */
static int digest_sort(const uint8_t *digests, size_t n, size_t stride, sort_item *items) {
    size_t ranges = n / 2 + 1, i;
    size_t *ends = calloc(ranges + 1, sizeof *ends);
    if (!ends) return -1;
    for (i = 0; i < n; i++) ends[digest_range(digest_head(digests + i * stride), ranges) + 1]++;
    for (i = 1; i <= ranges; i++) ends[i] += ends[i - 1];
    for (i = 0; i < n; i++) {
        const uint8_t *digest = digests + i * stride;
        uint64_t head = digest_head(digest);
        sort_item *item = &items[ends[digest_range(head, ranges)]++];
        item->head = head;
        item->digest = digest;
    }
    size_t begin = 0;
    for (i = 0; i < ranges; i++) {
        if (ends[i] - begin > 1) sort_few(items + begin, ends[i] - begin);
        begin = ends[i];
    }
    free(ends);
    return 0;
}

#endif
