"""Tracked jobs on ftrack: beats in `data`, workers that lose their job, and finding the silent ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callsheet import Client, Conflict, File, InvalidRequest, JobState, LeaseLost, NewJob, NotFound
from callsheet.abc import Claim, JobChanges
from callsheet.providers import ftrack
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox
from support.ftrackclient import KEY, data_of

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


async def test_a_beat_of_the_future(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A beat from further ahead than it can last was written by a wrong clock, and holds nothing."""
    now = sandbox.clock.now().timestamp()
    jobs = []
    for ahead in (LEASE - 10, LEASE + 10):
        job = await client.jobs.create("x", state=JobState.RUNNING)
        beat = {"token": "other", "at": now + ahead, "for": LEASE}
        data = json.dumps({"callsheet": {"name": "x", "beat": beat}})
        await client.provider.call(ftrack.update("Job", job.id, {"data": data}))
        jobs.append(job)
    assert [job.id for job in await client.provider.reap()] == [jobs[1].id]
    with pytest.raises(Conflict, match="lease"):
        await claim(client, jobs[0].id)
    assert (await claim(client, jobs[1].id)).job.id == jobs[1].id


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


@pytest.mark.parametrize("stale_for", [-1, "60", float("nan"), True])
async def test_silence_that_makes_no_sense(
    client: Client[FtrackProvider], sandbox: Sandbox, stale_for: Any
) -> None:
    """A silence that is no length of time is refused by its name, before anything is looked at."""
    with pytest.raises(InvalidRequest, match="stale_for"):
        await client.provider.reap(stale_for=stale_for)
    assert sandbox.requests() == []


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


# -- in between ----------------------------------------------------------------------------------------------


async def in_between(client: Client[FtrackProvider], act: Any) -> None:
    """Let something happen once, between the next reading of a job and its writing."""
    server = client.provider._server
    original = server.call

    async def call(operations: Any, **options: Any) -> Any:
        if any(one["action"] == "update" for one in operations):
            server.call = original  # type: ignore[method-assign]  # only once
            await act()
        return await original(operations, **options)

    server.call = call  # type: ignore[method-assign]  # what comes in between cannot be timed otherwise


async def test_a_cancellation_in_between(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A job that is cancelled between a beat's reading and its writing stays so, and the beat sees it."""
    held = await claim(client, new())
    async with another(sandbox) as other:
        await in_between(client, lambda: other.jobs.cancel(held.job))
        seen = await client.provider.beat_job(held, JobChanges(progress=0.5))
    assert seen.state is JobState.CANCELLED
    assert await client.jobs.get(held.job) == seen


async def test_a_change_in_between(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """What another client changes between our reading and our writing stays, beside our change."""
    jobs = await client.jobs.create_many([NewJob(name=name) for name in "abc"])
    async with another(sandbox) as other:
        await in_between(client, lambda: other.jobs.update(jobs[1], message="theirs", state=JobState.RUNNING))
        changed = await client.jobs.update_many(jobs, progress=0.5)
    assert [(job.progress, job.message, job.state) for job in changed] == [
        (0.5, None, JobState.QUEUED),
        (0.5, "theirs", JobState.RUNNING),
        (0.5, None, JobState.QUEUED),
    ]
    assert await client.jobs.get_many(jobs) == changed


async def test_another_worker_in_between(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Of two workers that find a job free one gets it, and the other is told at once."""
    job = await client.jobs.create("x")
    async with another(sandbox) as other:
        held: list[Claim] = []

        async def take() -> None:
            held.append(await claim(other, job.id))

        await in_between(client, take)
        with pytest.raises(Conflict, match="lease"):
            await claim(client, job.id)
        assert (await other.provider.beat_job(held[0], JobChanges(progress=0.1))).progress == 0.1
    assert (await client.jobs.get(job)).state is JobState.RUNNING


async def test_a_lost_lease_in_between(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A worker whose job is given away between its reading and its writing writes nothing that stays."""
    held = await claim(client, new())
    async with another(sandbox) as other:

        async def give_away() -> None:
            sandbox.clock.advance(1000)
            await other.jobs.count()  # the answer tells the new time
            await claim(other, held.job.id)

        await in_between(client, give_away)
        with pytest.raises(LeaseLost):
            await client.provider.beat_job(held, JobChanges(state=JobState.DONE, message="late"))
        left = await other.jobs.get(held.job)
    assert (left.state, left.message) == (JobState.RUNNING, None)


async def test_a_server_that_looks_after_it_has_written(
    client: Client[FtrackProvider], sandbox: Sandbox
) -> None:
    """A server that tells what we have just written, and not what stood before, is not written to again."""
    job = await client.jobs.create("x")
    server = client.provider._server
    original = server.call

    async def call(operations: Any, **options: Any) -> Any:
        results = await original(operations, **options)
        if any(one["action"] == "update" for one in operations):
            results.items[0] = results.items[-1]
        return results

    server.call = call  # type: ignore[method-assign]  # the sandbox looks in the order of the operations
    sandbox.forget_requests()
    changed = await client.jobs.update(job, state=JobState.DONE, progress=0.5)
    assert (changed.state, changed.progress) == (JobState.DONE, 0.5)
    assert len(sandbox.requests("/api", contains='"update"')) == 1


async def test_the_end_of_another_program_in_between(client: Client[FtrackProvider]) -> None:
    """A `done` that another program sets while we report progress stands."""
    job = await client.jobs.create("x", state=JobState.RUNNING)
    done = ftrack.update("Job", job.id, {"status": "done"})
    await in_between(client, lambda: client.provider.call(done))
    assert (await client.jobs.update(job, progress=0.5)).state is JobState.DONE


def another(sandbox: Sandbox) -> Client[FtrackProvider]:
    """Return a second client of the server."""
    return Client(FtrackProvider(sandbox.url, user="sandbox", api_key=KEY))
