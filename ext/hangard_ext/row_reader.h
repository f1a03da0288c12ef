/* Many rows out of a mapped file, by their specs. No Python, no locks. */
#ifndef HANGARD_ROW_READER_H
#define HANGARD_ROW_READER_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Rows of one size out of a mapped file, by their 32-byte specs (recordspec). Row i of `out` gets
 * spec i; with positions, only those i are read. A chunk's blocks are decoded once however many of
 * its rows are asked for, and in whatever order. Returns the lowest bad i, -1 if all are good,
 * -2 without memory. */
int64_t hangard_read_many(const uint8_t *file, uint64_t file_bytes, const uint8_t *specs,
                          const int64_t *positions, int64_t n, int64_t row_bytes, uint8_t *out,
                          int verify);

#pragma GCC visibility pop

#endif
