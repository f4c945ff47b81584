"""Advisory locks on open files, which end with the process that held them."""

from __future__ import annotations

from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where nothing but our own code keeps two processes apart
    fcntl = None

__all__ = ["lock"]


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
