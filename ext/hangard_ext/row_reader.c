#include "row_reader.h"

#include <stdlib.h>
#include <string.h>

#include "blosc2_frame.h"
#include "crc32c.h"
#include "hdf5_filters.h"
#include "ragged_rows.h"

enum { SPEC_BYTES = 32, CODEC_RAW = 0, CODEC_BLOSC2 = 1 };

static uint32_t load_u32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t load_u64(const uint8_t *at) {
    return load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

typedef struct {
    uint64_t offset;
    uint32_t row;
    uint64_t flavour; /* of two specs that name one offset differently only one can be right */
    int64_t index;    /* into specs and out */
} wanted_row;

static int by_place(const void *left, const void *right) {
    const wanted_row *a = left, *b = right;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    if (a->flavour != b->flavour) return a->flavour < b->flavour ? -1 : 1;
    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    return 0;
}

typedef struct {
    const uint8_t *file;
    uint64_t file_bytes;
    const uint8_t *specs;
    int64_t row_bytes;
    uint8_t *out;
    int verify;
    int64_t bad;
    uint8_t *scratch;
    int64_t scratch_bytes;
} reading;

static void mark_bad(reading *r, int64_t index) {
    if (r->bad == -1 || index < r->bad) r->bad = index;
}

static void verify_row(reading *r, int64_t index) {
    const uint8_t *row = r->out + index * r->row_bytes;
    uint32_t expected = load_u32(r->specs + index * SPEC_BYTES + 24);
    if (r->verify && hangard_crc32c(0, row, (size_t)r->row_bytes) != expected) mark_bad(r, index);
}

/* The stored bytes a spec names, or NULL when they are not inside the file. */
static const uint8_t *stored_bytes(const reading *r, const uint8_t *spec) {
    uint64_t offset = load_u64(spec + 8), length = load_u32(spec + 16);
    if (offset > r->file_bytes || length > r->file_bytes - offset) return NULL;
    return r->file + offset;
}

static void read_raw(reading *r, int64_t index) {
    const uint8_t *spec = r->specs + index * SPEC_BYTES;
    const uint8_t *stored = stored_bytes(r, spec);
    uint64_t length = load_u32(spec + 16), row = load_u32(spec + 20);
    uint64_t row_bytes = (uint64_t)r->row_bytes;
    if (stored == NULL || row_bytes > length || row > (length - row_bytes) / row_bytes) {
        mark_bad(r, index);
        return;
    }
    memcpy(r->out + index * r->row_bytes, stored + row * row_bytes, row_bytes);
    verify_row(r, index);
}

/* Decode rows first..last (of wanted) of one frame; their blocks touch each other. */
static hangard_frame_result read_span(reading *r, const hangard_frame *frame,
                                      const wanted_row *wanted, int64_t first, int64_t last) {
    int64_t start = wanted[first].row * r->row_bytes;
    int64_t n_bytes = (wanted[last].row + (int64_t)1) * r->row_bytes - start;
    int consecutive = 1;
    for (int64_t i = first + 1; i <= last && consecutive; i++)
        consecutive = wanted[i].row == wanted[i - 1].row + 1 &&
                      wanted[i].index == wanted[i - 1].index + 1;
    if (consecutive)
        return hangard_frame_decode(frame, start, n_bytes,
                                    r->out + wanted[first].index * r->row_bytes);
    if (n_bytes > r->scratch_bytes) {
        uint8_t *grown = realloc(r->scratch, (size_t)n_bytes);
        if (grown == NULL) return HANGARD_FRAME_NO_MEMORY;
        r->scratch = grown;
        r->scratch_bytes = n_bytes;
    }
    hangard_frame_result result = hangard_frame_decode(frame, start, n_bytes, r->scratch);
    for (int64_t i = first; result == HANGARD_FRAME_OK && i <= last; i++)
        memcpy(r->out + wanted[i].index * r->row_bytes,
               r->scratch + (wanted[i].row * r->row_bytes - start), (size_t)r->row_bytes);
    return result;
}

/* Rows first..end-1 of wanted lie in one frame, in the order of their rows. */
static hangard_frame_result read_frame(reading *r, const wanted_row *wanted, int64_t first,
                                       int64_t end) {
    const uint8_t *spec = r->specs + wanted[first].index * SPEC_BYTES;
    const uint8_t *stored = stored_bytes(r, spec);
    hangard_frame frame;
    if (stored == NULL ||
        hangard_frame_open(stored, load_u32(spec + 16), r->row_bytes, 0, &frame) != 0) {
        for (int64_t i = first; i < end; i++) mark_bad(r, wanted[i].index);
        return HANGARD_FRAME_OK;
    }
    while (end > first && (wanted[end - 1].row + (int64_t)1) * r->row_bytes > frame.nbytes)
        mark_bad(r, wanted[--end].index);
    while (first < end) {
        int64_t last = first;
        while (last + 1 < end && wanted[last + 1].row * r->row_bytes / frame.block_bytes <=
                                     (wanted[last].row + (int64_t)1) * r->row_bytes / frame.block_bytes)
            last++;
        hangard_frame_result result = read_span(r, &frame, wanted, first, last);
        if (result == HANGARD_FRAME_NO_MEMORY) return result;
        for (int64_t i = first; i <= last; i++) {
            if (result == HANGARD_FRAME_OK)
                verify_row(r, wanted[i].index);
            else
                mark_bad(r, wanted[i].index);
        }
        first = last + 1;
    }
    return HANGARD_FRAME_OK;
}

/* Rows first..end-1 of wanted lie in one chunk of HDF5's own filters, which decodes as a whole. */
static hangard_frame_result read_filtered(reading *r, const wanted_row *wanted, int64_t first,
                                          int64_t end) {
    const uint8_t *spec = r->specs + wanted[first].index * SPEC_BYTES;
    const uint8_t *stored = stored_bytes(r, spec);
    int64_t item_bytes = 1 << (spec[1] >> HANGARD_SHUFFLE_SHIFT);
    int64_t room = r->row_bytes > HANGARD_CHUNK_BYTES_MAX ? r->row_bytes : HANGARD_CHUNK_BYTES_MAX;
    if (room > r->scratch_bytes) {
        uint8_t *grown = realloc(r->scratch, (size_t)room);
        if (grown == NULL) return HANGARD_FRAME_NO_MEMORY;
        r->scratch = grown;
        r->scratch_bytes = room;
    }
    int64_t decoded = -1;
    if (stored != NULL)
        decoded = hangard_filtered_decode(spec[2], stored, load_u32(spec + 16), r->scratch, room);
    for (int64_t i = first; i < end; i++) {
        int64_t start = wanted[i].row * r->row_bytes;
        uint8_t *out = r->out + wanted[i].index * r->row_bytes;
        if (decoded < r->row_bytes || start > decoded - r->row_bytes) {
            mark_bad(r, wanted[i].index);
            continue;
        }
        if (item_bytes == 1)
            memcpy(out, r->scratch + start, (size_t)r->row_bytes);
        else
            hangard_unshuffle_range(r->scratch, decoded, item_bytes, start, r->row_bytes, out);
        verify_row(r, wanted[i].index);
    }
    return HANGARD_FRAME_OK;
}

static int is_filtered(const uint8_t *spec) {
    return (spec[2] == HANGARD_CODEC_GZIP || spec[2] == HANGARD_CODEC_LZF) &&
           (spec[1] & ~HANGARD_SHUFFLE_MASK) == 0;
}

int64_t hangard_read_many(const uint8_t *file, uint64_t file_bytes, const uint8_t *specs,
                          const int64_t *positions, int64_t n, int64_t row_bytes, uint8_t *out,
                          int verify) {
    reading r = {file, file_bytes, specs, row_bytes, out, verify, -1, NULL, 0};
    wanted_row *wanted = NULL;
    int64_t count = 0;
    int sorted = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t index = positions != NULL ? positions[i] : i;
        const uint8_t *spec = specs + index * SPEC_BYTES;
        if (row_bytes == 0) {
            verify_row(&r, index);
        } else if (spec[1] & HANGARD_FLAG_RAGGED) {
            uint64_t end = (uint64_t)row_bytes;
            int64_t result = hangard_read_ragged(file, file_bytes, spec, NULL, 1, &end,
                                                 out + index * row_bytes, verify);
            if (result == -2) {
                r.bad = -2;
                break;
            }
            if (result >= 0) mark_bad(&r, index);
        } else if (spec[2] == CODEC_RAW) {
            read_raw(&r, index);
        } else if ((spec[2] != CODEC_BLOSC2 || spec[1] != 0) && !is_filtered(spec)) {
            mark_bad(&r, index);
        } else {
            if (wanted == NULL) {
                wanted = malloc((size_t)(n - i) * sizeof *wanted);
                if (wanted == NULL) return -2;
            }
            wanted_row *w = &wanted[count];
            uint64_t flavour = (uint64_t)spec[1] << 40 | (uint64_t)spec[2] << 32;
            flavour |= load_u32(spec + 16);
            *w = (wanted_row){load_u64(spec + 8), load_u32(spec + 20), flavour, index};
            sorted = sorted && (count == 0 || by_place(w - 1, w) <= 0);
            count++;
        }
    }
    if (!sorted) qsort(wanted, (size_t)count, sizeof *wanted, by_place);
    int64_t first = 0;
    while (first < count) {
        int64_t end = first + 1;
        while (end < count && wanted[end].offset == wanted[first].offset &&
               wanted[end].flavour == wanted[first].flavour)
            end++;
        hangard_frame_result result = is_filtered(specs + wanted[first].index * SPEC_BYTES)
                                          ? read_filtered(&r, wanted, first, end)
                                          : read_frame(&r, wanted, first, end);
        if (result == HANGARD_FRAME_NO_MEMORY) {
            r.bad = -2;
            break;
        }
        first = end;
    }
    free(r.scratch);
    free(wanted);
    return r.bad;
}
