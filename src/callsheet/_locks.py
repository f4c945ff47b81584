"""Advisory locks on open files, which end with the process that held them; and names that outlast a crash."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where nothing but our own code keeps two processes apart
    fcntl = None

__all__ = ["lock", "locked_directory", "sync_directory"]


def lock(descriptor: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock the open file until its descriptor is closed; return whether it worked (always with `wait`).

    Raises:
        OSError: The file system has no locks.
    """
    if fcntl is None:
        return True
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to disk, where the system can do that with directories."""
    if fcntl is None:
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked_directory(directory: Path, *, patience: float) -> Iterator[None]:
    """Hold the lock of the directory itself, which needs no file inside. Blocks until it is free.

    Raises:
        TimeoutError: Somebody else has held it for `patience` seconds.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        deadline = time.monotonic() + patience
        while not lock(descriptor, wait=False):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "somebody else keeps it locked", str(directory))
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
