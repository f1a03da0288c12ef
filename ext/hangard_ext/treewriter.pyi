from typing import Self, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from hangard_ext.treenode import Node

@final
class NodeWriter:
    def __new__(cls, level: int) -> Self: ...
    @property
    def level(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def finished_bytes(self) -> int: ...
    def add(
        self,
        blob: Buffer,
        ends: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.uint8],
        begin: int = 0,
        finished_bytes_max: int = ...,
    ) -> int: ...
    def merge(
        self,
        node: Node,
        blob: Buffer,
        ends: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.uint8],
        begin: int,
        is_last: bool,
    ) -> int: ...
    def finish(self) -> None: ...
    def take(
        self,
    ) -> tuple[
        bytes,
        npt.NDArray[np.uint64],
        bytes,
        npt.NDArray[np.uint32],
        npt.NDArray[np.uint64],
    ]: ...
