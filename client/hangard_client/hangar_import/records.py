"""What Hangar's records say, as values.

    file             key                             value
    branch.lmdb      branch:NAME                     digest of its head, empty before the first
                     head                            branch:NAME of the staging area
                     writerlock:                     LOCK_AVAILABLE, or who holds it
                     software_version                0.5.2
    ref.lmdb         a=HEX                           parent | "master << dev" | empty
                     a=HEX:spec                      Blosc frame of JSON: time, message, user, email
                     a=HEX:ref                       Blosc frame of all records of the commit:
                                                     "key value" joined by "$"
    hash.lmdb        h:T=HEX                         where a sample lies (parse_place)
                     s:1=HEX                         a schema, as Python writes a dict
    in a commit      s:COLUMN:f or s:COLUMN:n        digest of the schema; flat or nested
                     f:COLUMN:SAMPLE                 digest of a sample
                     n:COLUMN:SAMPLE:SUBSAMPLE       the same

Digests are ``T=`` and hexadecimal BLAKE2b: 20 bytes, 6 of a schema. T: a commit, 0 array, 1
schema, 2 str, 3 bytes. An int key is written ``#5``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import prod
from typing import Any

from hangard.errors import Corrupt
from hangard.model.commit import Author
from hangard.model.keys import Key

HANGAR_DIGEST = "hangar.digest"  # the metadata that names a commit's digest in Hangar
DIGEST_BYTES = 20
COMMIT_RECORD_BYTES_MAX = 2**31 - 1  # the most that a Blosc frame can hold
INT_KEY_MAX = 2**63 - 1
TIME_NS_MAX = 2**63 - 1
DIMENSIONS_MAX = 31
DIGITS_MAX = 20  # of a dimension; Python refuses to read thousands of them

NDARRAY, STR, BYTES = "ndarray", "str", "bytes"

_COMMIT = re.compile(rb"a=[0-9a-f]{40}")
_NAME = rb"[A-Za-z0-9_.\-]{1,64}"
_KEY = rb"#?[A-Za-z0-9_.\-]{1,64}"
_RECORD = re.compile(
    rb"s:(%b):([fn]) (1=[0-9a-f]{12})" % _NAME
    + rb"|f:(%b):(%b) ([023]=[0-9a-f]{40})" % (_NAME, _KEY)
    + rb"|n:(%b):(%b):(%b) ([023]=[0-9a-f]{40})" % (_NAME, _KEY, _KEY)
)
_PLACE_HDF5 = re.compile(r"(00|01):([a-z0-9]{1,64}):([0-9a-f]{16}):(\d{1,9}):(\d{1,9}):([\d ]*)")
_PLACE_NUMPY = re.compile(r"(10):([a-z0-9]{1,64}):([0-9a-f]{16}):(\d{1,9}):([\d ]*)")
_PLACE_LMDB = re.compile(r"(30|31):([a-z0-9]{1,64}):([A-Za-z0-9]{1,64}):([0-9a-f]{16})")


class DamagedRecord(ValueError):
    """A record does not say what one of Hangar's would; the reader adds file and key."""


@dataclass(frozen=True, slots=True)
class HangarCommit:
    """A commit but for its samples. ``time_ns``: Hangar keeps microseconds."""

    digest: str
    parents: tuple[str, ...]
    author: Author
    message: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class HangarSchema:
    """A column's schema. ``shape`` is the bound of each dimension if ``variable``."""

    kind: str
    nested: bool
    dtype: str
    shape: tuple[int, ...]
    variable: bool
    backend: str
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where the bytes of a sample lie.

    ``code``, ``uid``  format and file
    ``dataset``, ``row``  in it; ``key`` in an LMDB file
    ``shape``  of the array; ``checksum`` its xxh64, hexadecimal
    """

    code: str
    uid: str
    dataset: int = 0
    row: int = 0
    key: str = ""
    shape: tuple[int, ...] = ()
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All records of a commit, ``key value`` each, and the digests of its columns' schemas."""

    records: frozenset[bytes] = frozenset()
    schemas: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ColumnRecords:
    """The records of one column: schema digests (flat or nested) and samples by key."""

    schema: str = ""
    nested: bool = False
    samples: dict[Key, str] = field(default_factory=dict)


def parse_parents(value: bytes) -> tuple[str, ...]:
    """Errors: DamagedRecord."""
    parents = tuple(value.split(b" << ")) if value else ()
    for parent in parents:
        if not _COMMIT.fullmatch(parent):
            raise DamagedRecord(f"{value[:100]!r} names no parents")
    return tuple(parent.decode() for parent in parents)


def parse_commit(digest: str, parents: tuple[str, ...], spec: bytes) -> HangarCommit:
    """Errors: DamagedRecord."""
    try:
        fields = json.loads(spec)
        seconds = float(fields["commit_time"])
        name, email = str(fields["commit_user"]), str(fields["commit_email"])
        message = str(fields["commit_message"])
        f"{name}{email}{message}".encode()  # a lone surrogate is a ValueError
        time_ns = round(seconds * 1e6) * 1000
        if abs(time_ns) > TIME_NS_MAX:
            raise ValueError(f"no time of a commit: {seconds}")
        return HangarCommit(digest, parents, Author(name, email), message, time_ns)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DamagedRecord(f"it is not the description of a commit: {error!r}") from error


def commit_digest(parents: bytes, spec: bytes, refs: bytes) -> str:
    """The digest that Hangar gives a commit of these three records, unpacked."""
    each = "".join(_hex(record) for record in refs.split(b"$")) if refs else ""
    parts = sorted((_hex(parents), _hex(spec), _hex(each.encode())))
    return "a=" + _hex("".join(parts).encode())


def sample_digest(payload: Any, numbers: tuple[int, ...] = ()) -> str:
    """BLAKE2b of a sample as Hangar has it: its bytes, and of an array behind them i32 numbers:
    its shape, and numpy's number of its dtype."""
    state = blake2b(payload, digest_size=DIGEST_BYTES)
    for number in numbers:
        state.update((number & 0xFFFFFFFF).to_bytes(4, "little"))
    return state.hexdigest()


def split_records(refs: bytes) -> Snapshot:
    """The records of a commit. Errors: DamagedRecord."""
    records = refs.split(b"$") if refs else []
    schemas = {}
    for record in records:
        if record.startswith(b"s:"):
            match = _RECORD.fullmatch(record)
            if match is None:
                raise DamagedRecord(f"{record[:200]!r} is no record of a commit")
            schemas[match[1].decode()] = match[3].decode()
    return Snapshot(frozenset(records), schemas)


def parse_records(records: Iterable[bytes]) -> dict[str, ColumnRecords]:
    """Records by column. Errors: DamagedRecord."""
    columns: dict[str, ColumnRecords] = {}
    for record in records:
        match = _RECORD.fullmatch(record)
        if match is None:
            raise DamagedRecord(f"{record[:200]!r} is no record of a commit")
        name = (match[1] or match[4] or match[7]).decode()
        column = columns.get(name)
        if column is None:
            column = columns[name] = ColumnRecords()
        if match[1]:
            column.schema, column.nested = match[3].decode(), match[2] == b"n"
        elif match[4]:
            column.samples[parse_key(match[5])] = match[6].decode()
        else:
            key = parse_key(match[8]), parse_key(match[9])
            column.samples[key] = match[10].decode()
    return columns


def parse_key(text: bytes) -> int | str:
    """``#5`` is the int 5. What no int of ours can be stays text, ``#`` and all: Hangar wrote the
    key True as ``#True``, and could not open the commit any more."""
    digits = text[1:]
    if text[:1] == b"#" and digits.isdigit() and str(int(digits)).encode() == digits:
        number = int(digits)
        if number <= INT_KEY_MAX:
            return number
    return text.decode()


def is_renamed(key: Key) -> bool:
    """Whether a key, or a part of it, is not the one that its user gave Hangar."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, str) and part.startswith("#") for part in parts)


def parse_schema(value: bytes) -> HangarSchema:
    """Errors: DamagedRecord."""
    try:
        fields = ast.literal_eval(value.decode())
        kind = fields["column_type"]
        layout = fields["column_layout"]
        variable = fields["schema_type"] == "variable_shape"
        options = tuple(sorted(dict(fields.get("backend_options") or {}).items()))
        shape = tuple(int(size) for size in fields.get("shape") or ())
        dtype = fields["dtype"] if kind == NDARRAY else ""
        backend = fields["backend"]
    except (
        ValueError, KeyError, TypeError, OverflowError, SyntaxError, MemoryError, RecursionError
    ) as error:  # fmt: skip
        raise DamagedRecord(f"it is not a schema: {error!r}") from error
    plain = isinstance(dtype, str) and isinstance(backend, str)
    if kind not in (NDARRAY, STR, BYTES) or layout not in ("flat", "nested") or not plain:
        raise DamagedRecord(f"it is not a schema: {value[:300]!r}")
    return HangarSchema(kind, layout == "nested", dtype, shape, variable, backend, options)


def parse_place(value: bytes) -> Place | None:
    """Where a sample lies; None if only a remote has it. Errors: DamagedRecord."""
    text = value.decode("ascii", "replace")
    if text.startswith("50:"):
        return None
    if match := _PLACE_HDF5.fullmatch(text):
        code, uid, checksum, dataset, row, dims = match.groups()
        return Place(code, uid, int(dataset), int(row), "", _shape(dims), checksum)
    if match := _PLACE_NUMPY.fullmatch(text):
        code, uid, checksum, row, dims = match.groups()
        return Place(code, uid, 0, int(row), "", _shape(dims), checksum)
    if match := _PLACE_LMDB.fullmatch(text):
        code, uid, key, checksum = match.groups()
        return Place(code, uid, key=key, checksum=checksum)
    raise DamagedRecord(f"{text[:200]!r} says of no sample where it lies")


def damaged(file: object, record: object, why: object) -> Corrupt:
    """The error for a source that cannot be read, with file and record."""
    return Corrupt(
        f"{file}: {record}: {why}; nothing of the repository was changed",
        code="damaged-source",
        file=str(file),
        record=str(record),
    )


def _shape(dims: str) -> tuple[int, ...]:
    sizes = dims.split()
    if any(len(size) > DIGITS_MAX for size in sizes):
        raise DamagedRecord(f"there is no array of shape {dims[:100]!r}")
    shape = tuple(map(int, sizes))
    if len(shape) > DIMENSIONS_MAX or prod(shape) > COMMIT_RECORD_BYTES_MAX:
        raise DamagedRecord(f"there is no array of shape {dims[:100]!r}")
    return shape


def _hex(data: bytes) -> str:
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
