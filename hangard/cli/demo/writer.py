"""One writer process of the demo: ``python -m hangard.cli.demo.writer PATH IMAGES RUN NUMBER OF``.

IMAGES is a folder that save_columns filled.

It writes its share of every column in its own session and commits COMMITS times to the branch on
which the other writers commit at the same moment.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import hangard_client

from hangard.cli.demo.author import AUTHOR_EMAIL, AUTHOR_NAME
from hangard.cli.demo.messages import Finished, Progress, tell, wait_for_start
from hangard.cli.demo.source import saved_columns

COMMITS = 4
BATCH_SAMPLES = 128  # above it the bars would jump, below it a crop's batch is too small to pack


def write(path: str, images: str, run: int, number: int, of: int) -> None:
    """Write and commit the ``number``-th of ``of`` shares."""
    shares = [column.part(number, of) for column in saved_columns(Path(images))]
    total_samples = total_bytes = 0
    with hangard_client.open(path, user_name=AUTHOR_NAME, user_email=AUTHOR_EMAIL) as repo:
        wait_for_start()
        started = time.perf_counter()
        with repo.checkout("main", write=True) as co:
            for piece in range(COMMITS):
                for share in shares:
                    part = share.part(piece, COMMITS)
                    keys = part.keys(run)
                    for start in range(0, len(keys), BATCH_SAMPLES):
                        rows = part.rows[start : start + BATCH_SAMPLES]
                        co[part.name].put_many(keys[start : start + BATCH_SAMPLES], rows)
                        tell(Progress(samples=len(rows), sample_bytes=rows.nbytes))
                        total_samples += len(rows)
                        total_bytes += rows.nbytes
                base = co.commit_digest
                digest = co.commit(
                    f"run {run}, writer {number + 1}: part {piece + 1} of {COMMITS}",
                    metadata={"demo-run": str(run), "demo-writer": str(number + 1)},
                )
                (entry,) = repo.log(digest, limit=1)
                tell(Progress(commits=1, rebased=int(entry.parents != (base,))))
        tell(Finished(total_samples, total_bytes, time.perf_counter() - started))


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], *(int(argument) for argument in sys.argv[3:]))
