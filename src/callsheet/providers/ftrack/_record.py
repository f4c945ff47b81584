"""What callsheet keeps of a job in its `data`, the one text that ftrack lets a program write.

`data` is a JSON object. ftrack's own pages show its `description`; other programs keep what they like in it.
callsheet keeps its part under the key `callsheet`, leaves the rest alone, and writes `description` so that an
artist sees `name: description (40 %, message)`.

ftrack has four states. PAUSED and CANCELLED are a mark beside a state of ftrack's, and the mark counts only
as long as that state stands: when another program says `done`, the job is done.

Times are kept as seconds since the job was made, on the server's clock, so that no other clock matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from callsheet._models import JobState

__all__ = [
    "ENDED",
    "STATES",
    "STATUSES",
    "Record",
    "changed",
    "decoded",
    "encoded",
    "part",
    "rendered",
    "state_of",
]

Record: TypeAlias = dict[str, Any]
"""callsheet's part of `data`."""

KEY = "callsheet"

STATES: Mapping[str, JobState] = {
    "queued": JobState.QUEUED,
    "running": JobState.RUNNING,
    "done": JobState.DONE,
    "failed": JobState.FAILED,
}
"""The states that ftrack has words for."""

STATUSES: Mapping[JobState, str] = {state: status for status, state in STATES.items()} | {
    JobState.PAUSED: "queued",
    JobState.CANCELLED: "failed",
}
"""ftrack's word for each state that can be set."""

ENDED = frozenset({"done", "failed"})
"""The words after which ftrack's job goes on no more."""

_MARKED = {(STATUSES[state], state.value): state for state in (JobState.PAUSED, JobState.CANCELLED)}
_FIELDS = ("name", "description", "progress", "message", "problem", "priority", "attributes")


def decoded(text: str | None) -> dict[str, Any]:
    """Return a job's `data` as a mapping.

    What is no JSON object (only other programs write such) is kept as a text in callsheet's part.
    """
    if not text:
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    return data if isinstance(data, dict) else {KEY: {"was": text}}


def encoded(data: Mapping[str, Any]) -> str:
    """Return the mapping as the text of `data`."""
    return json.dumps(data, separators=(",", ":"))


def part(data: Mapping[str, Any]) -> Record:
    """Return callsheet's part; empty if there is none, or another program spoilt it."""
    found = data.get(KEY)
    return found if isinstance(found, dict) else {}


def state_of(status: str, record: Record) -> JobState:
    """Return the common state of ftrack's word and the mark beside it."""
    mark = record.get("mark")
    if isinstance(mark, dict) and mark.get("status") == status:
        marked = _MARKED.get((status, str(mark.get("state"))))
        if marked is not None:
            return marked
    return STATES.get(status, JobState.UNKNOWN)


def rendered(record: Record) -> str:
    """Return what an artist sees: `name: description (40 %, message)`."""
    text = ": ".join(filter(None, (record.get("name"), record.get("description"))))
    progress = record.get("progress")
    details = ", ".join(
        filter(None, (None if progress is None else f"{progress * 100:.0f} %", record.get("message")))
    )
    return f"{text} ({details})" if details else text


def changed(
    status: str, data: Mapping[str, Any], changes: Mapping[str, Any], *, seconds: float, name: str
) -> tuple[str, dict[str, Any]]:
    """Return ftrack's word and `data` as they are after changes.

    Args:
        status: ftrack's word now.
        data: `data` now; it is not changed.
        changes: New values by the names of `JobChanges`.
        seconds: How old the job is.
        name: The job's name, if callsheet has not kept one.
    """
    record: Record = {"name": name} | part(data)
    record |= {field: changes[field] for field in _FIELDS if field in changes}
    if "state" in changes:
        status = _enter(record, changes["state"], seconds)
    if changes:
        record["updated"] = seconds
    return status, {**data, "description": rendered(record), KEY: record}


def _enter(record: Record, state: JobState, seconds: float) -> str:
    """Note the state, and the times that follow from it; return ftrack's word for it."""
    status = STATUSES[state]
    if state in _MARKED.values():
        record["mark"] = {"state": state.value, "status": status}
    else:
        record.pop("mark", None)
    if state is JobState.RUNNING:
        record.setdefault("started", seconds)
    if status in ENDED:
        record.setdefault("finished", seconds)
        # The lease is given back; its token stays, so that its worker may still say how it ended.
        if isinstance(beat := record.get("beat"), dict):
            record["beat"] = {"token": beat.get("token")}
    else:
        record.pop("finished", None)
    return status
