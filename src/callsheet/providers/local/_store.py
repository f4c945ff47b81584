"""The database as async code sees it: reads in threads, writes in groups, all by a deadline."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import anyio
from sqlalchemy import Connection

from callsheet._errors import ConfigError, Timeout
from callsheet._threads import Threads
from callsheet.providers.local._database import READERS, Database
from callsheet.providers.local._writer import Write, Writer

__all__ = ["Store"]

logger = logging.getLogger("callsheet")

BUSY = 30.0
"""Most seconds that a transaction waits for those of other processes."""

P = ParamSpec("P")
R = TypeVar("R")


class Store:
    """One tracker's database, shared by all who use the same provider."""

    def __init__(self, directory: Path, tracker: str, *, timeout: float) -> None:
        # Shorter than the deadline, so that the answer is "not done" and not "unknown".
        self._database = Database(directory, tracker, busy=min(BUSY, timeout / 2))
        self._timeout = timeout
        self._threads: Threads | None = None
        self._writer: Writer | None = None

    async def open(self) -> None:
        """Open the database and start the writer."""
        threads = Threads(READERS)
        await threads.run(self._database.open)
        self._threads = threads
        self._writer = Writer(self._database)

    async def aclose(self) -> None:
        """Let what was begun end, for at most 5 seconds, and close everything."""
        threads, self._threads = self._threads, None
        writer, self._writer = self._writer, None
        if threads is None or writer is None:
            return
        with anyio.CancelScope(shield=True):
            ended = await writer.aclose()
            ended = await threads.aclose() and ended
            if not ended:
                logger.warning("a thread of the local tracker did not end in time")
            await threads.run(self._database.close)

    @property
    def transactions(self) -> int:
        """How many transactions have been written since `open`."""
        return self._opened(self._writer).transactions

    async def read(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call the function with a connection, in a thread, and return its result.

        Raises:
            Timeout: It took too long.
        """
        threads = self._opened(self._threads)
        reading = _Reading(self._database, lambda db: function(db, *args, **kwargs))
        try:
            with anyio.move_on_after(self._timeout):
                return await threads.run(reading.run, abandon=True)
        finally:
            reading.stop()
        raise Timeout(f"the local tracker did not answer within {self._timeout:g} s", provider="local")

    async def write(self, write: Write, argument: Any, *, key: str | None = None) -> Any:
        """Have it written (`Writer.run`) and return its result."""
        return await self._opened(self._writer).run(write, argument, key=key, timeout=self._timeout)

    def _opened(self, part: R | None) -> R:
        if part is None:
            raise ConfigError("the local tracker is not open: use `async with`", provider="local")
        return part


class _Reading(Generic[R]):
    """A read in a thread, which is interrupted when nobody waits for it any more."""

    def __init__(self, database: Database, function: Callable[[Connection], R]) -> None:
        self._database = database
        self._function = function
        self._lock = threading.Lock()
        self._driver: Any = None
        self._stopped = False

    def run(self) -> R:
        with self._database.reading() as db:
            with self._lock:
                self._driver = db.connection.driver_connection
            try:
                if self._stopped:
                    raise Timeout("nobody waits any more", provider="local")
                return self._function(db)
            finally:
                with self._lock:
                    self._driver = None

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._driver is not None:
                self._driver.interrupt()
