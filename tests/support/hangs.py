"""Ends a test that hangs: by cancelling it in its loop where it is async, by a signal where it is not."""

from __future__ import annotations

import functools
import inspect
import signal
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio
import pytest

__all__ = ["ended_after"]


@contextmanager
def ended_after(seconds: float, item: pytest.Function) -> Iterator[None]:
    """Fail the test once it has run for so long."""
    test = item.obj
    if inspect.iscoroutinefunction(test):
        # A signal's exception would strike the plug-in, not the task, and leave trio's loop running for ever.
        item.obj = _cancelled_after(seconds, test)
        yield
    else:
        with _interrupted_after(seconds):
            yield


def _cancelled_after(seconds: float, test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(**fixtures: object) -> None:
        where = ""
        with anyio.move_on_after(seconds) as scope:
            try:
                await test(**fixtures)
            except anyio.get_cancelled_exc_class():
                where = traceback.format_exc()
                raise
        if scope.cancelled_caught:
            pytest.fail(f"hung for more than {seconds:g} s\n{where}", pytrace=False)

    return limited


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    def fail(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"hung for more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
