"""Deadline's jobs as callsheet's models: shapes only, nothing is sent from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callsheet._models import Job, JobState, blank_job
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
    job = blank_job()
    known = vars(job)
    known["id"] = raw["jobId"]
    known["raw"] = raw
    known["_reader"] = read_job
    known["tracker"] = tracker
    known["name"] = raw.get("name") or raw["jobId"]
    known["state"] = state
    known["vendor_state"] = word
    known["ended"] = is_ended(raw, state)
    known["type"] = None
    known["priority"] = raw.get("priority")
    known["progress"] = progress_of(raw)
    known["message"] = "stopping" if raw.get("taskRunStatus") == "INTERRUPTING" else None
    known["description"] = raw.get("description") or ""
    known["problem"] = why_failed(raw, state)
    known["user"] = raw.get("createdBy")
    known["item"] = None
    known["source_id"] = raw.get("sourceJobId")
    known["created_at"] = created
    known["started_at"] = read_time(raw.get("startedAt"))
    known["updated_at"] = read_time(raw.get("updatedAt")) or created
    known["finished_at"] = read_time(raw.get("endedAt"))
    known["attributes"] = _plain(parameters) if parameters else {}
    known["missing"] = missing
    return job


def search_reader(tracker: str) -> Callable[[Mapping[str, Any]], Job]:
    """Return what reads the records of a search, each of which must tell when its job was made."""

    def read(raw: Mapping[str, Any]) -> Job:
        if raw["createdAt"] is None:
            raise ValueError("a job without createdAt")
        return job_of(raw, tracker=tracker, missing=MISSING)

    return read


def _plain(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of parameters without their kinds; of an odd one, all there is."""
    plain: dict[str, Any] = {}
    for name, union in parameters.items():
        if len(union) == 1:
            (plain[name],) = union.values()
        else:
            plain[name] = dict(union)
    return plain


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
