"""A clock that the test sets ahead: deadlines pass when it says so, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio.lowlevel
import pytest
import trio

__all__ = ["Clock"]


class Clock:
    """The clock of both loops, and `time.monotonic()`: it goes on as ever, and jumps where it is told to."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def skip(self, seconds: float) -> None:
        """Set it ahead at once; what is due by then comes at the loop's next turn.

        The time after which a test is taken to hang passes, too.
        """
        self._ahead += seconds

    async def skip_waiting(self, seconds: float) -> None:
        """Set it ahead when every other task has read what came for it, and waits."""
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        self.skip(seconds)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let everybody see this clock instead of the machine's."""
        monotonic, perf_counter = time.monotonic, time.perf_counter

        def shifted_monotonic() -> float:
            return monotonic() + self._ahead

        def shifted_perf_counter() -> float:
            return perf_counter() + self._ahead

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", shifted_monotonic)
            patch.setattr(trio._core._run, "perf_counter", shifted_perf_counter)
            yield
