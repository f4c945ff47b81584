"""Tables of cases inside one test: a case that fails says which one it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["raises_for"]


@contextmanager
def raises_for(
    case: object, error: type[BaseException] | tuple[type[BaseException], ...], *, match: str = ""
) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """Expect an error as `pytest.raises` does, and name the case if it does not come."""
    try:
        with pytest.raises(error, match=match) as caught:
            yield caught
    except BaseException as failure:
        failure.add_note(f"in the case {case!r}")
        raise
