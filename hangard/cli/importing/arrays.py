"""Arrays as samples: the rows of the first axis, under the keys 0 .. n-1.

``.npy`` is mapped; a member of an ``.npz`` is read as a stream, so that it needs no memory of its
size; a dataset of an ``.h5`` file is read in stretches.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hangard.cli.importing.samples import Batch, SampleKind, listed, ranges
from hangard.errors import InvalidRequest


class Rows:
    """Rows of anything that has a shape and a dtype and can be cut along its first axis."""

    def __init__(self, array: Any, owner: Any = None) -> None:
        self.kind = SampleKind(np.dtype(array.dtype), tuple(array.shape[1:]))
        self.total = int(array.shape[0])
        self._array = array
        self._owner = owner

    def batches(self) -> Iterator[Batch]:
        for keys in ranges(self.total, self.kind.batch_samples):
            yield keys, np.asarray(self._array[keys.start : keys.stop])

    def close(self) -> None:
        self._array = None
        if self._owner is not None:
            self._owner.close()


class NpzMember:
    """A member of an ``.npz`` file, read from front to back."""

    def __init__(self, archive: zipfile.ZipFile, member: str, where: str) -> None:
        self._archive = archive
        self._stream = archive.open(f"{member}.npy")
        try:
            shape, fortran_order, dtype = read_header(self._stream, where)
            check_rows(shape, dtype, where)
        except InvalidRequest:
            self._stream.close()
            raise
        self.kind = SampleKind(dtype, shape[1:])
        self.total = shape[0]
        self._fortran_order = fortran_order
        self._where = where

    def batches(self) -> Iterator[Batch]:
        if self._fortran_order:
            # Its rows are spread over the whole stream.
            whole = self._read(self.total, transposed=True)
            for keys in ranges(self.total, self.kind.batch_samples):
                yield keys, whole[keys.start : keys.stop]
            return
        for keys in ranges(self.total, self.kind.batch_samples):
            yield keys, self._read(len(keys))

    def close(self) -> None:
        self._stream.close()
        self._archive.close()

    def _read(self, rows: int, *, transposed: bool = False) -> npt.NDArray[Any]:
        shape = (rows, *self.kind.shape)
        result = np.empty(shape[::-1] if transposed else shape, self.kind.dtype)
        view = result.data.cast("B") if result.size else memoryview(b"")
        filled = 0
        while filled < len(view):
            count = self._stream.readinto(view[filled:])  # type: ignore[attr-defined]
            if not count:
                raise InvalidRequest(f"{self._where} ends too early", code="damaged-import")
            filled += count
        return result.T if transposed else result


def open_npy(path: Path) -> Rows:
    """Errors: InvalidRequest (``damaged-import``, ``no-rows``, ``unsupported-dtype``)."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InvalidRequest(f"{path} is no .npy file: {error}", code="damaged-import") from error
    check_rows(array.shape, array.dtype, str(path))
    return Rows(array)


def open_npz(path: Path, member: str | None) -> NpzMember:
    """Errors: as open_npy, and InvalidRequest (``which-member``, ``unknown-member``)."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidRequest(f"{path} is no .npz file: {error}", code="damaged-import") from error
    try:
        names = [name.removesuffix(".npy") for name in archive.namelist() if _is_array(name)]
        chosen = choose_member(path, names, member)
        return NpzMember(archive, chosen, f"{chosen} in {path}")
    except BaseException:
        archive.close()
        raise


def npz_members(path: Path) -> list[str]:
    """The arrays of an ``.npz`` file. Errors: InvalidRequest (``damaged-import``)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if _is_array(name)]
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidRequest(f"{path} is no .npz file: {error}", code="damaged-import") from error


def hdf5_members(path: Path) -> list[str]:
    """The datasets of an HDF5 file. Errors: InvalidRequest (``damaged-import``)."""
    import h5py

    names: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None
            )
    except OSError as error:
        raise InvalidRequest(f"{path} is no HDF5 file: {error}", code="damaged-import") from error
    return names


def open_hdf5(path: Path, member: str | None) -> Rows:
    """Errors: as open_npz."""
    import h5py
    import hdf5plugin  # registers the filters that the file's datasets may need

    assert hdf5plugin
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InvalidRequest(f"{path} is no HDF5 file: {error}", code="damaged-import") from error
    try:
        names: list[str] = []
        file.visititems(
            lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None
        )
        chosen = choose_member(path, names, member)
        dataset = file[chosen]
        check_rows(dataset.shape, dataset.dtype, f"{chosen} in {path}")
        return Rows(dataset, file)
    except BaseException:
        file.close()
        raise


def _is_array(name: str) -> bool:
    return name.endswith(".npy")


def choose_member(path: Path, names: list[str], wanted: str | None) -> str:
    """The one array of a file with several that is meant."""
    if not names:
        raise InvalidRequest(f"{path} holds no array", code="no-member")
    if wanted is not None:
        wanted = wanted.strip("/")
        if wanted not in names:
            raise InvalidRequest(
                f"{path} has no member {wanted!r}; it has {listed(names)}", code="unknown-member"
            )
        return wanted
    if len(names) > 1:
        raise InvalidRequest(
            f"{path} has several members; take --all, or one with --member: {listed(names)}",
            code="which-member",
        )
    return names[0]


def check_rows(shape: tuple[int, ...] | None, dtype: np.dtype[Any], where: str) -> None:
    """Refuse what has no rows."""
    if not shape or shape[0] == 0:
        raise InvalidRequest(
            f"{where} has shape {shape}: there are no rows along a first axis to import",
            code="no-rows",
        )
    if dtype.kind not in "biufc":
        raise InvalidRequest(
            f"{where} has dtype {dtype}; only bool, integer, float and complex can be stored",
            code="unsupported-dtype",
        )


def read_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran order, and dtype, from the start of an ``.npy`` stream."""
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream)
        return np.lib.format.read_array_header_2_0(stream)
    except ValueError as error:
        raise InvalidRequest(f"{where} is no array: {error}", code="damaged-import") from error
