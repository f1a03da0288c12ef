"""The demo's data: real images that come with scikit-learn.

digits  1,797 handwritten digits, uint8 (8, 8), values 0 .. 16 (UCI ML repository)
labels  which digit each of them is, int64 ()
crops   two photographs of 427 x 640 pixels, cut into overlapping squares, uint8 (64, 64, 3)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hangard.errors import InvalidRequest

CROP_PIXELS = 64
CROP_STEP_PIXELS = 16
COLUMNS_FILE = "columns.json"


@dataclass(frozen=True)
class SourceColumn:
    """Samples of one column; ``rows`` (n, *sample shape), ``names`` n distinct texts."""

    name: str
    backend: str
    names: list[str]
    rows: npt.NDArray[Any]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return tuple(self.rows.shape[1:])

    def keys(self, run: int) -> list[str]:
        """The keys of one run of the demo: a later run adds samples, it replaces none."""
        return [f"run-{run}/{name}" for name in self.names]

    def part(self, number: int, of: int) -> SourceColumn:
        """The ``number``-th of ``of`` nearly equal pieces, counted from 0."""
        start = len(self.rows) * number // of
        end = len(self.rows) * (number + 1) // of
        return SourceColumn(self.name, self.backend, self.names[start:end], self.rows[start:end])


def load_columns() -> list[SourceColumn]:
    """All columns of the demo. Errors: InvalidRequest (``demo-extra-missing``)."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise InvalidRequest(
            "the demo's images come with scikit-learn: pip install 'hangard[demo]'",
            code="demo-extra-missing",
        ) from error
    digits = datasets.load_digits()
    names = [f"digit-{number:04}" for number in range(len(digits.images))]
    crop_names: list[str] = []
    crops: list[npt.NDArray[np.uint8]] = []
    photographs = datasets.load_sample_images()
    for path, image in zip(photographs.filenames, photographs.images, strict=True):
        title = str(path).rsplit("/", 1)[-1].split(".")[0]
        for top, left, crop in cut(image):
            crop_names.append(f"{title}-{top:03}-{left:03}")
            crops.append(crop)
    return [
        SourceColumn("digits", "numpy", names, digits.images.astype(np.uint8)),
        SourceColumn("labels", "numpy", names, digits.target.astype(np.int64)),
        SourceColumn("crops", "hdf5", crop_names, np.stack(crops)),
    ]


def save_columns(columns: list[SourceColumn], folder: Path) -> None:
    """Put columns into files, so that the writers need not import scikit-learn, each for itself."""
    for column in columns:
        np.save(folder / f"{column.name}.npy", column.rows)
    facts = {column.name: [column.backend, column.names] for column in columns}
    (folder / COLUMNS_FILE).write_text(json.dumps(facts))


def saved_columns(folder: Path) -> list[SourceColumn]:
    """The columns that ``save_columns`` left in a folder; rows are mapped, not read."""
    facts = json.loads((folder / COLUMNS_FILE).read_text())
    return [
        SourceColumn(name, backend, names, np.load(folder / f"{name}.npy", mmap_mode="r"))
        for name, (backend, names) in facts.items()
    ]


def cut(image: npt.NDArray[np.uint8]) -> list[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Squares of CROP_PIXELS, one every CROP_STEP_PIXELS, with their top and left pixel."""
    height, width = image.shape[:2]
    return [
        (top, left, image[top : top + CROP_PIXELS, left : left + CROP_PIXELS])
        for top in range(0, height - CROP_PIXELS + 1, CROP_STEP_PIXELS)
        for left in range(0, width - CROP_PIXELS + 1, CROP_STEP_PIXELS)
    ]
