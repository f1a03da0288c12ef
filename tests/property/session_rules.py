"""Sessions of several clients: what they stage, commit and read."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hangard_client import UncommittedWarning
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from property import model
from property.columns import ADDED, BACKENDS, KEYS, NAMES, plain, values
from property.machine import SIDES, Machine, flat_keys, tupled

from hangard.errors import (
    AlreadyExists,
    Conflict,
    NothingStaged,
    UnknownColumn,
    UnknownKey,
    UnknownRevision,
)

SESSIONS_OPEN_MAX = 3


class SessionRules(Machine):
    """Everything that goes through a write checkout."""

    # Sessions

    @precondition(lambda self: len(self.writers) < SESSIONS_OPEN_MAX)
    @rule(data=st.data())
    def open_session(self, data: Any) -> None:
        name = self.branch(data)
        co = self.repo.checkout(name, write=True)
        head = self.model.branches[name]
        assert co.commit_digest == head
        self.writers.append((co, model.Session(name, head, self.model.tree(head))))

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def leave_session(self, data: Any) -> None:
        co, session = self.writer(data)
        self.writers.remove((co, session))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            co.close()
        if session.changed_columns:
            assert [warning.category for warning in told] == [UncommittedWarning]
            self.left[co.session] = session

    @precondition(lambda self: self.left and len(self.writers) < SESSIONS_OPEN_MAX)
    @rule(data=st.data())
    def resume_session(self, data: Any) -> None:
        identity = list(self.left)[data.draw(st.integers(0, len(self.left) - 1), label="left")]
        self.writers.append((self.repo.checkout(session=identity), self.left.pop(identity)))

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def abort_session(self, data: Any) -> None:
        co, session = self.writer(data)
        self.writers.remove((co, session))
        co.abort()
        assert co.session not in {info.id for info in self.repo.sessions()}

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def reset_session(self, data: Any) -> None:
        co, session = self.writer(data)
        base = co.reset()
        assert base == co.commit_digest
        session.base, session.base_tree, session.staged = base, self.model.tree(base), {}

    @rule()
    def list_sessions(self) -> None:
        listed = {info.id for info in self.repo.sessions()}
        assert {co.session for co, _ in self.writers} | set(self.left) == listed

    # Columns

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def add_column(self, data: Any, name: str) -> None:
        co, session = self.writer(data)
        backend = data.draw(st.sampled_from(BACKENDS[name]), label="backend")
        if name in session.view():
            with pytest.raises(AlreadyExists):
                ADDED[name](co, name, backend)
            return
        ADDED[name](co, name, backend)
        session.add(name, backend)

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def remove_column(self, data: Any) -> None:
        co, session = self.writer(data)
        name = self.column(data, session)
        if name is None:
            with pytest.raises(UnknownColumn):
                co.remove_column("absent")
            return
        co.remove_column(name)
        session.remove(name)

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def change_backend(self, data: Any) -> None:
        co, session = self.writer(data)
        name = self.column(data, session)
        if name is not None:
            backend = data.draw(st.sampled_from(BACKENDS[name]), label="backend")
            co.change_backend(name, backend)
            session.change_backend(name, backend)

    # Samples

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def put_one(self, data: Any) -> None:
        co, session = self.writer(data)
        name = self.column(data, session)
        if name is not None:
            key = data.draw(KEYS[name], label="key")
            value = data.draw(values(name), label="value")
            co[name][key] = value
            session.put(name, {key: plain(value)})

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def put_many(self, data: Any) -> None:
        co, session = self.writer(data)
        name = self.column(data, session)
        if name is not None:
            given = data.draw(st.dictionaries(KEYS[name], values(name), max_size=8), label="given")
            co[name].put_many(list(given), list(given.values()))
            session.put(name, {key: plain(value) for key, value in given.items()})

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def update(self, data: Any) -> None:
        co, session = self.writer(data)
        name = self.column(data, session)
        if name is not None and name != "nested":
            given = data.draw(st.dictionaries(KEYS[name], values(name), max_size=4), label="given")
            co[name].update(given)
            session.put(name, {key: plain(value) for key, value in given.items()})

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        co, session = self.writer(data)
        name = self.column(data, session)
        if name is None:
            return
        key = data.draw(KEYS[name], label="key")
        if key in session.view()[name].samples:
            del co[name][key]
            session.put(name, {key: None})
        else:
            with pytest.raises(UnknownKey):
                del co[name][key]

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def read_in_session(self, data: Any) -> None:
        co, session = self.writer(data)
        view = session.view()
        assert sorted(co) == sorted(view)
        for name, column in view.items():
            found = {key: plain(co[name][key]) for key in flat_keys(co[name], name)}
            assert found == column.samples
            assert co[name].backend == column.backend

    @precondition(lambda self: self.writers)
    @rule(data=st.data())
    def flush(self, data: Any) -> None:
        co, _ = self.writer(data)
        co.flush()

    # Commits

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), side=SIDES, text=st.text("abc ", min_size=1).filter(str.strip))
    def commit_session(self, data: Any, side: str | None, text: str) -> None:
        co, session = self.writer(data)
        if session.branch not in self.model.branches:
            with pytest.raises(UnknownRevision):
                co.commit(text)
            return
        head = self.model.branches[session.branch]
        sides = model.Sides(side)
        tree = model.rebase(session, self.model.tree(head), sides)
        is_empty = not session.changed_columns or (
            head == session.base and tree == self.model.tree(head)
        )
        if sides.are_unsettled:
            with pytest.raises(Conflict) as caught:
                co.commit(text)
            assert {(name, tupled(key)) for name, key in caught.value.details["keys"]} == sides.met
        elif is_empty:
            with pytest.raises(NothingStaged):
                co.commit(text, strategy=side)
        else:
            digest = co.commit(text, strategy=side)
            self.added_commit(digest, [head], tree, text)
            self.model.branches[session.branch] = digest
            session.base, session.base_tree, session.staged = digest, tree, {}

    @rule(data=st.data())
    def read_branch(self, data: Any) -> None:
        name = self.branch(data)
        with self.repo.checkout(name) as co:
            self.compare(co, self.model.tree(self.model.branches[name]))

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data())
    def travel(self, data: Any) -> None:
        digest = self.commit(data)
        with self.repo.checkout(commit=digest.hex()[:20]) as co:
            assert co.commit_digest == digest
            self.compare(co, self.model.commits[digest].tree)

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data())
    def read_log(self, data: Any) -> None:
        digest = self.commit(data)
        entries = self.repo.log(digest)
        assert {entry.digest for entry in entries} == self.model.ancestors(digest)
        assert len(entries) == len(self.model.ancestors(digest))
        for entry in entries:
            assert entry.message == self.model.commits[entry.digest].message

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data())
    def diff(self, data: Any) -> None:
        before, after = self.commit(data), self.commit(data)
        old, new = self.model.commits[before].tree, self.model.commits[after].tree
        wanted = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        assert {change.name for change in self.repo.diff(before, after)} == wanted
