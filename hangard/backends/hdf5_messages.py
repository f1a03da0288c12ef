"""What the daemon and its HDF5 process say to each other: one msgpack record a packet.

Requests are answered in any order, by ``id``. Bytes of chunks travel beside them in shared memory.
"""

from __future__ import annotations

import msgspec

from hangard.model.options import Blosc2Codec, HdfFilter, Shuffle

# A packet must fit the send buffer of a Unix socket (208 KiB by default).
MESSAGE_BYTES_MAX = 64 * 1024
CHUNKS_PER_MESSAGE_MAX = 512


class CreateFile(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Create the file of a segment with its empty datasets.

    ``natural_shape``: the samples keep their dimensions, and are not ravelled.
    """

    id: int
    number: int
    path: str
    dtype: str
    shape: tuple[int, ...]
    chunk_rows: int
    filters: list[HdfFilter]
    codec: Blosc2Codec | None  # of the filter blosc2
    level: int
    shuffle: Shuffle  # of the filter blosc2
    natural_shape: bool


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One chunk as it goes into the file: ``length`` bytes at ``offset`` of the shared memory.

    ``filter_mask``: HDF5's, one bit for each filter that was left out. ``valid_rows``: the rows in
    it that are real.
    """

    offset: int
    length: int
    filter_mask: int
    valid_rows: int


class WriteChunks(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Append chunks; ``passed``: they lie in the memory whose descriptor came with the packet."""

    id: int
    number: int
    chunks: list[Chunk]
    passed: bool = False


class CloseFile(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Close the file of a segment; it is final afterwards."""

    id: int
    number: int


class CheckFile(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Open a file that nobody writes, and look up each of its chunks."""

    id: int
    path: str


Request = CreateFile | WriteChunks | CloseFile | CheckFile


class Done(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """For WriteChunks: the offset of each chunk in the file, which was flushed since."""

    id: int
    offsets: list[int] = []


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The request raised; ``errno`` 0 when it was not the operating system."""

    id: int
    reason: str
    errno: int


Reply = Done | Failed
