"""How fast requests may follow each other: when the service says that it is too much, all tasks slow down."""

from __future__ import annotations

from collections import deque

import anyio

__all__ = ["Pace"]

LONGEST = 30.0
"""Seconds that everybody waits at most for a server's `Retry-After`."""

SLOWEST = 0.5
"""Requests a second, however often the server says that it is too much."""

GROWTH = 1.05
"""What each success makes of the pace; twice as fast after 14 of them."""


class Pace:
    """The turns of all tasks that ask one service.

    Without limit until the service first refuses. Then nobody asks until the time it named, and from then on
    at half the rate of before, which grows again with each success.

    Attributes:
        rate: Requests a second; `None` for no limit.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._usual = 0.0
        self._free = 0.0
        self._slowed = False
        self._recent: deque[float] = deque(maxlen=20)

    async def turn(self) -> None:
        """Return when it is this task's turn to ask."""
        # Looked at again after each wait: others have gone first, or the service has refused them meanwhile.
        while (wait := self._free - anyio.current_time()) > 0:  # noqa: ASYNC110 - time is what it waits for
            await anyio.sleep(wait)
        now = anyio.current_time()
        self._recent.append(now)
        self._slowed = False
        if self.rate is not None:
            self._free = now + 1 / self.rate

    def refused(self, retry_after: float | None) -> None:
        """Slow everybody down, once for all that were under way together."""
        now = anyio.current_time()
        if not self._slowed:
            self._slowed = True
            span = max(now - self._recent[0], 0.01) if self._recent else 1.0
            measured = max(len(self._recent), 1) / span
            self._usual = max(self._usual, measured)
            self.rate = max(SLOWEST, min(self.rate or measured, measured) / 2)
        self._free = max(self._free, now + min(LONGEST, 1.0 if retry_after is None else retry_after))

    def succeeded(self) -> None:
        """Go a little faster again; at the rate of before, without limit."""
        if self.rate is not None:
            self.rate *= GROWTH
            if self.rate >= self._usual:
                self.rate, self._usual = None, 0.0
