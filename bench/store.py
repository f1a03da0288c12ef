"""A repository of its own for a bench, with its own daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hangard_client
import numpy as np
import numpy.typing as npt

from bench.data import IMAGE_SHAPE

USER_NAME = "bench"
USER_EMAIL = "bench@localhost"
IDLE_S = 600.0  # a daemon whose bench was killed does not stay for ever

Images = npt.NDArray[np.uint8]


@contextmanager
def open_store(path: Path) -> Iterator[hangard_client.Repository]:
    """A new repository at ``path``; its daemon runs when this begins and has ended afterwards."""
    repository = hangard_client.Repository(
        path, create=True, idle_s=IDLE_S, user_name=USER_NAME, user_email=USER_EMAIL
    )
    try:
        repository.status()
        yield repository
    finally:
        repository.stop()
        repository.close()


def add_column(repository: hangard_client.Repository, name: str, backend: str) -> None:
    """Commit an empty column for images."""
    with repository.checkout("main", write=True) as checkout:
        checkout.add_ndarray_column(name, shape=IMAGE_SHAPE, dtype="uint8", backend=backend)
        checkout.commit(f"column {name}")


def fill_column(
    repository: hangard_client.Repository, name: str, backend: str, images: Images
) -> None:
    """Commit a column that holds images under their numbers."""
    with repository.checkout("main", write=True) as checkout:
        column = checkout.add_ndarray_column(
            name, shape=IMAGE_SHAPE, dtype="uint8", backend=backend
        )
        column.put_many(range(len(images)), images)
        checkout.commit(f"column {name}")


def check_column(
    repository: hangard_client.Repository, name: str, keys: Any, images: Images
) -> None:
    """A bench that measured how fast something wrong is would be worth nothing."""
    with repository.checkout("main") as checkout:
        found = checkout[name].get_many(keys)
    assert np.array_equal(found, images), f"column {name} does not hold what was put into it"
