"""Hints that jobs may have changed, for those who watch: each is remembered until they have looked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from weakref import WeakMethod, ref

__all__ = ["Hints"]

MOST = 1000
"""Jobs whose hints are remembered; what is forgotten is seen at the next look at everything."""


class Hints:
    """Which jobs somebody has told of, in order.

    Attributes:
        count: How many hints there were so far.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._listeners: list[ref[Callable[[], None]]] = []

    def listen(self, wake: Callable[[], None]) -> None:
        """Call a method at each hint, for as long as its object lives."""
        self._listeners.append(WeakMethod(wake) if isinstance(wake, MethodType) else ref(wake))

    def tell(self, job_id: str) -> None:
        """Note that a job may have changed, and wake who listens."""
        self.count += 1
        self._numbers[job_id] = self.count
        self._numbers.move_to_end(job_id)
        if len(self._numbers) > MOST:
            self._numbers.popitem(last=False)
        self._listeners = [listener for listener in self._listeners if listener() is not None]
        for listener in self._listeners:
            if (wake := listener()) is not None:
                wake()

    def since(self, count: int) -> list[str]:
        """Return the jobs that were told of after that many hints."""
        return [job_id for job_id, number in self._numbers.items() if number > count]
