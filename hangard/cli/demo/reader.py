"""The demo's reader process: ``python -m hangard.cli.demo.reader PATH COMMIT RUN``.

It opens a commit, reads every sample of every run back without asking the daemon, and compares
each with what scikit-learn brings.
"""

from __future__ import annotations

import sys
import time

import hangard_client
import numpy as np

from hangard.cli.demo.messages import Finished, Progress, tell, wait_for_start
from hangard.cli.demo.source import SourceColumn, load_columns

BATCH_SAMPLES = 256
NAMED_MAX = 10  # wrong samples that are named


def source_positions(keys: list[str], column: SourceColumn) -> list[int]:
    """Which source row each key stands for: ``run-3/digit-0042`` is row 42 of the digits."""
    position = {name: number for number, name in enumerate(column.names)}
    return [position[key.split("/", 1)[1]] for key in keys]


def read(path: str, commit: str, run: int) -> None:
    """Read and compare all samples of all runs; every sample of ``run`` must be there."""
    columns = load_columns()
    wrong: list[str] = []
    samples = sample_bytes = 0
    seconds = 0.0
    with hangard_client.open(path) as repo:
        wait_for_start()
        with repo.checkout(commit=commit) as co:
            for column in columns:
                keys = [str(key) for key in co[column.name]]
                missing = set(column.keys(run)) - set(keys)
                wrong += [f"{column.name} {key}: missing" for key in sorted(missing)]
                for start in range(0, len(keys), BATCH_SAMPLES):
                    batch = keys[start : start + BATCH_SAMPLES]
                    expected = column.rows[source_positions(batch, column)]
                    started = time.perf_counter()
                    found = co[column.name].get_many(batch)
                    seconds += time.perf_counter() - started
                    axes = tuple(range(1, expected.ndim))
                    for row in np.flatnonzero((found != expected).any(axis=axes)):
                        wrong.append(f"{column.name} {batch[row]}: differs")
                    samples += len(batch)
                    sample_bytes += found.nbytes
                    tell(Progress(samples=len(batch), sample_bytes=found.nbytes))
    tell(Finished(samples, sample_bytes, seconds, wrong[:NAMED_MAX]))


if __name__ == "__main__":
    read(sys.argv[1], sys.argv[2], int(sys.argv[3]))
