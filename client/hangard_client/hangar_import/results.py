"""What an import of a Hangar repository tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from hangard_client.history import CommitDigest

Missing: TypeAlias = Literal["error", "skip"]


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is; ``samples`` are those that the present commit adds or changes."""

    commit: int
    commits: int
    message: str
    sample: int
    samples: int


Report: TypeAlias = Callable[[ImportProgress], None]


@dataclass(frozen=True, slots=True)
class HangarImport:
    """What an import brought in.

    ``branches``       where the branches are now; those without a commit are left out
    ``commits``        how many are new; those of an earlier import do not count
    ``samples``, ``sample_bytes``  that were read and staged
    ``missing``        samples that only a remote of Hangar has, and that were skipped
    ``renamed``        keys that Hangar should have refused (True), now text that begins with #
    ``other_backends`` columns whose backend or options are none of ours, now with our defaults
    """

    branches: Mapping[str, CommitDigest]
    commits: int = 0
    samples: int = 0
    sample_bytes: int = 0
    missing: int = 0
    renamed: int = 0
    other_backends: tuple[str, ...] = field(default=())
