"""Values: JSON to what is stored, query literals to what is compared, stored to JSON.

A date-time is stored as text, in UTC and to the second, so that texts compare as moments do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from callsheet.sandbox.ftrack._errors import ValidationError
from callsheet.sandbox.ftrack._language import Literal
from callsheet.sandbox.ftrack._types import Attribute

__all__ = ["decode", "encode", "literal", "pattern", "stamp"]

_WORDS = {"true": True, "false": False}


def stamp(moment: datetime) -> str:
    """Return a moment as it is stored."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def decode(attribute: Attribute, value: Any, offset: timedelta) -> Any:
    """Turn a value from JSON into what is stored; naive times are of the server's own `offset`.

    Raises:
        ValidationError: The attribute takes no such value.
    """
    if value is None:
        return None
    if attribute.kind == "datetime":
        text = value.get("value") if isinstance(value, dict) else value
        return _moment(attribute, text, offset)[:19]
    if isinstance(value, dict | list):
        raise _refused(attribute, value)
    if attribute.enum and value not in attribute.enum:
        raise ValidationError(f"{attribute.name} must be one of {', '.join(attribute.enum)}, not {value!r}")
    return value


def encode(attribute: Attribute, value: Any, offset: timedelta) -> Any:
    """Turn what is stored into JSON."""
    if attribute.kind != "datetime" or value is None:
        return value
    if offset:
        value = (datetime.fromisoformat(value) + offset).strftime("%Y-%m-%dT%H:%M:%S")
    return {"__type__": "datetime", "value": value}


def literal(attribute: Attribute, value: Literal, offset: timedelta) -> Any:
    """Turn a query's literal into what stored values are compared with.

    Raises:
        ValidationError: The attribute holds no such values.
    """
    if not value.quoted and value.text.lower() in {"none", "null"}:
        return None
    try:
        if attribute.kind == "datetime":
            return _moment(attribute, value.text, offset)
        if attribute.kind == "boolean":
            return _WORDS[value.text.lower()]
        if attribute.kind in {"integer", "number"}:
            return float(value.text)
    except (KeyError, ValueError) as exc:
        raise _refused(attribute, value.text) from exc
    return _unescaped(value)


def pattern(value: Literal) -> Callable[[str], object]:
    """Return what tells whether a text is like a pattern with `%` and `_`."""
    parts = re.findall(r"\\.|[^\\]|\\$", value.text, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL).fullmatch


def _unescaped(value: Literal) -> str:
    return re.sub(r"\\(.)", r"\1", value.text, flags=re.DOTALL) if value.quoted else value.text


def _moment(attribute: Attribute, text: Any, offset: timedelta) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as exc:
        raise _refused(attribute, text) from exc
    if moment.tzinfo is None:
        moment = (moment - offset).replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    fraction = f".{moment.microsecond:06}" if moment.microsecond else ""
    return stamp(moment) + fraction


def _refused(attribute: Attribute, value: Any) -> ValidationError:
    return ValidationError(f"{value!r} is no {attribute.kind} for {attribute.name}")
