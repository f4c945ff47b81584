"""How many requests are answered: a bucket of tokens that fills by the sandbox's clock."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from callsheet.sandbox.deadline._errors import Throttled

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["Pace"]


class Pace:
    """Refuses requests that come too fast; a second's worth may come at once."""

    def __init__(self, part: Deadline) -> None:
        self._part = part
        self._left = 0.0
        self._at: datetime | None = None

    def take(self) -> None:
        """Count one request.

        Raises:
            Throttled: It is one too many.
        """
        rate = self._part.requests_per_second
        if rate is None:
            self._at = None
            return
        now, most = self._part.world.clock.now(), max(1.0, rate)
        passed = (now - self._at).total_seconds() if self._at else most
        self._at, self._left = now, min(most, self._left + passed * rate) if self._at else most
        if self._left < 1:
            raise Throttled(self._part.retry_after)
        self._left -= 1
