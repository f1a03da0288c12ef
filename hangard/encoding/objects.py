"""Schemas, trees, commits and tags as deterministic byte records, and their digests.

LMDB's ``objects`` database holds them as digest -> one kind byte (KIND_*) and the record. Fields
follow each other without padding; ``fields.py`` says what text8, text32 and so on are.

Schema, version 1 (digest context ``hangard schema v1``)::

    0   u8      version
    1   u8      kind: 0 ndarray, 1 str, 2 bytes
    2   u8      layout: 0 flat, 1 nested
    3   u8      flags: bit 0 variable shape, others 0
    4   text8   dtype.str, little-endian
        text8   backend, a format code
        u8      dimensions, then one u64 for each
        u16     number of backend options, then for each, by rising name:
                  text8 name, u8 tag, value: 0 None, 1 False, 2 True (no value),
                  3 i64, 4 f64, 5 text32

Tree, version 1 (``hangard tree v1``)::

    0   u8      version
    1   u32     number of columns, then for each, by rising name:
                  text8 name, digest of the schema record, digest of the root node

Commit, version 1 (``hangard commit v1``)::

    0   u8      version
    1   u8      number of parents, then their digests
        digest  tree
        i64     time, nanoseconds since the epoch, UTC
        text32  author's name, author's email, message
        u32     number of metadata pairs, then for each, by rising name: text32 name, text32 value

Tag, version 1 (``hangard tag v1``); beside it the ref ``tags/NAME`` holds the same target::

    0   u8      version
    1   digest  target, a commit
    33  text32  name, without ``tags/``
        i64     time, nanoseconds since the epoch, UTC
        text32  tagger's name, tagger's e-mail, message

Errors  decode_* raise Corrupt (``damaged-record``, ``newer-record``).
"""

from __future__ import annotations

from typing import Any, cast

from hangard_ext.digest import digest_derived

from hangard.encoding.fields import F64, I64, U16, U32, U64, Cursor, text8, text32
from hangard.errors import Corrupt, InvalidRequest, InvalidType
from hangard.limits import COLUMNS_PER_TREE_MAX, SHAPE_DIMENSIONS_MAX
from hangard.model.commit import Author, ColumnEntry, Commit, Digest, Tag, Tree
from hangard.model.schema import Kind, Layout, Schema

VERSION = 1

KIND_COMMIT = b"c"
KIND_TREE = b"t"
KIND_SCHEMA = b"s"
KIND_TAG = b"g"

SCHEMA_CONTEXT = "hangard schema v1"
TREE_CONTEXT = "hangard tree v1"
COMMIT_CONTEXT = "hangard commit v1"
TAG_CONTEXT = "hangard tag v1"

_CONTEXTS = {
    KIND_COMMIT: COMMIT_CONTEXT,
    KIND_TREE: TREE_CONTEXT,
    KIND_SCHEMA: SCHEMA_CONTEXT,
    KIND_TAG: TAG_CONTEXT,
}
_KINDS = ("ndarray", "str", "bytes")
_LAYOUTS = ("flat", "nested")
_FLAG_VARIABLE_SHAPE = 1
_TAG_NONE, _TAG_FALSE, _TAG_TRUE, _TAG_INT, _TAG_FLOAT, _TAG_TEXT = range(6)


def encode_schema(schema: Schema) -> bytes:
    """Errors: InvalidType (``invalid-option``) for an option value that is no plain value."""
    parts = [
        bytes(
            (
                VERSION,
                _KINDS.index(schema.kind),
                _LAYOUTS.index(schema.layout),
                _FLAG_VARIABLE_SHAPE if schema.variable_shape else 0,
            )
        ),
        text8(schema.dtype),
        text8(schema.backend),
        bytes((len(schema.shape),)),
        *(U64.pack(size) for size in schema.shape),
        U16.pack(len(schema.backend_options)),
    ]
    for name, value in sorted(schema.backend_options):
        parts += (text8(name), _encode_option(name, value))
    return b"".join(parts)


def decode_schema(record: bytes) -> Schema:
    cursor = Cursor(record, "schema")
    cursor.version(VERSION)
    kind = cursor.choice(_KINDS)
    layout = cursor.choice(_LAYOUTS)
    flags = cursor.u8()
    if flags > _FLAG_VARIABLE_SHAPE:
        raise cursor.corrupt(f"unknown flags {flags:#x}")
    dtype = cursor.text8()
    backend = cursor.text8()
    dimensions = cursor.u8()
    if dimensions > SHAPE_DIMENSIONS_MAX:
        raise cursor.corrupt(f"{dimensions} dimensions")
    shape = tuple(cursor.u64() for _ in range(dimensions))
    options = cursor.sorted_items(cursor.u16(), cursor.text8, lambda: _decode_option(cursor))
    cursor.end()
    return Schema(
        dtype=dtype,
        shape=shape,
        backend=backend,
        backend_options=tuple(options),
        kind=cast(Kind, kind),
        layout=cast(Layout, layout),
        variable_shape=bool(flags & _FLAG_VARIABLE_SHAPE),
    )


def encode_tree(tree: Tree) -> bytes:
    parts = [bytes((VERSION,)), U32.pack(len(tree))]
    for name, entry in sorted(tree.items()):
        parts += (text8(name), entry.schema, entry.root)
    return b"".join(parts)


def decode_tree(record: bytes) -> dict[str, ColumnEntry]:
    """Columns by name, in order of their names."""
    cursor = Cursor(record, "tree")
    cursor.version(VERSION)
    count = cursor.u32()
    if count > COLUMNS_PER_TREE_MAX:
        raise cursor.corrupt(f"{count} columns")
    columns = cursor.sorted_items(
        count, cursor.text8, lambda: ColumnEntry(cursor.digest(), cursor.digest())
    )
    cursor.end()
    return dict(columns)


def encode_commit(commit: Commit) -> bytes:
    parts = [
        bytes((VERSION, len(commit.parents))),
        *commit.parents,
        commit.tree,
        I64.pack(commit.time_ns),
        text32(commit.author.name),
        text32(commit.author.email),
        text32(commit.message),
        U32.pack(len(commit.metadata)),
    ]
    for name, value in sorted(commit.metadata):
        parts += (text32(name), text32(value))
    return b"".join(parts)


def decode_commit(record: bytes) -> Commit:
    cursor = Cursor(record, "commit")
    cursor.version(VERSION)
    parents = tuple(cursor.digest() for _ in range(cursor.u8()))
    tree = cursor.digest()
    time_ns = cursor.i64()
    author = Author(cursor.text32(), cursor.text32())
    message = cursor.text32()
    metadata = cursor.sorted_items(cursor.u32(), cursor.text32, cursor.text32)
    cursor.end()
    return Commit(parents, tree, author, message, time_ns, tuple(metadata))


def encode_tag(tag: Tag) -> bytes:
    return b"".join(
        (
            bytes((VERSION,)),
            tag.target,
            text32(tag.name),
            I64.pack(tag.time_ns),
            text32(tag.tagger.name),
            text32(tag.tagger.email),
            text32(tag.message),
        )
    )


def decode_tag(record: bytes) -> Tag:
    cursor = Cursor(record, "tag")
    cursor.version(VERSION)
    target = cursor.digest()
    name = cursor.text32()
    time_ns = cursor.i64()
    tagger = Author(cursor.text32(), cursor.text32())
    message = cursor.text32()
    cursor.end()
    return Tag(target, name, tagger, message, time_ns)


def schema_digest(record: bytes) -> Digest:
    return digest_derived(SCHEMA_CONTEXT, record)


def tree_digest(record: bytes) -> Digest:
    return digest_derived(TREE_CONTEXT, record)


def commit_digest(record: bytes) -> Digest:
    return digest_derived(COMMIT_CONTEXT, record)


def object_digest(kind: bytes, record: bytes) -> Digest:
    """The digest of a record of one of the kinds KIND_*."""
    return digest_derived(_CONTEXTS[kind], record)


def stored_record(kind: bytes, digest: Digest, stored: bytes) -> bytes:
    """The record in a value of the ``objects`` database.

    Errors: Corrupt, if it is of another kind or does not match its digest.
    """
    record = bytes(stored[1:])
    if stored[:1] != kind or object_digest(kind, record) != digest:
        raise Corrupt(
            f"object {digest.hex()} is damaged, or no {_CONTEXTS[kind].split()[1]}",
            code="damaged-object",
            digest=digest,
        )
    return record


def _encode_option(name: str, value: Any) -> bytes:
    if value is None:
        return bytes((_TAG_NONE,))
    if isinstance(value, bool):
        return bytes((_TAG_TRUE if value else _TAG_FALSE,))
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidRequest(f"option {name}={value} is too large", code="invalid-option")
        return bytes((_TAG_INT,)) + I64.pack(value)
    if isinstance(value, float):
        return bytes((_TAG_FLOAT,)) + F64.pack(value)
    if isinstance(value, str):
        return bytes((_TAG_TEXT,)) + text32(value)
    raise InvalidType(
        f"option {name} must be text, a number, a bool or None, not {value!r}",
        code="invalid-option",
    )


def _decode_option(cursor: Cursor) -> Any:
    tag = cursor.u8()
    if tag == _TAG_NONE:
        return None
    if tag in (_TAG_FALSE, _TAG_TRUE):
        return tag == _TAG_TRUE
    if tag == _TAG_INT:
        return cursor.i64()
    if tag == _TAG_FLOAT:
        return cursor.f64()
    if tag == _TAG_TEXT:
        return cursor.text32()
    raise cursor.corrupt(f"unknown option tag {tag}")
