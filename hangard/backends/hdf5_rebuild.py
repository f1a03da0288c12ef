"""A new HDF5 file from the chunks of one that h5py cannot read; its ``.rows`` say where they lie.

A writer that was killed leaves its last flushed state readable nearly always; what it had not
flushed may spoil HDF5's own index of chunks. Rows that were answered for are intact either way, and
hangard reads them without libhdf5: the rebuild keeps the promise that the file is a plain HDF5 one.
"""

from __future__ import annotations

import fcntl
import mmap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import chunk_bytes_of, filtered_bytes_of, read_many, read_ragged
from hangard_ext.recordspec import CODEC_BLOSC2, CODEC_RAW, FLAG_RAW_CHUNK, unpack_many

from hangard.backends.disk import Disk
from hangard.backends.hdf5_file import Hdf5File
from hangard.backends.hdf5_messages import Chunk
from hangard.backends.hdf5_segment import FLETCHER32_BYTES, put_trailer, raw_mask
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.ragged_chunks import cut_chunks
from hangard.backends.segment import Bytes, RowsFile
from hangard.errors import Busy
from hangard.limits import MIB
from hangard.model.chunking import chunk_rows
from hangard.model.directory import FORMAT_HDF5, FORMAT_HDF5_FIXED
from hangard.model.options import Hdf5Options

RELEASE_S_MAX = 60.0  # a process that ends closes its files first
RELEASE_POLL_S = 0.02
CHECKED_BYTES = 32 * MIB  # decoded rows at a time


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The new file. ``digests`` and ``specs`` (n, 32): what it holds, as its ``.rows`` say.

    ``lost`` (m, 32): digests whose bytes in the old file do not match their checksum.
    """

    digests: Bytes
    specs: Bytes
    lost: Bytes
    length_bytes: int
    rows_bytes: int


def wait_until_released(path: Path) -> None:
    """Return once no HDF5 process has the file open for writing: that of a killed daemon may still.

    Errors: Busy (``segment-in-use``) after RELEASE_S_MAX.
    """
    deadline = time.monotonic() + RELEASE_S_MAX
    with path.open("rb") as file:
        while True:
            with suppress(BlockingIOError):
                # The lock that libhdf5 takes on every file it opens; closing the file drops ours.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            if time.monotonic() > deadline:
                raise Busy(f"{path} is still open in another process", code="segment-in-use")
            time.sleep(RELEASE_POLL_S)


def rebuild(
    damaged: Path,
    digests: Bytes,
    specs: Bytes,
    path: Path,
    number: int,
    dtype: str,
    shape: tuple[int, ...],
    *,
    options: Hdf5Options,
    disk: Disk,
    writer: Hdf5Writer,
    format_code: int = FORMAT_HDF5,
    sizes: npt.NDArray[np.int64] | None = None,
) -> Rebuilt:
    """Copy the chunks that ``specs`` (n, 32) name into a new, sealed file with its ``.rows``.

    ``sizes`` (n,) in bytes, of samples of variable shape; ``shape`` is empty then.

    Every row's checksum is compared before its chunk is copied. The damaged file stays: readers may
    have it mapped, and the index names it until the caller replaced its specs.
    Errors: NoSpace, SegmentLost, FileExistsError.
    """
    row_bytes = prod(shape) * np.dtype(dtype).itemsize
    mapped = _mapped(damaged)
    if sizes is None:
        intact = _intact(mapped, specs, row_bytes)
    else:
        intact = _ragged_intact(mapped, specs, sizes)
        sizes = sizes[intact]
    lost = digests[~intact]
    digests, specs = digests[intact], specs[intact].copy()
    chunks = list(_stored_chunks(mapped, specs, row_bytes, options, sizes))
    file = Hdf5File(
        path,
        number,
        dtype,
        shape if row_bytes else (1,),
        chunk_rows=chunks[0].rows if chunks else chunk_rows(row_bytes),
        options=options,
        disk=disk,
        writer=writer,
        natural_shape=format_code == FORMAT_HDF5_FIXED or sizes is not None,
    )
    try:
        placed = file.append(chunks)
        fields = unpack_many(specs)
        fields["format_code"] = format_code
        fields["segment"] = number
        for chunk, (_, offset) in zip(chunks, placed, strict=True):
            fields["offset"][chunk.members] = offset
        file.finish()
        rows_file = RowsFile(disk, path, number)
        try:
            rows_file.append(digests, specs)
            rows_file.sync()
        finally:
            rows_file.close()
    finally:
        file.close()
    return Rebuilt(digests, specs, lost, file.length_bytes, rows_file.length_bytes)


def _mapped(path: Path) -> npt.NDArray[np.uint8]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)


def _intact(mapped: npt.NDArray[np.uint8], specs: Bytes, row_bytes: int) -> npt.NDArray[np.bool_]:
    """Which rows are where their specs say, with the right checksum."""
    result = np.ones(len(specs), np.bool_)
    step = max(1, CHECKED_BYTES // max(1, row_bytes))
    out = np.empty((min(step, len(specs)), row_bytes), np.uint8)
    for start in range(0, len(specs), step):
        part = specs[start : start + step]
        left = np.arange(len(part))
        while (bad := read_many(mapped, part, row_bytes, out[: len(part)], left)) >= 0:
            result[start + bad] = False
            left = left[left > bad]
    return result


def _ragged_intact(
    mapped: npt.NDArray[np.uint8], specs: Bytes, sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """The same for samples of any sizes."""
    result = np.ones(len(specs), np.bool_)
    ends = np.cumsum(sizes, dtype=np.uint64)
    for start, stop in cut_chunks(ends, CHECKED_BYTES):
        begin = ends[start - 1] if start else np.uint64(0)
        part, part_ends = specs[start:stop], ends[start:stop] - begin
        out = np.empty(int(part_ends[-1]), np.uint8)
        left = np.arange(len(part))
        while (bad := read_ragged(mapped, part, part_ends, out, left)) >= 0:
            result[start + bad] = False
            left = left[left > bad]
    return result


@dataclass(frozen=True, slots=True)
class _StoredChunk:
    """A chunk as it lies in the old file, and the positions of its rows among the specs."""

    stored: npt.NDArray[np.uint8]
    filter_mask: int
    rows: int  # that fit
    valid_rows: int
    members: npt.NDArray[np.int64]
    trailer_bytes: int

    @property
    def n_bytes(self) -> int:
        return len(self.stored) + self.trailer_bytes

    def fill(self, view: memoryview, offset: int) -> list[Chunk]:
        length = len(self.stored)
        np.frombuffer(view, np.uint8)[:length] = self.stored
        length += put_trailer(view, length, self.trailer_bytes)
        return [Chunk(offset, length, self.filter_mask, self.valid_rows)]


def _stored_chunks(
    mapped: npt.NDArray[np.uint8],
    specs: Bytes,
    row_bytes: int,
    options: Hdf5Options,
    sizes: npt.NDArray[np.int64] | None,
) -> Iterator[_StoredChunk]:
    fields = unpack_many(specs)
    if not row_bytes:
        return
    trailer_bytes = FLETCHER32_BYTES if options.fletcher32 else 0
    order = np.lexsort((fields["row"], fields["offset"]))
    if sizes is not None:
        order = order[sizes[order] > 0]  # the others are only named
    offsets = fields["offset"][order]
    for members in np.split(order, np.flatnonzero(np.diff(offsets)) + 1):
        if not len(members):
            return
        first = fields[members[0]]
        start, length = int(first["offset"]), int(first["stored_length"])
        stored = mapped[start : start + length]
        codec = int(first["codec"])
        if codec == CODEC_BLOSC2:
            chunk_bytes = chunk_bytes_of(stored)
        else:
            chunk_bytes = length if codec == CODEC_RAW else filtered_bytes_of(stored, codec)
        mask = raw_mask(options) if codec == CODEC_RAW and first["flags"] & FLAG_RAW_CHUNK else 0
        if sizes is None:
            valid_rows = int(fields["row"][members].max()) + 1
        else:
            valid_rows = int((fields["row"][members] + sizes[members]).max()) // row_bytes
        rows = chunk_bytes // row_bytes
        yield _StoredChunk(stored, mask, rows, valid_rows, members, trailer_bytes)
