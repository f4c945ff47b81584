"""How a Vidispine server spells moments, numbers and lists of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from callsheet.sandbox.vidispine._errors import invalid

__all__ = [
    "Document",
    "documents",
    "fields",
    "flag",
    "moment",
    "number",
    "pairs",
    "read_fields",
    "stamp",
    "whole",
]

Document = dict[str, Any]


def stamp(time: datetime) -> str:
    """Write a moment: to the millisecond, with a zone that has no colon."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def whole(time: datetime) -> datetime:
    """Return a moment as exactly as the server knows it: to the millisecond."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def moment(name: str, text: str) -> datetime:
    """Read a moment; without a zone it is in UTC.

    Raises:
        VidispineError: It is none.
    """
    try:
        # The plus of a zone that was not encoded arrives as a space.
        time = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as exc:
        raise invalid(name, "not a valid date", text) from exc
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def number(name: str, value: Any) -> int:
    """Read a whole number, which may be written as text.

    Raises:
        VidispineError: It is none.
    """
    try:
        return int(value)
    except (TypeError, ValueError) as exc:
        raise invalid(name, "not a valid number", str(value)) from exc


def flag(value: Any) -> bool:
    """Read a truth value, in any spelling that clients use."""
    return str(value).lower() == "true"


def pairs(values: Mapping[str, str]) -> list[Document]:
    """Write keys and values as a job's data are."""
    return [{"key": key, "value": value} for key, value in values.items()]


def fields(values: Mapping[str, str]) -> Document:
    """Write keys and values as simple metadata."""
    return {"field": pairs(values)}


def read_fields(document: Any) -> dict[str, str]:
    """Read simple metadata.

    Raises:
        VidispineError: It has another shape.
    """
    return dict(_field(each) for each in _listed((document or {}).get("field")))


def _field(each: Any) -> tuple[str, str]:
    if not isinstance(each, dict) or "key" not in each:
        raise invalid("metadata", "a field has a key and a value", str(each))
    return str(each["key"]), str(each.get("value", ""))


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def documents(name: str, value: Any) -> list[Document]:
    """Return a list of documents, which may be left out.

    Raises:
        VidispineError: It is none.
    """
    found = value or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise invalid(name, "must be a list of documents")
    return found
