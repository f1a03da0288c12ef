"""What a client buffers of samples that differ in shape."""

from __future__ import annotations

import numpy as np
import pytest
from hangard_client.ragged_buffers import RaggedBuffer

from hangard.model.keys import encode_key
from hangard.model.schema import make_schema


class Subclass(np.ndarray):
    """As a memmap is one."""


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.arange(3).view(Subclass),
        np.arange(3, dtype="longlong"),
        np.arange(6)[::2],
        np.arange(3, dtype=">i8"),
    ],
    ids=["array", "subclass", "longlong", "strided", "big-endian"],
)
def test_a_buffered_sample_is_what_it_was_when_it_was_put(value):
    schema = make_schema(backend="10", shape=(8,), dtype="i8", variable_shape=True)
    buffer = RaggedBuffer("x", schema)
    before = value.tolist()
    buffer.put(1, value)
    value[:] = 99
    found = buffer.find(encode_key(1, False))
    assert found is not None
    assert found.tolist() == before
