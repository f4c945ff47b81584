"""Vidispine's own words: states, priorities, types of job, and keys of job metadata."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from callsheet._models import JobState

__all__ = [
    "DESCRIPTION",
    "ENDED",
    "FILTERED",
    "HASH",
    "IMPORT_TYPES",
    "KEY",
    "NAME",
    "NEWER",
    "OURS",
    "PRIORITIES",
    "UNFINISHED",
    "is_servers",
    "priority_word",
    "state_of",
    "users_own",
]

IMPORT_TYPES: frozenset[str] = frozenset(
    [
        *("IMPORT", "PLACEHOLDER_IMPORT", "RAW_IMPORT", "AUTO_IMPORT"),
        *("SHAPE_IMPORT", "SIDECAR_IMPORT", "ESSENCE_VERSION"),
    ]
)
"""The types of job that bring media in, for `jobs.list(types=IMPORT_TYPES)`."""

# -- states --------------------------------------------------------------------------------------------------

FILTERED: Mapping[JobState, tuple[str, ...]] = {
    JobState.QUEUED: ("READY", "WAITING"),
    JobState.RUNNING: ("STARTED", "VIDINET_JOB"),
    JobState.PAUSED: ("HOLD",),
    JobState.DONE: ("FINISHED", "FINISHED_WARNING"),
    JobState.FAILED: ("FAILED_TOTAL",),
    JobState.CANCELLED: ("ABORTED", "ABORTED_PENDING", "ABORT_PENDING"),
}
"""What a listing of a state asks for. Documents and servers spell an abort under way in different ways."""

_STATES = {word: state for state, words in FILTERED.items() for word in words}

ENDED = frozenset({"FINISHED", "FINISHED_WARNING", "FAILED_TOTAL", "ABORTED"})
"""The states in which a job stays."""

NEWER = frozenset({"VIDINET_JOB", "HOLD", "ABORTED_PENDING", "ABORT_PENDING"})
"""States that not every server knows."""

UNFINISHED: tuple[str, ...] = tuple(word for word in _STATES if word not in ENDED)


def state_of(word: str) -> JobState:
    """Return the common state of one of Vidispine's."""
    known = _STATES.get(word)
    if known is None:
        return JobState.RUNNING if word.startswith("STARTED_") else JobState.UNKNOWN
    return known


# -- priorities ----------------------------------------------------------------------------------------------

PRIORITIES: Mapping[str, int] = {
    "LOWEST": 10,
    "LOW": 30,
    "MEDIUM": 50,
    "HIGH": 70,
    "HIGHEST": 90,
    "IMMEDIATE": 100,
}


def priority_word(number: int | None) -> str:
    """Return the nearest priority, of two the lower; IMMEDIATE, which heeds no limit, for just 100."""
    if number is None:
        return "MEDIUM"
    if number == PRIORITIES["IMMEDIATE"]:
        return "IMMEDIATE"
    graded = {word: value for word, value in PRIORITIES.items() if word != "IMMEDIATE"}
    return min(graded, key=lambda word: (abs(graded[word] - number), graded[word]))


# -- job metadata --------------------------------------------------------------------------------------------

OURS = "callsheet_"
"""What the keys begin with under which callsheet keeps what Vidispine's jobs have no place for."""

KEY, HASH, NAME, DESCRIPTION = (f"{OURS}{word}" for word in ("request", "hash", "name", "description"))

_SERVERS = frozenset(
    [
        *("item", "itemId", "shapeIds", "sourceUri", "sourceFileId", "fileId", "filePathMap", "tags"),
        *("originalFilename", "bestEffortFilename", "destinationStorageId", "bytesWritten", "username"),
        *("passkey", "transferId"),
    ]
)
_SERVERS_PATTERN = re.compile(rf"{OURS}|progress-|errorMessage(?:-|$)|transcode[A-Z]")


@functools.lru_cache(maxsize=1000)
def is_servers(key: str) -> bool:
    """Tell whether the key is one that Vidispine, or callsheet, writes for itself."""
    return key in _SERVERS or _SERVERS_PATTERN.match(key) is not None


@functools.lru_cache(maxsize=100)
def users_own(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that are the user's own; jobs of one kind have the same."""
    return tuple(key for key in keys if not is_servers(key))
