"""When to try again, and for how long to wait before."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs

from callsheet._errors import CallsheetError, RateLimited, TransportError, Unavailable

__all__ = ["Budget", "Retry", "retry_after", "worth_repeating"]

LONGEST = 1e9
"""Seconds or milliseconds; a server that asks for more gets no more, and no overflow."""


@attrs.frozen(kw_only=True)
class Retry:
    """How a failed request is repeated: full jitter over a doubling ceiling, out of a shared budget.

    Attributes:
        attempts: The most requests one call may make.
        base: Ceiling of the first wait, in seconds; it doubles from try to try.
        throttled: The same after the server said that it is too much.
        cap: The highest ceiling; a server's own `Retry-After` may be longer.
        budget: Repeats that all calls of a client together may make before calls must succeed again.
        random: Returns a number from 0 to 1, drawn anew for each wait.
    """

    attempts: int = 5
    base: float = 0.25
    throttled: float = 1.0
    cap: float = 20.0
    budget: int = 100
    random: Callable[[], float] = random.random

    def wait(self, attempt: int, error: CallsheetError, hint: float | None) -> float:
        """Return the seconds to wait after the failed `attempt` (from 1) and the server's `hint`."""
        draw = self.random()
        if hint is not None:
            # Never sooner than told; a little later, so that not everybody comes back at once.
            return hint + draw * min(1.0, hint / 10)
        base = self.throttled if isinstance(error, RateLimited) else self.base
        return draw * min(self.cap, base * 2.0 ** (attempt - 1))


class Budget:
    """Repeats left to all tasks of a client; what keeps an outage from being answered with a storm.

    Each repeat takes one. A success gives back a tenth; a success after repeats gives back all that those
    took; never more than the size.
    """

    def __init__(self, size: int) -> None:
        self._size = self._tenths = size * 10

    def take(self) -> bool:
        """Take one repeat; return whether there was one."""
        if self._tenths < 10:
            return False
        self._tenths -= 10
        return True

    def succeeded(self, repeats: int) -> None:
        """Give back what a call took that came through."""
        self._tenths = min(self._size, self._tenths + max(repeats * 10, 1))


def worth_repeating(error: CallsheetError) -> bool:
    """Tell whether the same request may fare better a little later."""
    return isinstance(error, TransportError | RateLimited | Unavailable)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds a server asks to wait, from `Retry-After` or its cousins in milliseconds.

    A date is counted from the answer's own `Date`, so that a wrong clock here does not matter; one in the
    past is 0. What cannot be read is no wish: `None`.
    """
    for name in ("retry-after-ms", "x-amz-retry-after", "x-ms-retry-after-ms"):
        if (ms := _number(headers.get(name))) is not None:
            return ms / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return seconds
    if (until := _date(value)) is None:
        return None
    here = _date(headers.get("date")) or now or datetime.now(UTC)
    return max(0.0, (until - here).total_seconds())


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", value, re.ASCII):
        return None
    return min(float(value), LONGEST)


def _date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
