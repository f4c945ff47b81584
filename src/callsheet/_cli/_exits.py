"""How a command ends: its exit code, and for an error one line that says what to do."""

from __future__ import annotations

import enum

from callsheet import (
    BulkError,
    CallsheetError,
    ConfigError,
    Denied,
    InvalidCursor,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TransportError,
    Unavailable,
    Unsupported,
    WaitTimeout,
)

__all__ = ["Exit", "explained"]


class Exit(enum.IntEnum):
    """Exit codes; `callsheet run` exits with its command's own."""

    OK = 0
    FAILED = 1
    """The tracker said no, or some of several things could not be done."""
    USAGE = 2
    """The command line or a setting makes no sense, or the tracker cannot do such a thing."""
    NOT_FOUND = 3
    """There is no such job or file."""
    ENDED_BADLY = 4
    """A job that was waited for failed or was cancelled."""
    UNREACHABLE = 5
    """The tracker could not be reached, or was too busy; later may work."""
    TIMEOUT = 124
    """The jobs had not ended in the time given to `--timeout`."""
    INTERRUPTED = 130
    """Ctrl-C."""
    UNREAD = 141
    """Whoever read our output went away."""


ANSWERS: list[tuple[tuple[type[BaseException], ...], Exit, str]] = [
    ((ConfigError, InvalidRequest, InvalidCursor, Unsupported), Exit.USAGE, ""),
    ((NotFound,), Exit.NOT_FOUND, "`callsheet jobs list` shows what is there"),
    ((WaitTimeout,), Exit.TIMEOUT, "they go on; wait again"),
    ((TransportError, Unavailable, RateLimited), Exit.UNREACHABLE, "check --url, or try again later"),
    ((Denied,), Exit.FAILED, "check your rights there, or choose another tracker by --url"),
    ((QuotaExceeded,), Exit.FAILED, "make room, or choose another tracker by --url"),
    ((FileExistsError,), Exit.FAILED, "--overwrite replaces it"),
    ((CallsheetError, OSError), Exit.FAILED, ""),
]
"""For each kind of error, the first that fits: the exit code, and what to do about it."""


def explained(error: Exception) -> tuple[Exit, str]:
    """Return the exit code that stands for an error, and the text that explains it.

    Raises:
        Exception: It is none that a user can do anything about, but a fault of ours.
    """
    if isinstance(error, BulkError) and len({type(one) for one in error.failed.values()}) == 1:
        code, _ = explained(next(iter(error.failed.values())))
        return code, str(error)
    # What Python's callers are advised would not help here.
    text = str(error).replace("; overwrite=True replaces it", "")
    for kinds, code, advice in ANSWERS:
        if isinstance(error, kinds):
            return code, f"{text}; {advice}" if advice else text
    raise error
