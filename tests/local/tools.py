"""What the tests of the local tracker share besides fixtures."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from callsheet import Component, Job

__all__ = ["Make", "Upload", "Worker", "unseen"]

Make: TypeAlias = Callable[..., Awaitable[Job]]
Upload: TypeAlias = Callable[..., Awaitable[Component]]


class Worker(Protocol):
    """Starts a process that does one of the things in `worker.py`."""

    def __call__(self, act: str, *arguments: Any) -> subprocess.Popen[str]: ...


async def unseen(_: int) -> None:
    """Take progress and tell nobody."""
