"""A folder of images as samples: the key is the path below the folder, with its suffix.

Pixels are stored as they are: grey (h, w), grey with alpha (h, w, 2), RGB (h, w, 3), RGBA
(h, w, 4), 16-bit and float grey (h, w), bilevel as bool. Palettes and other colour spaces become
RGB or RGBA. An orientation that a camera noted beside the pixels is not applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hangard.cli.importing.samples import Batch, SampleKind, ranges
from hangard.errors import InvalidRequest

MODES_KEPT = {"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B"}


class Images:
    """Images of one shape below a folder, or one image file."""

    def __init__(self, path: Path) -> None:
        self._folder = path if path.is_dir() else path.parent
        self._files = image_files(path) if path.is_dir() else [path]
        if not self._files:
            raise InvalidRequest(f"there is no image in {path}", code="no-rows")
        first = read_image(self._files[0])
        self.kind = SampleKind(first.dtype, first.shape)
        self.total = len(self._files)

    def batches(self) -> Iterator[Batch]:
        for stretch in ranges(self.total, self.kind.batch_samples):
            files = self._files[stretch.start : stretch.stop]
            rows = np.empty((len(files), *self.kind.shape), self.kind.dtype)
            for row, file in zip(rows, files, strict=True):
                row[...] = self._same(file)
            yield [file.relative_to(self._folder).as_posix() for file in files], rows

    def close(self) -> None:
        """Nothing is open between two batches."""

    def _same(self, file: Path) -> npt.NDArray[Any]:
        image = read_image(file)
        if image.shape != self.kind.shape or image.dtype != self.kind.dtype:
            raise InvalidRequest(
                f"{file} is {image.dtype} {image.shape}, but {self._files[0]} is {self.kind.dtype}"
                f" {self.kind.shape}; a column holds images of one shape, so bring them to one"
                " size and mode, or import them into different columns",
                code="images-differ",
            )
        return image


def image_files(folder: Path) -> list[Path]:
    """Image files below a folder, in the order of their paths; hidden ones are left out."""
    suffixes = set(Image.registered_extensions())
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in suffixes
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def is_image(path: Path) -> bool:
    """Whether the suffix is that of an image format."""
    return path.suffix.lower() in Image.registered_extensions()


def read_image(path: Path) -> npt.NDArray[Any]:
    """The pixels of an image file; of an animation its first frame.

    Errors: InvalidRequest (``damaged-import``).
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode in MODES_KEPT:
                return np.asarray(image)
            alpha = "transparency" in image.info or mode in ("PA", "La", "RGBa")
            return np.asarray(image.convert("RGBA" if alpha else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(
            f"{path} cannot be read as an image: {error}", code="damaged-import"
        ) from error
