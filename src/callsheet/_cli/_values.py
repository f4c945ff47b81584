"""Values as they are written on a command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter, Token

from callsheet import InvalidRequest

__all__ = ["Attributes", "Moment", "Share", "attributes", "moment", "share", "texts"]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime | None = None) -> datetime:
    """Read a time: `2h` ago (s, m, h, d, w), or ISO 8601, which without a zone means local time."""
    ago = re.fullmatch(r"(\d+)([smhdw])", text)
    try:
        if ago:
            return (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; write 2h, or 2026-03-01T12:00") from None


def share(text: str) -> float:
    """Read a progress: `40%` or `0.4`."""
    number, percent, rest = text.partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value <= 1:
        raise ValueError(f"{text!r} is no progress; write 40% or 0.4")
    return value


def attributes(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `NAME=VALUE` pairs; a value that is JSON is taken as such, any other as text."""
    return {name: _json(value) for name, value in _split(pairs, "attribute")}


def texts(pairs: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE` pairs of parameters, whose template says what the values are."""
    return dict(_split(pairs, "parameter"))


def _split(pairs: Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise InvalidRequest(f"{pair!r} is no {what}; write NAME=VALUE")
        yield name, value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _moment(_: Any, tokens: Sequence[Token]) -> datetime:
    return moment(tokens[0].value)


def _share(_: Any, tokens: Sequence[Token]) -> float:
    return share(tokens[0].value)


Moment: TypeAlias = Annotated[datetime, Parameter(converter=_moment)]
Share: TypeAlias = Annotated[float, Parameter(converter=_share)]
Attributes: TypeAlias = tuple[str, ...]
