"""Inputs that resemble real ones where it matters: compressible images, all different."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IMAGE_SHAPE = (28, 28)
IMAGE_BYTES = 784
TEMPLATES = 256


def images(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Grey images (count, 28, 28), four fifths black as scanned digits are; no two are equal.

    Real ones are not at hand offline in such numbers. In blocks of 2 KiB, as segments hold them,
    LZ4 compresses these 2.5 to 1, in blocks of 16 KiB and more 2.9 to 1.
    """
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(TEMPLATES, 7, 7))
    smooth = coarse.repeat(4, axis=1).repeat(4, axis=2)
    for axis in (1, 2):
        smooth = (smooth + np.roll(smooth, 1, axis) + np.roll(smooth, 2, axis)) / 3
    level = np.quantile(smooth, 0.8)
    templates = np.clip((smooth - level) * 500, 0, 255).astype(np.uint8)
    chosen = templates[random.integers(0, TEMPLATES, count)]
    grain = random.integers(0, 8, chosen.shape, dtype=np.uint8)
    result: npt.NDArray[np.uint8] = np.where(chosen > 0, chosen | grain, 0).astype(np.uint8)
    # A serial number makes each image one of its kind.
    result[:, 0, :4] = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 4)
    result[:, 0, 4] = seed % 256
    return result


def digests(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Digests (count, 32): uniform bytes, as BLAKE3 gives them."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)
