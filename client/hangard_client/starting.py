"""Starting a daemon for a repository that has none.

Guarded by a lock on the repository's directory: however many clients want one at once, one daemon
is started. It runs in a session of its own, so that it outlives its client and hears no Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hangard.config import KEYS, variable_of
from hangard.errors import Busy, InvalidRequest, PermissionDenied, Unavailable
from hangard.wire.endpoint import Endpoint, read_endpoint
from hangard.wire.messages import ErrorMessage

IDLE_S = 300.0  # a daemon that a client started ends after so long without a request
START_S_MAX = 60.0
LOG_NAME = "daemon.log"
REPORT_BYTES_MAX = 64 * 1024


def find_endpoint(repository: Path) -> Endpoint | None:
    """The endpoint of a living daemon, or None.

    A file left by a killed daemon is recognised: nobody listens at its socket.
    """
    endpoint = read_endpoint(repository)
    if endpoint is None:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(endpoint.socket)
        except OSError:
            return None
    return endpoint


def find_or_start(repository: Path, *, idle_s: float = IDLE_S) -> Endpoint:
    """The endpoint of the repository's daemon, started if there is none. Blocks.

    Errors: Unavailable (``daemon-not-started``), or what the daemon failed with.
    """
    deadline_s = time.monotonic() + START_S_MAX
    while True:
        if (endpoint := find_endpoint(repository)) is not None:
            return endpoint
        with _start_lock(repository, deadline_s):
            if (endpoint := find_endpoint(repository)) is not None:
                return endpoint
            report = _start(repository, idle_s, deadline_s)
        endpoint = _endpoint_of(report)
        if endpoint is not None:
            return endpoint
        # Another daemon holds the repository: it is just ending, or was started by hand.
        if time.monotonic() > deadline_s:
            raise Unavailable(
                f"the daemon of {repository} holds the repository but does not answer",
                code="daemon-not-started",
            )
        time.sleep(0.05)


def create(repository: Path, branch: str, *, idle_s: float = IDLE_S) -> None:
    """Make a repository, by a daemon that then serves it. Blocks.

    Errors: InvalidRequest (``invalid-name``, ``not-a-folder``), PermissionDenied, NoSpace,
    Unavailable.
    """
    deadline_s = time.monotonic() + START_S_MAX
    try:
        repository.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidRequest(
            f"{repository} cannot be a repository: it, or what is above it, is no folder",
            code="not-a-folder",
        ) from error
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise PermissionDenied(
            f"{repository} cannot be made: {error.strerror}", code="not-writable"
        ) from error
    with _start_lock(repository, deadline_s):
        if find_endpoint(repository) is None:
            _endpoint_of(_start(repository, idle_s, deadline_s, "--create", "--branch", branch))


def wait_for_end(process: int, *, wait_s: float = START_S_MAX) -> None:
    """Wait until the process behind a pidfd has ended; closes it. Blocks. Errors: Busy."""
    try:
        ready = _is_readable(process, wait_s)
    finally:
        os.close(process)
    if not ready:
        raise Busy(f"the daemon has not ended after {wait_s:g} s", code="still-ending")


def open_process(pid: int) -> int | None:
    """A pidfd of a daemon; None if it has ended or lives in another PID namespace."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


@contextlib.contextmanager
def _start_lock(repository: Path, deadline_s: float) -> Iterator[None]:
    """A lock on the directory itself: it leaves no file, and dies with its process."""
    descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise Unavailable(
                        f"another process has been starting the daemon of {repository} for"
                        f" {START_S_MAX:g} s",
                        code="daemon-not-started",
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _start(repository: Path, idle_s: float, deadline_s: float, *options: str) -> bytes:
    """Start a daemon and wait for its report: an endpoint, or an error."""
    log = repository / ".hangard" / LOG_NAME
    reader, writer = os.pipe()
    try:
        # Before the repository is there, what a failing start prints has no place to go.
        with open(log if log.parent.exists() else os.devnull, "ab") as output:
            # The first process forks the daemon and ends, so that no zombie is left to us.
            subprocess.run(
                [
                    *(sys.executable, "-m", "hangard.daemon", str(repository), "--detach"),
                    *("--idle-s", str(idle_s), "--log", str(log), "--report-fd", str(writer)),
                    *options,
                ],
                cwd="/",  # a daemon must not keep a file system busy
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writer],
                check=False,
            )
        os.close(writer)
        writer = -1
        report = _read_report(reader, deadline_s)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if not report:
        raise Unavailable(f"the daemon did not start; its log is {log}", code="daemon-not-started")
    return report


def _read_report(reader: int, deadline_s: float) -> bytes:
    report = b""
    while len(report) < REPORT_BYTES_MAX:
        if not _is_readable(reader, max(0.0, deadline_s - time.monotonic())):
            raise Unavailable(
                f"the daemon was not ready within {START_S_MAX:g} s", code="daemon-not-started"
            )
        piece = os.read(reader, REPORT_BYTES_MAX)
        if not piece:
            break
        report += piece
    return report


def _is_readable(descriptor: int, wait_s: float) -> bool:
    """Wait for a descriptor; not with select, which takes none from 1,024 on."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def _endpoint_of(report: bytes) -> Endpoint | None:
    """The endpoint that a daemon reported; None if another daemon holds the repository."""
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(report, type=Endpoint)
    try:
        error = msgspec.json.decode(report, type=ErrorMessage).rebuild()
    except msgspec.DecodeError as undecoded:
        raise Unavailable(
            "the daemon did not start; its report is unreadable", code="daemon-not-started"
        ) from undecoded
    if error.code == "repository-locked":
        return None
    raise error


def child_environment() -> dict[str, str]:
    """This process's environment, fit for another working directory and other clients."""
    # Settings of one client's environment are not those of all that the daemon will serve.
    own = set(map(variable_of, KEYS))
    environment = {name: value for name, value in os.environ.items() if name not in own}
    paths = environment.get("PYTHONPATH")
    if paths:
        absolute = [os.path.abspath(path) for path in paths.split(os.pathsep) if path]
        environment["PYTHONPATH"] = os.pathsep.join(absolute)
    return environment
