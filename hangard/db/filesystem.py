"""What a file system must offer: shared mappings and locks, which network ones do not keep.

Source  LMDB's caveats: "Do not use LMDB databases on remote filesystems"; types as
        /proc/self/mountinfo names them (proc(5)).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from hangard.errors import InvalidRequest

NETWORK_TYPES = frozenset(
    (
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "pvfs2",
        "smb3",
        "smbfs",
        "fuse.ceph",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.goofys",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
    )
)


def filesystem_type(path: str | Path, mountinfo: str | None = None) -> str:
    """The type of the file system that ``path`` lies on; "" where the system does not tell."""
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return ""
    real = os.path.realpath(path)
    longest, result = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        # Of two mounts at one place the later covers the earlier.
        if inside and len(mount) >= longest:
            longest, result = len(mount), after.split(" ")[0]
    return result


def refuse_network(path: str | Path, mountinfo: str | None = None) -> None:
    """Errors: InvalidRequest (``network-filesystem``)."""
    kind = filesystem_type(path, mountinfo)
    if kind in NETWORK_TYPES:
        raise InvalidRequest(
            f"{path} lies on a network file system ({kind}), which keeps neither locks nor shared"
            " mappings as a repository needs them; use a local disk",
            code="network-filesystem",
            filesystem=kind,
        )


def free_bytes(path: str | Path) -> int:
    """What an ordinary user may still write there."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
