"""What we say on standard error: one line each, also where there is no standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["one_line", "readable", "reopen_closed_streams", "say", "shown_log"]


def say(text: str) -> None:
    """Print one line, with our name before it."""
    # Our own standard error may be full, or its reader gone; the work goes on.
    with suppress(OSError):
        # In one piece, so that what the command writes meanwhile comes before or after it.
        sys.stderr.write(f"callsheet: {one_line(text)}\n")
        sys.stderr.flush()


def one_line(text: str) -> str:
    """Return the text in one line that a terminal shows as it is."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def readable(name: str) -> str:
    """Return the name of a file in Unicode, which trackers want: what of it is not becomes U+FFFD."""
    return os.fsencode(name).decode(errors="replace")


@contextmanager
def shown_log(*, first_warning_only: bool = False) -> Iterator[None]:
    """Say what the package logs meanwhile: warnings (or the first, where others say the same) and errors."""
    logger = logging.getLogger("callsheet")
    before = logger.handlers, logger.propagate
    handler = Lines(logging.WARNING)
    if first_warning_only:
        handler.addFilter(FirstWarning())
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before


def reopen_closed_streams() -> None:
    """Point standard streams that we were started without to nowhere.

    Otherwise the next file to be opened, such as a database, would become our standard output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


class Lines(logging.Handler):
    """Says each record in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        say(f"{record.levelname.lower()}: {record.getMessage()}")


class FirstWarning(logging.Filter):
    """Lets one warning pass, and everything above warnings."""

    def __init__(self) -> None:
        super().__init__()
        self._has_passed = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record passes."""
        if record.levelno > logging.WARNING:
            return True
        first, self._has_passed = not self._has_passed, True
        return first
