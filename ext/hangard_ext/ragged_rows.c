#include "ragged_rows.h"

#include <stdlib.h>
#include <string.h>

#include "blosc2_frame.h"
#include "crc32c.h"
#include "hdf5_filters.h"

enum { SPEC_BYTES = 32, CODEC_RAW = 0, CODEC_BLOSC2 = 1 };

/* What is kept from one row to the next: the opened frame and one block of it, decoded; of a chunk of
 * HDF5's own filters all of it, still shuffled. */
typedef struct {
    uint64_t offset;
    uint32_t length;
    int codec; /* of the open chunk; 0: none is open */
    hangard_frame frame;
    uint8_t *block;
    int64_t room_bytes;
    int64_t start; /* of what is decoded, in the chunk */
    int64_t end;
} cursor;

static uint32_t load_u32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t load_u64(const uint8_t *at) {
    return load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

static int make_room(cursor *c, int64_t n_bytes) {
    if (n_bytes > c->room_bytes) {
        uint8_t *grown = realloc(c->block, (size_t)n_bytes);
        if (grown == NULL) return 0;
        c->block = grown;
        c->room_bytes = n_bytes;
    }
    return 1;
}

static int is_at(cursor *c, int codec, uint64_t offset, uint32_t length) {
    if (c->codec == codec && c->offset == offset && c->length == length) return 1;
    c->codec = 0;
    c->end = 0;
    c->offset = offset;
    c->length = length;
    return 0;
}

static hangard_frame_result open_chunk(cursor *c, const uint8_t *stored, uint64_t offset,
                                       uint32_t length) {
    if (is_at(c, CODEC_BLOSC2, offset, length)) return HANGARD_FRAME_OK;
    hangard_frame_result result = hangard_frame_open(stored, length, 0, 0, &c->frame);
    if (result != HANGARD_FRAME_OK) return result;
    /* Blosc2 takes memory for some blocks at once; ours are never larger. */
    if (!c->frame.special && c->frame.block_bytes > HANGARD_CHUNK_BYTES_MAX)
        return HANGARD_FRAME_BAD_SIZE;
    c->codec = CODEC_BLOSC2;
    return HANGARD_FRAME_OK;
}

/* A row of a chunk that went through HDF5's own filters, which decodes as a whole. */
static hangard_frame_result read_filtered(cursor *c, const uint8_t *stored, const uint8_t *spec,
                                          uint64_t offset, uint32_t length, int64_t start,
                                          int64_t n_bytes, uint8_t *out) {
    if (!is_at(c, spec[2], offset, length)) {
        /* Who writes leaves at most an eighth of a large row's chunk empty. */
        int64_t room = n_bytes + n_bytes / 8 + 64;
        if (room < HANGARD_CHUNK_BYTES_MAX) room = HANGARD_CHUNK_BYTES_MAX;
        if (!make_room(c, room)) return HANGARD_FRAME_NO_MEMORY;
        int64_t decoded = hangard_filtered_decode(spec[2], stored, length, c->block, room);
        if (decoded < 0) return HANGARD_FRAME_BAD_DATA;
        c->codec = spec[2];
        c->start = 0;
        c->end = decoded;
    }
    if (start > c->end || n_bytes > c->end - start) return HANGARD_FRAME_BAD_RANGE;
    int64_t item_bytes = (int64_t)1 << ((spec[1] & HANGARD_SHUFFLE_MASK) >> HANGARD_SHUFFLE_SHIFT);
    if (item_bytes == 1)
        memcpy(out, c->block + start, (size_t)n_bytes);
    else
        hangard_unshuffle_range(c->block, c->end, item_bytes, start, n_bytes, out);
    return HANGARD_FRAME_OK;
}

static hangard_frame_result decode(cursor *c, int64_t start, int64_t n_bytes, uint8_t *out) {
    const hangard_frame *frame = &c->frame;
    if (start > frame->nbytes || n_bytes > frame->nbytes - start) return HANGARD_FRAME_BAD_RANGE;
    if (start >= c->start && start + n_bytes <= c->end) {
        memcpy(out, c->block + (start - c->start), (size_t)n_bytes);
        return HANGARD_FRAME_OK;
    }
    int64_t block = start / frame->block_bytes;
    if (frame->special || (start + n_bytes - 1) / frame->block_bytes != block)
        return hangard_frame_decode(frame, start, n_bytes, out);
    int64_t block_start = block * frame->block_bytes;
    int64_t block_bytes = frame->block_bytes;
    if (block_bytes > frame->nbytes - block_start) block_bytes = frame->nbytes - block_start;
    if (block_bytes == n_bytes) return hangard_frame_decode(frame, start, n_bytes, out);
    c->end = 0;
    if (!make_room(c, block_bytes)) return HANGARD_FRAME_NO_MEMORY;
    hangard_frame_result result =
        hangard_frame_decode(frame, block_start, block_bytes, c->block);
    if (result != HANGARD_FRAME_OK) return result;
    c->start = block_start;
    c->end = block_start + block_bytes;
    memcpy(out, c->block + (start - block_start), (size_t)n_bytes);
    return HANGARD_FRAME_OK;
}

static hangard_frame_result read_row(cursor *c, const uint8_t *file, uint64_t file_bytes,
                                     const uint8_t *spec, uint64_t n_bytes, uint8_t *out) {
    uint64_t offset = load_u64(spec + 8), length = load_u32(spec + 16), row = load_u32(spec + 20);
    if (n_bytes == 0) return HANGARD_FRAME_OK;
    if (offset > file_bytes || length > file_bytes - offset) return HANGARD_FRAME_BAD_RANGE;
    if (n_bytes > (uint64_t)INT32_MAX) return HANGARD_FRAME_BAD_RANGE;
    uint64_t start = spec[1] & HANGARD_FLAG_RAGGED ? row : row * n_bytes;
    if (spec[2] == CODEC_RAW) {
        if (start > length || n_bytes > length - start) return HANGARD_FRAME_BAD_RANGE;
        memcpy(out, file + offset + start, n_bytes);
        return HANGARD_FRAME_OK;
    }
    if ((spec[2] == HANGARD_CODEC_GZIP || spec[2] == HANGARD_CODEC_LZF) &&
        (spec[1] & ~(HANGARD_SHUFFLE_MASK | HANGARD_FLAG_RAGGED)) == 0)
        return read_filtered(c, file + offset, spec, offset, (uint32_t)length, (int64_t)start,
                             (int64_t)n_bytes, out);
    if (spec[2] != CODEC_BLOSC2 || (spec[1] & ~HANGARD_FLAG_RAGGED) != 0)
        return HANGARD_FRAME_BAD_HEADER;
    hangard_frame_result result = open_chunk(c, file + offset, offset, (uint32_t)length);
    if (result != HANGARD_FRAME_OK) return result;
    return decode(c, (int64_t)start, (int64_t)n_bytes, out);
}

int64_t hangard_read_ragged(const uint8_t *file, uint64_t file_bytes, const uint8_t *specs,
                            const int64_t *positions, int64_t n, const uint64_t *ends, uint8_t *out,
                            int verify) {
    cursor c = {0};
    int64_t bad = -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t index = positions != NULL ? positions[i] : i;
        const uint8_t *spec = specs + index * SPEC_BYTES;
        uint64_t begin = index ? ends[index - 1] : 0;
        uint64_t n_bytes = ends[index] - begin;
        hangard_frame_result result = read_row(&c, file, file_bytes, spec, n_bytes, out + begin);
        if (result == HANGARD_FRAME_NO_MEMORY) {
            bad = -2;
            break;
        }
        if (result == HANGARD_FRAME_OK && verify &&
            hangard_crc32c(0, out + begin, (size_t)n_bytes) != load_u32(spec + 24))
            result = HANGARD_FRAME_BAD_DATA;
        if (result != HANGARD_FRAME_OK && (bad == -1 || index < bad)) bad = index;
    }
    free(c.block);
    return bad;
}
