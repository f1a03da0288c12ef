/* CRC32C (Castagnoli, reflected polynomial 0x82f63b78), as in RFC 3720 appendix B.4 and SSE4.2.
 *
 * Thread-safe: no call changes state, and the tables are built before main or at dlopen.
 */
#ifndef HANGARD_CRC32C_H
#define HANGARD_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Continue the checksum `value` (0 to begin) over n bytes; data may be NULL when n is 0. */
uint32_t hangard_crc32c(uint32_t value, const void *data, size_t n);

/* The same by table, whatever the CPU offers; for tests. */
uint32_t hangard_crc32c_portable(uint32_t value, const void *data, size_t n);

#pragma GCC visibility pop

#endif
