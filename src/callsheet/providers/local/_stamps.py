"""Times as the database keeps them (integer microseconds), and ids that sort by time."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

__all__ = ["boot_id", "from_us", "monotonic_us", "new_ids", "now_us", "to_us"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now_us() -> int:
    """Return the wall clock's time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Return the clock that all processes of one boot share and nobody can set, in microseconds."""
    return time.monotonic_ns() // 1000


@cache
def boot_id() -> str:
    """Return what tells this boot of the machine from any other; empty where the system does not say."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def to_us(moment: datetime) -> int:
    """Return the aware datetime as microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """Return the microseconds since 1970 as a datetime in UTC."""
    # Not fromtimestamp(): a float cannot hold microseconds exactly.
    return _EPOCH + timedelta(0, 0, us)


class _Ids:
    """UUIDs of version 7 (RFC 9562), strictly increasing within the process even if the clock goes back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def take(self, count: int, now: int) -> list[str]:
        with self._lock:
            first = max(now // 1000 << 74 | secrets.randbits(72), self._last + 1 + secrets.randbits(32))
            self._last = first + count - 1
        return [_uuid7(first + offset) for offset in range(count)]


def _uuid7(value: int) -> str:
    """Spread 48 bits of milliseconds and 74 free bits over the places that version and variant leave."""
    high, middle, low = value >> 74, value >> 62 & 0xFFF, value & (1 << 62) - 1
    return str(uuid.UUID(int=high << 80 | 7 << 76 | middle << 64 | 2 << 62 | low))


new_ids = _Ids().take
"""Return so many new ids for things made `now` (microseconds), in increasing order."""
