/* One chunk of rows <-> one Blosc2 frame. No Python, no locks.
 *
 * A chunk is a contiguous Blosc2 frame with exactly one chunk in it and no b2nd metadata, which is
 * what HDF5's filter 32026 stores. Of the frame we read and set (source: c-blosc2, README_CFRAME_FORMAT):
 *
 *     offset size  field
 *     0      2     0x9e 0xa8
 *     2      8     "b2frame\0"
 *     11     4     header length h; this and all below big-endian
 *     16     8     frame length
 *     30     8     nbytes
 *     39     8     cbytes
 *     53     4     block size
 *     58     4     chunk size
 *     h      ...   the chunk (source: README_CHUNK_FORMAT)
 *
 * and of the chunk, little-endian:
 *
 *     0      1     format version               12     4     cbytes, this header included
 *     1      1     version of the inner codec   16     6     filters
 *     2      1     flags, inner codec           22     2     codec, its meta
 *     3      1     typesize                     24     6     meta of the filters
 *     4      4     nbytes                       30     1     flags 2
 *     8      4     block size                   31     1     flags 3: dict, lazy, special value
 *
 * Blosc2 can be told by these fields to read other files, run registered code or allocate
 * gigabytes; hangard_frame_open therefore refuses whatever our own compressor never writes.
 */
#ifndef HANGARD_BLOSC2_FRAME_H
#define HANGARD_BLOSC2_FRAME_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* No chunk of several rows is larger (a larger row is a chunk of its own). */
#define HANGARD_CHUNK_BYTES_MAX (4 * 1024 * 1024)

typedef struct {
    const uint8_t *chunk; /* inside the caller's buffer */
    int32_t cbytes;
    int32_t nbytes;
    int32_t block_bytes;
    int32_t typesize;
    int special; /* the whole chunk is one repeated value */
} hangard_frame;

typedef enum {
    HANGARD_FRAME_OK = 0,
    HANGARD_FRAME_BAD_LENGTH = -1,
    HANGARD_FRAME_BAD_HEADER = -2,
    HANGARD_FRAME_BAD_SIZE = -3,
    HANGARD_FRAME_BAD_RANGE = -4,
    HANGARD_FRAME_BAD_DATA = -5,
    HANGARD_FRAME_NO_MEMORY = -6,
} hangard_frame_result;

/* Once a process, before anything else. */
void hangard_frame_init(void);

/* Compress n_bytes of rows, padded with zeros to chunk_bytes, into a frame in `out`.
 * Returns its length, 0 when it would not be shorter than the chunk, a result below 0 on failure. */
int64_t hangard_frame_compress(const uint8_t *rows, int64_t n_bytes, int64_t chunk_bytes,
                               int typesize, int64_t block_bytes, int compcode, int level,
                               int filter, uint8_t *out, int64_t out_bytes);

/* Check every declared size and flag against the stored bytes. chunk_bytes: the expected size, 0 for
 * unknown. row_bytes, 0 for unknown: a chunk has whole rows, and no more than
 * HANGARD_CHUNK_BYTES_MAX bytes unless it is a single row. */
hangard_frame_result hangard_frame_open(const uint8_t *stored, uint64_t stored_length,
                                        int64_t row_bytes, int64_t chunk_bytes,
                                        hangard_frame *frame);

/* Decode bytes [start, start + n_bytes) of an opened frame. */
hangard_frame_result hangard_frame_decode(const hangard_frame *frame, int64_t start,
                                          int64_t n_bytes, uint8_t *out);

#pragma GCC visibility pop

#endif
