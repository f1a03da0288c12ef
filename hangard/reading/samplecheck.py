"""Samples' bytes against their digests and checksums.

The digests of a walk are taken in blocks; those of a block are read in the order in which they lie
in their files, so that a large repository is read front to back a few times, not at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_many
from hangard_ext.digest import digest_many
from hangard_ext.recordspec import unpack_many
from hangard_ext.table import Table

from hangard.encoding.samples import ragged_key, sample_key
from hangard.errors import Corrupt, NotFound
from hangard.limits import MIB
from hangard.reading.digestset import DigestSet
from hangard.reading.locations import Locations
from hangard.reading.mapping import MappedFiles
from hangard.reading.reachable import SampleType
from hangard.reading.samples import SampleReader
from hangard.reading.tables import Bytes

BLOCK_ENTRIES = 131_072
READ_BYTES_MAX = 16 * MIB  # decoded at a time

LENGTH_BIT = 1 << 31  # of a spec's shape id: the rest is the length of one dimension

Interned = Callable[[int], tuple[int, ...]]


class SampleCheck:
    """Checks samples; ``bad`` are the digests (as bytes) that failed, and why.

    ``shape`` tells the interned shape with a number; ``purged`` holds what was erased.
    """

    def __init__(
        self,
        locations: Locations,
        files: MappedFiles,
        samples: SampleReader,
        shape: Interned,
        *,
        purged: Table,
    ) -> None:
        self._locations = locations
        self._files = files
        self._samples = samples
        self._shape = shape
        self._purged = purged
        self.bad: dict[bytes, tuple[str, str]] = {}
        self.checked = 0
        self.checked_bytes = 0
        self.purged = 0

    def check(
        self, digests: DigestSet, types: list[SampleType], *, quick: bool
    ) -> Iterator[tuple[int, int]]:
        """Check all; after each piece how many are done, and of how many bytes.

        ``quick``: only whether each has a location.
        """
        for block, numbers in digests.blocks(BLOCK_ENTRIES):
            specs, found = self._locations.find_many(block)
            self._find_unfinished(block, found)
            for i in np.flatnonzero(~found):
                self._missing(block[i].tobytes())
            self.checked += len(block) - int(found.sum())
            if quick:
                self.checked += int(found.sum())
                yield self.checked, self.checked_bytes
                continue
            for number in np.unique(numbers[found]):
                chosen = np.flatnonzero(found & (numbers == number))
                kind = types[number]
                for positions in self._pieces(specs, chosen, kind):
                    self._check_equal(block, specs, positions, kind)
                    yield self.checked, self.checked_bytes

    def _find_unfinished(self, digests: Bytes, found: npt.NDArray[np.bool_]) -> None:
        """Erased samples that a file still has."""
        if not len(self._purged):
            return
        flags = np.zeros(len(digests), np.uint8)
        self._purged.find_many(digests, np.empty((len(digests), 32), np.uint8), flags)
        for i in np.flatnonzero(found & flags.view(np.bool_)):
            self.bad[digests[i].tobytes()] = ("unfinished-purge", "a file still has it")

    def _missing(self, digest: bytes) -> None:
        if self._purged.find(digest) is not None:
            self.purged += 1
        else:
            self.bad[digest] = ("missing-sample", "no file has it")

    def _pieces(
        self, specs: Bytes, chosen: npt.NDArray[Any], kind: SampleType
    ) -> Iterator[tuple[npt.NDArray[Any], tuple[int, ...]]]:
        """Positions of samples that lie in one file and have one shape, and that shape."""
        fields = unpack_many(np.ascontiguousarray(specs[chosen]))
        shapes = fields["shape_id"] if kind.shape is None else np.zeros(len(chosen), np.uint32)
        order = np.lexsort((fields["row"], fields["offset"], shapes, fields["segment"]))
        places = fields["segment"][order].astype(np.uint64) << np.uint64(32) | shapes[order]
        for group in np.split(order, np.flatnonzero(np.diff(places)) + 1):
            shape = self._shape_of(kind, int(shapes[group[0]]))
            step = max(1, READ_BYTES_MAX // max(1, _bytes_of(kind, shape)))
            for begin in range(0, len(group), step):
                yield chosen[group[begin : begin + step]], shape

    def _shape_of(self, kind: SampleType, shape_id: int) -> tuple[int, ...]:
        if kind.shape is not None:
            return kind.shape
        if shape_id & LENGTH_BIT:
            return (shape_id & ~LENGTH_BIT,)
        try:
            return self._shape(shape_id)
        except Corrupt:
            return ()  # its samples will not match their digests

    def _check_equal(
        self,
        digests: Bytes,
        specs: Bytes,
        piece: tuple[npt.NDArray[Any], tuple[int, ...]],
        kind: SampleType,
    ) -> None:
        """Read samples of one file and shape, and compare digests and checksums."""
        positions, shape = piece
        nbytes = _bytes_of(kind, shape)
        names, places = digests[positions], np.ascontiguousarray(specs[positions])
        rows = np.zeros((len(positions), nbytes), np.uint8)
        good = self._read(names, places, nbytes, rows)
        wanted = np.empty((len(positions), 32), np.uint8)
        if kind.shape is None:
            key = ragged_key(kind.kind, kind.dtype, shape)
        else:
            key = sample_key(kind.kind, kind.dtype, shape)
        digest_many(key, rows, nbytes, wanted)
        for i in np.flatnonzero(good & (wanted != names).any(axis=1)):
            self.bad[names[i].tobytes()] = ("damaged-sample", "its digest is another")
        self.checked += len(positions)
        self.checked_bytes += rows.nbytes

    def _read(self, names: Bytes, places: Bytes, nbytes: int, rows: Bytes) -> npt.NDArray[np.bool_]:
        """Fill ``rows``; which could be read. What fails is tried again where it lies now."""
        good = np.ones(len(places), np.bool_)
        left = np.arange(len(places))
        try:
            mapped = self._files.of(places[0].tobytes())
            mapped = self._files.longer(places[0].tobytes(), mapped) or mapped
        except (FileNotFoundError, Corrupt):
            mapped = None
        while len(left):
            bad = 0 if mapped is None else read_many(mapped, places, nbytes, rows, left)
            if bad < 0:
                break
            bad = left[0] if mapped is None else bad
            try:
                digest = names[bad].tobytes()
                self._samples.read_again(digest, nbytes, rows[bad])
            except (Corrupt, NotFound) as error:
                good[bad] = False
                if self._purged.find(digest) is not None:
                    self.purged += 1
                else:
                    self.bad[digest] = (error.code, str(error))
            left = left[left > bad]
        return good


def _bytes_of(kind: SampleType, shape: tuple[int, ...]) -> int:
    return prod(shape) * np.dtype(kind.dtype or "|u1").itemsize
