"""Values as they are written on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

import callsheet
from callsheet._cli._values import attributes, moment, share

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", datetime(2026, 3, 1, 11, 58, 30, tzinfo=UTC)),
        ("5m", datetime(2026, 3, 1, 11, 55, tzinfo=UTC)),
        ("2h", datetime(2026, 3, 1, 10, 0, tzinfo=UTC)),
        ("1d", datetime(2026, 2, 28, 12, 0, tzinfo=UTC)),
        ("2w", datetime(2026, 2, 15, 12, 0, tzinfo=UTC)),
        ("2026-02-01T10:00+02:00", datetime(2026, 2, 1, 8, 0, tzinfo=UTC)),
        ("2026-02-01T10:00Z", datetime(2026, 2, 1, 10, 0, tzinfo=UTC)),
        ("2026-02-01", datetime(2026, 2, 1).astimezone(UTC)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    """A time is so long ago, or a date, in local time unless it says otherwise."""
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2y", "yesterday", "2026-13-01", "9" * 30 + "w"])
def test_what_is_no_moment(text: str) -> None:
    """Anything else is refused, with the forms there are."""
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no time; write 2h, or 2026-03-01T12:00")):
        moment(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"), [("40%", 0.4), ("0.4", 0.4), ("0", 0.0), ("100%", 1.0), ("1", 1.0)]
)
def test_shares(text: str, expected: float) -> None:
    """Progress is a percentage or a share."""
    assert share(text) == expected


@pytest.mark.parametrize("text", ["", "40", "%", "101%", "-1%", "nan", "inf", "40%%", "40% of it"])
def test_what_is_no_share(text: str) -> None:
    """A number beyond the whole is refused: whoever means 40 percent has to say so."""
    with pytest.raises(ValueError, match=r"is no progress; write 40% or 0\.4"):
        share(text)


def test_attributes() -> None:
    """Values that are JSON are taken as such, others as text."""
    given = ["show=heron", "shot=10", 'list=["a", 1]', "empty=", "formula=a=b", "none=null", "version=1.2.3"]
    assert attributes(given) == {
        "show": "heron",
        "shot": 10,
        "list": ["a", 1],
        "empty": "",
        "formula": "a=b",
        "none": None,
        "version": "1.2.3",
    }


@pytest.mark.parametrize("text", ["show", "=heron", ""])
def test_what_is_no_attribute(text: str) -> None:
    """A pair that is none is refused."""
    with pytest.raises(callsheet.InvalidRequest, match="is no attribute; write NAME=VALUE"):
        attributes([text])
