"""Samples' bytes against their digests and checksums.

The digests of a walk are taken in blocks; those of a block are read in the order in which they lie
in their files, so that a large repository is read front to back a few times, not at random.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from hangard_ext.codec import read_many
from hangard_ext.recordspec import unpack_many
from hangard_ext.table import Table

from hangard.encoding.samples import digest_rows
from hangard.errors import Corrupt, HangardError, NotFound
from hangard.limits import MIB
from hangard.model.ragged import RaggedRows
from hangard.model.schema import Schema
from hangard.reading.digestset import DigestSet
from hangard.reading.locations import Locations
from hangard.reading.mapping import MappedFiles
from hangard.reading.samples import SampleReader
from hangard.reading.tables import Bytes

BLOCK_ENTRIES = 131_072
READ_BYTES_MAX = 16 * MIB  # decoded at a time

Positions = npt.NDArray[np.int64]


class SampleCheck:
    """Checks samples; ``bad`` are the digests (as bytes) that failed, and why.

    ``purged`` holds what was erased.
    """

    def __init__(
        self, locations: Locations, files: MappedFiles, samples: SampleReader, purged: Table
    ) -> None:
        self._locations = locations
        self._files = files
        self._samples = samples
        self._purged = purged
        self.bad: dict[bytes, tuple[str, str]] = {}
        self.checked = 0
        self.checked_bytes = 0
        self.purged = 0

    def check(
        self, digests: DigestSet, types: list[Schema], *, quick: bool
    ) -> Iterator[tuple[int, int]]:
        """Check all; after each piece how many are done, and of how many bytes.

        ``types`` has at each number of ``digests`` a schema that fits the sample; ``quick``: look
        only whether each has a location.
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
                yield from self._check_type(block, specs, chosen, types[number])

    def _check_type(
        self, digests: Bytes, specs: Bytes, chosen: Positions, schema: Schema
    ) -> Iterator[tuple[int, int]]:
        """Check the samples at some positions, which have one schema, file by file."""
        fields = unpack_many(np.ascontiguousarray(specs[chosen]))
        order = np.lexsort((fields["row"], fields["offset"], fields["segment"]))
        borders = np.flatnonzero(np.diff(fields["segment"][order])) + 1
        for group in np.split(chosen[order], borders):
            names = np.ascontiguousarray(digests[group])
            places = np.ascontiguousarray(specs[group])
            if schema.variable_shape:
                self._check_ragged(names, schema)
            else:
                self._check_fixed(names, places, schema)
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

    def _failed(self, digest: bytes, error: HangardError) -> None:
        if self._purged.find(digest) is not None:
            self.purged += 1
        else:
            self.bad[digest] = (error.code, str(error))

    def _compare(
        self, digests: Bytes, schema: Schema, rows: Bytes | RaggedRows, good: npt.NDArray[np.bool_]
    ) -> None:
        """The bytes that were read against their digests."""
        wrong = good & (digest_rows(schema, rows, len(digests)) != digests).any(axis=1)
        for i in np.flatnonzero(wrong):
            self.bad[digests[i].tobytes()] = ("damaged-sample", "its digest is another")
        self.checked += len(digests)
        self.checked_bytes += rows.nbytes

    def _check_fixed(self, digests: Bytes, specs: Bytes, schema: Schema) -> None:
        """Samples of one file and one shape."""
        step = max(1, READ_BYTES_MAX // max(1, schema.sample_bytes))
        for begin in range(0, len(digests), step):
            names = digests[begin : begin + step]
            rows = np.zeros((len(names), schema.sample_bytes), np.uint8)
            good = self._read(names, specs[begin : begin + step], rows)
            self._compare(names, schema, rows, good)

    def _read(self, digests: Bytes, specs: Bytes, rows: Bytes) -> npt.NDArray[np.bool_]:
        """Fill ``rows``; which could be read. What fails is tried again where it lies now."""
        nbytes = rows.shape[1]
        good = np.ones(len(specs), np.bool_)
        left = np.arange(len(specs))
        try:
            mapped = self._files.of(specs[0].tobytes())
            mapped = self._files.longer(specs[0].tobytes(), mapped) or mapped
        except (FileNotFoundError, Corrupt):
            mapped = None
        while len(left):
            bad = int(left[0])
            if mapped is not None:
                bad = read_many(mapped, specs, nbytes, rows, left)
                if bad < 0:
                    break
            try:
                self._samples.read_again(digests[bad].tobytes(), nbytes, rows[bad])
            except (Corrupt, NotFound) as error:
                good[bad] = False
                self._failed(digests[bad].tobytes(), error)
            left = left[left > bad]
        return good

    def _check_ragged(self, digests: Bytes, schema: Schema) -> None:
        """Samples of any shapes, of text or of bytes."""
        try:
            sizes = self._samples.sizes_of(schema, digests)
        except (Corrupt, NotFound):
            sizes = [READ_BYTES_MAX] * len(digests)  # one by one
        begin = 0
        while begin < len(digests):
            end, total = begin + 1, sizes[begin]
            while end < len(digests) and total + sizes[end] <= READ_BYTES_MAX:
                total += sizes[end]
                end += 1
            self._check_rows(digests[begin:end], schema)
            begin = end

    def _check_rows(self, digests: Bytes, schema: Schema) -> None:
        try:
            rows = self._samples.read_rows(schema, digests)
        except (Corrupt, NotFound) as error:
            if len(digests) == 1:
                self.checked += 1
                self._failed(digests[0].tobytes(), error)
                return
            half = len(digests) // 2
            self._check_rows(digests[:half], schema)
            self._check_rows(digests[half:], schema)
            return
        self._compare(digests, schema, rows, np.ones(len(digests), np.bool_))
