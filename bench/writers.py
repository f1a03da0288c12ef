"""Writer processes that wait for a word, so that their start is not measured."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import hangard_client

from bench.data import images
from bench.store import USER_EMAIL, USER_NAME


class Writers:
    """Processes that each put and commit an equal share of some images."""

    def __init__(self, count: int, repository: Path, column: str) -> None:
        self._links: list[Connection] = []
        self._column = column
        self._processes = []
        context = multiprocessing.get_context("spawn")
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=write, args=(theirs, repository, column))
            process.start()
            theirs.close()
            self._links.append(ours)
            self._processes.append(process)

    def prepare(self, total: int, seed: int, first_key: int) -> None:
        """Have every process make its images and open its session."""
        share = total // len(self._links)
        for position, link in enumerate(self._links):
            link.send((share, seed + position, first_key + position * share))
        self._wait()

    def write(self) -> None:
        """Let all of them put and commit; returns when the last commit is answered."""
        for link in self._links:
            link.send(None)
        self._wait()

    def close(self) -> None:
        for link in self._links:
            link.close()
        for process in self._processes:
            process.join()

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self) -> None:
        for link in self._links:
            link.recv()


def write(link: Connection, path: Path, column: str) -> None:
    """One process: alternately prepares and writes, until its link is closed."""
    with hangard_client.open(path, user_name=USER_NAME, user_email=USER_EMAIL) as repository:
        while True:
            try:
                count, seed, first_key = link.recv()
            except EOFError:
                return
            batch = images(count, seed)
            with repository.checkout("main", write=True) as checkout:
                target = checkout[column]
                link.send("ready")
                link.recv()
                target.put_many(range(first_key, first_key + count), batch)
                checkout.commit("one of several")
                link.send("done")
