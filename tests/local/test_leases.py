"""Leases: who works on a job, and what becomes of it when the worker falls silent."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import time_machine

from callsheet import Conflict, JobState, LeaseLost, NewJob, NotFound, Timeout
from callsheet.abc import Claim, JobChanges, JobFilter
from callsheet.providers.local import LocalProvider, _leases
from local.tools import Make, plans
from support.clocks import Clock as DrivenClock
from support.roads import until


class Clock:
    """The monotonic clock and the boot of the machine, in the test's hand."""

    def __init__(self) -> None:
        self.seconds = 5000.0
        self.boot = "this boot"

    def us(self) -> int:
        return int(self.seconds * 1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let leases go by a clock that stands still."""
    clock = Clock()
    monkeypatch.setattr(_leases, "monotonic_us", clock.us)
    monkeypatch.setattr(_leases, "boot_id", lambda: clock.boot)
    return clock


async def claim(provider: LocalProvider, job: NewJob | str | None = None) -> Claim:
    """Take a lease of 60 seconds and 15 of grace."""
    job = job or NewJob(name="Transcode", idempotency_key="track")
    return await provider.claim_job(job, lease=60, grace=15)


async def state(provider: LocalProvider, id_: str) -> tuple[str, str | None, int]:
    """Return state, problem and fence."""
    (job,) = await provider.get_jobs([id_])
    assert job is not None
    return job.state, job.problem, provider.details(job).fence


async def test_claim_makes_a_running_job_with_a_lease(provider: LocalProvider, clock: Clock) -> None:
    """One step makes the job, sets it RUNNING, and notes until when its worker may be silent."""
    claimed = await claim(provider)
    details = provider.details(claimed.job)
    assert (claimed.job.state, claimed.job.started_at) == (JobState.RUNNING, claimed.job.created_at)
    assert (details.fence, details.lease_until, details.lease_length, details.boot) == (
        1,
        5_075_000_000,
        75_000_000,
        "this boot",
    )
    assert await provider.get_jobs([claimed.job.id]) == [claimed.job]


async def test_live_lease_is_given_to_nobody_else(provider: LocalProvider, clock: Clock) -> None:
    """By id or by key, the second worker is told; the first one keeps its lease."""
    first = await claim(provider)
    for job in (first.job.id, NewJob(name="Transcode", idempotency_key="track")):
        with pytest.raises(Conflict, match=f"another worker holds the lease of job {first.job.id}") as caught:
            await claim(provider, job)
        assert caught.value.provider == "local"
    assert (await provider.beat_job(first, JobChanges())) == first.job


async def test_only_one_of_many_workers_gets_the_job(provider: LocalProvider, make: Make) -> None:
    """Ten claims of one job at once, in one transaction: one lease, nine conflicts."""
    job = await make()
    claims: list[Claim] = []
    conflicts: list[Conflict] = []

    async def work() -> None:
        try:
            claims.append(await claim(provider, job.id))
        except Conflict as exc:
            conflicts.append(exc)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(work)
    assert (len(claims), len(conflicts)) == (1, 9)


async def test_claim_follows_the_rules_of_keys(provider: LocalProvider, clock: Clock) -> None:
    """A key leads back to its job, which is adopted; with another request it is refused."""
    first = await claim(provider)
    await provider.beat_job(first, JobChanges(state=JobState.FAILED, problem="no disk"))
    again = await claim(provider)
    assert again.job.id == first.job.id
    assert (again.job.state, again.job.problem, again.job.finished_at) == (JobState.RUNNING, None, None)
    with pytest.raises(Conflict, match="used with another request"):
        await claim(provider, NewJob(name="Other", idempotency_key="track"))
    with pytest.raises(NotFound, match="there is no job 'none'"):
        await claim(provider, "none")


async def test_claim_clears_only_how_a_job_ended(provider: LocalProvider, make: Make) -> None:
    """A problem of a job that has not ended is still its problem when a worker adopts it."""
    job = await make()
    await provider.update_jobs([job.id], JobChanges(problem="the first disk was full"))
    adopted = await claim(provider, job.id)
    assert (adopted.job.state, adopted.job.problem) == (JobState.RUNNING, "the first disk was full")


async def test_beat_moves_the_deadline_and_nothing_else(provider: LocalProvider, clock: Clock) -> None:
    """A beat without changes is no change: no watch sees it, and the job is as it was."""
    claimed = await claim(provider)
    mark = (await provider.sweep([claimed.job.id], [], None)).mark
    clock.seconds += 70
    beaten = await provider.beat_job(claimed, JobChanges())
    assert beaten == claimed.job
    assert provider.details(beaten).lease_until == 5_145_000_000
    assert (await provider.sweep([claimed.job.id], [], mark)).jobs == {}


async def test_silent_worker_loses_the_job(provider: LocalProvider, clock: Clock) -> None:
    """After lease and grace, and not a moment before, the job is FAILED with the problem "lost"."""
    claimed = await claim(provider)
    clock.seconds += 75
    assert await state(provider, claimed.job.id) == ("running", None, 1)
    clock.seconds += 0.001
    assert await state(provider, claimed.job.id) == ("failed", "lost", 2)
    with pytest.raises(LeaseLost, match=f"job {claimed.job.id} was declared lost") as caught:
        await provider.beat_job(claimed, JobChanges(state=JobState.DONE))
    assert caught.value.provider == "local"
    assert await state(provider, claimed.job.id) == ("failed", "lost", 2)


@pytest.mark.parametrize("look", ["get", "page", "count", "sweep", "sweep_mark", "problem", "allows"])
async def test_whoever_looks_sees_the_lost_job(provider: LocalProvider, clock: Clock, look: str) -> None:
    """Every kind of read declares silent workers' jobs lost first."""
    claimed = await claim(provider)
    id_ = claimed.job.id
    mark = (await provider.sweep([id_], [], None)).mark
    clock.seconds += 76
    failed = JobFilter(states=frozenset({JobState.FAILED}))
    if look == "get":
        (job,) = await provider.get_jobs([id_])
        seen: Any = job and job.problem
    elif look == "page":
        page = await provider.page_jobs(failed, after=None, size=5)
        seen = page.items[0].problem
    elif look == "count":
        seen = "lost" if await provider.count_jobs(failed) == 1 else None
    elif look.startswith("sweep"):
        found = await provider.sweep([id_], [], mark if look == "sweep_mark" else None)
        swept = found.jobs[id_]
        seen = swept and swept.problem
    elif look == "problem":
        seen = await provider.job_problem(id_)
    else:
        await provider.allows(id_, "view", "jane")
        with pytest.raises(LeaseLost):
            await provider.beat_job(claimed, JobChanges())
        seen = "lost"
    assert seen == "lost"


async def test_lease_that_was_given_away_is_lost(provider: LocalProvider, clock: Clock) -> None:
    """Once another worker has the job, the old one writes nothing more, not even that it is done."""
    old = await claim(provider)
    clock.seconds += 76
    new = await claim(provider, old.job.id)
    with pytest.raises(LeaseLost, match="was given to another worker"):
        await provider.beat_job(old, JobChanges(state=JobState.DONE, progress=1.0))
    assert (await provider.beat_job(new, JobChanges(progress=0.5))).progress == 0.5
    assert await state(provider, old.job.id) == ("running", None, 2)


async def test_ended_beat_gives_the_lease_back(provider: LocalProvider, clock: Clock) -> None:
    """A job that is done is never lost, however long its worker is silent then."""
    claimed = await claim(provider)
    done = await provider.beat_job(claimed, JobChanges(state=JobState.DONE, progress=1.0))
    assert provider.details(done).lease_until is None
    clock.seconds += 1000
    assert await state(provider, done.id) == ("done", None, 1)


async def test_cancelled_job_is_returned_as_it_is(provider: LocalProvider, clock: Clock) -> None:
    """Cancelled from elsewhere, only how the work ended is still written: no name, no lease."""
    claimed = await claim(provider)
    cancelled = await provider.cancel_job(claimed.job.id)
    seen = await provider.beat_job(claimed, JobChanges(progress=0.7, message="frame 7", name="Other"))
    assert seen == cancelled
    clock.seconds += 1000
    assert await state(provider, cancelled.id) == ("cancelled", None, 1)
    last = JobChanges(state=JobState.FAILED, problem="stopped", progress=0.7, message="frame 7", name="Other")
    ended = await provider.beat_job(claimed, last)
    assert (ended.state, ended.problem, ended.progress, ended.message, ended.name) == (
        JobState.FAILED,
        "stopped",
        0.7,
        "frame 7",
        "Transcode",
    )
    assert provider.details(ended).lease_until is None


async def test_ended_state_from_elsewhere_drops_the_lease(provider: LocalProvider, clock: Clock) -> None:
    """Who sets the job DONE by hand ends its lease; set RUNNING again, its worker may go on."""
    claimed = await claim(provider)
    (done,) = await provider.update_jobs([claimed.job.id], JobChanges(state=JobState.DONE))
    assert (provider.details(done).lease_until, provider.details(done).fence) == (None, 1)
    clock.seconds += 1000
    await provider.update_jobs([claimed.job.id], JobChanges(state=JobState.RUNNING))
    beaten = await provider.beat_job(claimed, JobChanges(progress=0.5))
    assert (beaten.progress, provider.details(beaten).lease_until) == (0.5, 6_075_000_000)


async def test_beat_for_a_deleted_job_tells(provider: LocalProvider, clock: Clock) -> None:
    """A job that is gone is NotFound, not a lost lease."""
    claimed = await claim(provider)
    await provider.delete_job(claimed.job.id)
    with pytest.raises(NotFound, match=f"there is no job '{claimed.job.id}'"):
        await provider.beat_job(claimed, JobChanges())


async def test_running_job_without_a_lease_is_never_reaped(
    provider: LocalProvider, make: Make, clock: Clock
) -> None:
    """Jobs that nobody tracks stay RUNNING for as long as it pleases their maker."""
    job = await make(state=JobState.RUNNING)
    clock.seconds += 10_000_000
    assert await provider.get_jobs([job.id]) == [job]


async def test_leases_do_not_outlive_the_boot(provider: LocalProvider, clock: Clock) -> None:
    """After a restart no worker is left, whatever the new boot's clock and name are."""
    for number, (boot, seconds) in enumerate([("a later boot", 5001.0), ("an other boot", 3.0)]):
        clock.boot, clock.seconds = "b: this boot", 5000.0
        claimed = await claim(provider, NewJob(name="a", idempotency_key=f"k{number}"))
        clock.boot, clock.seconds = boot, seconds
        assert await state(provider, claimed.job.id) == ("failed", "lost", 2)


async def test_lease_of_an_earlier_boot_keeps_nobody_out(provider: LocalProvider, clock: Clock) -> None:
    """After a restart the job is given out at once, though its deadline is ahead on the new boot's clock."""
    first = await claim(provider)
    clock.boot = "a later boot"
    second = await claim(provider, first.job.id)
    assert provider.details(second.job).fence == provider.details(first.job).fence + 1
    with pytest.raises(LeaseLost, match="given to another worker"):
        await provider.beat_job(first, JobChanges())


async def test_lease_from_the_future_has_run_out(provider: LocalProvider, clock: Clock) -> None:
    """Where a boot has no name, a deadline farther off than a lease is long tells that it was another one."""
    clock.boot = ""
    claimed = await claim(provider)
    clock.seconds = 4999.0
    assert await state(provider, claimed.job.id) == ("failed", "lost", 2)
    again = await claim(provider, claimed.job.id)
    clock.seconds = 100.0
    taken = await claim(provider, claimed.job.id)
    assert provider.details(taken.job).fence == provider.details(again.job).fence + 1 == 4


async def test_wall_clock_neither_ends_nor_prolongs_a_lease(provider: LocalProvider) -> None:
    """Set a year ahead or back, the clock on the wall changes nothing about who has the job."""
    claimed = await claim(provider)
    for year in (2031, 1999):
        with time_machine.travel(datetime(year, 6, 1, tzinfo=UTC), tick=True):
            assert await state(provider, claimed.job.id) == ("running", None, 1)
            beaten = await provider.beat_job(claimed, JobChanges(progress=0.1))
            assert beaten.updated_at is not None
            assert beaten.updated_at.year == year


async def test_worker_on_a_full_disk_does_not_hide_jobs(
    provider: LocalProvider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """When lost jobs cannot be marked, reading goes on, and the log tells why they still look alive."""
    claimed = await claim(provider)
    clock.seconds += 76

    def broken(*_: object) -> list[None]:
        raise Conflict("no room", provider="local")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING, "callsheet"):
        patch.setattr(_leases, "reap", broken)
        assert await state(provider, claimed.job.id) == ("running", None, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "jobs of silent workers could not be marked as lost: no room"
    ]
    assert await state(provider, claimed.job.id) == ("failed", "lost", 2)


async def test_look_that_must_reap_ends_by_its_deadline(
    directory: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Declaring jobs lost counts as a part of the read that does it."""
    leave = threading.Event()

    begun = threading.Event()

    def stuck(_: object, wanted: list[None]) -> list[None]:
        begun.set()
        leave.wait(30)
        return wanted

    async def look() -> None:
        with pytest.raises(Timeout, match="did not answer within 20 s"):
            await provider.get_jobs([claimed.job.id])

    monkeypatch.setattr(_leases, "reap", stuck)
    deadlines = DrivenClock()
    with deadlines.shown():
        async with LocalProvider(directory, timeout=20) as provider:
            claimed = await claim(provider)
            clock.seconds += 76
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(look)
                await until(begun.is_set)
                await deadlines.skip_waiting(21)
            leave.set()


async def test_looking_for_lost_jobs_is_four_looks_into_an_index(provider: LocalProvider) -> None:
    """The look before every read never walks over jobs, nor over leases that are alive."""
    with plans(provider._store._database) as steps:
        await provider.get_jobs(["none"])
    looks = [step for step in steps if "jobs_lease" in step]
    assert len(looks) == 4
    assert all(step.startswith("SEARCH jobs USING INDEX jobs_lease_") for step in looks)
    assert [step for step in steps if step.startswith("SCAN jobs")] == []
