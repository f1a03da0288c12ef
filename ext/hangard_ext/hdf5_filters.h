/* HDF5's own filters outside libhdf5: byte shuffle, deflate, LZF and Fletcher-32. No Python, no locks.
 *
 * Source   shuffle, deflate (a zlib stream) and fletcher32: HDF5 file format, filters 2, 1 and 3;
 *          LZF: filter 32000 of the HDF5 registered filters, which stores a plain LZF stream.
 * zlib     comes with c-blosc2's static library, as zlib-ng under its own names.
 */
#ifndef HANGARD_HDF5_FILTERS_H
#define HANGARD_HDF5_FILTERS_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

/* The codec byte of a spec (recordspec). */
enum { HANGARD_CODEC_GZIP = 2, HANGARD_CODEC_LZF = 3 };

/* A spec's flags carry the item size of a byte shuffle in bits 4 to 6, as power of two; 0: none. */
enum { HANGARD_SHUFFLE_SHIFT = 4, HANGARD_SHUFFLE_MASK = 0x70 };

/* All first bytes of the items, then all second ones; what is no whole item stays behind. */
void hangard_shuffle(const uint8_t *in, int64_t n_bytes, int64_t item_bytes, uint8_t *out);

/* Bytes [start, start + length) of what was shuffled into the n_bytes at `in`. */
void hangard_unshuffle_range(const uint8_t *in, int64_t n_bytes, int64_t item_bytes, int64_t start,
                             int64_t length, uint8_t *out);

/* Compress n_bytes at `in` with a codec; the length at `out`, 0 if it does not fit `room`, below 0
 * without memory. level: 0 to 9, of gzip. */
int64_t hangard_filtered_encode(int codec, int level, const uint8_t *in, int64_t n_bytes,
                                uint8_t *out, int64_t room);

/* The inverse: the length at `out`, or -1 for bytes that are no such stream or decode to more than
 * `room`. */
int64_t hangard_filtered_decode(int codec, const uint8_t *stored, int64_t length, uint8_t *out,
                                int64_t room);

/* Fletcher-32 over big-endian 16-bit words, as HDF5 computes it; stored behind a chunk as u32 LE. */
uint32_t hangard_fletcher32(const uint8_t *data, int64_t n_bytes);

#pragma GCC visibility pop

#endif
