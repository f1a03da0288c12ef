"""A repository written without the daemon: real files, one commit at a time."""

from pathlib import Path

import numpy as np
import pytest
from hangard_ext.digest import crc32c_many, digest_many
from hangard_ext.keyblock import sort_changes
from hangard_ext.runwriter import encode_run

from hangard.backends.disk import Disk
from hangard.backends.hdf5_segment import Hdf5Segment
from hangard.backends.hdf5_writer import Hdf5Writer
from hangard.backends.log import Log
from hangard.backends.numpy_segment import NumpySegment
from hangard.db.environment import WritableEnvironment, create_directory
from hangard.encoding.objects import (
    KIND_COMMIT,
    KIND_SCHEMA,
    KIND_TREE,
    encode_commit,
    encode_schema,
    encode_tree,
)
from hangard.encoding.samples import sample_key
from hangard.model.commit import Author, ColumnEntry, Commit
from hangard.model.directory import data_path, run_path
from hangard.model.files import FileRecord
from hangard.model.keys import encode_keys
from hangard.model.options import Hdf5Options
from hangard.model.schema import make_schema
from hangard.tree.build import build


class Stored:
    """Writes samples, trees and commits straight into a repository's files."""

    def __init__(self, path: Path, writer: Hdf5Writer) -> None:
        self.path = path
        self.writer = writer
        self.directory = create_directory(path)
        self.env = WritableEnvironment(path)
        self.numbers = iter(range(1, 1 << 20))
        self.pending = []
        self.log = Log(self.file(20, number := next(self.numbers)), number, Disk())
        self.time_ns = 0
        with self.env.write() as tables:
            tables.put_head("main")
            tables.put_ref("heads/main", b"")

    def file(self, code, number):
        return self.directory / data_path(code, number)

    def close(self):
        self.log.close()
        self.env.close()

    # What hangard.tree asks of a store

    def get(self, digest):
        raise KeyError(digest)

    def put_many(self, digests, blob, ends):
        self.add(digests, self.log.append_nodes(digests, blob, ends))

    def add(self, digests, specs):
        self.pending.append((digests, specs))

    def flush(self):
        """Names in LMDB what was written."""
        with self.env.write() as tables:
            self.flush_into(tables)

    def flush_into(self, tables):
        for digests, specs in self.pending:
            tables.put_specs(digests, specs)
        self.pending.clear()

    def put_rows(self, rows, backend):
        """Rows (n, *shape) into a new file of a backend; their digests (n, 32)."""
        rows = np.ascontiguousarray(rows)
        n, shape, dtype = len(rows), rows.shape[1:], rows.dtype.str
        row_bytes = rows[0].nbytes
        digests = np.empty((n, 32), np.uint8)
        digest_many(sample_key("ndarray", dtype, shape), rows, row_bytes, digests)
        crcs = np.empty(n, np.uint32)
        crc32c_many(rows, row_bytes, crcs)
        flat = rows.reshape(n, -1).view(np.uint8).reshape(n, row_bytes)
        if backend == "20":
            specs = self.log.append(flat, digests, crcs)
        elif backend == "10":
            number = next(self.numbers)
            segment = NumpySegment(self.file(10, number), number, dtype, shape, Disk())
            specs = segment.append(flat, digests, crcs)
            segment.seal()
        else:
            number = next(self.numbers)
            segment = Hdf5Segment(
                self.file(0, number),
                number,
                dtype,
                shape,
                Disk(),
                writer=self.writer,
                options=Hdf5Options(),
            )
            specs = segment.append(flat, digests, crcs)
            segment.seal()
        self.add(digests, specs)
        return digests

    def commit(self, columns, *, branch="main", parents=None, time_ns=None, message="m"):
        """``columns``: name -> (keys, rows, backend); the digest of the commit."""
        entries = {}
        for name, (keys, rows, backend) in columns.items():
            rows = np.asarray(rows)
            schema = make_schema(dtype=rows.dtype, shape=rows.shape[1:], backend="10")
            digests = self.put_rows(rows, backend) if len(rows) else np.empty((0, 32), np.uint8)
            root = build(self, *sort_changes(*encode_keys(keys), digests))
            entries[name] = (encode_schema(schema), root)
        self.time_ns = self.time_ns + 1 if time_ns is None else time_ns
        with self.env.write() as tables:
            self.flush_into(tables)
            if parents is None:
                head = tables.ref(f"heads/{branch}")
                parents = (head,) if head else ()
            tree = {
                name: ColumnEntry(tables.put_object(KIND_SCHEMA, schema), root)
                for name, (schema, root) in entries.items()
            }
            commit = Commit(
                tuple(parents),
                tables.put_object(KIND_TREE, encode_tree(tree)),
                Author("Ada", "ada@example.org"),
                message,
                self.time_ns,
            )
            digest = tables.put_object(KIND_COMMIT, encode_commit(commit))
            tables.put_ref(f"heads/{branch}", digest)
        return digest

    def move_index_to_run(self):
        """As a large commit does: LMDB's entries become a run. The run's number."""
        number = next(self.numbers)
        with self.env.write() as tables:
            self.flush_into(tables)
            digests, specs = tables.index_entries()
            path = run_path(number)
            content = encode_run(
                np.ascontiguousarray(digests), np.ascontiguousarray(specs), number, number
            )
            (self.directory / path).write_bytes(content)
            tables.clear_specs()
            tables.put_file(path, FileRecord("run", number, "sealed", entries=len(digests)))
        return number


@pytest.fixture(scope="session")
def hdf5_writer():
    with Hdf5Writer() as writer:
        yield writer


@pytest.fixture
def stored(tmp_path, hdf5_writer):
    stored = Stored(tmp_path / "repository", hdf5_writer)
    yield stored
    stored.close()
