"""Samples as arrays: specs of one or many digests, read from mapped files.

Shapes   digests, specs: (n, 32) uint8; a batch of samples: (n, *shape), C order, little-endian.
Errors   Corrupt, naming file, offset and digest, after the spec was resolved a second time: a
         sample may have moved, and its old file gone, between look-up and read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_many, read_ragged, read_row
from hangard_ext.digest import crc32c
from hangard_ext.recordspec import CODEC_RAW, FLAG_RAGGED, SHAPE_IS_LENGTH, unpack_many, unpack_one

from hangard.errors import Corrupt, HangardError, InvalidRequest, Purged
from hangard.model.commit import Digest
from hangard.model.ragged import RaggedRows, fits, shape_of_id
from hangard.model.schema import Schema
from hangard.reading.locations import Locations
from hangard.reading.mapping import MappedFiles
from hangard.reading.tables import Bytes, digest_row

Array = npt.NDArray[Any]

# Format code and segment of a spec's first 8 bytes, without flags and codec.
_FILE_MASK = np.uint64(0xFFFFFFFF000000FF)


class SampleReader:
    """Reads samples. Thread-safe.

    ``find_shape`` gives the interned shape of a number.
    ``verify``: compare the CRC32C of each sample with its spec's. ``is_purged``: whether a sample
    that is in no file was erased.
    """

    def __init__(
        self,
        locations: Locations,
        files: MappedFiles,
        find_shape: Callable[[int], tuple[int, ...]],
        *,
        verify: bool = True,
        is_purged: Callable[[Digest], bool] = lambda digest: False,
    ) -> None:
        self._is_purged = is_purged
        self._locations = locations
        self._files = files
        self._find_shape = find_shape
        self._shapes: dict[int, tuple[int, ...]] = {}
        self.verify = verify

    def read_one(
        self, digest: Digest, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int
    ) -> Array:
        """One sample of ``nbytes`` bytes as a new array."""
        out: Any = np.empty(shape, dtype)
        spec = self._locations.find(digest)
        if spec is not None:
            try:
                mapped = self._files.of(spec)
                if read_row(mapped, spec, nbytes, out, self.verify):
                    return out  # type: ignore[no-any-return]
                longer = self._files.longer(spec, mapped)
                if longer is not None and read_row(longer, spec, nbytes, out, self.verify):
                    return out  # type: ignore[no-any-return]
            except FileNotFoundError:
                pass
        self.read_again(digest, nbytes, out)
        return out  # type: ignore[no-any-return]

    def read_many(self, digests: Bytes, nbytes: int, out: Any) -> None:
        """Samples of ``nbytes`` bytes each into ``out`` (n, *shape), C-contiguous."""
        specs, found = self._locations.find_many(digests)
        if not found.all():
            i = int(np.argmin(found))
            raise self.missing(digests[i].tobytes())
        self._read_specs(digests, specs, nbytes, out)

    def read_specs(self, digests: Bytes, specs: Bytes, nbytes: int, out: Any) -> None:
        """As ``read_many`` for specs (n, 32) that are known already."""
        self._read_specs(digests, np.ascontiguousarray(specs), nbytes, out)

    def view(
        self, digest: Digest, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int
    ) -> Array:
        """One sample as a read-only array over the mapped file, which it keeps mapped.

        Errors: InvalidRequest (``not-viewable``) for a sample that is stored compressed.
        """
        spec = self._locations.find(digest)
        for attempt in (1, 2):
            if spec is None:
                raise self.missing(digest)
            array = self._view(spec, dtype, shape, nbytes)
            if array is not None:
                return array
            if attempt == 1:
                spec = self._resolve_again(digest)
        assert spec is not None
        raise self._damaged(digest, spec)

    # Samples of variable shape, of text and of bytes

    def read_one_ragged(self, schema: Schema, digest: Digest) -> Any:
        """One sample as a new array, str or bytes."""
        spec = self._locations.find(digest)
        if spec is None:
            raise self.missing(digest)
        shape = self._shape(schema, int.from_bytes(spec[28:32], "little")) if schema.bound else ()
        dtype = schema.numpy_dtype
        array = self.read_one(digest, dtype, shape, prod(shape) * dtype.itemsize)
        return array if schema.kind == "ndarray" else text_of(schema, array.tobytes())

    def read_ragged(self, schema: Schema, digests: Bytes) -> list[Any]:
        """Samples as new arrays, str or bytes. Arrays that are read together share memory."""
        return self.read_ragged_specs(schema, digests, self._specs_of(digests))

    def ragged_batches(self, schema: Schema, digests: Bytes, bytes_max: int) -> Iterator[list[Any]]:
        """The same, in order, some at a time: of ``bytes_max`` together, but at least one."""
        specs = self._specs_of(digests)
        _, ends = self._layout_of(schema, specs)
        for first, stop in cut(ends, bytes_max):
            yield self.read_ragged_specs(schema, digests[first:stop], specs[first:stop])

    def read_ragged_specs(self, schema: Schema, digests: Bytes, specs: Bytes) -> list[Any]:
        """As ``read_ragged`` for specs (n, 32) that are known already."""
        shapes, rows = self._read_ragged(schema, digests, np.ascontiguousarray(specs))
        return values_of(schema, RaggedRows(*rows, np.empty((0, 0), np.uint64)), shapes)

    def sizes_of(self, schema: Schema, digests: Bytes) -> list[int]:
        """The bytes of each sample."""
        _, ends = self._layout_of(schema, self._specs_of(digests))
        sizes: list[int] = np.diff(ends, prepend=np.uint64(0)).tolist()
        return sizes

    def read_rows(self, schema: Schema, digests: Bytes) -> RaggedRows:
        """Samples, packed."""
        shapes, rows = self._read_ragged(schema, digests, self._specs_of(digests))
        sizes = np.array(shapes, np.uint64).reshape(len(shapes), len(schema.bound))
        return RaggedRows(*rows, sizes)

    def view_ragged(self, schema: Schema, digest: Digest) -> Any:
        """One sample of variable shape over the mapped file; of bytes a memoryview.

        Errors: InvalidRequest (``not-viewable``), as ``view``.
        """
        if schema.kind == "str":
            raise InvalidRequest("text can be read, but not viewed", code="not-viewable")
        specs = self._specs_of(digest_row(digest))
        (shape,), ends = self._layout_of(schema, specs)
        array = self.view(digest, schema.numpy_dtype, shape, int(ends[0]))
        return array if schema.kind == "ndarray" else array.data

    def shapes_of(self, schema: Schema, specs: Bytes) -> list[tuple[int, ...]]:
        """The shape of each sample, by specs (n, 32); of text and bytes (length in bytes,)."""
        if not schema.variable_shape:
            return [schema.shape] * len(specs)
        if not schema.bound:
            return [()] * len(specs)
        ids = specs.view("<u4").reshape(len(specs), 8)[:, 7].tolist()
        return [self._shape(schema, number) for number in ids]

    def _shape(self, schema: Schema, number: int) -> tuple[int, ...]:
        shape = self._shapes.get(number)
        if shape is None:
            shape = shape_of_id(number, self._find_shape)
            if not number & SHAPE_IS_LENGTH:
                self._shapes[number] = shape
        if not fits(schema, shape):
            raise Corrupt(
                f"a sample's location names shape {number}, which does not fit its column",
                code="damaged-location",
            )
        return shape

    def _layout_of(
        self, schema: Schema, specs: Bytes
    ) -> tuple[list[tuple[int, ...]], npt.NDArray[np.uint64]]:
        """Shapes of samples, and where each ends when they lie one behind the other."""
        shapes = self.shapes_of(schema, specs)
        sizes = np.fromiter(map(prod, shapes), np.uint64, len(shapes))
        return shapes, np.cumsum(sizes * np.uint64(schema.numpy_dtype.itemsize), dtype=np.uint64)

    def _specs_of(self, digests: Bytes) -> Bytes:
        specs, found = self._locations.find_many(digests)
        if not found.all():
            raise self.missing(digests[int(np.argmin(found))].tobytes())
        return specs

    def _read_ragged(
        self, schema: Schema, digests: Bytes, specs: Bytes
    ) -> tuple[list[tuple[int, ...]], tuple[Bytes, npt.NDArray[np.uint64]]]:
        shapes, ends = self._layout_of(schema, specs)
        out = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        for unordered in by_file(specs):
            # In the order of their places each block is decoded once.
            fields = unpack_many(specs[unordered])
            positions = unordered[np.lexsort((fields["row"], fields["offset"]))]
            first = specs[positions[0]].tobytes()
            try:
                mapped = self._files.of(first)
                bad = read_ragged(mapped, specs, ends, out, positions, self.verify)
                if bad >= 0:
                    longer = self._files.longer(first, mapped)
                    if longer is not None:
                        bad = read_ragged(longer, specs, ends, out, positions, self.verify)
            except FileNotFoundError:
                bad = 0
            if bad >= 0:
                for i in positions[positions >= bad].tolist():
                    begin = int(ends[i - 1]) if i else 0
                    self._read_ragged_again(digests[i].tobytes(), out[begin : int(ends[i])])
        return shapes, (out, ends)

    def _read_ragged_again(self, digest: Digest, out: Bytes) -> None:
        """As ``_read_again``; a sample that moved kept its shape."""
        spec = self._resolve_again(digest)
        if spec is None:
            raise self.missing(digest)
        ends = np.array([len(out)], np.uint64)
        try:
            if (
                read_ragged(self._files.of(spec), digest_row(spec), ends, out, None, self.verify)
                < 0
            ):
                return
        except FileNotFoundError:
            pass
        raise self._damaged(digest, spec)

    def _view(
        self, spec: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int
    ) -> Array | None:
        _, flags, codec, _, offset, length, row, crc, _ = unpack_one(spec)
        if codec != CODEC_RAW:
            raise InvalidRequest(
                "this sample is stored compressed and can be read, but not viewed",
                code="not-viewable",
            )
        if nbytes == 0:
            return _frozen(np.empty(shape, dtype))
        start = offset + (row if flags & FLAG_RAGGED else row * nbytes)
        end = start + nbytes
        try:
            mapped = self._files.of(spec)
        except FileNotFoundError:
            return None
        if end > len(mapped):
            longer = self._files.longer(spec, mapped)
            if longer is None:
                return None
            mapped = longer
        if end > len(mapped) or end > offset + length:
            return None
        array = np.frombuffer(mapped, dtype, nbytes // dtype.itemsize, start)
        if self.verify and crc32c(array) != crc:
            return None
        return _frozen(array.reshape(shape))

    def _read_specs(self, digests: Bytes, specs: Bytes, nbytes: int, out: Any) -> None:
        if not len(specs):
            return
        groups = list(by_file(specs))
        if len(groups) == 1:
            self._read_file(digests, specs, nbytes, out, None)
            return
        for positions in groups:
            self._read_file(digests, specs, nbytes, out, positions)

    def _read_file(
        self,
        digests: Bytes,
        specs: Bytes,
        nbytes: int,
        out: Any,
        positions: npt.NDArray[np.int64] | None,
    ) -> None:
        """The samples at ``positions`` (None: all) lie in one file."""
        first = specs[0 if positions is None else positions[0]].tobytes()
        try:
            mapped = self._files.of(first)
            bad = read_many(mapped, specs, nbytes, out, positions, self.verify)
            if bad >= 0:
                longer = self._files.longer(first, mapped)
                if longer is not None:
                    bad = read_many(longer, specs, nbytes, out, positions, self.verify)
        except FileNotFoundError:
            bad = 0
        if bad >= 0:
            # What lies before the lowest bad position is good; the rest is read one by one.
            chosen = np.arange(len(specs)) if positions is None else positions
            rows = out.reshape(len(specs), -1)
            for i in chosen[chosen >= bad]:
                self.read_again(digests[i].tobytes(), nbytes, rows[i])

    def read_again(self, digest: Digest, nbytes: int, out: Any) -> None:
        """Reads a sample into ``out`` after the first try failed: the file may have grown, or the
        sample moved."""
        spec = self._resolve_again(digest)
        if spec is None:
            raise self.missing(digest)
        try:
            if read_row(self._files.of(spec), spec, nbytes, out, self.verify):
                return
        except FileNotFoundError:
            pass
        raise self._damaged(digest, spec)

    def _resolve_again(self, digest: Digest) -> bytes | None:
        self._locations.forget(digest_row(digest))
        spec = self._locations.find(digest)
        if spec is not None:
            self._files.forget(spec)
        return spec

    def missing(self, digest: Digest) -> HangardError:
        """The error for a sample that has no location: Purged if it was erased, else Corrupt."""
        if self._is_purged(digest):
            return Purged(f"sample {digest.hex()} was erased from all history", digest=digest)
        return Corrupt(
            f"sample {digest.hex()} is in no file of the repository",
            code="missing-sample",
            digest=digest,
        )

    def _damaged(self, digest: Digest, spec: bytes) -> Corrupt:
        path, offset = self._files.path_of(spec), unpack_one(spec)[4]
        reason = "is damaged" if path.exists() else "is gone with its file"
        return Corrupt(
            f"sample {digest.hex()} at byte {offset} of {path} {reason}",
            code="damaged-sample",
            digest=digest,
            file=str(path),
            offset=offset,
        )


def by_file(specs: Bytes) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of specs (n, 32) by the file that they name, in their order within each."""
    if not len(specs):
        return
    files = specs.view("<u8")[:, 0] & _FILE_MASK
    if (files == files[0]).all():
        yield np.arange(len(specs))
        return
    order = np.argsort(files, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(files[order])) + 1)


def cut(ends: npt.NDArray[np.uint64], bytes_max: int) -> Iterator[tuple[int, int]]:
    """Rows that end at ``ends`` as (first, stop) of parts of ``bytes_max``, or of one row."""
    first, begin = 0, 0
    while first < len(ends):
        stop = int(np.searchsorted(ends, np.uint64(begin + bytes_max), side="right"))
        stop = max(stop, first + 1)
        yield first, stop
        first, begin = stop, int(ends[stop - 1])


def values_of(schema: Schema, rows: RaggedRows, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Packed rows as arrays, str or bytes; ``rows.shapes`` does not count."""
    stops = rows.ends.tolist()
    spans = zip([0, *stops[:-1]], stops, strict=True) if stops else ()
    if schema.kind == "ndarray":
        items, item_bytes = rows.data.view(schema.numpy_dtype), schema.numpy_dtype.itemsize
        return [
            items[begin // item_bytes : end // item_bytes].reshape(shape)
            for (begin, end), shape in zip(spans, shapes, strict=True)
        ]
    blob = rows.data.tobytes()
    return [text_of(schema, blob[begin:end]) for begin, end in spans]


def text_of(schema: Schema, encoded: bytes) -> str | bytes:
    """A sample of a column of kind str or bytes."""
    if schema.kind == "bytes":
        return encoded
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"a text is no UTF-8: {error}", code="damaged-sample") from error


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array
