"""The shapes that Vidispine's documents are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["bare", "entries", "floored", "pairs_of", "raised", "read_time", "text_of", "values", "write_time"]

MILLISECOND = timedelta(milliseconds=1)

_CREDENTIALS = re.compile(r"://[^\s/?#@\"'<>]{0,500}@")


def bare(text: str) -> str:
    """Return the text without the credentials of addresses in it, whatever their scheme."""
    return _CREDENTIALS.sub("://", text) if "://" in text else text


def values(found: Any) -> list[Any]:
    """Return a list's members; where there is one alone, some servers leave out the list around it."""
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def entries(found: Any) -> list[dict[str, Any]]:
    """Return a list's documents, without what is none."""
    return [entry for entry in values(found) if isinstance(entry, dict)]


def pairs_of(found: Any) -> dict[str, str]:
    """Return the keys and values of a list of `{"key": ..., "value": ...}`; all of them are texts."""
    pairs: dict[str, str] = {}
    try:
        for entry in found or ():
            pairs[entry["key"]] = entry["value"]
        "".join([*pairs, *pairs.values()])  # the quickest way to see that all are texts
        return pairs
    except (KeyError, TypeError):
        pass  # not the usual shape, whose road is short
    return {
        str(entry["key"]): "" if entry.get("value") is None else str(entry["value"])
        for entry in entries(found)
        if "key" in entry
    }


def read_time(text: Any) -> datetime | None:
    """Return a moment of Vidispine's in UTC.

    Raises:
        TypeError, ValueError: It is none.
    """
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def write_time(moment: datetime) -> str:
    """Return the moment as Vidispine takes it, in whole milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def floored(moment: datetime) -> datetime:
    """Return the last whole millisecond before the moment, or the moment itself."""
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def raised(moment: datetime) -> datetime:
    """Return the first whole millisecond after the moment, or the moment itself.

    Raises:
        OverflowError: There is none.
    """
    low = floored(moment)
    return moment if low == moment else low + MILLISECOND


def text_of(document: Mapping[str, Any]) -> str:
    """Return the document in one line, for people: its members that say something."""
    return ", ".join(f"{name}: {value}" for name, value in document.items() if value not in (None, "", []))
