from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

RUN_ENTRIES_MAX: Final[int]

@final
class RunWriter:
    number: int
    sequence: int
    entries: int
    def __new__(cls, number: int, sequence: int, entries_max: int) -> Self: ...
    def add(self, digests: npt.NDArray[np.uint8], specs: npt.NDArray[np.uint8]) -> bytes: ...
    def finish(self) -> bytes: ...

def sort_entries(
    digests: npt.NDArray[np.uint8], specs: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...
def encode_run(
    digests: npt.NDArray[np.uint8],
    specs: npt.NDArray[np.uint8],
    number: int = 0,
    sequence: int = 0,
) -> bytes: ...
