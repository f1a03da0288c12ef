"""Branches, and what brings their histories together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from property import model
from property.machine import BRANCHES, SIDES, Machine, tupled

from hangard.errors import AlreadyExists, Conflict, InvalidRequest, NothingStaged


class HistoryRules(Machine):
    """Everything that moves a ref without a session."""

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

    @rule(data=st.data(), new=st.sampled_from(BRANCHES))
    def rename_branch(self, data: Any, new: str) -> None:
        old = self.branch(data)
        if new in self.model.branches:
            with pytest.raises(AlreadyExists):
                self.repo.rename_branch(old, new)
            return
        self.repo.rename_branch(old, new)
        self.model.branches[new] = self.model.branches.pop(old)
        for session in [*(session for _, session in self.writers), *self.left.values()]:
            if session.branch == old:
                session.branch = new

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data())
    def reset_branch(self, data: Any) -> None:
        name, digest = self.branch(data), self.commit(data)
        before = self.model.branches[name]
        assert self.repo.reset(name, digest) == digest
        self.model.branches[name] = digest
        if before not in (None, digest):
            with self.repo.checkout(f"{name}@{{1}}") as co:
                assert co.commit_digest == before

    # Tags

    @precondition(lambda self: self.model.commits)
    @rule(data=st.data(), name=st.sampled_from(["v1", "v2", "rel/3"]))
    def create_tag(self, data: Any, name: str) -> None:
        digest = self.commit(data)
        if name in self.model.tags:
            with pytest.raises(AlreadyExists):
                self.repo.create_tag(name, digest)
            return
        self.repo.create_tag(name, digest, message=f"this is {name}")
        assert self.repo.tag(name).message == f"this is {name}"
        self.model.tags[name] = digest

    @precondition(lambda self: self.model.tags)
    @rule(data=st.data())
    def delete_tag(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tags)), label="tag")
        assert self.repo.delete_tag(name) == self.model.tags.pop(name)

    @precondition(lambda self: self.model.tags)
    @rule(data=st.data())
    def read_tag(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.tags)), label="tag")
        with self.repo.checkout(name) as co:
            assert co.commit_digest == self.model.tags[name]
            self.compare(co, self.model.tree(self.model.tags[name]))
