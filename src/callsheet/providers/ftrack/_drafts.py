"""Jobs to be made: what is sent for each, and what tells a repeat from another request under the same key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from callsheet._errors import Conflict
from callsheet._models import JobState, NewJob
from callsheet.providers.ftrack._operations import Operation, create
from callsheet.providers.ftrack._record import changed, decoded, encoded, part

__all__ = ["JOB_TYPE", "NO_INPUTS", "Draft", "Inputs", "copy_of", "draft_of", "unique"]

JOB_TYPE = "api_job"
"""The one type of job that ftrack lets a program make."""


@attrs.frozen
class Inputs:
    """The files that a job begins with: their names, and the ids of their components."""

    names: Sequence[str] = ()
    components: Sequence[str] = ()


NO_INPUTS = Inputs()


@attrs.frozen(kw_only=True)
class Draft:
    """A job to be made.

    Attributes:
        id: Its id, which follows from the key.
        key: The idempotency key.
        request: A hash of what was asked for.
        values: The attributes of the new job.
        inputs: Ids of the components that it begins with.
    """

    id: str
    key: str
    request: str
    values: Mapping[str, Any]
    inputs: Sequence[str] = ()

    def operations(self) -> list[Operation]:
        """Return what makes the job and ties its inputs to it."""
        links = [create("JobComponent", {"component_id": id_, "job_id": self.id}) for id_ in self.inputs]
        return [create("Job", {"id": self.id, "type": JOB_TYPE, **self.values}), *links]

    def check(self, row: Mapping[str, Any]) -> None:
        """Check that the job of that row, which has our id, was made by this very request.

        Raises:
            Conflict: It was another. A job whose record another program has wiped out is taken for ours.
        """
        known = part(decoded(row.get("data"))).get("request", self.request)
        if known != self.request:
            raise _used(self.key)


def draft_of(
    new: NewJob,
    *,
    id_: str,
    user: str,
    user_id: str,
    inputs: Inputs = NO_INPUTS,
    beat: Mapping[str, Any] | None = None,
) -> Draft:
    """Return what a `NewJob` asks for.

    Args:
        new: The job, with its key.
        id_: The id that follows from the key.
        user: Whose it is.
        user_id: That user's id.
        inputs: The files that it begins with.
        beat: The lease that it begins with; it is running then.
    """
    fields = {
        "name": new.name,
        "description": new.description,
        "priority": new.priority,
        "attributes": dict(new.attributes or {}),
    }
    state = new.state or JobState.QUEUED
    request = _hash("create", user, state.value, fields, inputs.names)
    more: dict[str, Any] = {"request": request}
    if new.source_id is not None:
        more["source"] = new.source_id
    if inputs.components:
        more["inputs"] = list(inputs.components)
    if beat is not None:
        more["beat"] = dict(beat)
        state = JobState.RUNNING
    assert new.idempotency_key is not None
    return Draft(
        id=id_,
        key=new.idempotency_key,
        request=request,
        values=_values(fields, state, more) | {"user_id": user_id},
        inputs=inputs.components,
    )


def copy_of(source: Mapping[str, Any], record: Mapping[str, Any], *, id_: str, key: str, name: str) -> Draft:
    """Return a queued copy of a job, for the same user.

    Args:
        source: The row of the job.
        record: callsheet's part of its data.
        id_: The id of the copy.
        key: Its key.
        name: The name of the job.
    """
    kept = ("description", "priority", "attributes")
    fields = {"name": name} | {field: record[field] for field in kept if field in record}
    request = _hash("rerun", source["id"])
    more = {"request": request, "source": source["id"]}
    values = _values(fields, JobState.QUEUED, more) | {"user_id": source.get("user_id")}
    return Draft(id=id_, key=key, request=request, values=values)


def unique(drafts: Sequence[Draft]) -> dict[str, Draft]:
    """Return the drafts by id, each once.

    Raises:
        Conflict: Two have the same key and ask for different things.
    """
    found: dict[str, Draft] = {}
    for draft in drafts:
        if found.setdefault(draft.id, draft).request != draft.request:
            raise _used(draft.key)
    return found


def _values(fields: Mapping[str, Any], state: JobState, more: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value}
    begun = {"callsheet": dict(more)}
    status, data = changed("queued", begun, {**given, "state": state}, seconds=0, name=fields["name"])
    return {"status": status, "data": encoded(data)}


def _hash(*request: Any) -> str:
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _used(key: str) -> Conflict:
    return Conflict(f"the idempotency key {key!r} was used with another request", provider="ftrack")
