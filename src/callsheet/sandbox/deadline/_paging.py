"""Lists in pages, by tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from callsheet.sandbox.deadline._errors import Validation

__all__ = ["paged"]

USUAL = 100
"""How many things a page has at most, if nobody asks for fewer."""


def paged(name: str, things: Sequence[Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of things under their name, and the token of the next one if there is more.

    Raises:
        Validation: The token is not of a page of this list.
    """
    start = _start(words)
    stop = start + words.get("maxResults", USUAL)
    more = {"nextToken": _token(stop, words)} if stop < len(things) else {}
    return {name: list(things[start:stop]), **more}


def _start(words: Mapping[str, Any]) -> int:
    if "nextToken" not in words:
        return 0
    try:
        start, question = json.loads(base64.urlsafe_b64decode(words["nextToken"].encode()))
    except ValueError as exc:
        raise _refused() from exc
    if question != _question(words):
        raise _refused()
    return int(start)


def _refused() -> Validation:
    return Validation("The nextToken is not valid.", fields=[("nextToken", "is not valid")])


def _token(start: int, words: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([start, _question(words)]).encode()).decode()


def _question(words: Mapping[str, Any]) -> str:
    """Return what all pages of one list have in common."""
    asked = {name: value for name, value in words.items() if name not in {"nextToken", "maxResults"}}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
