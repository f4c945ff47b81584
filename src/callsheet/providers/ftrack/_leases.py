"""Leases of tracked jobs: a beat in the job's `data` says who works on it, and for how long it holds."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import attrs

from callsheet.providers.ftrack._record import Record

__all__ = ["LAST_WORDS", "LOST", "Lease", "is_live", "is_stale", "token_of"]

LOST = "lost"
"""The problem of a job whose worker fell silent."""

LAST_WORDS = frozenset({"state", "problem", "progress", "message"})
"""What a worker still writes over the end that another has set to its job: how its own work ended."""


@attrs.frozen
class Lease:
    """What a worker holds: its token, and the seconds for which a beat is good."""

    length: float
    token: str = attrs.field(factory=lambda: uuid.uuid4().hex)

    def beat(self, now: datetime) -> dict[str, Any]:
        """Return the beat to write into a job's record."""
        return {"token": self.token, "at": round(now.timestamp(), 3), "for": self.length}


def token_of(record: Record) -> str | None:
    """Return the token of whoever had the lease last."""
    token = _beat(record).get("token")
    return token if isinstance(token, str) else None


def is_live(record: Record, now: datetime) -> bool:
    """Tell whether somebody's lease holds now."""
    beat = _beat(record)
    at, length = _seconds(beat.get("at")), _seconds(beat.get("for"))
    if at is None or length is None:
        return False
    # A beat from further ahead than it can last was written by a clock that was wrong.
    return -length <= now.timestamp() - at <= length


def is_stale(record: Record, now: datetime, stale_for: float | None) -> bool:
    """Tell whether a worker has been silent for so many seconds; `None`: for longer than its lease allows."""
    at = _seconds(_beat(record).get("at"))
    if at is None:
        return False
    return not is_live(record, now) if stale_for is None else now.timestamp() - at > stale_for


def _beat(record: Record) -> dict[str, Any]:
    beat = record.get("beat")
    return beat if isinstance(beat, dict) else {}


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
