"""The tracker's directory: whether it can be one, and making it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from callsheet._errors import ConfigError, Denied
from callsheet._locks import locked_directory, sync_directory

__all__ = ["DATABASE", "FILES", "check_file_system", "claimed", "resolved"]

DATABASE = "callsheet.db"
FILES = "files"
MOUNTS = Path("/proc/self/mountinfo")

# File systems that do not share memory between machines, which SQLite's log needs, or whose locks lie:
# https://sqlite.org/wal.html
NETWORK_WORDS = """
9p afs beegfs ceph cifs coda fhgfs fuse.beegfs fuse.ceph fuse.cephfs fuse.gcsfuse fuse.glusterfs
fuse.juicefs fuse.rclone fuse.s3fs fuse.sshfs gfs2 glusterfs gpfs lustre mmfs moosefs ncpfs nfs nfs4
ocfs2 orangefs panfs smb2 smb3 smbfs wekafs
"""

NETWORK = frozenset(NETWORK_WORDS.split())


def resolved(directory: str | os.PathLike[str]) -> Path:
    """Return the absolute path of the directory, without symlinks; it need not exist.

    Raises:
        ConfigError: There is no such home, or symlinks lead in a circle.
    """
    try:
        path = Path(directory).expanduser().resolve()
        try:
            path.stat()
        except OSError as exc:
            # Python 3.13 resolves a circle to itself. What else may be wrong is told by who uses the path.
            if exc.errno == errno.ELOOP:
                raise
        return path
    except (OSError, RuntimeError) as exc:
        raise ConfigError(f"directory {str(directory)!r} leads nowhere: {exc}", provider="local") from exc


@contextmanager
def claimed(directory: Path, *, patience: float) -> Iterator[None]:
    """Make the directory unless it is there, and keep other processes from doing so at the same time.

    Raises:
        TimeoutError: Another process has kept us from it for `patience` seconds.
        ConfigError: It is a file, belongs to something else, or lies on a network file system.
        Denied: We may not write there.
    """
    check_file_system(directory)
    _make(directory)
    with locked_directory(directory, patience=patience):
        _check_owner(directory)
        yield


def check_file_system(directory: Path, mounts: str | None = None) -> None:
    """Refuse a network file system.

    Args:
        directory: An absolute path without symlinks; it need not exist.
        mounts: The text of `/proc/self/mountinfo`, by default that of this process, if there is any.
    """
    kind = _file_system(directory, _mounts() if mounts is None else mounts)
    if kind in NETWORK:
        raise ConfigError(
            f"{directory} is on a network file system ({kind}), where SQLite can lose data;"
            " use a directory on a local disk",
            provider="local",
        )


def _mounts() -> str:
    try:
        return MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return ""  # not Linux


def _file_system(directory: Path, mounts: str) -> str:
    """Return the type of the file system with the longest mount point above the directory."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        # https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html: six fields, any number of optional
        # ones, a dash, the type.
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 6:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]))
        # Of two on the same point, the later one covers the earlier.
        if len(point.parts) >= best and directory.is_relative_to(point):
            best, kind = len(point.parts), after.split(" ")[0]
    return kind


def _make(directory: Path) -> None:
    try:
        made = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as exc:
        raise ConfigError(
            f"{exc.filename} is a file; the tracker needs a directory", provider="local"
        ) from exc
    except PermissionError as exc:
        raise Denied(f"may not make {directory}", provider="local") from exc
    for path in made:
        with suppress(PermissionError):  # a folder that may be written but not read
            sync_directory(path.parent)


def _check_owner(directory: Path) -> None:
    names = {entry.name for entry in directory.iterdir()}
    if names and DATABASE not in names:
        raise ConfigError(
            f"{directory} is not empty and not a tracker of callsheet; use an empty or new directory",
            provider="local",
        )
