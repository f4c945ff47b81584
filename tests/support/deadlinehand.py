"""A farm of the sandbox's for tests that know no vendor: its jobs need a template, and workers move them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import attrs

from callsheet import Job, JobState, NewJob
from callsheet.abc import CAPABILITIES, JobChanges, JobFilter, Position, Slice
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox

__all__ = ["ARN", "FARM", "QUEUE", "TEMPLATE", "HandProvider", "PlainProvider", "environment", "quiet_farm"]

FARM = f"farm-{1:032x}"
QUEUE = f"queue-{1:032x}"
ARN = "arn:aws:iam::123456789012:user/"

TEMPLATE: Mapping[str, Any] = {
    "specificationVersion": "jobtemplate-2023-09",
    "name": "Demo",
    "steps": [{"name": "Render", "script": {"actions": {"onRun": {"command": "echo", "args": ["hi"]}}}}],
}
"""A job of one task, without parameters."""


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for as long as this is entered."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def quiet_farm(sandbox: Sandbox) -> None:
    """Let nothing happen by itself, and what is asked for at once."""
    sandbox.configure("deadline", workers=0, create_seconds=0, interrupt_seconds=0)


class PlainProvider(DeadlineProvider):
    """Deadline's provider, for tests that make jobs of a name alone and compare what is listed.

    Jobs without a template get one. They are made one after another, a second of the sandbox's apart, as the
    order of an instant is nobody's. What a search does not tell is filled in.
    """

    at_once: ClassVar[int] = 1

    def __init__(self, sandbox: Sandbox, **options: Any) -> None:
        super().__init__(FARM, QUEUE, endpoint=sandbox.url, watch_interval=0.02, **options)
        self.sandbox = sandbox

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        return await super().create_jobs(
            [one if one.template else attrs.evolve(one, template=TEMPLATE) for one in new]
        )

    async def _make(self, draft: Any, key: str) -> Job:
        self.sandbox.clock.advance(1)
        return await super()._make(draft, key)

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        page = await super().page_jobs(wanted, after=after, size=size)
        whole = await self.get_jobs([job.id for job in page.items])
        return Slice([job for job in whole if job is not None], page.next)


class HandProvider(PlainProvider):
    """The hand of workers and other people, who can do what the provider cannot."""

    capabilities: ClassVar[frozenset[str]] = CAPABILITIES

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        if len(new) > 50 and all(_is_one_of_many(one, index) for index, one in enumerate(new)):
            self.sandbox.clock.advance(1)
            ids = self.sandbox.act("deadline", "make", number=len(new), template=json.dumps(TEMPLATE))["jobs"]
            return [job for job in await self.get_jobs(ids) if job is not None]
        return [await self._create_any(one) for one in new]

    async def _create_any(self, new: NewJob) -> Job:
        if new.user:
            return await self._made_by(new.user, new)
        state = new.state
        parameters = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in (new.attributes or {}).items()
        }
        plain = attrs.evolve(new, state=None, user=None, type=None, item=None, attributes=None)
        if parameters:
            definitions = [{"name": name, "type": "STRING"} for name in parameters]
            plain = attrs.evolve(
                plain, template={**TEMPLATE, "parameterDefinitions": definitions}, parameters=parameters
            )
        (job,) = await super().create_jobs([plain])
        if state in (None, JobState.QUEUED):
            return job
        return (await self.update_jobs([job.id], JobChanges(state=state)))[0]

    async def _made_by(self, user: str, new: NewJob) -> Job:
        self.sandbox.clock.advance(1)
        made = self.sandbox.act("deadline", "make", name=new.name, user=user.removeprefix(ARN))
        changes = JobChanges(priority=new.priority or 50, description=new.description)
        return (await super().update_jobs(made["jobs"], changes))[0]

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        given = changes.given()
        if given.get("state") is JobState.RUNNING:
            ended = [job.id for job in await self.get_jobs(ids) if job is not None and job.ended]
            if ended:
                await super().update_jobs(ended, JobChanges(state=JobState.QUEUED))
            for id_ in ids:
                self.sandbox.act("deadline", "start", job=id_)
            del given["state"]
        # What a job is doing is told of its tasks only; here the job's description shows it.
        told = {name: given.pop(name, None) for name in ("progress", "message", "problem", "attributes")}
        if any(value is not None for value in told.values()):
            given["description"] = str(told["message"] or told)
        if given:
            return await super().update_jobs(ids, JobChanges(**given))
        return [job for job in await self.get_jobs(ids) if job is not None]

    async def delete_job(self, job_id: str) -> None:
        self.sandbox.act("deadline", "vanish", job=job_id)


def _is_one_of_many(new: NewJob, index: int) -> bool:
    """Tell whether a job is one of the crowd that the sandbox makes at once."""
    return attrs.evolve(new, idempotency_key=None) == NewJob(name=f"job {index}")
