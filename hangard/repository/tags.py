"""Tags: immutable names of commits, each with an object that says who gave it, when and why.

The ref ``tags/NAME`` holds the commit, so that resolving a tag costs what resolving a branch does;
``annotations/NAME`` beside it names the tag object. Both are written, and deleted, at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from hangard.db.tables import WriteTables
from hangard.encoding.objects import KIND_TAG, encode_tag
from hangard.encoding.records import TAGS, ReflogEntry
from hangard.errors import UnknownRevision
from hangard.model.commit import Digest, Tag
from hangard.repository.branches import check_commit, check_free

_TAGS = TAGS.decode()


@dataclass(frozen=True, slots=True)
class CreateTag:
    """Name a commit for good."""

    tag: Tag

    def check(self, tables: WriteTables) -> None:
        """Errors: AlreadyExists (``tag-exists``); UnknownRevision for a commit that is not
        there."""
        check_free(tables, self.tag.name, TAGS)
        check_commit(tables, self.tag.target)

    def apply(self, tables: WriteTables) -> Digest:
        tag = self.tag
        digest = tables.put_object(KIND_TAG, encode_tag(tag))
        tables.put_ref(_TAGS + tag.name, tag.target)
        tables.put_annotation(tag.name, digest)
        tables.append_reflog(
            ReflogEntry(
                tag.time_ns, _TAGS + tag.name, b"", tag.target, "tag: created", str(tag.tagger)
            )
        )
        return digest


@dataclass(frozen=True, slots=True)
class DeleteTag:
    """Take a name from a commit. The tag object stays: undoing this is creating the ref again."""

    name: str
    time_ns: int
    user: str = ""

    def check(self, tables: WriteTables) -> None:
        """Errors: UnknownRevision (``unknown-tag``)."""
        if tables.ref(_TAGS + self.name) is None:
            raise UnknownRevision(f"there is no tag {self.name!r}", code="unknown-tag")

    def apply(self, tables: WriteTables) -> Digest:
        target = tables.ref(_TAGS + self.name)
        assert target is not None
        tables.delete_ref(_TAGS + self.name)
        tables.delete_annotation(self.name)
        tables.append_reflog(
            ReflogEntry(self.time_ns, _TAGS + self.name, target, b"", "tag: deleted", self.user)
        )
        return target
