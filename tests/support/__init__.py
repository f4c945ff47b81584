"""What the tests share: the size of a run, the loop watch and the leak check."""

from __future__ import annotations

import os

__all__ = ["FULL", "scale"]

FULL = os.environ.get("CALLSHEET_FULL", "0") not in {"", "0"}
"""Whether this is the long run (`nox -s full`)."""


def scale(usual: int, full: int) -> int:
    """Return how often or how many: `usual` in every run, `full` in the long one."""
    return full if FULL else usual
