from collections.abc import Iterable, Iterator
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

RUN_MAGIC: Final[bytes]
RUN_FOOTER_MAGIC: Final[bytes]
RUN_VERSION: Final[int]
RUN_ENTRIES_MAX: Final[int]
RUNS_MERGED_MAX: Final[int]

@final
class Run:
    number: int
    sequence: int
    def __new__(cls, buffer: Buffer) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def find_many(
        self,
        digests: npt.NDArray[np.uint8],
        out_specs: npt.NDArray[np.uint8],
        out_found: npt.NDArray[np.uint8],
    ) -> int: ...
    def items(
        self, start: int = 0, n: int | None = None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...
    def verify(self) -> None: ...

@final
class Runs:
    runs: tuple[Run, ...]
    def __new__(cls, runs: Iterable[Run]) -> Self: ...
    def __len__(self) -> int: ...
    def find_many(
        self,
        digests: npt.NDArray[np.uint8],
        out_specs: npt.NDArray[np.uint8],
        out_found: npt.NDArray[np.uint8],
    ) -> int: ...
    def find(self, digest: bytes) -> bytes | None: ...

@final
class RunWriter:
    number: int
    sequence: int
    entries: int
    def __new__(cls, number: int, sequence: int, entries_max: int) -> Self: ...
    def add(self, digests: npt.NDArray[np.uint8], specs: npt.NDArray[np.uint8]) -> bytes: ...
    def finish(self) -> bytes: ...

@final
class Merger:
    def __new__(cls, runs: tuple[Run, ...]) -> Self: ...
    def read(self, n: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...

def sort_entries(
    digests: npt.NDArray[np.uint8], specs: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...
def encode_run(
    digests: npt.NDArray[np.uint8],
    specs: npt.NDArray[np.uint8],
    number: int = 0,
    sequence: int = 0,
) -> bytes: ...
def merge_runs(runs: Iterable[Run], number: int = 0) -> Iterator[bytes]: ...
