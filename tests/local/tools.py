"""What the tests of the local tracker share besides fixtures."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

from sqlalchemy import event

from callsheet import Component, Job
from callsheet.providers.local._database import Database

__all__ = ["Make", "Upload", "Worker", "plans", "unseen"]

Make: TypeAlias = Callable[..., Awaitable[Job]]
Upload: TypeAlias = Callable[..., Awaitable[Component]]


class Worker(Protocol):
    """Starts a process that does one of the things in `worker.py`."""

    def __call__(self, act: str, *arguments: Any) -> subprocess.Popen[str]: ...


async def unseen(_: int) -> None:
    """Take progress and tell nobody."""


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """Collect the plan of every query inside."""
    engine = database._current().reading
    steps: list[str] = []

    def explain(db: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps.extend(row[3] for row in plan)

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield steps
    finally:
        event.remove(engine, "before_cursor_execute", explain)
