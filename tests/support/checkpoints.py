"""Cancels a call at each of its checkpoints in turn, on either loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

import anyio
import attrs

__all__ = ["Cut", "cut_at"]

T = TypeVar("T")


@attrs.frozen
class Cut(Generic[T]):
    """What became of a call that was to be cancelled at one of its checkpoints.

    Attributes:
        reached: Whether the call came to that checkpoint at all.
        cancelled: Whether it ended as cancelled; if not, it returned.
        result: What it returned then.
    """

    reached: bool
    cancelled: bool
    result: T | None


async def cut_at(checkpoint: int, call: Callable[[], Awaitable[T]]) -> Cut[T]:
    """Run the call, and cancel it when its own task waits for the `checkpoint`-th time (from 1)."""
    result: T | None = None
    with anyio.CancelScope() as scope:
        counted = _Counted(call().__await__(), checkpoint, scope)
        result = await counted
    return Cut(counted.waits >= checkpoint, scope.cancelled_caught, result)


class _Counted(Generic[T]):
    """Hands on what a coroutine waits for, and cancels the scope at the given time."""

    def __init__(self, steps: Generator[Any, Any, T], checkpoint: int, scope: anyio.CancelScope) -> None:
        self.waits = 0
        self._steps = steps
        self._checkpoint = checkpoint
        self._scope = scope

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            waited_for = next(self._steps)
            while True:
                self.waits += 1
                if self.waits == self._checkpoint:
                    self._scope.cancel()
                try:
                    answer = yield waited_for
                except BaseException as error:  # noqa: BLE001 - handed to the coroutine it is meant for
                    waited_for = self._steps.throw(error)
                else:
                    waited_for = self._steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
