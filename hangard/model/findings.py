"""What is wrong with a repository, as ``verify`` finds it."""

from __future__ import annotations

from dataclasses import dataclass, field

# kind -> what repair does about it. Kinds never change their meaning.
REPAIRS = {
    "damaged-commit": "nothing: it must come back from a backup or a copy",
    "missing-commit": "nothing: it must come back from a backup or a copy",
    "damaged-tree": "nothing: it must come back from a backup or a copy",
    "missing-tree": "nothing: it must come back from a backup or a copy",
    "damaged-schema": "nothing: creating a column of the same schema writes it again",
    "missing-schema": "nothing: creating a column of the same schema writes it again",
    "damaged-record": "nothing: it must come back from a backup or a copy",
    "damaged-tag": "nothing: the tag can be deleted, and created again",
    "missing-node": "looks for it in all files",
    "damaged-node": "looks for another copy in all files, and forgets the damaged one",
    "malformed-node": "nothing: it was written so",
    "missing-sample": "looks for it in all files; putting the same sample again brings it back",
    "damaged-sample": "forgets the damaged copy: putting the same sample again brings it back",
    "missing-file": "forgets the file and what the index says of it",
    "short-file": "keeps what is left of it",
    "stray-file": "takes it in; if it may have lost its end in a power cut, removes it",
    "damaged-rows": "writes what is intact of the file into a new one",
    "damaged-log": "writes what is intact of the file into a new one",
    "damaged-run": "makes the index again",
    "missing-run": "makes the index again",
    "dangling-entries": "drops them",
    "unreadable-segment": "writes what is intact of the file into a new one",
    "unfinished-purge": "nothing: purge or gc goes on with it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``kind``    a key of REPAIRS
    ``what``    the digest or file that it is about
    ``where``   who needs it: a column and key, a ref, a commit; or the place in a file
    ``detail``  what was seen
    """

    kind: str
    what: str
    where: str = ""
    detail: str = ""

    @property
    def repair(self) -> str:
        """What repair would do about it."""
        return REPAIRS[self.kind]

    def __str__(self) -> str:
        return ": ".join(part for part in (self.kind, self.what, self.where, self.detail) if part)


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify`` looked at, and everything that is wrong.

    ``quick``         samples' bytes and logs were not read
    ``sample_bytes``  raw bytes of the samples that were read
    ``findings``      at most FINDINGS_MAX; ``finding_count`` counts all
    """

    findings: tuple[Finding, ...] = ()
    finding_count: int = 0
    quick: bool = False
    commits: int = 0
    nodes: int = 0
    samples: int = 0
    sample_bytes: int = 0
    files: int = 0
    purged: int = 0

    @property
    def is_sound(self) -> bool:
        return not self.finding_count


@dataclass(frozen=True, slots=True)
class Repaired:
    """What ``repair`` found, did and left. With ``dry_run`` it only looked."""

    dry_run: bool
    before: Verification
    after: Verification
    actions: tuple[str, ...] = ()


FINDINGS_MAX = 100_000


@dataclass(slots=True)
class Findings:
    """Gathers findings, and counts those beyond FINDINGS_MAX."""

    listed: list[Finding] = field(default_factory=list)
    count: int = 0

    def add(self, finding: Finding) -> None:
        self.count += 1
        if len(self.listed) < FINDINGS_MAX:
            self.listed.append(finding)
