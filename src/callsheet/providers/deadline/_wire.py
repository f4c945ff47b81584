"""Deadline's jobs as callsheet's models: shapes only, nothing is sent from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callsheet._models import Job, JobState
from callsheet.providers.deadline._states import (
    NEVER_MADE,
    is_ended,
    progress_of,
    state_of,
)
from callsheet.providers.deadline.details import read_job, read_time

__all__ = ["MISSING", "job_of", "search_reader", "why_failed"]

MISSING = frozenset({"description"})
"""What a search does not tell of a job."""


def job_of(raw: Mapping[str, Any], *, tracker: str, missing: frozenset[str] = frozenset()) -> Job:
    """Return the job of a record, whole or out of a search.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It is none.
    """
    state, word = state_of(raw)
    parameters = raw.get("jobParameters") if missing else raw.get("parameters")
    created = read_time(raw.get("createdAt"))
    return Job(
        id=raw["jobId"],
        raw=raw,
        reader=read_job,
        tracker=tracker,
        name=raw.get("name") or raw["jobId"],
        state=state,
        vendor_state=word,
        ended=is_ended(raw, state),
        priority=raw.get("priority"),
        progress=progress_of(raw),
        message="stopping" if raw.get("taskRunStatus") == "INTERRUPTING" else None,
        description=raw.get("description") or "",
        problem=why_failed(raw, state),
        user=raw.get("createdBy"),
        source_id=raw.get("sourceJobId"),
        created_at=created,
        started_at=read_time(raw.get("startedAt")),
        updated_at=read_time(raw.get("updatedAt")) or created,
        finished_at=read_time(raw.get("endedAt")),
        attributes={name: _plain(value) for name, value in parameters.items()} if parameters else {},
        missing=missing,
    )


def search_reader(tracker: str) -> Callable[[Mapping[str, Any]], Job]:
    """Return what reads the records of a search, each of which must tell when its job was made."""

    def read(raw: Mapping[str, Any]) -> Job:
        if raw["createdAt"] is None:
            raise ValueError("a job without createdAt")
        return job_of(raw, tracker=tracker, missing=MISSING)

    return read


def _plain(union: Mapping[str, Any]) -> Any:
    """Return the value of a parameter without its kind; of an odd one, all there is."""
    return next(iter(union.values())) if len(union) == 1 else dict(union)


def why_failed(raw: Mapping[str, Any], state: JobState) -> str | None:
    """Return why the job failed, as far as its own record tells."""
    lifecycle: str | None = raw.get("lifecycleStatus")
    if state is not JobState.FAILED and lifecycle != "UPDATE_FAILED":
        return None
    said: str | None = raw.get("lifecycleStatusMessage") or None
    if lifecycle in NEVER_MADE:
        return said or lifecycle
    if state is not JobState.FAILED:
        return said
    if raw.get("taskRunStatus") == "NOT_COMPATIBLE":
        return f"no compatible fleet: {said}" if said else "no compatible fleet"
    counts = raw.get("taskRunStatusCounts") or {}
    failed, total = counts.get("FAILED", 0), sum(counts.values())
    return f"{failed} of {total} tasks failed" if failed else said
