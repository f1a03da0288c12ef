"""What an import reads: a known number of samples of one kind, given in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hangard.model.schema import Kind

BATCH_BYTES = 4 * 1024 * 1024

Keys: TypeAlias = range | list[str] | list[tuple[str, str]]
Batch: TypeAlias = tuple[Keys, npt.NDArray[Any] | list[Any]]

TEXT_DTYPE = np.dtype("u1")  # of samples that are no arrays


@dataclass(frozen=True)
class SampleKind:
    """What every sample of an import looks like; it decides the schema of a new column.

    ``shape`` is the bound of each dimension with ``variable_shape``; text and bytes have none.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    variable_shape: bool = False
    kind: Kind = "ndarray"

    @property
    def batch_samples(self) -> int:
        """Samples in a batch of about BATCH_BYTES."""
        sample_bytes = self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))
        return max(1, BATCH_BYTES // max(1, sample_bytes))


class Samples(Protocol):
    """Samples of one file or folder."""

    kind: SampleKind
    total: int

    def batches(self) -> Iterator[Batch]:
        """(keys, rows of shape (n, *kind.shape)), each sample once; a list of samples that differ
        in shape, of texts or of bytes. Memory is bounded."""
        ...

    def close(self) -> None:
        """Close what was opened; may be called several times."""
        ...


def ranges(total: int, step: int) -> Iterator[range]:
    """0 .. total - 1 in stretches of at most ``step``."""
    for start in range(0, total, step):
        yield range(start, min(start + step, total))


def listed(names: Sequence[str], shown: int = 10) -> str:
    """Names for a message, the first few."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
