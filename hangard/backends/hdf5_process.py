"""The process that libhdf5 runs in; started by Hdf5Writer as ``python -m``, never imported by it.

h5py on a full disk ends in SIGSEGV or SIGABRT (seen, 6 of 6): it then takes no daemon along. Chunks
arrive compressed in shared memory; this process places, flushes and reports them. What waits in the
socket is written together and flushed once, then all of it is answered.

It ends when its socket does, that is with the daemon, however that ended. Files it had open are
closed first: without a writer they are final.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import struct
import sys
from typing import Any

import h5py
import hdf5plugin
import msgspec
import numpy as np

from hangard.backends.hdf5_messages import (
    MESSAGE_BYTES_MAX,
    CheckFile,
    CloseFile,
    CreateFile,
    Done,
    Failed,
    Reply,
    Request,
    WriteChunks,
)

REQUESTS_PER_FLUSH_MAX = 64
VALID_ROWS_PER_CHUNK = 1024
FILE_VERSION = 1

_FD = struct.Struct("i")
_SHUFFLES = {
    "none": hdf5plugin.Blosc2.NOFILTER,
    "byte": hdf5plugin.Blosc2.SHUFFLE,
    "bit": hdf5plugin.Blosc2.BITSHUFFLE,
}


class OpenFile:
    """One segment that is being written.

    ``/samples`` (rows, items of a sample) has the rows, ravelled, or (rows, *shape) with
    ``natural_shape``; ``/valid_rows`` says for each chunk of them how many are real. The attributes
    of ``samples`` hold a sample's own shape.
    """

    def __init__(self, request: CreateFile) -> None:
        # The default libver: of files killed under 'latest' or SWMR 8 of 8 were unreadable, of
        # those under the default after a flush 0 of 8.
        self._file = h5py.File(request.path, "x", rdcc_nbytes=0)
        self._file.attrs["hangard_segment"] = (FILE_VERSION, request.number)
        ravelled = (int(np.prod(request.shape, dtype=np.int64)),)
        shape = request.shape if request.natural_shape else ravelled
        self._chunk_rows = request.chunk_rows
        self._shape = shape
        self._chunks = 0
        properties = _chunked(request, shape)
        space = h5py.h5s.create_simple((0, *shape), (h5py.h5s.UNLIMITED, *shape))
        dtype = h5py.h5t.py_create(_file_dtype(request.dtype), logical=True)
        created = h5py.h5d.create(self._file.id, b"samples", dtype, space, properties)
        samples = h5py.Dataset(created)
        samples.attrs["shape"] = np.array(request.shape, dtype=np.int64)
        samples.attrs["dtype"] = request.dtype
        valid_rows = self._file.create_dataset(
            "valid_rows",
            shape=(0,),
            maxshape=(None,),
            chunks=(VALID_ROWS_PER_CHUNK,),
            dtype="<u4",
        )
        self._samples = samples.id
        self._valid_rows = valid_rows
        self.flush()

    def write(self, request: WriteChunks, memory: memoryview) -> list[tuple[int, ...]]:
        """Place the chunks; where in the dataset each of them begins."""
        first = self._chunks
        total = first + len(request.chunks)
        self._samples.set_extent((total * self._chunk_rows, *self._shape))
        rest = (0,) * len(self._shape)
        places = [(number * self._chunk_rows, *rest) for number in range(first, total)]
        for chunk, place in zip(request.chunks, places, strict=True):
            data = memory[chunk.offset : chunk.offset + chunk.length]
            self._samples.write_direct_chunk(place, data, chunk.filter_mask)
        self._valid_rows.resize((total,))
        self._valid_rows[first:total] = [chunk.valid_rows for chunk in request.chunks]
        self._chunks = total
        return places

    def offsets(self, places: list[tuple[int, ...]]) -> list[int]:
        """Byte offsets of chunks in the file."""
        return [self._samples.get_chunk_info_by_coord(place).byte_offset for place in places]

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _chunked(request: CreateFile, shape: tuple[int, ...]) -> Any:
    """Properties of a dataset with the request's chunks and filters, in their order."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((request.chunk_rows, *shape))
    for name in request.filters:
        if name == "blosc2":
            blosc2 = hdf5plugin.Blosc2(
                cname=request.codec or "lz4",
                clevel=request.level,
                filters=_SHUFFLES[request.shuffle],
            )
            flags = h5py.h5z.FLAG_OPTIONAL
            properties.set_filter(blosc2.filter_id, flags, tuple(blosc2.filter_options))
        elif name == "shuffle":
            properties.set_shuffle()
        elif name == "gzip":
            properties.set_deflate(request.level)
        elif name == "lzf":
            properties.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL)
        else:
            properties.set_fletcher32()
    return properties


def _file_dtype(dtype: str) -> np.dtype[Any]:
    """The dtype itself, or opaque bytes where HDF5 has no such type."""
    native = np.dtype(dtype)
    try:
        h5py.h5t.py_create(native, logical=True)
    except TypeError:
        return np.dtype(f"V{native.itemsize}")
    return native


class Service:
    """Answers the requests of one socket until it ends."""

    def __init__(self, connection: socket.socket, memory_fd: int) -> None:
        self._connection = connection
        self._memory = memoryview(mmap.mmap(memory_fd, 0, prot=mmap.PROT_READ))
        self._files: dict[int, OpenFile] = {}
        self._decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)

    def run(self) -> None:
        """Returns when the other side has closed."""
        while packets := self._receive():
            self._answer(packets)
        for file in self._files.values():
            file.close()

    def _receive(self) -> list[tuple[Request, int | None]]:
        """The next request, and those that wait behind it."""
        packets: list[tuple[Request, int | None]] = []
        flags = 0
        while len(packets) < REQUESTS_PER_FLUSH_MAX:
            try:
                # Not socket.recv_fds: that of Python 3.11 ignores its flags.
                data, ancillary, _, _ = self._connection.recvmsg(
                    MESSAGE_BYTES_MAX, socket.CMSG_LEN(_FD.size), flags
                )
            except (BlockingIOError, ConnectionError):
                break
            if not data:
                break
            fd = _FD.unpack(ancillary[0][2])[0] if ancillary else None
            packets.append((self._decoder.decode(data), fd))
            flags = socket.MSG_DONTWAIT
        return packets

    def _answer(self, packets: list[tuple[Request, int | None]]) -> None:
        replies: list[Reply] = []
        written: list[tuple[WriteChunks, list[tuple[int, ...]]]] = []
        for request, fd in packets:
            try:
                if isinstance(request, WriteChunks):
                    written.append((request, self._write(request, fd)))
                else:
                    replies.append(self._do(request))
            except Exception as error:
                replies.append(_failed(request, error))
        for number in {request.number for request, _ in written}:
            mine = [(request, places) for request, places in written if request.number == number]
            try:
                file = self._files[number]
                file.flush()
                replies += [Done(request.id, file.offsets(places)) for request, places in mine]
            except Exception as error:
                replies += [_failed(request, error) for request, _ in mine]
        for reply in replies:
            self._connection.send(msgspec.msgpack.encode(reply))

    def _write(self, request: WriteChunks, fd: int | None) -> list[tuple[int, ...]]:
        file = self._files[request.number]
        if not request.passed:
            return file.write(request, self._memory)
        if fd is None:
            raise ValueError("the descriptor of the passed memory is missing")
        try:
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as passed, memoryview(passed) as memory:
                return file.write(request, memory)
        finally:
            os.close(fd)

    def _do(self, request: CreateFile | CloseFile | CheckFile) -> Reply:
        if isinstance(request, CreateFile):
            self._files[request.number] = OpenFile(request)
        elif isinstance(request, CloseFile):
            file = self._files.pop(request.number, None)
            if file is not None:
                file.close()
        else:
            _check(request.path)
        return Done(request.id)


def _check(path: str) -> None:
    """Open a file and find each of its chunks. Raises whatever h5py does."""
    with h5py.File(path, "r") as file:
        samples, valid_rows = file["samples"], file["valid_rows"]
        chunks = len(samples) // samples.chunks[0]
        if len(valid_rows) != chunks:
            raise OSError(f"{chunks} chunks, but valid rows of {len(valid_rows)}")
        length = os.stat(path).st_size
        for number in range(chunks):
            place = (number * samples.chunks[0],) + (0,) * (samples.ndim - 1)
            found = samples.id.get_chunk_info_by_coord(place)
            if found.byte_offset is None or found.byte_offset + found.size > length:
                raise OSError(f"chunk {number} is not in the file")
        valid_rows[:]


def _failed(request: Request, error: Exception) -> Failed:
    return Failed(request.id, f"{type(error).__name__}: {error}", getattr(error, "errno", 0) or 0)


def main(connection_fd: int, memory_fd: int) -> None:
    # A signal to the terminal's group must not end this process before the daemon is done with it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    with socket.socket(fileno=connection_fd) as connection:
        service = Service(connection, memory_fd)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            service.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
