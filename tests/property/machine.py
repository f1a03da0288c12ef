"""The machine's ground: one repository with its daemon, the model, and how rules choose."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import hangard_client
from hangard_client import UncommittedWarning
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from property import model
from property.columns import plain

FIRST = "main"
BRANCHES = ("main", "dev", "exp/one", "two")
SIDES = st.sampled_from([None, "ours", "theirs"])


class Machine(RuleBasedStateMachine):
    """Rules choose among what is there, by number and not by digest, which differs between runs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hangard-machine-"))
        self.repo: Any = None
        self.model = model.Repository(FIRST)
        self.writers: list[tuple[Any, model.Session]] = []
        self.left: dict[str, model.Session] = {}

    @initialize()
    def open_repository(self) -> None:
        self.repo = hangard_client.Repository(
            self.folder / "repo",
            create=True,
            branch=FIRST,
            idle_s=60,
            user_name="Ada",
            user_email="ada@example.org",
        )

    def teardown(self) -> None:
        if self.repo is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UncommittedWarning)
                self.repo.stop()
                self.repo.close()
        shutil.rmtree(self.folder)

    # Choosing

    def writer(self, data: Any) -> tuple[Any, model.Session]:
        position: int = data.draw(st.integers(0, len(self.writers) - 1), label="writer")
        return self.writers[position]

    def branch(self, data: Any) -> str:
        name: str = data.draw(st.sampled_from(sorted(self.model.branches)), label="branch")
        return name

    def commit(self, data: Any) -> bytes:
        # By age: digests differ from run to run, and with them their order.
        age = data.draw(st.integers(0, len(self.model.commits) - 1), label="commit")
        return list(self.model.commits)[age]

    def column(self, data: Any, session: model.Session) -> str | None:
        names = sorted(session.view())
        return data.draw(st.sampled_from(names), label="column") if names else None

    def added_commit(self, digest: bytes, parents: list[Any], tree: model.Tree, text: str) -> None:
        known = tuple(parent for parent in parents if parent is not None)
        self.model.commits[bytes(digest)] = model.Commit(known, tree, text)

    # What always holds

    @invariant()
    def heads_are_as_the_model_has_them(self) -> None:
        if self.repo is not None:
            assert self.repo.branches() == self.model.branches
            assert self.repo.tags() == self.model.tags

    def compare(self, co: Any, tree: model.Tree) -> None:
        assert self.read(co) == tree

    def read(self, co: Any) -> model.Tree:
        found = {}
        for name in co:
            keys = list(flat_keys(co[name], name))
            assert len(keys) == len(set(keys))
            samples = dict(zip(keys, map(plain, co[name].get_many(keys)), strict=True))
            found[name] = model.Column(co[name].backend, samples)
        return found


def flat_keys(column: Any, name: str) -> Any:
    """All keys of a column, pairs in a nested one."""
    if name != "nested":
        return list(column)
    return [(sample, sub) for sample in column for sub in column[sample]]


def tupled(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key
