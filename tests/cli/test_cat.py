from __future__ import annotations

import numpy as np

from hangard.cli.cat import TEXT_ITEMS_MAX, array_text


def test_every_number_of_a_small_sample_is_printed() -> None:
    text = array_text(np.arange(5000).reshape(50, 100))
    assert text.startswith("# int64 (50, 100)\n")
    assert "..." not in text
    assert "2718" in text


def test_a_large_sample_is_shortened_and_says_how_to_get_all() -> None:
    text = array_text(np.zeros((2, TEXT_ITEMS_MAX), np.uint8))
    assert "--npy writes all 200,000 values" in text
    assert len(text) < 1000
