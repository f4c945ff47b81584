"""Much to do at once, without keeping anybody else waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from anyio.lowlevel import checkpoint

__all__ = ["in_steps"]

T = TypeVar("T")
R = TypeVar("R")

STEP = 200
"""Small things done before others on the loop get their turn."""


async def in_steps(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the function's result for each item; with many, others on the loop get their turn in between."""
    done: list[R] = []
    for item in items:
        done.append(function(item))
        if len(done) % STEP == 0:
            await checkpoint()
    return done
