"""The lines beside a log."""

from __future__ import annotations

from hangard_client.graph import draw


def picture(*commits):
    lines = []
    for (name, _), (row, below) in zip(
        commits,
        draw((name.encode(), tuple(map(str.encode, parents))) for name, parents in commits),
        strict=True,
    ):
        lines += [f"{row} {name}", *below]
    return lines


def test_a_straight_history_is_one_line():
    assert picture(("c", "b"), ("b", "a"), ("a", "")) == ["* c", "* b", "* a"]


def test_two_branches_join_at_their_fork():
    assert picture(("d", "b"), ("c", "b"), ("b", "a"), ("a", "")) == [
        "* d",
        "| * c",
        "* | b",
        "| /",
        "* a",
    ]


def test_a_merge_opens_a_line():
    assert picture(("m", "xy"), ("x", "a"), ("y", "a"), ("a", "")) == [
        "* m",
        "| \\",
        "* | x",
        "| * y",
        "* | a",
        "| /",
    ]
