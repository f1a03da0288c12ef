from collections.abc import Iterable
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

RUN_MAGIC: Final[bytes]
RUN_FOOTER_MAGIC: Final[bytes]
RUN_VERSION: Final[int]

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
