"""What the vendors' own clients offer, row by row, as every tracker has it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from callsheet import Client, File, FrameSequence, JobState, NotFound, changes
from rig import Rig
from support.needs import needs

# -- ftrack: an entity is like a dictionary ------------------------------------------------------------------


async def test_get_items_keys_and_values(rig: Rig, client: Client[Any]) -> None:
    """`get`, `items`, `keys` and `values` are attributes and `attrs.asdict`; reading one asks nobody."""
    provider = rig.wrapped()
    async with Client(provider) as watched:
        job = await watched.jobs.create("render", description="two shots")
        asked = len(provider.calls)
        fields = attrs.asdict(job, recurse=False, filter=lambda field, _: not field.name.startswith("_"))
        assert fields["description"] == job.description == getattr(job, "description", None) == "two shots"
        assert getattr(job, "no_such_field", "default") == "default"
        assert list(fields)[:4] == ["id", "raw", "tracker", "name"]
        assert all(getattr(job, name) == value for name, value in fields.items())
        assert len(provider.calls) == asked


@needs("update(name=)", "update(attributes=)")
async def test_update_setdefault_and_pop(rig: Rig, client: Client[Any]) -> None:
    """`update`, `setdefault` and `pop` are `attrs.evolve`: a new value, and nobody else's copy changes."""
    job = await client.jobs.create("render", attributes={"shot": "sh010", "take": 1})
    renamed = attrs.evolve(job, name="other", attributes={**job.attributes, "take": 2})
    popped = attrs.evolve(job, attributes={k: v for k, v in job.attributes.items() if k != "take"})
    assert (job.name, job.attributes) == ("render", {"shot": "sh010", "take": 1})
    assert (renamed.name, renamed.attributes) == ("other", {"shot": "sh010", "take": 2})
    assert popped.attributes == {"shot": "sh010"}
    assert await client.jobs.get(job) == job
    sent = await client.jobs.update(job, name=renamed.name, attributes=renamed.attributes)
    assert (sent.name, sent.attributes) == (renamed.name, renamed.attributes)


@needs("update(message=)")
async def test_clear(rig: Rig, client: Client[Any]) -> None:
    """`clear` is `jobs.get`: whatever was changed here, the tracker's own values come back."""
    job = await client.jobs.create("render")
    mine = attrs.evolve(job, name="changed here", progress=0.5)
    async with rig.another_client() as other:
        theirs = await other.jobs.update(job, message="changed there")
    assert await client.jobs.get(mine) == theirs


@needs("update(message=)", "update(progress=)")
async def test_merge(rig: Rig, client: Client[Any]) -> None:
    """`merge` is `changes`: what differs, field by field, which applied to the old gives the new."""
    old = await client.jobs.create("render")
    async with rig.another_client() as other:
        await other.jobs.update(old, state=JobState.RUNNING, progress=0.5, message="frame 1")
    new = await client.jobs.get(old)
    told = changes(old, new)
    assert {change.name for change in told} >= {"state", "progress", "message"}
    merged: dict[str, Any] = {change.name: change.new for change in told}
    assert attrs.evolve(old, **merged) == new
    assert all(getattr(old, change.name) == change.old for change in told)


async def test_popitem(rig: Rig, client: Client[Any]) -> None:
    """`popitem` has no counterpart: a job is no dictionary, and has no arbitrary field to take away."""
    job = await client.jobs.create("render")
    assert not [name for name in ("popitem", "pop", "update", "clear", "merge", "keys") if hasattr(job, name)]


# -- ftrack: jobs and their components -----------------------------------------------------------------------


@needs("create(user=)", "create(state=)", "create(description=)")
async def test_create_a_job_for_a_user(rig: Rig, client: Client[Any]) -> None:
    """A job for a user, with status and description, in one call."""
    job = await client.jobs.create("Publish", user="bob", state=JobState.RUNNING, description="12 files")
    assert (job.name, job.user, job.state, job.description) == (
        "Publish",
        "bob",
        JobState.RUNNING,
        "12 files",
    )


@needs(
    "attach", "components.list", "components.url", "download", "upload", "upload(frames=)", "locations.get"
)
async def test_job_components_and_locations(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """`job_components`, `create_component` with data and frames, URLs, and a location by its name."""
    job = await client.jobs.create("Publish")
    (tmp_path / "a.mov").write_bytes(b"movie")
    for frame in (1, 2):
        (tmp_path / f"f.{frame:04d}.exr").write_bytes(b"frame")
    part = await client.components.upload(tmp_path / "a.mov")
    location = await client.locations.get(str(part.location_id))
    assert await client.locations.get(location.name) == location
    frames = FrameSequence(tmp_path / "f.%04d.exr", 1, 2)
    linked = await client.jobs.attach(job, [part, frames, File(b"data", name="d")], location=location.name)
    there = await client.components.list(job=job).collect()
    assert {one.id for one in there} == {one.id for one in linked}
    assert await rig.fetch(await client.components.url(linked[0])) == b"movie"
    assert (await client.components.download(linked[2], f"{tmp_path}/out/")).read_bytes() == b"data"
    folder = await client.components.download(linked[1], tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["f.0001.exr", "f.0002.exr"]


# -- Portal's JobHelper --------------------------------------------------------------------------------------


@needs("list(states=)", "list(types=)", "list(user=)")
async def test_get_all_jobs(rig: Rig, client: Client[Any]) -> None:
    """getAllJobs by types, states and user, page by page from either end; by item where there are items."""
    jobs = [await rig.make_job(f"job {number}", type=rig.types[0]) for number in range(5)]
    wanted: dict[str, Any] = {"types": {rig.types[0]}, "states": {JobState.QUEUED}, "user": rig.user}
    assert await client.jobs.list(**wanted).collect() == jobs[::-1]
    first, second = await _first_pages(client, wanted)
    assert (first, second) == (jobs[:-3:-1], jobs[-3:-5:-1])
    if rig.supports("list(item=)", "create(item=)"):
        work = await rig.make_job(item="VX-1")
        assert await client.jobs.list(item="VX-1").collect() == [work]


async def _first_pages(client: Client[Any], wanted: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    listing = client.jobs.list(**wanted, page_size=2)
    return await listing.collect(limit=2), await listing.collect(limit=2)


@needs("problem", "count", "update(progress=)")
async def test_get_job_problem_progress_and_count(rig: Rig, client: Client[Any]) -> None:
    """getJob, getJobProblem, getProgress, and getTotalJobCount with its cache."""
    job = await client.jobs.update(await rig.make_job(), progress=0.25)
    assert (await client.jobs.get(job.id)).progress == 0.25
    await rig.fail(job, "no licence")
    assert await client.jobs.problem(job) == "no licence"
    assert await client.jobs.count(max_age=60) == 1
    await rig.make_job()
    assert await client.jobs.count(max_age=60) == 1
    assert await client.jobs.count() == 2


@needs("rerun", "update(priority=)", "cancel", "allows", "create(user=)")
async def test_rerun_priority_abort_and_access(rig: Rig, client: Client[Any]) -> None:
    """reRun, updateJobPriority, abort, userHasAccessToJob, and acting as another user."""
    job = await rig.fail(await rig.make_job(), "no licence")
    again = await client.jobs.rerun(job)
    assert (again.source_id, again.state) == (job.id, JobState.QUEUED)
    assert (await client.jobs.update(again, priority=90)).priority == 90
    assert (await client.jobs.cancel(again)).state is JobState.CANCELLED
    assert await client.jobs.allows(again, "abort", rig.user) is True
    assert await client.jobs.allows(again, "abort", "bob") is False
    assert (await client.as_user("bob").jobs.create("render")).user == "bob"


# -- Deadline Cloud's get_job --------------------------------------------------------------------------------


async def test_get_job_and_errors_by_name(rig: Rig, client: Client[Any]) -> None:
    """Every field of a job, its description as hostile text, and errors by name with what they know."""
    hostile = "<script>alert(1)</script>\n${jndi:ldap://x}\t\x1b[31m \N{RIGHT-TO-LEFT OVERRIDE}"
    job = await client.jobs.create("render", description=hostile)
    assert (await client.jobs.get(job.id)).description == hostile
    assert hostile not in str(job)
    assert "\x1b" not in repr(job)
    with pytest.raises(NotFound) as caught:
        await client.jobs.get("job-00000000000000000000000000000000")
    error = caught.value
    assert (error.provider, error.message, error.args) == (rig.name, str(error), (str(error),))
