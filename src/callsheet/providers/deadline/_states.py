"""What Deadline's words mean: lifecycle and run status of a job, and the words that stand for each state."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from callsheet._models import JobState

__all__ = [
    "ARCHIVED",
    "COMING",
    "LIFECYCLE",
    "NEVER_MADE",
    "OVER",
    "RUN_STATUSES",
    "STATES",
    "TARGETS",
    "is_ended",
    "progress_of",
    "state_of",
]

logger = logging.getLogger("callsheet")

COMING = ("CREATE_IN_PROGRESS", "UPLOAD_IN_PROGRESS")
NEVER_MADE = ("CREATE_FAILED", "UPLOAD_FAILED")
ARCHIVED = "ARCHIVED"
LIFECYCLE = (
    *COMING,
    *NEVER_MADE,
    *("CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_FAILED", "UPDATE_SUCCEEDED", ARCHIVED),
)
"""All lifecycle statuses there are."""

STATES: Mapping[JobState, tuple[str, ...]] = {
    JobState.QUEUED: ("PENDING", "READY", "SCHEDULED"),
    JobState.RUNNING: ("ASSIGNED", "STARTING", "RUNNING", "INTERRUPTING"),
    JobState.PAUSED: ("SUSPENDED",),
    JobState.DONE: ("SUCCEEDED",),
    JobState.FAILED: ("FAILED", "NOT_COMPATIBLE"),
    JobState.CANCELLED: ("CANCELED",),
}
"""The run statuses of each state."""

RUN_STATUSES = tuple(word for words in STATES.values() for word in words)
"""All run statuses there are."""

TARGETS: Mapping[JobState, str] = {
    JobState.QUEUED: "PENDING",
    JobState.PAUSED: "SUSPENDED",
    JobState.CANCELLED: "CANCELED",
    JobState.DONE: "SUCCEEDED",
    JobState.FAILED: "FAILED",
}
"""What Deadline is asked for, for a job to get into a state."""

OVER = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
_OVER = tuple(OVER)  # members of an enum are hashed slowly, and each listed job is looked up
_STATE_OF = {word: state for state, words in STATES.items() for word in words}
_GOING_ON = {"PENDING", "READY", "SUSPENDED"}


def state_of(raw: Mapping[str, Any]) -> tuple[JobState, str]:
    """Return the state of a job's record, and Deadline's word that decided it."""
    return _stated(raw.get("lifecycleStatus"), raw.get("taskRunStatus"))


@functools.lru_cache(maxsize=1000, typed=True)
def _stated(lifecycle: Any, run: Any) -> tuple[JobState, str]:
    if lifecycle in NEVER_MADE:
        return JobState.FAILED, str(lifecycle)
    if lifecycle in COMING:
        return JobState.QUEUED, str(lifecycle)
    state = JobState.QUEUED if run is None else _STATE_OF.get(run, JobState.UNKNOWN)
    if lifecycle == ARCHIVED and state not in OVER:
        return JobState.CANCELLED, ARCHIVED
    if state is JobState.UNKNOWN:
        _warn_of(str(run))
    return state, str(run or lifecycle or "")


@functools.lru_cache(maxsize=1000)
def _warn_of(run: str) -> None:
    logger.warning("Deadline has a run status that this version does not know: %r", run)


def is_ended(raw: Mapping[str, Any], state: JobState) -> bool:
    """Tell whether a job in that state stays as it is: not one that has just been asked to go on."""
    if state not in _OVER:
        return False
    asked = raw.get("lifecycleStatus") == "UPDATE_IN_PROGRESS"
    return not (asked and raw.get("targetTaskRunStatus") in _GOING_ON)


def progress_of(raw: Mapping[str, Any]) -> float | None:
    """Return the part of a job's tasks that are over; `None` while it has none."""
    counts: Mapping[str, int] = raw.get("taskRunStatusCounts") or {}
    total = sum(counts.values())
    if not total:
        return None
    get = counts.get
    # Written out: this is done for each of thousands of jobs.
    over = get("SUCCEEDED", 0) + get("FAILED", 0) + get("CANCELED", 0) + get("NOT_COMPATIBLE", 0)
    return over / total
