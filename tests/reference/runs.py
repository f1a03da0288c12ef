"""The slow, obvious twin of hangard_ext.runs: the whole file from a dict."""

import struct

from hangard_ext.digest import crc32c


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 64)


def head(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def encode_run(entries: dict[bytes, bytes], number: int, sequence: int, entries_max: int) -> bytes:
    """`entries_max` sizes filter and directory; hangard_ext.encode_run takes the true number."""
    digests = sorted(entries)
    header = b"HGDRUN\0\0" + struct.pack("<II", 1, number)
    blocks = []
    for begin in range(0, len(digests), 128):
        part = digests[begin : begin + 128]
        columns = (b"".join(part), b"".join(entries[digest] for digest in part))
        blocks.append(b"".join(column.ljust(4096, b"\0") for column in columns))
    lines = max(1, -(-entries_max * 10 // 512))
    line_bits = bytearray(64 * lines)
    buckets = max(1, entries_max // 8)
    starts = [0] * (buckets + 1)
    for digest in digests:
        line = head(digest) * lines >> 64
        bits = int.from_bytes(digest[8:16], "little")
        for i in range(7):
            bit = bits >> 9 * i & 511
            line_bits[64 * line + bit // 8] |= 1 << bit % 8
        for bucket in range((head(digest) * buckets >> 64) + 1, buckets + 1):
            starts[bucket] += 1
    directory = padded(struct.pack(f"<{buckets + 1}I", *starts))
    checksums = padded(struct.pack(f"<{len(blocks)}I", *map(crc32c, blocks)))
    footer = struct.pack(
        "<QQIIIII16x",
        len(digests),
        sequence,
        lines,
        buckets,
        crc32c(bytes(line_bits)),
        crc32c(directory),
        crc32c(checksums),
    )
    footer += struct.pack("<I8s", crc32c(header + footer), b"HGDRUNE\0")
    return b"".join((header.ljust(4096, b"\0"), *blocks, line_bits, directory, checksums, footer))


def passes_filter(run: bytes, digest: bytes) -> bool:
    """Whether the filter lets this digest through, read from the file's bytes alone."""
    entries, _sequence, lines = struct.unpack_from("<QQI", run, len(run) - 64)
    line = 4096 + -(-entries // 128) * 8192 + 64 * (head(digest) * lines >> 64)
    bits = int.from_bytes(digest[8:16], "little")
    wanted = [bits >> 9 * i & 511 for i in range(7)]
    return all(run[line + bit // 8] >> bit % 8 & 1 for bit in wanted)


def merge(runs: list[dict[bytes, bytes]]) -> dict[bytes, bytes]:
    merged: dict[bytes, bytes] = {}
    for run in runs:
        merged.update(run)
    return merged
