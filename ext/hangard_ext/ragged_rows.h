/* Rows of any lengths out of a mapped file, by their 32-byte specs (recordspec). No Python, no locks.
 *
 * Row i of `out` lies in out[ends[i-1]:ends[i]], ends[-1] being 0; the caller has checked that ends
 * ascend within out. With positions, only those i are read. A spec with HANGARD_FLAG_RAGGED counts
 * its row in bytes; without it the row is the i-th of its own length in the chunk (of a log record
 * or a flat file: the 0th). Rows that follow each other in one block cost one decode of it.
 *
 * Returns the lowest bad i, -1 if all are good, -2 without memory. */
#ifndef HANGARD_RAGGED_ROWS_H
#define HANGARD_RAGGED_ROWS_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

#define HANGARD_FLAG_RAGGED 2

int64_t hangard_read_ragged(const uint8_t *file, uint64_t file_bytes, const uint8_t *specs,
                            const int64_t *positions, int64_t n, const uint64_t *ends, uint8_t *out,
                            int verify);

#pragma GCC visibility pop

#endif
