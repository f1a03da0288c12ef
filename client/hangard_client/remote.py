"""Reading through the daemon, for clients that cannot read the files: all slots for readers are
taken, or the daemon lives in another container.

The same code reads as from files; only nodes and samples come by request. A view is a copy here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from hangard_ext.treecache import NodeCache

from hangard.errors import InvalidRequest
from hangard.limits import CACHE_BYTES_MAX
from hangard.model.commit import Digest
from hangard.model.ragged import RaggedRows, ends_of
from hangard.model.schema import Schema
from hangard.reading.checkout import unknown_column
from hangard.reading.columns import ColumnReader
from hangard.reading.samples import values_of
from hangard.reading.snapshot import RepositoryReader
from hangard.wire import requests
from hangard.wire.messages import OpenTree, SamplesRequest, SchemaMessage
from hangard_client.connection import Connection
from hangard_client.portal import Portal

T = TypeVar("T")
Array = npt.NDArray[Any]

# What a local reader fails with when only the daemon can help.
LOCAL_FAILURES = frozenset({"readers-full", "database-unreadable"})
RAGGED_ROWS_MAX = 1024  # samples of unknown sizes in one request
SAMPLES_BYTES = 8 * 1024 * 1024  # of one request; a larger sample comes alone


class RemoteSource:
    """A daemon as a source of nodes and samples, with a loop of its own. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._portal = Portal()
        self.nodes = NodeCache(self._node, CACHE_BYTES_MAX // 2)
        self.samples = RemoteSamples(self)

    def send(self, request: requests.Request[T]) -> T:
        return self._portal.run(self._connection.send(request))

    def close(self) -> None:
        """May be called twice."""
        if self._portal.is_running:
            self._portal.run(self._connection.close())
        self._portal.close()

    def _node(self, digest: bytes) -> bytes:
        return self.send(requests.node(digest)).record


class RemoteSamples:
    """Samples by digest; the methods of hangard.reading.samples that a column uses."""

    def __init__(self, source: RemoteSource) -> None:
        self._source = source

    def read_one(
        self, digest: Digest, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int
    ) -> Array:
        out = np.empty(shape, dtype)
        self.read_many(np.frombuffer(digest, np.uint8).reshape(1, -1), nbytes, out[np.newaxis])
        return out

    def view(
        self, digest: Digest, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int
    ) -> Array:
        array = self.read_one(digest, dtype, shape, nbytes)
        array.flags.writeable = False
        return array

    def read_many(self, digests: npt.NDArray[np.uint8], nbytes: int, out: Array) -> None:
        """Samples of ``nbytes`` bytes each into ``out`` (n, *shape)."""
        step = max(1, SAMPLES_BYTES // max(1, nbytes))
        for start in range(0, len(digests), step):
            part = digests[start : start + step]
            header = SamplesRequest(count=len(part), dtype=out.dtype.str, shape=out.shape[1:])
            rows = self._source.send(requests.samples(header, np.ascontiguousarray(part)))
            found = np.frombuffer(rows, out.dtype) if len(rows) else np.empty(0, out.dtype)
            out[start : start + step] = found.reshape(len(part), *out.shape[1:])

    def read_one_ragged(self, schema: Schema, digest: Digest) -> Any:
        """One sample as a new array, str or bytes."""
        return self.read_ragged(schema, np.frombuffer(digest, np.uint8).reshape(1, -1))[0]

    def read_ragged(self, schema: Schema, digests: npt.NDArray[np.uint8]) -> list[Any]:
        """Samples as new arrays, str or bytes."""
        return [
            sample
            for samples in self.ragged_batches(schema, digests, SAMPLES_BYTES)
            for sample in samples
        ]

    def ragged_batches(
        self, schema: Schema, digests: npt.NDArray[np.uint8], bytes_max: int
    ) -> Iterator[list[Any]]:
        """The same, in order, as many at a time as the daemon puts into one answer."""
        start = 0
        while start < len(digests):
            part = np.ascontiguousarray(digests[start : start + RAGGED_ROWS_MAX])
            header = SamplesRequest(
                count=len(part), dtype=schema.dtype, shape=(), ragged=SchemaMessage.of(schema)
            )
            request = requests.ragged_samples(header, part, len(schema.bound))
            data, shapes = self._source.send(request)
            start += len(shapes)
            rows = RaggedRows(
                np.frombuffer(bytearray(data), np.uint8), ends_of(schema, shapes), shapes
            )
            yield values_of(schema, rows, [tuple(shape) for shape in shapes.tolist()])

    def view_ragged(self, schema: Schema, digest: Digest) -> Any:
        """A read-only copy: nothing is mapped here."""
        if schema.kind == "str":
            raise InvalidRequest("text can be read, but not viewed", code="not-viewable")
        sample = self.read_one_ragged(schema, digest)
        if schema.kind == "bytes":
            return memoryview(sample)
        sample.flags.writeable = False
        return sample


class RemoteTree(Mapping[str, ColumnReader]):
    """The columns of a commit, as hangard.reading.checkout.TreeReader has them."""

    def __init__(self, source: RemoteSource, revision: str | bytes) -> None:
        if isinstance(revision, bytes):
            state = source.send(requests.open_tree(OpenTree(commit=bytes(revision))))
        else:
            state = source.send(requests.open_tree(OpenTree(revision=revision)))
        self.commit = state.commit
        # A ColumnReader asks its repository for nodes and samples only.
        repository = cast(RepositoryReader, source)
        self._columns = {
            name: ColumnReader(repository, column.schema.schema(), column.root, name)
            for name, column in state.columns.items()
        }

    def __getitem__(self, name: str) -> ColumnReader:
        try:
            return self._columns[name]
        except KeyError:
            raise unknown_column(name, self._columns) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def close(self) -> None:
        """Its columns refuse to be read. May be called twice."""
        for column in self._columns.values():
            column.close()
