"""All verbs in any order against plain dictionaries: a real daemon, killed and restarted between.

Each rule does one thing to the repository and to the model and compares what both say; the
invariant compares the heads. Sessions of several clients are open at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import hangard_client
import pytest
from hangard_client import UncommittedWarning
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from property import model
from property.columns import ADDED, BACKENDS, KEYS, NAMES, plain, values

from hangard.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    NothingStaged,
    UnknownColumn,
    UnknownKey,
    UnknownRevision,
)

FIRST = "main"
SESSIONS_OPEN_MAX = 3
BRANCHES = ("main", "dev", "exp/one", "two")
SIDES = st.sampled_from([None, "ours", "theirs"])


class RepositoryMachine(RuleBasedStateMachine):
    """``pick`` chooses among what is there, so that no rule draws a name that cannot be."""

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

    # Merges

    def applied(self, call: Any, name: str, sides: model.Sides, tree: model.Tree) -> Any:
        """What ``call`` did to a branch, checked against the tree it should have come to."""
        head = self.model.branches[name]
        if sides.are_unsettled:
            with pytest.raises(Conflict) as caught:
                call()
            assert {(key[0], tupled(key[1])) for key in caught.value.details["keys"]} == sides.met
            return None
        if tree == self.model.tree(head):
            with pytest.raises(NothingStaged):
                call()
            return None
        return call()

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data(), side=SIDES, ff=st.sampled_from(["auto", "never"]))
    def merge(self, data: Any, side: str | None, ff: str) -> None:
        name, other = self.branch(data), self.commit(data)
        head = self.model.branches[name]
        if head is None:
            report = self.repo.merge(other, into=name)
            assert (report.outcome, report.commit) == ("fast-forward", other)
            self.model.branches[name] = other
            return
        bases = self.model.merge_bases(head, other)
        assert {bytes(base) for base in self.repo.merge_base(head, other)} == set(bases)
        if other in bases:
            assert self.repo.merge(other, into=name, ff=ff).outcome == "up-to-date"
            return
        if head in bases and ff == "auto":
            assert self.repo.merge(other, into=name).outcome == "fast-forward"
            self.model.branches[name] = other
            return
        if len(bases) > 1:
            self.merge_criss_cross(name, head, other, ff)
            return
        sides = model.Sides(side)
        base = self.model.tree(bases[0] if bases else None)
        tree = model.merge(base, self.model.tree(head), self.model.tree(other), sides)
        dry = self.repo.merge(other, into=name, ff=ff, strategy=side, dry_run=True)
        assert self.repo.branches()[name] == head
        if sides.are_unsettled:
            met = {(column, key) for column, key, _ in dry.conflicts}
            assert met == sides.met
            assert {(one.column, one.key) for one in self.repo.conflicts(head, other)} == met
            with pytest.raises(Conflict) as caught:
                self.repo.merge(other, into=name, ff=ff)
            assert {(key[0], tupled(key[1])) for key in caught.value.details["keys"]} == met
            return
        report = self.repo.merge(other, into=name, ff=ff, strategy=side, message="merged")
        assert report.outcome == "merge"
        self.added_commit(report.commit, [head, other], tree, "merged")
        self.model.branches[name] = bytes(report.commit)

    def merge_criss_cross(self, name: str, head: bytes, other: bytes, ff: str) -> None:
        """Several bases: the two directions must come to the same, and lose nothing that both
        sides have."""
        try:
            report = self.repo.merge(other, into=name, ff=ff, message="crossed")
        except Conflict:
            assert self.repo.conflicts(head, other)
            return
        with self.repo.checkout(name) as co:
            tree = self.read(co)
        for column in {*self.model.tree(head)} & {*self.model.tree(other)}:
            ours = self.model.tree(head)[column].samples
            theirs = self.model.tree(other)[column].samples
            both = {key: value for key, value in ours.items() if theirs.get(key) == value}
            assert both.items() <= tree[column].samples.items()
        self.added_commit(report.commit, [head, other], tree, "crossed")
        self.model.branches[name] = bytes(report.commit)

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data(), side=SIDES, verb=st.sampled_from(["revert", "cherry_pick"]))
    def revert_or_pick(self, data: Any, side: str | None, verb: str) -> None:
        name, digest = self.branch(data), self.commit(data)
        parents = self.model.commits[digest].parents
        mainline = 1 if len(parents) > 1 else None
        before = self.model.tree(parents[0] if parents else None)
        after = self.model.commits[digest].tree
        base, theirs = (before, after) if verb == "cherry_pick" else (after, before)
        head = self.model.branches[name]
        sides = model.Sides(side)
        tree = model.merge(base, self.model.tree(head), theirs, sides)

        def call() -> Any:
            return getattr(self.repo, verb)(digest, branch=name, strategy=side, mainline=mainline)

        report = self.applied(call, name, sides, tree)
        if report is not None:
            message = self.repo.log(name, limit=1)[0].message
            self.added_commit(report.commit, [head], tree, message)
            self.model.branches[name] = bytes(report.commit)

    # Branches

    @rule(data=st.data(), name=st.sampled_from(BRANCHES))
    def create_branch(self, data: Any, name: str) -> None:
        start = self.commit(data) if self.model.commits else None
        if name in self.model.branches:
            with pytest.raises(AlreadyExists):
                self.repo.create_branch(name, start)
        elif start is not None:
            assert self.repo.create_branch(name, start) == start
            self.model.branches[name] = start

    @rule(data=st.data(), force=st.booleans())
    def delete_branch(self, data: Any, force: bool) -> None:
        name = self.branch(data)
        digest = self.model.branches[name]
        others = [head for other, head in self.model.branches.items() if other != name]
        others += self.model.tags.values()
        is_kept = digest is None or self.model.is_reached(digest, others)
        if name == self.repo.head() or not (force or is_kept):
            with pytest.raises(InvalidRequest):
                self.repo.delete_branch(name, force=force)
        else:
            self.repo.delete_branch(name, force=force)
            del self.model.branches[name]

    @rule(data=st.data())
    def set_head(self, data: Any) -> None:
        name = self.branch(data)
        self.repo.set_head(name)
        assert self.repo.head() == name

    # The daemon

    @rule()
    def stop_the_daemon(self) -> None:
        for co, _ in self.writers:
            co.flush()
        self.repo.stop()

    @rule()
    def kill_the_daemon(self) -> None:
        for co, _ in self.writers:
            co.flush()
        pid = self.repo.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and not is_zombie(pid):
            time.sleep(0.005)
        # A request that is not idempotent and meets the dead connection is not sent again.
        assert self.repo.status()["pid"] != pid

    # What always holds

    @invariant()
    def heads_are_as_the_model_has_them(self) -> None:
        if self.repo is not None:
            assert self.repo.branches() == self.model.branches

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


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


QUICK = settings(
    max_examples=6,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_all_verbs_in_any_order_do_what_dictionaries_do() -> None:
    run_state_machine_as_test(RepositoryMachine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_verbs_in_any_order_for_long() -> None:
    run_state_machine_as_test(
        RepositoryMachine, settings=settings(QUICK, max_examples=150, stateful_step_count=80)
    )
