"""JSON of servers, decoded by orjson where that is installed: the extra `fast`."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["decoded"]


def _decoded(text: Any) -> Any:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


try:
    from orjson import loads as _quickly
except ModuleNotFoundError:
    _quickly = _decoded


def decoded(text: bytes) -> Any:
    """Return what the JSON says; with orjson, whole numbers of more than 64 bits become floats.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deep.
    """
    try:
        return _quickly(text)
    except ValueError:
        # orjson is stricter: it refuses half a surrogate pair, where a server has cut a text short.
        return _decoded(text)
