"""Arguments of Vidispine's own calls, checked before anything is sent: each error names the culprit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from callsheet import _checks
from callsheet._errors import InvalidRequest

__all__ = ["mapping", "texts", "whole", "words"]


def whole(value: Any, field: str, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`."""
    if _checks.number(value, field, low, high) != int(value):
        raise InvalidRequest(f"{field} must be a whole number, not {value!r}")
    return int(value)


def words(value: Any, field: str) -> list[str]:
    """Return texts in the order given."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidRequest(f"{field} must be a list, not {value!r}")
    return [_checks.text(word, field) for word in value]


def texts(value: Any, field: str) -> dict[str, str]:
    """Return texts by their names; an empty mapping for `None`."""
    return {
        _checks.text(name, field): _checks.text(text, f"{field}: {name!r}", empty=True)
        for name, text in mapping(value, field).items()
    }


def mapping(value: Any, field: str) -> Mapping[Any, Any]:
    """Return a mapping; an empty one for `None`."""
    if not isinstance(value, Mapping | None):
        raise InvalidRequest(f"{field} must be a mapping, not {type(value).__name__}")
    return {} if value is None else value
