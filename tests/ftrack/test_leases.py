"""Tracked jobs on ftrack: beats in `data`, workers that lose their job, and finding the silent ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callsheet import Client, Conflict, File, JobState, LeaseLost, NewJob, NotFound
from callsheet.abc import Claim, JobChanges
from callsheet.providers import ftrack
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox
from support.ftrackclient import data_of

LEASE, GRACE = 60.0, 15.0


async def claim(client: Client[FtrackProvider], job: Any, **options: float) -> Claim:
    """Take the lease of a job, as `track` does."""
    return await client.provider.claim_job(job, **{"lease": LEASE, "grace": GRACE, **options})


def new(name: str = "x", key: str = "k") -> NewJob:
    return NewJob(name=name, idempotency_key=key)


async def test_a_claim_leaves_a_beat(client: Client[FtrackProvider]) -> None:
    """A tracked job is running from the start, and its `data` says since when and for how long it is held."""
    held = await claim(client, new())
    assert (held.job.state, held.job.started_at) == (JobState.RUNNING, held.job.created_at)
    beat = (await data_of(client, held.job.id))["callsheet"]["beat"]
    assert (beat["token"], beat["for"]) == (held.token.token, LEASE + GRACE)


async def test_a_second_worker(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A held job can be taken once its worker was silent for lease and grace; then it is lost to that one."""
    held = await claim(client, new())
    for job in (held.job.id, new()):
        with pytest.raises(Conflict, match="lease"):
            await claim(client, job)
    sandbox.clock.advance(LEASE + GRACE - 5)
    with pytest.raises(Conflict, match="lease"):
        await claim(client, held.job.id)
    sandbox.clock.advance(10)
    taken = await claim(client, held.job.id)
    with pytest.raises(LeaseLost, match="another worker") as caught:
        await client.provider.beat_job(held, JobChanges(progress=0.5))
    assert caught.value.provider == "ftrack"
    assert (await client.provider.beat_job(taken, JobChanges(progress=0.1))).progress == 0.1


async def test_a_beat_renews(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A worker that beats holds its job for as long as it likes, also by beats that change nothing."""
    held = await claim(client, new())
    for _ in range(3):
        sandbox.clock.advance(60)
        before = await client.jobs.get(held.job)
        assert await client.provider.beat_job(held, JobChanges()) == before
        with pytest.raises(Conflict):
            await claim(client, held.job.id)


async def test_an_end_gives_the_lease_back(client: Client[FtrackProvider]) -> None:
    """An ended job can be taken at once; adopting it clears why it failed."""
    held = await claim(client, new())
    changes = JobChanges(state=JobState.FAILED, problem="no licence")
    assert (await client.provider.beat_job(held, changes)).problem == "no licence"
    again = await claim(client, held.job.id)
    assert (again.job.state, again.job.problem) == (JobState.RUNNING, None)


async def test_a_job_that_was_cancelled(client: Client[FtrackProvider]) -> None:
    """A cancelled job is returned as it is, and only how the work ended is written over that."""
    held = await claim(client, new())
    cancelled = await client.jobs.cancel(held.job)
    assert await client.provider.beat_job(held, JobChanges(progress=0.9)) == cancelled
    assert await client.jobs.get(held.job) == cancelled
    last = JobChanges(state=JobState.DONE, progress=1.0, name="not this")
    done = await client.provider.beat_job(held, last)
    assert (done.state, done.progress, done.name) == (JobState.DONE, 1.0, "x")


async def test_another_program_says_done(client: Client[FtrackProvider]) -> None:
    """A job that another program ended is seen as ended at the next beat, and is not started again by it."""
    held = await claim(client, new())
    await client.provider.call(ftrack.update("Job", held.job.id, {"status": "done"}))
    seen = await client.provider.beat_job(held, JobChanges(progress=0.5))
    assert (seen.state, seen.progress) == (JobState.DONE, None)


async def test_data_that_another_program_wiped_out(client: Client[FtrackProvider]) -> None:
    """A worker does not lose its job because another program rewrote `data`: it beats anew."""
    held = await claim(client, new())
    wiped = {"data": json.dumps({"description": "theirs", "their": "key"})}
    await client.provider.call(ftrack.update("Job", held.job.id, wiped))
    job = await client.provider.beat_job(held, JobChanges(progress=0.5))
    assert (job.name, job.progress) == ("theirs", 0.5)
    data = await data_of(client, held.job.id)
    assert (data["their"], data["callsheet"]["beat"]["token"]) == ("key", held.token.token)


@pytest.mark.parametrize("beat", [7, {}, {"token": 7, "at": "x", "for": None}, {"at": True, "for": True}])
async def test_a_beat_that_makes_no_sense(client: Client[FtrackProvider], beat: Any) -> None:
    """What another program put in a beat's place holds nothing."""
    job = await client.jobs.create("x", state=JobState.RUNNING)
    spoilt = {"data": json.dumps({"callsheet": {"name": "x", "beat": beat}})}
    await client.provider.call(ftrack.update("Job", job.id, spoilt))
    assert await client.provider.reap(stale_for=0) == []
    assert (await claim(client, job.id)).job.id == job.id


async def test_jobs_that_are_gone(client: Client[FtrackProvider]) -> None:
    """A job that does not exist, or no more, can be neither claimed nor kept."""
    with pytest.raises(NotFound, match="nope"):
        await claim(client, "nope")
    held = await claim(client, new())
    await client.jobs.delete(held.job)
    with pytest.raises(NotFound, match=held.job.id):
        await client.provider.beat_job(held, JobChanges())


async def test_finding_silent_workers(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Jobs whose worker fell silent are found, and only on request set to failed, "lost"."""
    silent = await claim(client, new("silent", "k-1"))
    sandbox.clock.advance(70)
    await client.jobs.count()  # the answer tells the new time
    alive = await claim(client, new("alive", "k-2"))
    await client.jobs.create("never tracked", state=JobState.RUNNING)
    ended = await claim(client, new("ended", "k-3"))
    await client.provider.beat_job(ended, JobChanges(state=JobState.DONE))
    assert await client.provider.reap() == []
    assert [job.name for job in await client.provider.reap(stale_for=60)] == ["silent"]
    sandbox.clock.advance(10)
    before = await client.jobs.get(silent.job)
    assert await client.provider.reap() == [before]
    assert await client.jobs.get(silent.job) == before
    (lost,) = await client.provider.reap(dry_run=False)
    assert (lost.id, lost.state, lost.problem) == (silent.job.id, JobState.FAILED, "lost")
    assert await client.jobs.get(silent.job) == lost
    with pytest.raises(LeaseLost, match="silent for too long"):
        await client.provider.beat_job(silent, JobChanges(state=JobState.DONE))
    assert (await client.provider.beat_job(alive, JobChanges())).state is JobState.RUNNING
    assert await client.provider.reap(dry_run=False) == []


async def test_a_worker_that_comes_back_in_time(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A job that was found silent and has beaten since is left alone."""
    held = await claim(client, new())
    sandbox.clock.advance(100)
    (stale,) = await client.provider.reap()
    await client.provider.beat_job(held, JobChanges())
    assert await client.provider._reap(stale, None) == await client.jobs.get(held.job)
    assert (await client.jobs.get(held.job)).state is JobState.RUNNING


async def test_finding_among_many(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Every running job is looked at, page by page."""
    await client.jobs.create_many([NewJob(name="x", state=JobState.RUNNING) for _ in range(520)])
    held = [await claim(client, new(str(n), str(n))) for n in range(2)]
    await client.jobs.create_many([NewJob(name="x", state=JobState.RUNNING) for _ in range(520)])
    sandbox.clock.advance(100)
    found = await client.provider.reap()
    assert {job.id for job in found} == {one.job.id for one in held}


async def test_a_whole_tracked_block(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A tracked block makes, reports and ends its job, with its outputs."""
    async with client.jobs.track("Transcode A001", user="jane") as tracked:
        tracked.progress(0.4, "frame 400 of 1000")
        (part,) = await tracked.attach([File(b"frames", name="out.mov")])
    assert (tracked.job.state, tracked.job.progress, tracked.job.user) == (JobState.DONE, 1.0, "jane")
    assert await client.components.list(tracked.job).collect() == [part]
    assert "beat" in (await data_of(client, tracked.job.id))["callsheet"]
    sandbox.clock.advance(1000)
    assert await client.provider.reap() == []
