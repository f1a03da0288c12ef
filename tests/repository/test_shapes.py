"""Interned shapes: numbers that are durable before anything names them, and never change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hangard_ext.recordspec import SHAPE_IS_LENGTH

from hangard.db.environment import WritableEnvironment, create_directory
from hangard.db.writer import Writer
from hangard.errors import InvalidRequest, NoSpace
from hangard.repository import shapes as module
from hangard.repository.shapes import ShapeTable


class Place:
    """A database, opened as often as asked."""

    def __init__(self, path: Path) -> None:
        create_directory(path)
        self.env = WritableEnvironment(path)
        self.writer = Writer(self.env)

    def table(self) -> ShapeTable:
        return ShapeTable(self.env, self.writer)

    def close(self) -> None:
        self.writer.close()
        self.env.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def sizes(*shapes: tuple[int, ...]) -> np.ndarray:
    return np.array(shapes, np.uint64)


def test_a_length_stands_in_the_id_and_no_dimensions_are_zero(place: Place) -> None:
    table = place.table()
    ids = table.ids_of(sizes((0,), (5,), (2**30,)))
    assert (ids ^ np.uint32(SHAPE_IS_LENGTH)).tolist() == [0, 5, 2**30]
    assert table.ids_of(np.empty((3, 0), np.uint64)).tolist() == [0, 0, 0]
    assert table.ids_of(np.empty((0, 2), np.uint64)).tolist() == []
    with place.env.read() as tables:
        assert list(tables.shapes()) == []


def test_equal_shapes_have_one_number_for_ever(place: Place) -> None:
    ids = place.table().ids_of(sizes((3, 4), (1, 2), (3, 4), (0, 2**40)))
    assert ids[0] == ids[2]
    assert len(set(ids.tolist())) == 3
    assert 0 not in ids
    with place.env.read() as tables:
        known = dict(tables.shapes())
    assert [known[i] for i in ids.tolist()] == [(3, 4), (1, 2), (3, 4), (0, 2**40)]
    again = place.table()
    assert again.ids_of(sizes((1, 2), (3, 4))).tolist() == [ids[1], ids[0]]
    assert again.ids_of(sizes((1, 2, 3))).tolist() == [4]


def test_a_shape_that_could_not_be_written_has_no_number(place: Place) -> None:
    table = place.table()
    table.ids_of(sizes((1, 1)))

    def full(operations: object) -> None:
        raise NoSpace("the disk is full", code="disk-full")

    place.writer._before_group = full
    with pytest.raises(NoSpace):
        table.ids_of(sizes((1, 1), (2, 2)))
    place.writer._before_group = None
    assert table.ids_of(sizes((3, 3), (1, 1))).tolist() == [2, 1]


def test_there_is_a_bound(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHAPES_INTERNED_MAX", 3)
    table = place.table()
    table.ids_of(sizes((1, 1), (2, 2)))
    with pytest.raises(InvalidRequest) as caught:
        table.ids_of(sizes((1, 1), (2, 2), (3, 3), (4, 4)))
    assert caught.value.code == "too-many-shapes"
    assert table.ids_of(sizes((2, 2))).tolist() == [2]
