"""Open files that threads may still use, or may be about to open, when nobody waits for them any more."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from callsheet._errors import Timeout
from callsheet._threads import Threads

__all__ = ["Handle", "acquire"]

R = TypeVar("R")


async def acquire(threads: Threads, make: Callable[[], R], release: Callable[[R], object]) -> R:
    """Call `make` in a thread and return what it made; should nobody wait for it any more, release it."""
    lock = threading.Lock()
    made: list[R] = []
    left = False

    def call() -> None:
        result = make()
        with lock:
            if not left:
                made.append(result)
                return
        release(result)

    try:
        await threads.run(call, abandon=True)
    except BaseException:
        with lock:
            left = True
        for result in made:
            release(result)
        raise
    return made[0]


class Handle:
    """A descriptor for one thread at a time. Whoever is last, the user or a thread left behind, closes it.

    Args:
        descriptor: The open file.
        last: Called just before it is closed.
    """

    def __init__(self, descriptor: int, last: Callable[[], object] = lambda: None) -> None:
        self._descriptor = descriptor
        self._last = last
        self._lock = threading.Lock()
        self._busy = False
        self._closed = False

    @contextmanager
    def using(self) -> Iterator[int]:
        """Hold the descriptor open; call this in the thread.

        Raises:
            Timeout: It was closed, as nobody waits.
        """
        with self._lock:
            if self._closed:
                raise Timeout("the file was given up", provider="local")
            self._busy = True
        try:
            yield self._descriptor
        finally:
            with self._lock:
                self._busy = False
                if self._closed:
                    self._end()

    def close(self) -> None:
        """Close it now, or as soon as the thread that uses it is done. May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if not self._busy:
                    self._end()

    def _end(self) -> None:
        try:
            self._last()
        finally:
            os.close(self._descriptor)
