"""What ftrack's own Python client can do with jobs, row by row, done here."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

import callsheet
from callsheet import Client, File, FrameSequence, InvalidRequest, JobState, NewJob
from callsheet.providers import ftrack
from callsheet.providers.ftrack import FtrackJob, FtrackProvider
from callsheet.sandbox import Sandbox
from support.ftrackclient import actions, data_of


async def test_create_a_job_for_a_user(client: Client[FtrackProvider]) -> None:
    """A job for a user, with status and description, without JSON made by hand."""
    job = await client.jobs.create("Bake", user="jane", state=JobState.RUNNING, description="12 tiles")
    assert (job.user, job.vendor_state) == ("jane", "running")
    assert (await data_of(client, job.id))["description"] == "Bake: 12 tiles"


async def test_only_api_jobs_can_be_made(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Another type is a `ValueError` before any request; jobs of any type can be read."""
    job = await client.jobs.create("x")
    sandbox.forget_requests()
    with pytest.raises(InvalidRequest) as caught:
        await client.jobs.create("x", type="encode")
    assert isinstance(caught.value, ValueError)
    assert sandbox.requests() == []
    sandbox.faults.add("edit", path="/api", set={"/0/data/0/type": "encode"})
    assert (await client.jobs.get(job)).type == "encode"


async def test_set_status_and_commit_many(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Many jobs are made, changed, and changed together with other things, each in one request."""
    jobs = await client.jobs.create_many([NewJob(name=name) for name in "abc"])
    changed = await client.jobs.update_many(jobs, state=JobState.DONE)
    assert [job.state for job in changed] == [JobState.DONE] * 3
    sandbox.forget_requests()
    await client.provider.call(
        ftrack.update("Job", jobs[0].id, {"status": "failed"}),
        ftrack.delete("Job", jobs[1].id),
    )
    assert actions(sandbox) == [{"update Job": 1, "delete Job": 1}]
    assert [job and job.state for job in await client.jobs.get_many(jobs)] == [
        JobState.FAILED,
        None,
        JobState.DONE,
    ]


async def test_a_job_instead_of_a_dictionary(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """What a dict-like entity offers has its counterpart in still values, without a request on reading."""
    old = await client.jobs.create("Bake", attributes={"shot": "sh010"})
    sandbox.forget_requests()
    # get, items, keys, values
    fields = attrs.asdict(old, recurse=False)
    assert (fields["name"], "status" in fields) == ("Bake", False)
    assert old.details == client.provider.details(old)
    assert isinstance(old.details, FtrackJob)
    assert old.details.status == old.raw["status"] == "queued"
    # update, setdefault, pop
    local = attrs.evolve(old, name="mine alone")
    assert (local.name, old.name) == ("mine alone", "Bake")
    assert sandbox.requests() == []
    # clear
    assert await client.jobs.get(local) == old
    # merge, with its list of changes
    new = await client.jobs.update(old, state=JobState.RUNNING, progress=0.5)
    found = {change.name: (change.old, change.new) for change in callsheet.changes(old, new)}
    found.pop("updated_at", None)  # in the same millisecond it is the same
    assert found == {
        "state": (JobState.QUEUED, JobState.RUNNING),
        "vendor_state": ("queued", "running"),
        "progress": (None, 0.5),
        "started_at": (None, new.started_at),
    }


async def test_job_components_and_their_urls(client: Client[FtrackProvider], tmp_path: Path) -> None:
    """What is attached to a job is listed, linked to and downloaded."""
    job = await client.jobs.create("x")
    (part,) = await client.jobs.attach(job, [File(b"frames", name="out.mov")])
    assert await client.components.list(job=job).collect() == [part]
    assert (await client.components.url(part)).startswith(client.provider.tracker.removeprefix("ftrack+"))
    assert (await client.components.download(part, to=tmp_path / "out.mov")).read_bytes() == b"frames"


async def test_create_component(client: Client[FtrackProvider], tmp_path: Path) -> None:
    """A component is made without a job and attached afterwards; a frame sequence is one."""
    for number in (1, 2):
        (tmp_path / f"a.{number:04}.exr").write_bytes(b"frame")
    loose = await client.components.upload(File(b"data", name="a"))
    sequence = await client.components.upload(FrameSequence(tmp_path / "a.%04d.exr", 1, 2))
    job = await client.jobs.create("x")
    attached = await client.jobs.attach(job, [loose, sequence])
    assert [(part.id, part.job_id) for part in attached] == [(loose.id, job.id), (sequence.id, job.id)]


async def test_location_by_name(client: Client[FtrackProvider]) -> None:
    """The server's own location is found by its name."""
    location = await client.locations.get("ftrack.server")
    assert location.id == "3a372bde-05bc-11e4-8908-20c9d081909b"
