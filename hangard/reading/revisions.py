"""What a revision means, and the history behind a commit.

A revision is ``BASE`` or ``BASE`` with any number of ``~N`` (the N-th ancestor by first parents; N
defaults to 1) and ``^N`` (the N-th parent; N defaults to 1; ``^0`` is the commit itself). BASE is
the first of these that exists: ``HEAD`` (or ``@``), a full ref (``heads/main``, ``tags/v1``), a
branch, a tag, a full hexadecimal digest, the beginning of one (4 digits or more) that fits one
commit only, the same of the digest ``a=...`` that a commit has in Hangar. Behind a ref, or alone
for HEAD's branch, ``@{N}`` is where it was N movements ago.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile

from hangard.encoding.records import HEADS, TAGS
from hangard.errors import InvalidType, UnknownRevision
from hangard.model.commit import Commit, Digest
from hangard.model.names import begins_other_name
from hangard.reading.reflog import movements
from hangard.reading.tables import ReadTables

SHORT_DIGITS_MIN = 4
AMBIGUOUS_LISTED_MAX = 10

_REVISION = re.compile(r"(.*?)(?:@\{([0-9]{1,9})\})?((?:[~^][0-9]{0,9})*)", re.DOTALL)
_STEP = re.compile(r"([~^])([0-9]*)")
_HEX = re.compile(rf"[0-9a-fA-F]{{{SHORT_DIGITS_MIN},64}}", re.ASCII)

LoadCommit = Callable[[Digest], Commit]


def resolve(revision: str | bytes, tables: ReadTables, load: LoadCommit) -> Digest:
    """The digest of the commit that a revision names (a digest as bytes names itself).

    Errors: InvalidType; UnknownRevision (``unknown-revision``, ``ambiguous-revision`` with
    ``candidates``, ``branch-without-commit``, ``reflog-too-short``).
    """
    if isinstance(revision, bytes):
        load(revision)
        return revision
    if not isinstance(revision, str):
        raise InvalidType(
            f"a revision is a str, not {type(revision).__name__}", code="invalid-revision-type"
        )
    match = _REVISION.fullmatch(revision)
    assert match is not None
    if match[2] is None:
        digest = _base(match[1], tables)
    else:
        digest = _moved(match[1] or "HEAD", int(match[2]), tables)
    for step, number in _STEP.findall(match[3]):
        count = int(number or 1)
        if step == "~":
            for _ in range(count):
                digest = _parent(digest, 0, revision, load)
        elif count:
            digest = _parent(digest, count - 1, revision, load)
    return digest


def _base(name: str, tables: ReadTables) -> Digest:
    name = _named(name, tables)
    for prefix in ("", HEADS.decode(), TAGS.decode()):
        full = prefix + name
        if not full.startswith((HEADS.decode(), TAGS.decode())):
            continue
        digest = tables.ref(full) if _may_be_key(full) else None
        if digest:
            return digest
        if digest is not None:
            raise UnknownRevision(
                f"branch {full.removeprefix(HEADS.decode())!r} has no commit yet",
                code="branch-without-commit",
                revision=name,
            )
    if _HEX.fullmatch(name):
        return _by_digits(name.lower(), tables)
    if begins_other_name(name):
        return _by_other_name(name, tables)
    raise unknown(name)


def _named(name: str, tables: ReadTables) -> str:
    return HEADS.decode() + tables.head() if name in ("HEAD", "@") else name


def find_ref(name: str, tables: ReadTables) -> str:
    """The full name of the ref that a name stands for. Errors: UnknownRevision.

    Also of a ref that is gone, if it is a full name that the reflog may know.
    """
    named = _named(name, tables)
    for prefix in ("", HEADS.decode(), TAGS.decode()):
        full = prefix + named
        if not full.startswith((HEADS.decode(), TAGS.decode())) or not _may_be_key(full):
            continue
        if tables.ref(full) is not None or not prefix:
            return full
    raise UnknownRevision(f"no branch or tag is called {_shown(name)}", revision=name[:80])


def _moved(name: str, count: int, tables: ReadTables) -> Digest:
    """Where a ref was ``count`` movements ago."""
    ref = find_ref(name, tables)
    seen = -1
    for seen, entry in enumerate(movements(tables.reflog(), ref)):
        if seen == count:
            if entry.after:
                return entry.after
            raise UnknownRevision(
                f"{ref} had no commit {count} movements ago",
                code="branch-without-commit",
                revision=name,
            )
    raise UnknownRevision(
        f"the reflog of {ref} has {seen + 1} entries; {ref}@{{{count}}} is beyond them",
        code="reflog-too-short",
        revision=name,
    )


def _may_be_key(full: str) -> bool:
    """LMDB takes keys of up to 511 bytes."""
    return len(full) <= 511 and full.isascii()


def _by_digits(digits: str, tables: ReadTables) -> Digest:
    first = bytes.fromhex(digits if len(digits) % 2 == 0 else digits + "0")
    fitting = takewhile(lambda digest: digest.hex().startswith(digits), tables.commits_from(first))
    return _only(digits, ((digest.hex(), digest) for digest in fitting))


def _by_other_name(name: str, tables: ReadTables) -> Digest:
    # A commit that no branch reaches any more may be gone, and its name still there.
    found = tables.other_names(name)
    return _only(name, (pair for pair in found if tables.has_object(pair[1])))


def _only(name: str, found: Iterable[tuple[str, Digest]]) -> Digest:
    """The one commit that a name fits. Errors: UnknownRevision."""
    fitting = list(islice(found, AMBIGUOUS_LISTED_MAX + 1))
    if not fitting:
        raise unknown(name)
    if len(fitting) > 1:
        listed = ", ".join(full[: len(name) + 8] for full, _ in fitting[:5])
        more = ", ..." if len(fitting) > 5 else ""
        raise UnknownRevision(
            f"{name} is the beginning of several commits ({listed}{more}); give more digits",
            code="ambiguous-revision",
            revision=name,
            candidates=[full for full, _ in fitting[:AMBIGUOUS_LISTED_MAX]],
        )
    return fitting[0][1]


def _parent(digest: Digest, number: int, revision: str, load: LoadCommit) -> Digest:
    parents = load(digest).parents
    if number >= len(parents):
        raise UnknownRevision(
            f"{revision}: commit {digest.hex()[:12]} has {len(parents)} parents", revision=revision
        )
    return parents[number]


def unknown(name: str) -> UnknownRevision:
    return UnknownRevision(f"no branch, tag or commit is called {_shown(name)}", revision=name[:80])


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 80 else repr(name[:77] + "...")


def history(starts: Iterable[Digest], load: LoadCommit) -> Iterator[tuple[Digest, Commit]]:
    """A commit after all its descendants, else the newest first.

    A history without merges streams; from the first place where it forks on, all of it is read
    before its next commit is given, since only then it is known which have descendants left.
    """
    frontier = dict.fromkeys(starts)
    while len(frontier) == 1:
        (digest,) = frontier
        commit = load(digest)
        yield digest, commit
        frontier = dict.fromkeys(commit.parents)
    children = _count_children(frontier, load)
    heap = [(-load(digest).time_ns, digest) for digest in frontier if not children[digest]]
    heapq.heapify(heap)
    while heap:
        _, digest = heapq.heappop(heap)
        commit = load(digest)
        yield digest, commit
        for parent in dict.fromkeys(commit.parents):
            children[parent] -= 1
            if not children[parent]:
                heapq.heappush(heap, (-load(parent).time_ns, parent))


def _count_children(starts: Iterable[Digest], load: LoadCommit) -> dict[Digest, int]:
    """How many children each commit has among those that the starts reach."""
    children = dict.fromkeys(starts, 0)
    stack = list(children)
    while stack:
        for parent in dict.fromkeys(load(stack.pop()).parents):
            if parent not in children:
                children[parent] = 0
                stack.append(parent)
            children[parent] += 1
    return children
