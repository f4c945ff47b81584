"""The time of a sandbox: runs by itself, can be moved forward, and does what is due on the way."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]

LAST = datetime(9000, 1, 1, tzinfo=UTC)
"""No clock goes further: what is due some time later must still have a date."""


class Clock:
    """A clock that tests drive.

    It starts at the true time and runs with it until it is frozen. What was asked for with `call_at` is done
    by `tick`, in the order of its moments: on each request and on each advance.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._frozen: datetime | None = None
        self._acting: datetime | None = None
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """Return the sandbox's time, in UTC. While something due is done, that is the moment it was due."""
        return self._acting or self._frozen or datetime.now(UTC) + self._ahead

    @property
    def frozen(self) -> bool:
        """Whether the clock stands still between advances."""
        return self._frozen is not None

    def freeze(self, frozen: bool) -> None:
        """Stop the clock where it is, or let it run on from there."""
        now = self.now()
        self._frozen = now if frozen else None
        self._ahead = now - datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Move forward, and do on the way what is due.

        Raises:
            ValueError: A clock does not run backwards, nor beyond the year 9000.
        """
        if not 0 <= seconds < (LAST - self.now()).total_seconds():
            raise ValueError(f"seconds: a clock cannot be moved by {seconds}")
        step = timedelta(seconds=seconds)
        if self._frozen is not None:
            self._frozen += step
        self._ahead += step
        self.tick()

    def call_at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Do this once the moment has come."""
        heapq.heappush(self._due, (moment, next(self._order), action))

    def tick(self) -> None:
        """Do what is due by now."""
        now = self.now()
        while self._due and self._due[0][0] <= now:
            self._acting, _, action = heapq.heappop(self._due)
            try:
                action()
            finally:
                self._acting = None
