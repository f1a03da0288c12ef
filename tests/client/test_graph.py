"""The lines beside a log."""

from __future__ import annotations

import pytest
from hangard_client.graph import draw


def picture(*commits, **settings):
    lines = []
    rows = draw(
        ((name.encode(), tuple(map(str.encode, parents))) for name, parents in commits), **settings
    )
    for (name, _), row in zip(commits, rows, strict=True):
        lines += [f"{row.mark} {name}", *row.below]
    return lines


def test_a_straight_history_is_one_line():
    assert picture(("c", "b"), ("b", "a"), ("a", "")) == ["* c", "* b", "* a"]


def test_two_branches_join_at_their_fork():
    assert picture(("d", "b"), ("c", "b"), ("b", "a"), ("a", "")) == [
        "* d",
        "| * c",
        "|/",
        "* b",
        "* a",
    ]


def test_a_merge_opens_a_line_for_its_second_parent():
    assert picture(("m", "xy"), ("y", "a"), ("x", "a"), ("a", "")) == [
        "* m",
        "|\\",
        "| * y",
        "* | x",
        "|/",
        "* a",
    ]


def test_lines_move_aside_for_a_merge_and_cross_to_their_fork():
    assert picture(("x", "r"), ("m", "ab"), ("c", "a"), ("b", "r"), ("a", "r"), ("r", "")) == [
        "* x",
        "| * m",
        "| |\\",
        "| | | * c",
        "| | |/",
        "| |/|",
        "| | * b",
        "| |/",
        "|/|",
        "| * a",
        "|/",
        "* r",
    ]


def test_a_merge_of_what_others_wait_for_joins_them():
    assert picture(("m", "ab"), ("n", "ba"), ("a", "r"), ("b", "r"), ("r", "")) == [
        "* m",
        "|\\",
        "| | * n",
        "| | |\\",
        "| |/ /",
        "| |/",
        "|/|",
        "* | a",
        "| * b",
        "|/",
        "* r",
    ]


def test_three_parents_open_two_lines():
    assert picture(("o", "abc"), ("c", "r"), ("b", "r"), ("a", "r"), ("r", ""))[:3] == [
        "* o",
        "|\\",
        "| |\\",
    ]


def test_a_line_that_ends_lets_the_others_move_up():
    assert picture(("x", "1"), ("y", "2"), ("1", ""), ("2", "")) == [
        "* x",
        "| * y",
        "* | 1",
        " /",
        "* 2",
    ]


@pytest.mark.parametrize("parents", ["", "a"])
def test_the_margin_goes_on_where_the_line_does(parents):
    (row,) = draw([(b"x", tuple(map(str.encode, parents)))])
    assert row.margin == ("|" if parents else "")


def test_each_line_has_a_colour_of_its_own():
    def paint(character, number):
        return character if character == " " else f"{character}{number}"

    assert picture(("m", "xy"), ("y", "a"), ("x", "a"), ("a", ""), paint=paint) == [
        "*0 m",
        "|0\\1",
        "|0 *1 y",
        "*0 |1 x",
        "|0/1",
        "*0 a",
    ]
