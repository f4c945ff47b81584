"""Vidispine's documents as callsheet's jobs: shapes only, nothing is sent from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet._models import Job, blank_job
from callsheet.providers.vidispine._progress import progress_of, tasks_of
from callsheet.providers.vidispine._shape import bare, entries, pairs_of, read_time, text_of
from callsheet.providers.vidispine._words import DESCRIPTION, ENDED, NAME, PRIORITIES, state_of, users_own
from callsheet.providers.vidispine.details import read_job

__all__ = ["job_of", "problem_text"]

_OF_METADATA = frozenset({"name", "description", "attributes"})
_OF_STEPS = frozenset({"progress", "message"})
_TEXTS = {str, type(None)}
_TOLD_WHY = frozenset({"WAITING", "HOLD", "FAILED_TOTAL"})


def job_of(row: Mapping[str, Any], *, tracker: str, steps: bool = True, metadata: bool = True) -> Job:
    """Return the job of a document.

    Args:
        row: A JobDocument.
        tracker: Whose it is.
        steps: It was asked for with its steps, and
        metadata: with all its metadata; if not, what follows from them is `missing`.

    Raises:
        KeyError, TypeError, ValueError: It is no such document.
    """
    id_, status, data = row["jobId"], row["status"], pairs_of(row.get("data"))
    type_, user = row.get("type"), row.get("user")
    if not {id_.__class__, status.__class__, type_.__class__, user.__class__} <= _TEXTS:
        raise TypeError("an id, status, type or user that is no text")
    if id_ is None or status is None:
        raise KeyError("jobId" if id_ is None else "status")
    ended = status in ENDED
    missing = frozenset() if metadata else _OF_METADATA
    progress = message = None
    if steps or status in {"FINISHED", "FINISHED_WARNING"}:
        progress = progress_of(row, data)
    if steps and not ended:
        message = _step_under_way(row)
    if not steps and not ended:
        missing |= _OF_STEPS
    elif not steps and progress is None:
        missing |= {"progress"}
    own = users_own((*data,)) if metadata else ()
    job = blank_job()
    known = vars(job)
    known["id"] = id_
    known["raw"] = row
    known["_reader"] = read_job
    known["tracker"] = tracker
    known["name"] = data.get(NAME) or data.get("originalFilename") or type_ or id_
    known["state"] = state_of(status)
    known["vendor_state"] = status
    known["ended"] = ended
    known["type"] = type_
    known["priority"] = PRIORITIES.get(row.get("priority", ""))
    known["progress"] = progress
    known["message"] = message
    known["description"] = data.get(DESCRIPTION, "")
    known["problem"] = _problem(row, data) if status in _TOLD_WHY else None
    known["user"] = user
    known["item"] = data.get("item") or data.get("itemId")
    known["source_id"] = None
    known["created_at"] = read_time(row.get("started"))
    known["started_at"] = None
    known["updated_at"] = None
    known["finished_at"] = read_time(row.get("finished"))
    known["attributes"] = {key: data[key] for key in own} if own else {}
    known["missing"] = missing
    return job


def _step_under_way(row: Mapping[str, Any]) -> str | None:
    step = row.get("currentStep")
    if not isinstance(step, Mapping):
        step = next((task for task in reversed(tasks_of(row)) if task.get("status") != "FINISHED"), {})
    text = step.get("description")
    return text if isinstance(text, str) else None


def _problem(row: Mapping[str, Any], data: Mapping[str, str]) -> str | None:
    """Return why the job failed or waits, as far as its own document tells."""
    if row["status"] != "FAILED_TOTAL":
        waiting = row.get("waiting")
        return (text_of(waiting) or None) if isinstance(waiting, Mapping) else None
    if data.get("errorMessage"):
        return bare(data["errorMessage"])
    told = [task["errorMessage"] for task in tasks_of(row) if task.get("errorMessage")]
    told += [data[key] for key in sorted(data) if key.startswith("errorMessage-") and data[key]]
    return bare(str(told[-1])) if told else None


def problem_text(document: Mapping[str, Any]) -> str | None:
    """Return the problems of a JobProblemListDocument as one text: of each its type, and what it is about."""
    told = []
    for problem in entries(document.get("problem")):
        facts = text_of(pairs_of(problem.get("data")))
        told.append(f"{problem.get('type')} ({facts})" if facts else str(problem.get("type")))
    return "; ".join(told) or None
