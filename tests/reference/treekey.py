"""Slow twin of hangard_ext.treekey and hangard_ext.keyblock: keys and blocks as plain Python."""

from itertools import accumulate, pairwise

import numpy as np


def encode_part(part):
    if isinstance(part, str):
        return b"\x80" + part.encode() + b"\x00"
    size = (part.bit_length() + 7) // 8
    return bytes([0x10 + size]) + part.to_bytes(size, "big")


def encode_key(key):
    return b"".join(map(encode_part, key)) if isinstance(key, tuple) else encode_part(key)


def order_of(key):
    """The order of keys by value: ints numerically, then text by bytes; pairs as pairs."""
    parts = key if isinstance(key, tuple) else (key,)
    return [(1, part.encode()) if isinstance(part, str) else (0, part) for part in parts]


def pack(encoded):
    """Encoded keys -> (blob, ends)."""
    encoded = list(encoded)
    return b"".join(encoded), np.array(list(accumulate(map(len, encoded))), np.uint32)


def unpack(blob, ends):
    """(blob, ends) -> list of encoded keys."""
    return [blob[a:b] for a, b in pairwise([0, *ends.tolist()])]


def changes_of(pairs):
    """[(encoded key, digest)] -> (blob, ends, digests)."""
    pairs = list(pairs)
    blob, ends = pack(key for key, _ in pairs)
    digests = np.frombuffer(b"".join(digest for _, digest in pairs), np.uint8).reshape(-1, 32)
    return blob, ends, digests


def pairs_of(blob, ends, digests):
    """(blob, ends, digests) -> [(encoded key, digest)]."""
    return list(zip(unpack(blob, ends), (bytes(row) for row in digests), strict=True))


def sort_changes(blob, ends, digests):
    return changes_of(sorted(dict(pairs_of(blob, ends, digests)).items()))
