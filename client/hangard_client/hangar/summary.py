"""What a commit holds, printed."""

from __future__ import annotations

import hangard_client
from hangard.model.commit import Digest


def print_summary(repo: hangard_client.Repository, start: Digest | None, size: str) -> None:
    """The repository, a commit and its columns."""
    print(f"Repository: {repo.path}")
    print(f"Disk usage: {size}")
    if start is None:
        print("No commit has been made yet.")
        return
    (entry,) = repo.log(start, limit=1)
    print(f"Commit:     {entry.digest.hex()}")
    print(f"  parents:  {' '.join(parent.hex() for parent in entry.parents) or 'none'}")
    print(f"  time:     {entry.time.astimezone():%Y-%m-%d %H:%M:%S%z}")
    print(f"  author:   {entry.author}")
    print(f"  message:  {entry.message}")
    with repo.checkout(commit=start) as co:
        print(f"Columns:    {len(co)}")
        for name, column in co.columns.items():
            schema = column.schema
            print(f"  {name}: {len(column)} samples")
            print(f"    layout: {schema.layout}, type: {schema.kind}, dtype: {schema.dtype}")
            bound = "at most " if schema.variable_shape else ""
            print(f"    shape: {bound}{schema.shape}")
            print(f"    backend: {schema.backend} {schema.options}")
