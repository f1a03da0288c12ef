"""One column of one commit: samples by key.

Shapes   a sample: ``schema.shape``; many: (n, *schema.shape), C order, dtype ``schema.dtype``. Of
         variable shape, text and bytes many samples are a list; "array" below stands for each.
Errors   UnknownKey; InvalidType and InvalidRequest for a key that cannot be one; Corrupt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from hangard_ext.recordspec import unpack_one
from hangard_ext.treekey import decode_keys

from hangard.errors import Closed, InvalidRequest, Purged, UnknownKey
from hangard.model.commit import Digest
from hangard.model.keys import Key, PackedKeys, encode_key, encode_keys
from hangard.model.schema import Schema
from hangard.reading.samples import Array
from hangard.reading.tables import Bytes, digest_row
from hangard.tree.iterate import iterate
from hangard.tree.search import count
from hangard.tree.store import NodeSource, corrupt_node

if TYPE_CHECKING:
    from hangard.reading.snapshot import RepositoryReader

Sample = Any  # an array, of columns of kind str and bytes a str or bytes
Samples = Any  # an array (n, *shape); a list of samples that may differ in shape

# Rows that iteration reads ahead at once. Smaller blocks cost more Python a sample, larger ones
# keep more in memory for a caller who keeps a single row.
BLOCK_BYTES_MAX = 1 << 20
BLOCK_ROWS_MAX = 4096

_MISSING_LISTED_MAX = 10
_CODECS = ("raw", "blosc2", "gzip", "lzf")


@dataclass(frozen=True, slots=True)
class Location:
    """Where one sample lies: its spec, readable. Offsets and lengths in bytes.

    One that was erased from all history is ``purged``: it lies nowhere, so code, file and codec
    are empty, numbers are 0, and its shape is not known where samples differ in it.
    """

    key: Key
    digest: Digest
    format_code: str
    file: str
    offset: int
    stored_length: int
    row: int
    codec: str
    crc32c: int
    shape_id: int
    shape: tuple[int, ...] = ()
    purged: bool = False


def part_of(sample: Any, rest: tuple[Any, ...]) -> Any:
    """``sample[rest]``, as a new array, text or bytes; the latter have one axis."""
    if isinstance(sample, np.ndarray):
        return np.array(sample[rest])
    if len(rest) != 1:
        raise InvalidRequest("text and bytes have one axis to index", code="invalid-index")
    found = sample[rest[0]]
    return bytes(found) if isinstance(found, memoryview) else found


class _ClosedRepository:
    """What a column reads from when its checkout is closed: no use of it is paid for before."""

    def __getattr__(self, name: str) -> Any:
        raise Closed("the checkout is closed")


class ColumnReader:
    """Samples of a column, read from local files. Many threads may use one."""

    def __init__(
        self, repository: RepositoryReader, schema: Schema, root: Digest, name: str = ""
    ) -> None:
        self.schema = schema
        self.root = root
        self.name = name
        self._repository = repository
        self._nested = schema.layout == "nested"
        self._dtype = schema.numpy_dtype
        self._shape = schema.shape
        self._nbytes = schema.sample_bytes
        self._read = repository.samples.read_one
        self.is_ragged = schema.variable_shape

    def close(self) -> None:
        """Everything but what the column is raises Closed from now on. May be called twice."""
        self._repository = cast("RepositoryReader", _ClosedRepository())

    def check_open(self) -> None:
        """Errors: Closed."""
        assert self._repository.nodes is not None

    @property
    def nodes(self) -> NodeSource:
        """The nodes that ``root`` leads to. Errors: Closed."""
        return self._repository.nodes

    def __len__(self) -> int:
        return count(self._repository.nodes, self.root)

    def __contains__(self, key: object) -> bool:
        return self.find_digest(key) is not None

    def __iter__(self) -> Iterator[Key]:
        return self.keys()

    def __getitem__(self, item: Any) -> Sample:
        """``column[key]``, or ``column[key, 10:20, ...]``: the rest indexes the sample."""
        parts = 2 if self._nested else 1
        if not isinstance(item, tuple) or len(item) <= parts:
            return self.get(item[0] if isinstance(item, tuple) and parts == 1 else item)
        key, rest = (item[:2] if self._nested else item[0]), item[parts:]
        try:
            sample = self.view(key)
        except InvalidRequest as error:
            if error.code != "not-viewable":
                raise
            sample = self.get(key)
        return part_of(sample, rest)

    def get(self, key: Any) -> Sample:
        """A new array. Errors: UnknownKey."""
        digest = self.find_digest(key)
        if digest is None:
            raise self.unknown(key)
        return self._read_one(digest)

    def find(self, key: Any) -> Sample | None:
        """As ``get``, but None for a key that is not there."""
        digest = self.find_digest(key)
        return None if digest is None else self._read_one(digest)

    def _read_one(self, digest: Digest) -> Any:
        if self.is_ragged:
            return self._repository.samples.read_one_ragged(self.schema, digest)
        return self._read(digest, self._dtype, self._shape, self._nbytes)

    def view(self, key: Any) -> Sample:
        """A read-only array over the mapped file: nothing is copied.

        Errors: UnknownKey; InvalidRequest (``not-viewable``) for a sample stored compressed.
        """
        digest = self.find_digest(key)
        if digest is None:
            raise self.unknown(key)
        if self.is_ragged:
            return self._repository.samples.view_ragged(self.schema, digest)
        return self._repository.samples.view(digest, self._dtype, self._shape, self._nbytes)

    def get_many(
        self, keys: Iterable[Any] | np.ndarray[Any, Any] | range, out: Array | None = None
    ) -> Samples:
        """Samples in the order of the keys, in ``out`` if it is given.

        Errors: UnknownKey, whose details list the first missing ``keys`` and their ``total``;
        InvalidRequest (``invalid-output``).
        """
        return self.get_packed(encode_keys(keys, self._nested), out)

    def get_packed(self, keys: PackedKeys, out: Array | None = None) -> Samples:
        """As ``get_many``, of packed keys."""
        digests, found = self.find_digests(*keys)
        if not found.all():
            raise self._unknown_many(*keys, found)
        return self.read_digests(digests, out)

    def find_packed(self, keys: PackedKeys, default: Any = None) -> list[Any]:
        """Samples in the order of packed keys, ``default`` for each that is not there."""
        digests, found = self.find_digests(*keys)
        samples = [default] * len(found)
        rows = self.read_digests(np.ascontiguousarray(digests[found]))
        for i, row in zip(np.flatnonzero(found).tolist(), rows, strict=True):
            samples[i] = row
        return samples

    def find_digest(self, key: Any) -> Digest | None:
        """The content address of a sample, None if the key is not there."""
        try:
            return self._repository.nodes.find(self.root, encode_key(key, self._nested))
        except ValueError as error:
            raise corrupt_node(error) from error

    def find_digests(
        self, blob: bytes, ends: np.ndarray[Any, np.dtype[np.uint32]]
    ) -> tuple[Bytes, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Digests (n, 32) of packed keys, and which were found (n,)."""
        try:
            return self._repository.nodes.find_many(self.root, blob, ends)
        except ValueError as error:
            raise corrupt_node(error) from error

    def read_digests(self, digests: Bytes, out: Array | None = None) -> Samples:
        """Samples by their digests (n, 32)."""
        out = self.output(len(digests), out)
        if self.is_ragged:
            return self._repository.samples.read_ragged(self.schema, digests)
        self._repository.samples.read_many(digests, self._nbytes, out)
        return out

    def read_specs(self, digests: Bytes, specs: Bytes, out: Array | None = None) -> Samples:
        """Samples whose specs (n, 32) are known, as those a session has staged."""
        out = self.output(len(digests), out)
        if self.is_ragged:
            return self._repository.samples.read_ragged_specs(self.schema, digests, specs)
        self._repository.samples.read_specs(digests, specs, self._nbytes, out)
        return out

    def output(self, n: int, out: Array | None) -> Samples:
        """``out`` if n samples fit it, or a new array; a list for samples of any shapes, which
        cannot have an ``out``. Errors: InvalidRequest (``invalid-output``)."""
        if self.is_ragged:
            if out is None:
                return [None] * n
            raise InvalidRequest(
                f"samples of column {self.name!r} differ in shape and come as a list;"
                " leave out= away",
                code="invalid-output",
            )
        shape = (n, *self._shape)
        if out is None:
            return np.empty(shape, self._dtype)
        if (
            out.shape != shape
            or out.dtype != self._dtype
            or not out.flags.c_contiguous
            or not out.flags.writeable
        ):
            raise InvalidRequest(
                f"out must be a writable C-contiguous array {shape} of {self._dtype},"
                f" not {out.shape} of {out.dtype}",
                code="invalid-output",
            )
        return out

    def keys(self) -> Iterator[Key]:
        """In order: ints, then text."""
        for blob, ends, _ in iterate(self._repository.nodes, self.root):
            yield from decode_keys(blob, ends)

    def items(self) -> Iterator[tuple[Key, Sample]]:
        """Keys and samples in the order of the keys. The arrays of a block (BLOCK_BYTES_MAX) share
        their memory; copy what is to be kept for long."""
        for keys, samples in self.batches():
            yield from zip(keys, samples, strict=True)

    def values(self) -> Iterator[Sample]:
        for _, samples in self.batches():
            yield from samples

    def batches(self, rows: int | None = None) -> Iterator[tuple[list[Key], Samples]]:
        """Keys (n) and samples (n, *shape) in the order of the keys, ``rows`` at a time (the last
        may be fewer); without it as many as BLOCK_BYTES_MAX holds."""
        if rows is not None and rows < 1:
            raise InvalidRequest(f"batches of {rows} rows are not possible", code="invalid-batch")
        if self.is_ragged:
            yield from self._ragged_batches(rows)
            return
        if rows is None:
            rows = max(1, min(BLOCK_ROWS_MAX, BLOCK_BYTES_MAX // max(1, self._nbytes)))
        for keys, found in self._key_blocks(rows):
            yield keys, self.read_digests(found)

    def _key_blocks(self, rows: int) -> Iterator[tuple[list[Key], Bytes]]:
        """Keys and digests (n, 32) in the order of the keys, ``rows`` at a time."""
        keys: list[Key] = []
        digests: list[Bytes] = []
        for blob, ends, found in iterate(self._repository.nodes, self.root):
            keys += decode_keys(blob, ends)
            digests.append(found)
            if len(keys) >= rows:
                joined = np.concatenate(digests)
                whole = len(keys) - len(keys) % rows
                for start in range(0, whole, rows):
                    yield keys[start : start + rows], joined[start : start + rows]
                keys, digests = keys[whole:], [joined[whole:]]
        if keys:
            yield keys, np.concatenate(digests)

    def _ragged_batches(self, rows: int | None) -> Iterator[tuple[list[Key], list[Any]]]:
        """As ``batches``; each gives a list. Without ``rows`` as many as BLOCK_BYTES_MAX holds."""
        if rows is not None:
            for keys, digests in self._key_blocks(rows):
                yield keys, self.read_digests(digests)
            return
        for keys, digests in self._key_blocks(BLOCK_ROWS_MAX):
            start = 0
            for samples in self._repository.samples.ragged_batches(
                self.schema, digests, BLOCK_BYTES_MAX
            ):
                yield keys[start : start + len(samples)], samples
                start += len(samples)

    def locations(self, keys: Iterable[Any] | None = None) -> Iterator[Location]:
        """Where samples lie; of all keys without ``keys``. Errors: UnknownKey; Corrupt
        (``missing-sample``)."""
        if keys is None:
            blocks = iterate(self._repository.nodes, self.root)
        else:
            blob, ends = encode_keys(keys, self._nested)
            digests, found = self.find_digests(blob, ends)
            if not found.all():
                raise self._unknown_many(blob, ends, found)
            blocks = iter([(blob, ends, digests)])
        for blob, ends, digests in blocks:
            # Not from the cache: samples may have moved since they were read.
            self._repository.locations.forget(digests)
            specs, found = self._repository.locations.find_many(digests)
            for i, key in enumerate(decode_keys(blob, ends)):
                digest = digests[i].tobytes()
                # One that was not found is looked up again by the error's path.
                spec = specs[i].tobytes() if found[i] else self._repository.locations.find(digest)
                yield self._location(key, digest, spec)

    def _location(self, key: Key, digest: Digest, spec: bytes | None) -> Location:
        if spec is None:
            missing = self._repository.samples.missing(digest)
            if not isinstance(missing, Purged):
                raise missing
            shape = () if self.schema.variable_shape else self.schema.shape
            return Location(key, digest, "", "", 0, 0, 0, "", 0, 0, shape, purged=True)
        code, _, codec, _, offset, length, row, crc, shape_id = unpack_one(spec)
        path = self._repository.files.path_of(spec)
        return Location(
            key=key,
            digest=digest,
            format_code=f"{code:02d}",
            file=path.relative_to(self._repository.directory).as_posix(),
            offset=offset,
            stored_length=length,
            row=row,
            codec=_CODECS[codec] if codec < len(_CODECS) else str(codec),
            crc32c=crc,
            shape_id=shape_id,
            shape=self._repository.samples.shapes_of(self.schema, digest_row(spec))[0],
        )

    def unknown(self, key: Any) -> UnknownKey:
        """The error for a key that is not there."""
        return UnknownKey(f"no sample {key!r} in column {self.name!r}", keys=[repr(key)], total=1)

    def _unknown_many(
        self, blob: bytes, ends: np.ndarray[Any, Any], found: np.ndarray[Any, Any]
    ) -> UnknownKey:
        missing = np.flatnonzero(~found)
        borders = [0, *ends.tolist()]
        spans = list(pairwise(borders))
        listed = []
        for i in missing[:_MISSING_LISTED_MAX]:
            begin, end = spans[i]
            key = decode_keys(blob[begin:end], np.array([end - begin], dtype=np.uint32))[0]
            listed.append(repr(key))
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return UnknownKey(
            f"no sample {listed[0]}{more} in column {self.name!r}",
            keys=listed,
            total=len(missing),
        )
