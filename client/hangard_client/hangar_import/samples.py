"""Samples out of Hangar's HDF5, .npy and LMDB files.

    00  data/00/UID.hdf5: dataset NUMBER (rows, items): arrays in C order, then what is left over
    01  data/01/UID.hdf5: dataset NUMBER (rows, *shape)
    10  data/10/UID.npy: (rows, *shape or bound); of a variable shape the first part of each axis
    30, 31  data/30|31/UID/data.mdb: UTF-8 or bytes by key

Every sample is checked against its xxh64, with ``verify`` also against its digest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hangard.errors import Corrupt
from hangard.model.keys import Key
from hangard_client.hangar_import.hdf5_files import Hdf5Files
from hangard_client.hangar_import.lmdb_files import LmdbFile
from hangard_client.hangar_import.records import (
    NDARRAY,
    STR,
    HangarSchema,
    Place,
    damaged,
    sample_digest,
)
from hangard_client.hangar_import.source import HangarSource

BATCH_BYTES: Final = 4 * 1024 * 1024
BATCH_SAMPLES_MAX: Final = 50_000
FILES_OPEN_MAX: Final = 16

Item: TypeAlias = tuple[Place, Key, str]  # where it lies, its key, its digest in Hangar
Value: TypeAlias = npt.NDArray[Any] | str | bytes


class SampleReader:
    """Reads samples of one source; a few files stay open. Errors: Corrupt (``damaged-source``)."""

    def __init__(self, source: HangarSource, *, verify: bool = False) -> None:
        self._source = source
        self._verify = verify
        self._hdf5 = Hdf5Files()
        self._open: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def batches(
        self, schema: HangarSchema, items: Sequence[Item]
    ) -> Iterator[tuple[list[Key], Sequence[Value], int]]:
        """(keys, samples, bytes of them), in the order in which the samples lie on the disk.

        A batch has about BATCH_BYTES.
        """
        keys: list[Key] = []
        samples: list[Value] = []
        size = 0
        for key, sample, sample_bytes in self._each(schema, sorted(items, key=_by_place)):
            keys.append(key)
            samples.append(sample)
            size += sample_bytes
            if size >= BATCH_BYTES or len(keys) >= BATCH_SAMPLES_MAX:
                yield keys, samples, size
                keys, samples, size = [], [], 0
        if keys:
            yield keys, samples, size

    def close(self) -> None:
        """May be called twice."""
        self._hdf5.close()
        while self._open:
            self._open.popitem()[1].close()

    def _each(self, schema: HangarSchema, items: list[Item]) -> Iterator[tuple[Key, Value, int]]:
        for _, group in groupby(items, key=_file_of):
            if schema.kind != NDARRAY:
                for place, key, digest in group:
                    payload = self._blob(place)
                    yield key, self._text(schema, place, digest, payload), len(payload)
                continue
            dtype = np.dtype(schema.dtype)
            for run in _runs(list(group), dtype.itemsize):
                rows = self._rows(run, dtype)
                for place, key, digest in run:
                    array = self._array(rows[place.row - run[0][0].row], place, digest)
                    yield key, array, array.nbytes

    def _rows(self, run: list[Item], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """The rows of a file that a stretch of samples lies in."""
        place, last = run[0][0], run[-1][0].row
        path = self._source.data_path(place.code, place.uid)
        record = f"dataset {place.dataset}, rows {place.row} to {last}"
        if place.code == "10":
            rows = self._numpy_rows(path, place, last)
        elif place.code in ("00", "01"):
            items = max(prod(each.shape) for each, _, _ in run) if place.code == "00" else 0
            rows = self._hdf5.rows(path, place.dataset, place.row, last, items)
        else:
            raise damaged(path, record, f"format {place.code} holds no arrays")
        if rows.dtype != dtype:
            raise damaged(path, record, f"it holds {rows.dtype}, not {dtype}")
        return rows

    def _numpy_rows(self, path: Path, place: Place, last: int) -> npt.NDArray[Any]:
        try:
            rows = self._file(place.code, place.uid).rows
            if last >= len(rows):
                raise damaged(path, f"row {last}", f"there are {len(rows)} rows")
            return np.asarray(rows[place.row : last + 1])
        except Corrupt:
            raise
        except (OSError, ValueError, TypeError) as error:
            raise damaged(path, f"row {place.row}", error) from error

    def _array(self, row: npt.NDArray[Any], place: Place, digest: str) -> npt.NDArray[Any]:
        """One sample out of a row: a copy, checked."""
        shape = place.shape
        try:
            if place.code == "00":
                array = row[: prod(shape)].reshape(shape)
            else:
                array = row[tuple(slice(size) for size in shape)] if shape else row
        except (ValueError, IndexError) as error:
            raise self._wrong(place, digest, error) from error
        if array.shape != shape:
            raise self._wrong(place, digest, f"there is no sample of shape {shape}")
        array = np.array(array, order="C")
        self._check(place, digest, array)
        numbers = (*shape, array.dtype.num)
        if self._verify and sample_digest(array.reshape(-1).view("u1"), numbers) != digest[2:]:
            raise self._wrong(place, digest, "the sample does not match its digest")
        return array

    def _text(self, schema: HangarSchema, place: Place, digest: str, payload: bytes) -> Value:
        self._check(place, digest, payload)
        if self._verify and sample_digest(payload) != digest[2:]:
            raise self._wrong(place, digest, "the sample does not match its digest")
        if schema.kind != STR:
            return payload
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise self._wrong(place, digest, error) from error

    def _blob(self, place: Place) -> bytes:
        path = self._source.data_path(place.code, place.uid)
        if place.code not in ("30", "31"):
            raise damaged(path, place.key, f"format {place.code} holds no str and no bytes")
        try:
            payload: bytes | None = self._file(place.code, place.uid).get(place.key.encode())
        except OSError as error:
            if error.errno is None:
                raise
            raise damaged(path, place.key, error.strerror) from error
        if payload is None:
            raise damaged(path, place.key, "the record is missing")
        return payload

    def _check(self, place: Place, digest: str, payload: Any) -> None:
        import xxhash

        data = payload if isinstance(payload, bytes) else payload.reshape(-1).view("u1").data
        if xxhash.xxh64_hexdigest(data) != place.checksum:
            raise self._wrong(place, digest, "the sample does not match its checksum")

    def _wrong(self, place: Place, digest: str, why: object) -> Exception:
        where = place.key or f"dataset {place.dataset}, row {place.row}"
        path = self._source.data_path(place.code, place.uid)
        return damaged(path, f"{where} (sample {digest})", why)

    def _file(self, code: str, uid: str) -> Any:
        file = self._open.get((code, uid))
        if file is None:
            while len(self._open) >= FILES_OPEN_MAX:
                self._open.popitem(last=False)[1].close()
            file = self._open[code, uid] = _opened(self._source, code, uid)
        self._open.move_to_end((code, uid))
        return file


class NumpyFile:
    """The rows of a .npy file, mapped."""

    def __init__(self, path: Any) -> None:
        self.rows: Any = np.load(path, mmap_mode="r", allow_pickle=False)

    def close(self) -> None:
        self.rows = None


def _opened(source: HangarSource, code: str, uid: str) -> Any:
    path = source.data_path(code, uid)
    if code == "10":
        return NumpyFile(path)
    return LmdbFile(path / "data.mdb")


def _file_of(item: Item) -> tuple[str, str, int]:
    place = item[0]
    return place.code, place.uid, place.dataset


def _by_place(item: Item) -> tuple[str, str, int, int, str]:
    place = item[0]
    return place.code, place.uid, place.dataset, place.row, place.key


def _runs(items: list[Item], item_bytes: int) -> Iterator[list[Item]]:
    """Stretches of rows that follow each other, of about BATCH_BYTES at most."""
    run: list[Item] = []
    size = 0
    for item in items:
        place = item[0]
        if run and (place.row > run[-1][0].row + 1 or size >= BATCH_BYTES):
            yield run
            run, size = [], 0
        run.append(item)
        size += prod(place.shape) * item_bytes
    if run:
        yield run
