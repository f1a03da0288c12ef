#include "hdf5_filters.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------- shuffle */

void hangard_shuffle(const uint8_t *in, int64_t n_bytes, int64_t item_bytes, uint8_t *out) {
    int64_t items = n_bytes / item_bytes;
    for (int64_t byte = 0; byte < item_bytes; byte++)
        for (int64_t i = 0; i < items; i++) *out++ = in[i * item_bytes + byte];
    memcpy(out, in + items * item_bytes, (size_t)(n_bytes - items * item_bytes));
}

void hangard_unshuffle_range(const uint8_t *in, int64_t n_bytes, int64_t item_bytes, int64_t start,
                             int64_t length, uint8_t *out) {
    int64_t items = n_bytes / item_bytes, whole = items * item_bytes;
    int64_t first = start / item_bytes, skip = start % item_bytes;
    if (skip == 0 && length % item_bytes == 0 && start + length <= whole) {
        int64_t count = length / item_bytes;
        for (int64_t byte = 0; byte < item_bytes; byte++) {
            const uint8_t *plane = in + byte * items + first;
            for (int64_t i = 0; i < count; i++) out[i * item_bytes + byte] = plane[i];
        }
        return;
    }
    for (int64_t i = 0; i < length; i++) {
        int64_t at = start + i;
        if (at >= whole) {
            memcpy(out + i, in + at, (size_t)(length - i));
            return;
        }
        int64_t place = skip + i;
        out[i] = in[place % item_bytes * items + first + place / item_bytes];
    }
}

/* ------------------------------------------------------------------------------- deflate */

/* zlib-ng, compiled into libblosc2.a. */
extern int32_t zng_compress2(uint8_t *dest, size_t *dest_length, const uint8_t *source,
                             size_t source_length, int32_t level);
extern int32_t zng_uncompress(uint8_t *dest, size_t *dest_length, const uint8_t *source,
                              size_t source_length);

enum { ZNG_OK = 0, ZNG_MEM_ERROR = -4 };

static int64_t deflate_bytes(int level, const uint8_t *in, int64_t n_bytes, uint8_t *out,
                             int64_t room) {
    size_t length = (size_t)room;
    int32_t result = zng_compress2(out, &length, in, (size_t)n_bytes, level);
    if (result == ZNG_MEM_ERROR) return -1;
    return result == ZNG_OK ? (int64_t)length : 0;
}

static int64_t inflate_bytes(const uint8_t *stored, int64_t n_bytes, uint8_t *out, int64_t room) {
    size_t length = (size_t)room;
    int32_t result = zng_uncompress(out, &length, stored, (size_t)n_bytes);
    return result == ZNG_OK ? (int64_t)length : -1;
}

/* ----------------------------------------------------------------------------------- LZF
 *
 * A stream of two kinds of pieces, by their first byte c:
 *
 *     c < 32    literal: the next c + 1 bytes stand for themselves
 *     c >= 32   match: length c >> 5, and if that is 7, plus the next byte; then the low byte of the
 *               distance, whose upper bits are c & 31. Copy length + 2 bytes from distance + 1 back.
 */

enum {
    LITERALS_MAX = 32,
    MATCH_BYTES_MIN = 3,
    MATCH_BYTES_MAX = 7 + 255 + 2,
    LONG_MATCH = 7,
    DISTANCE_MAX = 1 << 13,
    HASH_BITS = 14,
};

static uint32_t hash_of(const uint8_t *at) {
    uint32_t three = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
    return three * 2654435761u >> (32 - HASH_BITS);
}

/* Literals from `first` up to `end`, in pieces; the new end of `out`, NULL without room. */
static uint8_t *put_literals(const uint8_t *first, const uint8_t *end, uint8_t *out,
                             const uint8_t *out_end) {
    while (first < end) {
        int64_t count = end - first < LITERALS_MAX ? end - first : LITERALS_MAX;
        if (out_end - out < count + 1) return NULL;
        *out++ = (uint8_t)(count - 1);
        memcpy(out, first, (size_t)count);
        out += count;
        first += count;
    }
    return out;
}

static int64_t lzf_encode(const uint8_t *in, int64_t n_bytes, uint8_t *out, int64_t room) {
    const uint8_t **seen = calloc((size_t)1 << HASH_BITS, sizeof *seen);
    if (seen == NULL) return -1;
    const uint8_t *at = in, *literals = in, *end = in + n_bytes;
    uint8_t *to = out;
    const uint8_t *out_end = out + room;
    while (to != NULL && end - at >= MATCH_BYTES_MIN) {
        uint32_t slot = hash_of(at);
        const uint8_t *match = seen[slot];
        seen[slot] = at;
        if (match == NULL || at - match > DISTANCE_MAX || memcmp(match, at, MATCH_BYTES_MIN) != 0) {
            at++;
            continue;
        }
        int64_t most = end - at < MATCH_BYTES_MAX ? end - at : MATCH_BYTES_MAX;
        int64_t length = MATCH_BYTES_MIN;
        while (length < most && match[length] == at[length]) length++;
        to = put_literals(literals, at, to, out_end);
        if (to == NULL || out_end - to < 3) {
            to = NULL;
            break;
        }
        uint32_t distance = (uint32_t)(at - match - 1), coded = (uint32_t)(length - 2);
        if (coded < LONG_MATCH) {
            *to++ = (uint8_t)(coded << 5 | distance >> 8);
        } else {
            *to++ = (uint8_t)(LONG_MATCH << 5 | distance >> 8);
            *to++ = (uint8_t)(coded - LONG_MATCH);
        }
        *to++ = (uint8_t)distance;
        at += length;
        literals = at;
    }
    if (to != NULL) to = put_literals(literals, end, to, out_end);
    free(seen);
    return to == NULL ? 0 : to - out;
}

static int64_t lzf_decode(const uint8_t *stored, int64_t n_bytes, uint8_t *out, int64_t room) {
    const uint8_t *at = stored, *end = stored + n_bytes;
    int64_t done = 0;
    while (at < end) {
        int64_t head = *at++;
        if (head < LITERALS_MAX) {
            int64_t count = head + 1;
            if (end - at < count || room - done < count) return -1;
            memcpy(out + done, at, (size_t)count);
            at += count;
            done += count;
            continue;
        }
        int64_t length = head >> 5;
        if (end - at < (length == LONG_MATCH ? 2 : 1)) return -1;
        if (length == LONG_MATCH) length += *at++;
        length += 2;
        int64_t distance = ((head & 31) << 8 | *at++) + 1;
        if (distance > done || room - done < length) return -1;
        if (distance >= length) {
            memcpy(out + done, out + done - distance, (size_t)length);
            done += length;
            continue;
        }
        /* Byte by byte: the match reaches into what it produces. */
        for (; length > 0; length--, done++) out[done] = out[done - distance];
    }
    return done;
}

int64_t hangard_filtered_encode(int codec, int level, const uint8_t *in, int64_t n_bytes,
                                uint8_t *out, int64_t room) {
    if (codec == HANGARD_CODEC_GZIP) return deflate_bytes(level, in, n_bytes, out, room);
    return lzf_encode(in, n_bytes, out, room);
}

int64_t hangard_filtered_decode(int codec, const uint8_t *stored, int64_t length, uint8_t *out,
                                int64_t room) {
    if (codec == HANGARD_CODEC_GZIP) return inflate_bytes(stored, length, out, room);
    return lzf_decode(stored, length, out, room);
}

/* ---------------------------------------------------------------------------- Fletcher-32 */

uint32_t hangard_fletcher32(const uint8_t *data, int64_t n_bytes) {
    enum { WORDS_AT_ONCE = 360 }; /* so many sums of 16-bit words fit 32 bits */
    uint32_t low = 0, high = 0;
    int64_t words = n_bytes / 2;
    while (words > 0) {
        int64_t count = words < WORDS_AT_ONCE ? words : WORDS_AT_ONCE;
        words -= count;
        for (; count > 0; count--, data += 2) {
            low += (uint32_t)data[0] << 8 | data[1];
            high += low;
        }
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    if (n_bytes % 2 != 0) {
        low += (uint32_t)data[0] << 8;
        high += low;
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    low = (low & 0xffff) + (low >> 16);
    high = (high & 0xffff) + (high >> 16);
    return high << 16 | low;
}
