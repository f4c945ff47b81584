"""Making jobs: what CreateJob is sent, and the job that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from callsheet._errors import InvalidRequest
from callsheet._models import Job, JobState, NewJob
from callsheet.providers.deadline._parameters import encode_parameters
from callsheet.providers.deadline._templates import References, read_bundle

__all__ = ["Draft", "copy_of", "draft_of"]

USUAL_PRIORITY = 50
"""Deadline wants one; this is what its own clients send."""

STARTS: Mapping[JobState, str] = {JobState.QUEUED: "READY", JobState.PAUSED: "SUSPENDED"}
"""How a job may begin."""

OWN = frozenset({"fileSystem", "forceS3Check"})
"""Options about a job's files, which are no members of CreateJob."""

OPTIONS = OWN | {"tags", "storageProfileId", "maxFailedTasksCount", "maxRetriesPerTask", "maxWorkerCount"}
"""What `vendor=` may hold."""

COPIED = ("parameters", "attachments", "storageProfileId", "maxFailedTasksCount", "maxRetriesPerTask")
"""What a copy has from its source as it is, besides name, description and priority."""


@attrs.frozen
class Draft:
    """A job that is about to be made.

    Attributes:
        body: What CreateJob is sent, but for the attachments.
        references: Files and folders that it names.
        file_system: How workers get at its files, if that was said.
        checked: Whether the bucket is asked for each file, whatever is known from earlier jobs.
    """

    body: Mapping[str, Any]
    references: References = attrs.field(factory=References)
    file_system: str | None = None
    checked: bool = False


def draft_of(new: NewJob) -> Draft:
    """Return the draft of a new job. It may read files, so it is called in a thread.

    Raises:
        InvalidRequest: Something in it makes no sense to Deadline; the message names it.
    """
    if new.template is None:
        raise InvalidRequest(
            "template: Deadline makes jobs from one; give a mapping, a text, or the path of a template or job"
            " bundle"
        )
    if new.state is not None and new.state not in STARTS:
        raise InvalidRequest(f"state: a job begins queued or paused, not {new.state.value}")
    options = _options(new.vendor)
    bundle = read_bundle(new.template)
    parameters, named = encode_parameters(bundle, new.parameters or {})
    members = {
        "template": bundle.template.text,
        "templateType": bundle.template.kind,
        "priority": USUAL_PRIORITY,
        **bundle.options,
        **{name: value for name, value in options.items() if name not in OWN},
        "nameOverride": new.name,
        "descriptionOverride": new.description or None,
        "parameters": parameters or None,
    }
    given = {
        "priority": new.priority,
        "targetTaskRunStatus": None if new.state is None else STARTS[new.state],
    }
    body = {**members, **{name: value for name, value in given.items() if value is not None}}
    return Draft(
        {name: value for name, value in body.items() if value is not None},
        bundle.references | named,
        options.get("fileSystem"),
        checked=options.get("forceS3Check", False),
    )


def _options(vendor: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if vendor is not None and not isinstance(vendor, Mapping):
        raise InvalidRequest(f"vendor must be a mapping, not {type(vendor).__name__}")
    unknown = (vendor or {}).keys() - OPTIONS
    if unknown:
        raise InvalidRequest(
            f"vendor: Deadline takes no {min(map(str, unknown))!r} there, but {', '.join(sorted(OPTIONS))}"
        )
    if not isinstance((vendor or {}).get("forceS3Check", False), bool):
        raise InvalidRequest("vendor: forceS3Check must be True or False")
    return vendor or {}


def copy_of(job: Job) -> Draft:
    """Return the draft of a job that does the same again."""
    raw = job.raw
    same = {name: raw[name] for name in (*COPIED, "maxWorkerCount") if raw.get(name) is not None}
    return Draft(
        {
            "sourceJobId": job.id,
            "priority": USUAL_PRIORITY if job.priority is None else job.priority,
            "nameOverride": job.name,
            **({"descriptionOverride": job.description} if job.description else {}),
            **same,
        }
    )
