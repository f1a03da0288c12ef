"""Where a daemon's sockets lie, and ``daemon.json``, which points to them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

import msgspec

from hangard.errors import PermissionDenied
from hangard.wire.endpoint import FILE_NAME, Endpoint

SOCKET_PATH_BYTES_MAX = 107  # unix(7): 108 with the final zero
BACKLOG = 128


def socket_directory() -> Path:
    """A directory that only this user can enter; made if it is absent.

    Errors: PermissionDenied (``unsafe-socket-directory``) if somebody else owns or can enter it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and len(os.fsencode(runtime)) < 60:
        directory = Path(runtime) / "hangard"
        try:
            return _private(directory)
        except PermissionDenied:
            raise
        except OSError:
            pass  # a runtime directory that is not ours, or gone: fall through to the other place
    return _private(Path(tempfile.gettempdir()) / f"hangard-{os.geteuid()}")


def _private(directory: Path) -> Path:
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionDenied(
            f"{directory} must be a directory of this user with mode 0700; remove it",
            code="unsafe-socket-directory",
        )
    return directory


def socket_paths(repository: Path) -> tuple[Path, Path]:
    """Paths of the request socket and of the windows' socket of a repository."""
    name = hashlib.blake2b(os.fsencode(repository.resolve()), digest_size=12).hexdigest()
    directory = socket_directory()
    paths = directory / f"{name}.sock", directory / f"{name}.win"
    if any(len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX for path in paths):
        raise PermissionDenied(
            f"{directory} is too long for a socket path; set XDG_RUNTIME_DIR to a shorter one",
            code="socket-path-too-long",
        )
    return paths


def bind(path: Path) -> socket.socket:
    """A listening Unix socket, mode 0600.

    The caller holds the repository's lock, so a file that lies there is a dead daemon's.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def write_endpoint(repository: Path, endpoint: Endpoint) -> None:
    """Publish the endpoint: a reader sees the old file or the new one, never a part."""
    target = repository / ".hangard" / FILE_NAME
    temporary = target.with_name(f"{FILE_NAME}.{endpoint.pid}")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(endpoint)) + b"\n")
    temporary.replace(target)


def remove_endpoint(repository: Path) -> None:
    """Withdraw the endpoint; afterwards nobody looks for this daemon."""
    (repository / ".hangard" / FILE_NAME).unlink(missing_ok=True)
