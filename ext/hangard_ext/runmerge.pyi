from collections.abc import Iterable, Iterator
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

from hangard_ext.runs import Run

RUNS_MERGED_MAX: Final[int]

@final
class Merger:
    def __new__(cls, runs: tuple[Run, ...]) -> Self: ...
    def read(self, n: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...

def merge_runs(runs: Iterable[Run], number: int = 0) -> Iterator[bytes]: ...
