"""The key under which the digests of a kind of samples are computed.

Samples of equal kind, dtype and shape share one BLAKE3 key, so that the payload keeps its
alignment to BLAKE3's chunks and one key serves a whole batch; equal bytes of another shape get
another digest.

What the key is derived from, under the context ``hangard sample v1``::

    0   u8      kind: 0 ndarray, 1 str, 2 bytes, 3 ndarray of a column with variable shape
    1   text8   dtype.str, little-endian ("" for str and bytes)
        u8      dimensions, then one u64 for each (none for str and bytes)

Samples of variable shape have a kind of their own, because their location must name their shape
and that of a sample of fixed shape does not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from hangard_ext.digest import digest_derived, digest_many
from hangard_ext.ragged import digest_shaped

from hangard.encoding.fields import U64, text8
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema

Digests = npt.NDArray[np.uint8]

SAMPLE_CONTEXT = "hangard sample v1"
SAMPLE_KEYS_CACHED_MAX = 4096

_KINDS = ("ndarray", "str", "bytes", "variable")


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


def digest_rows(schema: Schema, rows: npt.NDArray[np.uint8] | RaggedRows, n: int) -> Digests:
    """Digests (n, 32) of samples of a column: rows (n, schema.sample_bytes) of fixed shape, else
    RaggedRows."""
    digests = np.empty((n, 32), np.uint8)
    if isinstance(rows, RaggedRows):
        shapes = rows.shapes if schema.kind == "ndarray" else rows.shapes[:, :0]
        digest_shaped(
            SAMPLE_CONTEXT,
            _ragged_head(schema),
            np.ascontiguousarray(shapes),
            rows.data,
            rows.ends,
            digests,
        )
    else:
        key = sample_key(schema.kind, schema.dtype, schema.shape)
        digest_many(key, rows, schema.sample_bytes, digests)
    return digests


def _ragged_head(schema: Schema) -> bytes:
    """What the key of ragged rows is derived from, up to their dimensions."""
    if schema.kind == "ndarray":
        return bytes((_KINDS.index("variable"),)) + text8(schema.dtype)
    return bytes((_KINDS.index(schema.kind),)) + text8("")


def ragged_key(kind: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    """The key of one sample of a column of variable shape, text or bytes."""
    if kind == "ndarray":
        return sample_key("variable", dtype, shape)
    return sample_key(kind, "", ())
