"""Errors that are expected of a case in a table, or of a block of several statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

__all__ = ["ends_with", "raises_for"]

E = TypeVar("E", bound=BaseException)


@contextmanager
def raises_for(
    case: object, error: type[BaseException] | tuple[type[BaseException], ...], *, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """Expect an error as `pytest.raises` does, and name the case if it does not come."""
    try:
        with pytest.raises(error, match=match) as caught:
            yield caught
    except BaseException as failure:
        failure.add_note(f"in the case {case!r}")
        raise


def ends_with(error: type[E]) -> AbstractContextManager[pytest.ExceptionInfo[E]]:
    """Expect an error from inside a block, which has more to do than to raise it."""
    return pytest.raises(error)
