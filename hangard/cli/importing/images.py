"""A folder of images as samples: the key is the path below the folder, with its suffix.

Pixels are stored as they are: grey (h, w), grey with alpha (h, w, 2), RGB (h, w, 3), RGBA
(h, w, 4), 16-bit and float grey (h, w), bilevel as bool. Palettes and other colour spaces become
RGB or RGBA. An orientation that a camera noted beside the pixels is not applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hangard.cli.importing.files import files_below
from hangard.cli.importing.samples import Batch, SampleKind, ranges
from hangard.errors import InvalidRequest

MODES_KEPT = {"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B"}


class Images:
    """Images below a folder, or one image file. Where their sizes differ, so do the shapes of the
    samples."""

    def __init__(self, path: Path) -> None:
        """Look into the head of every file.

        Errors: InvalidRequest (``no-rows``, ``damaged-import``; ``images-differ`` where some have
        other pixels than others).
        """
        self._folder = path if path.is_dir() else path.parent
        self._files = image_files(path) if path.is_dir() else [path]
        if not self._files:
            raise InvalidRequest(f"there is no image in {path}", code="no-rows")
        kinds = [image_kind(file) for file in self._files]
        dtype, first = kinds[0]
        for file, (other, shape) in zip(self._files, kinds, strict=True):
            if other != dtype or shape[2:] != first[2:]:
                raise InvalidRequest(
                    f"{file} is {other} {shape}, but {self._files[0]} is {dtype} {first}; a column"
                    " holds images of one mode, so bring them to one, or import them into"
                    " different columns",
                    code="images-differ",
                )
        shapes = {shape for _, shape in kinds}
        bound = tuple(map(max, zip(*shapes, strict=True)))
        self.kind = SampleKind(dtype, bound, variable_shape=len(shapes) > 1)
        self.total = len(self._files)

    @property
    def paths(self) -> list[str]:
        """All keys: the files' paths below the folder."""
        return [file.relative_to(self._folder).as_posix() for file in self._files]

    def batches(self) -> Iterator[Batch]:
        for stretch in ranges(self.total, self.kind.batch_samples):
            files = self._files[stretch.start : stretch.stop]
            images = [read_image(file) for file in files]
            keys = [file.relative_to(self._folder).as_posix() for file in files]
            yield keys, images if self.kind.variable_shape else np.stack(images)

    def close(self) -> None:
        """Nothing is open between two batches."""


def image_files(folder: Path) -> list[Path]:
    """Image files below a folder, in the order of their paths; hidden ones are left out."""
    suffixes = set(Image.registered_extensions())
    return [file for file in files_below(folder) if file.suffix.lower() in suffixes]


def is_image(path: Path) -> bool:
    """Whether the suffix is that of an image format."""
    return path.suffix.lower() in Image.registered_extensions()


def image_kind(path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The dtype and shape that ``read_image`` gives, from the file's head.

    Errors: InvalidRequest (``damaged-import``).
    """
    with _opened(path) as image:
        probe = Image.new(_mode_read(image), (1, 1))
        pixel = np.asarray(probe)
        height, width = image.size[1], image.size[0]
        return pixel.dtype, (height, width, *pixel.shape[2:])


def read_image(path: Path) -> npt.NDArray[Any]:
    """The pixels of an image file; of an animation its first frame.

    Errors: InvalidRequest (``damaged-import``).
    """
    with _opened(path) as image:
        mode = _mode_read(image)
        return np.asarray(image if mode == image.mode else image.convert(mode))


def _mode_read(image: Image.Image) -> str:
    """The mode in which an image is read."""
    if image.mode in MODES_KEPT:
        return image.mode
    alpha = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    return "RGBA" if alpha else "RGB"


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(
            f"{path} cannot be read as an image: {error}", code="damaged-import"
        ) from error
