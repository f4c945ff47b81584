"""Errors of the database and the disk, told as callsheet's."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from callsheet._errors import (
    CallsheetError,
    Denied,
    Outcome,
    QuotaExceeded,
    ResponseError,
    Unavailable,
)

__all__ = ["translating"]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def translating(directory: Path, *, committing: bool = False) -> Iterator[None]:
    """Tell errors of the database and the disk as callsheet's; any other passes as it is."""
    try:
        yield
    except CallsheetError:
        raise
    except OSError as exc:
        raise _disk_error(exc, directory) from exc
    except DBAPIError as exc:
        if not isinstance(exc.orig, sqlite3.Error):
            raise
        raise _database_error(exc.orig, directory, committing=committing) from exc
    except sqlite3.Error as exc:
        raise _database_error(exc, directory, committing=committing) from exc


def _database_error(error: sqlite3.Error, directory: Path, *, committing: bool) -> CallsheetError:
    name = getattr(error, "sqlite_errorname", "")
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the extended code's low byte is the primary one
    where = f"the tracker in {directory}"
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"{where} is kept busy by others", code=name, provider="local")
    if kind == sqlite3.SQLITE_FULL:
        return QuotaExceeded(f"no room is left for {where}", code=name, provider="local")
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return Denied(f"may not write in {where}", code=name, provider="local")
    # A log that could not be synced may still be found, and replayed, after a crash.
    outcome = Outcome.UNKNOWN if committing else Outcome.NOT_DONE
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        text = f"the database of {where} is damaged; restore it from a copy"
        return ResponseError(text, code=name, outcome=outcome, provider="local")
    if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return _disk_trouble(directory) or Unavailable(
            f"{where} cannot be read or written: {error}", code=name, outcome=outcome, provider="local"
        )
    return ResponseError(f"{where}: {error}", code=name, outcome=outcome, provider="local")


def _disk_trouble(directory: Path) -> CallsheetError | None:
    """Ask the disk what its trouble is, as SQLite does not say."""
    try:
        # Beyond the end of the largest file there, so that quotas and limits show.
        sizes = [entry.stat().st_size for entry in os.scandir(directory) if entry.is_file()]
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.seek(max(sizes, default=0))
            file.write(b"\0" * 65536)
            os.fsync(file.fileno())
    except OSError as exc:
        return _disk_error(exc, directory)
    return None


def _disk_error(error: OSError, directory: Path) -> CallsheetError:
    code = errno.errorcode.get(error.errno or 0)
    answer = f"{error.strerror or error} ({error.filename or directory})"
    if error.errno in FULL:
        return QuotaExceeded(f"no room is left for the tracker: {answer}", code=code, provider="local")
    if error.errno in FORBIDDEN:
        return Denied(f"no right to the tracker's files: {answer}", code=code, provider="local")
    return Unavailable(f"the tracker's directory cannot be used: {answer}", code=code, provider="local")
