"""Vidispine's own pages of jobs, by number: they shift when jobs come and go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from callsheet._errors import InvalidCursor, InvalidRequest
from callsheet._models import Job, Position, Slice
from callsheet.providers.vidispine._asking import Asked

__all__ = ["Listed", "Numbered", "check_number"]

MOST = 10_000
"""Jobs that are remembered, to tell those that come again."""


@attrs.frozen
class Listed:
    """One answer to `GET /job`.

    Attributes:
        jobs: In the order asked for.
        hits: How many there are that match, on this page and all others; `None` if that is not told.
    """

    jobs: list[Job]
    hits: int | None

    def is_last(self, first: int, number: int) -> bool:
        """Tell whether nothing comes behind it, `number` jobs having been asked for from the `first` on."""
        if self.hits is None or not self.jobs:
            return len(self.jobs) < number
        return first - 1 + len(self.jobs) >= self.hits


class Numbered:
    """A listing by numbers: what fetches its pages, and knows the number of each job that it has met.

    Args:
        pairs: What is asked for; `None` if nothing can match.
        first: The number of the first job, from 1.
        number: The most jobs; `None` for all.
        ask: Sends it.
    """

    def __init__(
        self,
        pairs: Asked | None,
        first: int,
        number: int | None,
        ask: Callable[[Asked], Awaitable[Listed]],
    ) -> None:
        self._pairs = pairs
        self._first = first
        self._number = number
        self._ask = ask
        self._numbers: OrderedDict[str, int] = OrderedDict()

    def key(self, job: Job) -> str:
        """Return the job's number."""
        return str(self._numbers[job.id])

    async def fetch(self, after: Position | None, size: int) -> Slice[Job]:
        """Return the jobs behind a number, but for those that were met before.

        Raises:
            InvalidCursor: It is no number.
        """
        first = self._first if after is None else _number(after) + 1
        if self._number is not None:
            size = min(size, self._first + self._number - first)
        if self._pairs is None or size < 1:
            return Slice([])
        listed = await self._ask(self._pairs.with_(("first", str(first)), ("number", str(size))))
        new = []
        for index, job in enumerate(listed.jobs, first):
            if job.id not in self._numbers:
                new.append(job)
                self._numbers[job.id] = index
        while len(self._numbers) > MOST:
            self._numbers.popitem(last=False)
        if listed.is_last(first, size):
            return Slice(new)
        return Slice(new, Position(str(first - 1 + len(listed.jobs))))


def _number(after: Position) -> int:
    if not after.key.isascii() or not after.key.isdecimal():
        raise InvalidCursor("cursor: it is damaged")
    return int(after.key)


def check_number(value: Any, name: str) -> None:
    """Raise `InvalidRequest`, which names it, unless the value is a number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"{name} must be a number from 1 up, not {value!r}")
