"""Samples as arrays: specs of one or many digests, read from mapped files.

Shapes   digests, specs: (n, 32) uint8; a batch of samples: (n, *shape), C order, little-endian.
Errors   Corrupt, naming file, offset and digest, after the spec was resolved a second time: a
         sample may have moved, and its old file gone, between look-up and read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_many, read_row
from hangard_ext.digest import crc32c
from hangard_ext.recordspec import CODEC_RAW, unpack_one

from hangard.errors import Corrupt, InvalidRequest
from hangard.model.commit import Digest
from hangard.reading.locations import Locations
from hangard.reading.mapping import MappedFiles
from hangard.reading.tables import Bytes, digest_row

Array = npt.NDArray[Any]

# Format code and segment of a spec's first 8 bytes, without flags and codec.
_FILE_MASK = np.uint64(0xFFFFFFFF000000FF)


class SampleReader:
    """Reads samples of fixed shape. Thread-safe.

    ``verify``: compare the CRC32C of each sample with its spec's.
    """

    def __init__(self, locations: Locations, files: MappedFiles, *, verify: bool = True) -> None:
        self._locations = locations
        self._files = files
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

    def _view(
        self, spec: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int
    ) -> Array | None:
        _, _, codec, _, offset, length, row, crc, _ = unpack_one(spec)
        if codec != CODEC_RAW:
            raise InvalidRequest(
                "this sample is stored compressed and can be read, but not viewed",
                code="not-viewable",
            )
        if nbytes == 0:
            return _frozen(np.empty(shape, dtype))
        start = offset + row * nbytes
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
        files = specs.view("<u8")[:, 0] & _FILE_MASK
        if (files == files[0]).all():
            self._read_file(digests, specs, nbytes, out, None)
            return
        # Positions sorted by file, and in their order within each, so that every file is read once.
        order = np.argsort(files, kind="stable")
        borders = np.flatnonzero(np.diff(files[order])) + 1
        for positions in np.split(order, borders):
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

    def missing(self, digest: Digest) -> Corrupt:
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


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array
