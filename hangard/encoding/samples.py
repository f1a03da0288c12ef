"""The key under which the digests of a kind of samples are computed.

Samples of equal kind, dtype and shape share one BLAKE3 key, so that the payload keeps its
alignment to BLAKE3's chunks and one key serves a whole batch; equal bytes of another shape get
another digest.

What the key is derived from, under the context ``hangard sample v1``::

    0   u8      kind: 0 ndarray, 1 str, 2 bytes
    1   text8   dtype.str, little-endian ("" for str and bytes)
        u8      dimensions, then one u64 for each
"""

from __future__ import annotations

from functools import lru_cache

from hangard_ext.digest import digest_derived

from hangard.encoding.fields import U64, text8

SAMPLE_CONTEXT = "hangard sample v1"
SAMPLE_KEYS_CACHED_MAX = 4096

_KINDS = ("ndarray", "str", "bytes")


@lru_cache(maxsize=SAMPLE_KEYS_CACHED_MAX)
def sample_key(kind: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    """The 32-byte key for ``digest_keyed`` and ``digest_many`` over samples in C order."""
    record = b"".join(
        (
            bytes((_KINDS.index(kind),)),
            text8(dtype),
            bytes((len(shape),)),
            *(U64.pack(size) for size in shape),
        )
    )
    return digest_derived(SAMPLE_CONTEXT, record)
