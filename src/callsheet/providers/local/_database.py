"""The SQLite database of one directory: its connections, and transactions as `with` blocks."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import attrs
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, update

from callsheet._errors import ConfigError, Outcome, ResponseError, Unavailable
from callsheet._locks import sync_directory
from callsheet._models import same_json
from callsheet.providers.local._directory import DATABASE, FILES, claimed
from callsheet.providers.local._schema import counters, make, recognise
from callsheet.providers.local._stamps import now_us
from callsheet.providers.local._trouble import translating

__all__ = ["Database", "Transaction"]

READERS = 4


@attrs.frozen
class Transaction:
    """A write transaction: its connection, its sequence number, and its time in microseconds."""

    db: Connection
    seq: int
    now: int
    tracker: str


@attrs.frozen
class _Engines:
    file: tuple[int, int]
    reading: Engine
    writing: Engine

    def close(self) -> None:
        self.reading.dispose()
        self.writing.dispose()


class Database:
    """Connections to one directory's database. Every call blocks; they may come from any thread.

    Should the directory be renamed, removed or replaced, calls fail until there is a tracker at its path
    again: a write into a file that nobody else can find is never called done.
    """

    def __init__(self, directory: Path, tracker: str, *, busy: float) -> None:
        self.directory = directory
        self.tracker = tracker
        self._path = directory / DATABASE
        self._busy = busy
        self._opening = threading.Lock()
        self._engines: _Engines | None = None

    def open(self) -> None:
        """Make the directory and the tables unless they are there.

        Raises:
            ConfigError: The directory cannot be a tracker of this version.
            Denied: We may not write there.
        """
        try:
            with translating(self.directory), claimed(self.directory, patience=self._busy):
                # SQLite gives its other files the mode of this one.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                engines = self._connect()
                for files in (self.directory / FILES, self.directory / FILES / "tmp"):
                    if not files.exists():
                        files.mkdir(mode=0o700, exist_ok=True)
                        sync_directory(files.parent)
        except ResponseError as exc:
            if exc.code not in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
                raise
            raise ConfigError(f"{self._path} is not a database of callsheet", provider="local") from exc
        old, self._engines = self._engines, engines
        if old is not None:
            old.close()

    def close(self) -> None:
        """Close all connections; none may be in use."""
        engines, self._engines = self._engines, None
        if engines is not None:
            engines.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read from one state of the database."""
        with translating(self.directory), self._current().reading.connect() as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Write all or nothing; on disk when left without an error."""
        with translating(self.directory):
            engines = self._current()
            with engines.writing.connect() as db:
                seq = db.execute(_BUMP).scalar_one()
                yield Transaction(db, seq, now_us(), self.tracker)
                with translating(self.directory, committing=True):
                    db.commit()
            if _file(self._path) != engines.file:
                raise Unavailable(
                    f"{self.directory} was moved away while it was written to",
                    outcome=Outcome.UNKNOWN,
                    provider="local",
                )

    def _current(self) -> _Engines:
        """Return the connections to what is at our path now, made anew if that is another file."""
        with self._opening:
            if self._engines is None:
                raise ConfigError("the local tracker is not open: use `async with`", provider="local")
            found = _file(self._path)
            if found is None:
                raise Unavailable(f"the tracker's database {self._path} is gone", provider="local")
            if self._engines.file != found:
                self.open()
            return self._engines

    def _connect(self) -> _Engines:
        writing = _engine(self._path, "BEGIN IMMEDIATE", self._busy, size=1)
        try:
            with writing.connect() as db:
                known = recognise(db, str(self._path))
            self._keep_log()
            if not known:
                with writing.begin() as db:
                    make(db)
            file = _file(self._path)
            if file is None:
                raise Unavailable(f"the tracker's database {self._path} is gone", provider="local")
        except BaseException:
            writing.dispose()
            raise
        return _Engines(file, _engine(self._path, "BEGIN", self._busy, size=READERS), writing)

    def _keep_log(self) -> None:
        """Let readers and the writer not wait for each other: https://sqlite.org/wal.html."""
        with closing(_connection(self._path, self._busy)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise ConfigError(f"{self._path}: SQLite cannot keep a log on this file system", provider="local")


_BUMP = (
    update(counters)
    .where(counters.c.name == "seq")
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _engine(path: Path, begin: str, busy: float, *, size: int) -> Engine:
    # Without a limit: an abandoned reader may hold its connection a moment longer than its caller stays.
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _connection(path, busy),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=-1,
    )
    event.listen(engine, "begin", lambda db: db.exec_driver_sql(begin))
    return engine


def _connection(path: Path, busy: float) -> sqlite3.Connection:
    # `mode=rw` never makes a database, which a plain path would if ours had just been moved away.
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode=rw",
        uri=True,
        timeout=busy,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.create_function("has_attributes", 2, _has_attributes, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _has_attributes(stored: str, wanted: str) -> bool:
    """Tell whether the stored attributes have all the wanted ones; both are JSON objects."""
    attributes = json.loads(stored)
    return all(
        name in attributes and same_json(attributes[name], value)
        for name, value in json.loads(wanted).items()
    )
