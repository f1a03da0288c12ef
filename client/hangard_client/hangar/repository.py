"""``Repository`` as Hangar has it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import hangard_client
from hangard.errors import (
    Corrupt,
    HangardError,
    InvalidRequest,
    Unavailable,
    UnknownRevision,
)
from hangard.model.directory import directory_of
from hangard_client.hangar import branches, staging_area
from hangard_client.hangar.branches import BranchHead
from hangard_client.hangar.checkout import ReaderCheckout, WriterCheckout, close_writers
from hangard_client.hangar.diff import DiffAndConflicts, commit_of, compare
from hangard_client.hangar.directory import checked_path, holds_repository, size_bytes, size_text
from hangard_client.hangar.errors import not_initialised, raising, refusal
from hangard_client.hangar.integrity import verify
from hangard_client.hangar.log import log_data, print_log, start_of
from hangard_client.hangar.merging import merge
from hangard_client.hangar.summary import print_summary

FIRST_BRANCH = "master"


class Repository:
    """The repository in a folder.

    Without one there: a UserWarning, unless ``exists=False``; then ``init`` makes one, and every
    other member but ``path`` and ``initialized`` raises a RuntimeError.
    Errors: a TypeError, FileNotFoundError, NotADirectoryError, PermissionError for the path; a
    RuntimeError for a repository of a newer hangard.
    """

    def __init__(self, path: str | Path, exists: bool = True) -> None:
        self._path = checked_path(path)
        self._opened: hangard_client.Repository | None = None
        if self.initialized:
            with raising(RuntimeError, Unavailable, Corrupt):
                self._opened = hangard_client.open(self._path)
        elif exists:
            warnings.warn(
                f"there is no repository in {self._path} yet; repo.init(name, email) makes one",
                UserWarning,
                stacklevel=2,
            )

    def init(self, user_name: str, user_email: str, *, remove_old: bool = False) -> str:
        """Make the repository; the folder it lies in. Its first branch is ``master``.

        ``remove_old`` deletes the one that is there. Errors: an OSError if there is one; a
        ValueError for a name or e-mail that cannot be an author's.
        """
        if self.initialized:
            if not remove_old:
                raise refusal(
                    OSError, f"there is a repository in {self._path}", "repository-exists"
                )
            self._remove()
        repo = hangard_client.Repository(self._path, create=True, branch=FIRST_BRANCH)
        try:
            repo.set_config({"user.name": user_name, "user.email": user_email})
        except HangardError:
            self._opened = repo
            self._remove()
            raise
        self._opened = repo
        directory = str(directory_of(self._path))
        print(f"Made an empty repository in {directory}")
        return directory

    @property
    def path(self) -> str:
        """The folder that holds the repository."""
        return str(self._path)

    @property
    def initialized(self) -> bool:
        return holds_repository(self._path)

    @property
    def version(self) -> str:
        """The version of hangard that made the repository."""
        return self._repo().created_version

    @property
    def size_nbytes(self) -> int:
        """Bytes of all files of the repository."""
        self._repo()
        return size_bytes(directory_of(self._path))

    @property
    def size_human(self) -> str:
        """The same for people: '1.23 MB', in powers of 1,000."""
        return size_text(self.size_nbytes)

    @property
    def writer_lock_held(self) -> bool:
        """Whether a writer holds the staging area."""
        return staging_area.is_held(self._repo())

    def force_release_writer_lock(self) -> bool:
        """Take the lock from who holds it: its next use is a PermissionError. Always True."""
        repo = self._repo()
        warnings.warn(
            "the writer's lock is taken away; its holder cannot write any more",
            ResourceWarning,
            stacklevel=2,
        )
        repo.release_exclusive()
        return True

    def checkout(
        self, write: bool = False, *, branch: str = "", commit: str = ""
    ) -> ReaderCheckout | WriterCheckout:
        """Open a commit to read (``commit`` wins over ``branch``), or the staging area to write.

        By default both are those of the staging area's branch.
        Errors: a ValueError for an unknown branch or commit, for ``commit`` with ``write``, for a
        branch while changes of another are staged; a PermissionError while the lock is held.
        """
        repo = self._repo()
        if not isinstance(write, bool):
            raise InvalidRequest(f"write= is True or False, not {write!r}", code="not-a-bool")
        if write:
            if commit:
                raise InvalidRequest(
                    "write= goes with a branch, not with a commit", code="several-revisions"
                )
            return WriterCheckout(repo, staging_area.open_area(repo, branch))
        start = start_of(repo, branch, commit)
        if start is None:
            raise InvalidRequest(
                f"branch {branch or repo.head()!r} has no commit yet", code="no-commit"
            )
        return ReaderCheckout(repo, start)

    def log(
        self,
        branch: str | None = None,
        commit: str | None = None,
        *,
        return_contents: bool = False,
        show_time: bool = False,
        show_user: bool = False,
    ) -> dict[str, Any] | None:
        """Print the history of a commit or branch (the staging area's), or give it as a dict of
        head, ancestors, specs, order (the newest first) and branch_heads.

        Errors: UnknownRevision, a ValueError.
        """
        repo = self._repo()
        start = start_of(repo, branch, commit)
        if return_contents:
            return log_data(repo, start)
        print_log(repo, start, show_time=show_time, show_user=show_user)
        return None

    def diff(self, master: str, dev: str) -> DiffAndConflicts:
        """What two branches or commits differ in, and what a merge of ``dev`` into ``master`` would
        conflict in. *added* is what ``dev`` has and ``master`` does not.

        Errors: UnknownRevision, a ValueError.
        """
        repo = self._repo()
        return compare(repo, commit_of(repo, master), commit_of(repo, dev))

    def merge(self, message: str, master_branch: str, dev_branch: str) -> str:
        """Merge ``dev_branch`` into ``master_branch``, which becomes the staging area's branch;
        the digest of its commit. If it can be moved only, it is, and the message is not used.

        Errors: a RuntimeError while something is staged; a PermissionError while the lock is held;
        UnknownRevision (a ValueError); a ValueError for equal branches; Conflict (a ValueError),
        and then nothing has changed.
        """
        repo = self._repo()
        for name in (master_branch, dev_branch):
            if name not in repo.branches():
                raise UnknownRevision(f"there is no branch {name!r}", code="unknown-branch")
        native = staging_area.open_clean(repo, master_branch)
        try:
            return merge(repo, native, message, dev_branch)
        finally:
            native.leave()

    def verify_repo_integrity(self) -> bool:
        """Verify refs, history, trees and every byte that is stored; True.

        Errors: Corrupt (a RuntimeError), which names the first finding and their number; a
        PermissionError while the writer's lock is held.
        """
        repo = self._repo()
        staging_area.check_not_held(repo, "verifying")
        return verify(repo)

    def summary(self, *, branch: str = "", commit: str = "") -> None:
        """Print what a commit holds: by default the one of the staging area's branch.

        Errors: UnknownRevision, a ValueError.
        """
        repo = self._repo()
        print_summary(repo, start_of(repo, branch, commit), self.size_human)

    def create_branch(self, name: str, base_commit: str | None = None) -> BranchHead:
        """Create a branch at a commit, by default the one of the staging area's branch.

        Errors: a ValueError for a bad or taken name and an unknown commit; a RuntimeError before
        the first commit.
        """
        return branches.create_branch(self._repo(), name, base_commit)

    def remove_branch(self, name: str, *, force_delete: bool = False) -> BranchHead:
        """Remove a branch; its commits stay.

        Errors: a ValueError for an unknown one; a PermissionError for the last, for the staging
        area's, and while the lock is held; a RuntimeError, without ``force_delete``, if no other
        branch has its commits.
        """
        repo = self._repo()
        if name in repo.branches():
            staging_area.check_not_held(repo, "removing a branch")
        return branches.remove_branch(repo, name, force=force_delete)

    def list_branches(self) -> list[str]:
        """All names, in the order of their bytes."""
        return branches.list_branches(self._repo())

    def __repr__(self) -> str:
        if self._opened is None:
            return f"Repository(path={self.path!r}, initialized=False)"
        return f"Repository(path={self.path!r}, branch={self._opened.head()!r})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def _repo(self) -> hangard_client.Repository:
        """The native repository. Errors: NoRepository, a RuntimeError."""
        if self._opened is None:
            if not self.initialized:
                raise not_initialised(self._path)
            with raising(RuntimeError, Unavailable, Corrupt):
                self._opened = hangard_client.open(self._path)
        return self._opened

    def _remove(self) -> None:
        """Delete what is there, damaged or not."""
        try:
            repo = self._repo()
            close_writers(repo)  # later they would start the daemon again
            repo.stop()
            repo.close()
        except HangardError as error:
            warnings.warn(f"the old repository is damaged: {error}", UserWarning, stacklevel=3)
        self._opened = None
        shutil.rmtree(directory_of(self._path))
