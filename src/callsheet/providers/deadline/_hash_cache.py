"""What is known of files and uploads from earlier submissions: a small database, shared by all processes.

It only saves work: if it cannot be used, everything is hashed and asked for anew, and a log line says so.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import platformdirs

from callsheet.providers.deadline._hashing import Hashed, Stamp

__all__ = ["HashCache"]

logger = logging.getLogger("callsheet")

T = TypeVar("T")

KEPT = 90 * 24 * 3600
"""Seconds after which what is known of a file is forgotten."""

RECHECK = 24 * 3600
"""Seconds for which an object that was seen in a bucket is taken to be there still."""

TIDIED = 24 * 3600
"""Seconds between two looks for what can be forgotten."""

RACY = 2_000_000_000
"""Nanoseconds: a file changed that recently could change again without its times telling."""

PATIENCE = 10.0
"""Seconds to wait for another process's transaction."""

_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
    hash TEXT, noted_at INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    bucket TEXT, key TEXT, seen_at INTEGER, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tidied (at INTEGER);
PRAGMA user_version = 1;
"""


class HashCache:
    """Hashes of files by what the files are, and objects that were seen in buckets.

    Its methods block, and are called in a thread. Any number of processes and threads may use it at once.

    Args:
        path: Where the database is; by default in the user's own cache folder, one for each machine, as the
            folder may be shared by many.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def hashes(self, paths: Sequence[str]) -> dict[str, Hashed]:
        """Return what is known of files, by path: the hash holds if the file is still what it was."""

        def find(database: sqlite3.Connection) -> dict[str, Hashed]:
            select = "SELECT device, inode, size, mtime_ns, ctime_ns, hash FROM files WHERE path = ?"
            found: dict[str, Hashed] = {}
            if database.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None:
                return found
            for path in paths:
                row = database.execute(select, (os.fsencode(path),)).fetchone()
                if row is not None:
                    found[path] = Hashed(Stamp(*row[:5]), row[5])
            return found

        return self._using(find, otherwise={})

    def note_hashes(self, files: Iterable[tuple[str, Hashed]]) -> None:
        """Remember the hashes of files, in one transaction."""
        now = time.time_ns()
        rows = [
            (os.fsencode(path), *hashed.stamp, hashed.hash, now // 1_000_000_000)
            for path, hashed in sorted(files)  # in the order of the table
            if max(hashed.stamp.mtime_ns, hashed.stamp.ctime_ns) < now - RACY
        ]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            _tidy(database, now // 1_000_000_000)

        if rows:
            self._using(write, otherwise=None, writes=True)

    def seen(self, bucket: str, keys: Iterable[str]) -> set[str]:
        """Return those keys that were seen in the bucket of late."""
        since = int(time.time()) - RECHECK

        def find(database: sqlite3.Connection) -> set[str]:
            select = "SELECT 1 FROM seen WHERE bucket = ? AND key = ? AND seen_at > ?"
            return {key for key in keys if database.execute(select, (bucket, key, since)).fetchone()}

        return self._using(find, otherwise=set())

    def note_seen(self, bucket: str, keys: Iterable[str]) -> None:
        """Remember that the keys are in the bucket, in one transaction."""
        now = int(time.time())
        rows = [(bucket, key, now) for key in keys]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("REPLACE INTO seen VALUES (?, ?, ?)", rows)
            _tidy(database, now)

        if rows:
            self._using(write, otherwise=None, writes=True)

    # -- the database ----------------------------------------------------------------------------------------

    def _using(self, work: Callable[[sqlite3.Connection], T], *, otherwise: T, writes: bool = False) -> T:
        """Do it in a transaction of its own; without the database, do nothing."""
        path = self._path or _default_path()
        try:
            try:
                return _in_transaction(path, work, writes=writes)
            except sqlite3.OperationalError:  # locked, read-only, full: others may have no trouble with it
                raise
            except sqlite3.DatabaseError:
                # It is damaged. Whoever has it open goes on with the old file until they close it.
                path.unlink(missing_ok=True)
                return _in_transaction(path, work, writes=writes)
        except (sqlite3.Error, OSError) as error:
            logger.warning("no cache of hashes, so files are hashed again: %s (%s)", path, error)
            return otherwise


def _in_transaction(path: Path, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as database:
        if database.execute("PRAGMA user_version").fetchone()[0] == 0:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            result = work(database)
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return result


def _tidy(database: sqlite3.Connection, now: int) -> None:
    """Forget what is old, once a day."""
    last = database.execute("SELECT max(at) FROM tidied").fetchone()[0]
    if last is not None and now - last < TIDIED:
        return
    database.execute("DELETE FROM files WHERE noted_at < ?", (now - KEPT,))
    database.execute("DELETE FROM seen WHERE seen_at < ?", (now - RECHECK,))
    database.execute("DELETE FROM tidied")
    database.execute("INSERT INTO tidied VALUES (?)", (now,))


def _default_path() -> Path:
    machine = re.sub(r"[^\w.-]", "_", platform.node()) or "machine"
    return platformdirs.user_cache_path("callsheet") / f"attachments-{machine}.db"
