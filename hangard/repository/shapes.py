"""Shapes of samples of variable shape, as the 32-bit ids that specs carry.

A 1-D length stands in the id itself. Any other shape gets a number in LMDB, and that is durable
before a spec names it: whatever survives a crash of the index or is read from ``.rows`` files can
be read as arrays.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hangard_ext.recordspec import SHAPE_IS_LENGTH

from hangard.db.environment import WritableEnvironment
from hangard.db.tables import WriteTables
from hangard.db.writer import Writer
from hangard.errors import InvalidRequest

Shape = tuple[int, ...]

# The table of all shapes is in memory, at about 150 bytes each.
SHAPES_INTERNED_MAX = 1 << 22


class ShapeTable:
    """The interned shapes of a repository. Thread-safe."""

    def __init__(self, env: WritableEnvironment, writer: Writer) -> None:
        with env.read() as tables:
            self._numbers = {shape: number for number, shape in tables.shapes()}
        self._writer = writer
        self._lock = threading.Lock()

    def ids_of(self, shapes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
        """Shape ids (n,) of shapes (n, d); new ones are durable when this returns.

        Errors: InvalidRequest (``too-many-shapes``), NoSpace.
        """
        n, dimensions = shapes.shape
        if dimensions == 0:
            return np.zeros(n, np.uint32)
        if dimensions == 1:
            return shapes[:, 0].astype(np.uint32) | np.uint32(SHAPE_IS_LENGTH)
        distinct, inverse = np.unique(shapes, axis=0, return_inverse=True)
        wanted = [tuple(row) for row in distinct.tolist()]
        numbers = self._numbers
        if any(shape not in numbers for shape in wanted):
            self._intern(wanted)
        ids = np.array([numbers[shape] for shape in wanted], np.uint32)
        return np.ascontiguousarray(ids[inverse.reshape(-1)])

    def _intern(self, shapes: list[Shape]) -> None:
        with self._lock:
            new = [shape for shape in shapes if shape not in self._numbers]
            first = len(self._numbers) + 1
            if first + len(new) > SHAPES_INTERNED_MAX:
                raise InvalidRequest(
                    f"a repository holds samples of at most {SHAPES_INTERNED_MAX} different shapes",
                    code="too-many-shapes",
                )
            # Numbers have no gaps: only this lock gives them, one transaction after the other.
            numbered = {shape: first + i for i, shape in enumerate(new)}
            self._writer.run(InternShapes(numbered))
            self._numbers.update(numbered)


@dataclass(frozen=True, slots=True)
class InternShapes:
    """Give shapes their numbers."""

    numbered: dict[Shape, int]

    def check(self, tables: WriteTables) -> None:
        """Always possible."""

    def apply(self, tables: WriteTables) -> None:
        for shape, number in self.numbered.items():
            tables.put_shape(number, shape)
