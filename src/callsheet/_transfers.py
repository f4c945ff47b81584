"""Many uploads at once: bounded in number and memory, each with its own outcome."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeAlias

import anyio

from callsheet import _checks
from callsheet._errors import InvalidRequest
from callsheet._files import File, FrameSequence
from callsheet._models import Component, Transfer
from callsheet._threads import Threads
from callsheet.abc import Progress, Provider

__all__ = ["MAX_FILES", "OnProgress", "as_file", "checked_options", "reporting", "upload_all"]

MAX_FILES = 32
"""Files in flight unless the caller says otherwise."""

MAX_BYTES = 64 << 20
"""Bytes in flight of all uploads of one call."""

OnProgress: TypeAlias = Callable[[Transfer], Awaitable[None] | None]
"""Called, and awaited if it is async, as a transfer goes on."""


def as_file(given: Any) -> File | FrameSequence | Component:
    """Return what was given as a file, checked but not looked at.

    Raises:
        InvalidRequest: It is neither a path nor a file of ours.
    """
    if isinstance(given, File | FrameSequence | Component):
        return given
    return File(given)


def checked_options(location: Any, concurrency: Any, on_progress: Any) -> None:
    """Raise `InvalidRequest`, which names it, if an option of a transfer makes no sense."""
    _checks.optional_text(location, "location")
    given = concurrency is not None
    if given and (isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1):
        raise InvalidRequest(f"concurrency must be a number of files from 1 up, not {concurrency!r}")
    if on_progress is not None and not callable(on_progress):
        raise InvalidRequest(f"on_progress must be a function, not {on_progress!r}")


def reporting(on_progress: OnProgress | None, name: str, total: int) -> Progress:
    """Return what a provider awaits with the bytes done; saying the same twice is heard once."""
    last: int | None = None

    async def report(done: int) -> None:
        nonlocal last
        if on_progress is not None and done != last:
            last = done
            answer = on_progress(Transfer(name, done, total))
            if inspect.isawaitable(answer):
                await answer

    return report


async def upload_all(
    provider: Provider,
    files: Sequence[File | FrameSequence],
    *,
    location: str | None,
    keys: Sequence[str],
    concurrency: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[list[Component | None], dict[int, Exception]]:
    """Upload all files; return their components in order (`None` where one failed), and errors by index."""
    done: list[Component | None] = [None] * len(files)
    failed: dict[int, Exception] = {}
    queue = iter(range(len(files)))
    budget = _Budget(MAX_BYTES)
    threads = Threads(4)

    async def upload(index: int) -> Component:
        file = files[index]
        size = await file.measure(threads)
        async with budget.holding(min(size, provider.memory_per_upload)):
            report = reporting(on_progress, file.name, size)
            return await provider.upload(file, location=location, key=keys[index], progress=report)

    async def work(queue: Iterator[int]) -> None:
        for index in queue:
            try:
                done[index] = await upload(index)
            except Exception as error:  # noqa: BLE001 - handed to the caller, beside its file
                failed[index] = error

    async with anyio.create_task_group() as tasks:
        for _ in range(min(concurrency or MAX_FILES, len(files))):
            tasks.start_soon(work, queue)
    return done, failed


class _Budget:
    """Bytes that may be in flight together; one transfer alone may always go."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._size = size
        self._freed = anyio.Condition()

    def holding(self, amount: int) -> _Held:
        return _Held(self, min(amount, self._size))

    async def take(self, amount: int) -> None:
        async with self._freed:
            while amount > self._free:
                await self._freed.wait()
            self._free -= amount

    async def give(self, amount: int) -> None:
        async with self._freed:
            self._free += amount
            self._freed.notify_all()


class _Held:
    def __init__(self, budget: _Budget, amount: int) -> None:
        self._budget = budget
        self._amount = amount

    async def __aenter__(self) -> None:
        await self._budget.take(self._amount)

    async def __aexit__(self, *_: object) -> None:
        await self._budget.give(self._amount)
