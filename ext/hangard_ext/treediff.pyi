from collections.abc import Callable
from typing import Self, final

import numpy as np
import numpy.typing as npt

@final
class TreeDiff:
    def __new__(
        cls,
        get: Callable[[bytes], bytes],
        root_a: bytes,
        root_b: bytes,
        block_entries: int = 4096,
    ) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(
        self,
    ) -> tuple[bytes, npt.NDArray[np.uint32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...

def children_apart(a: list[bytes], b: list[bytes]) -> tuple[list[bytes], bytes]: ...
