"""Sweeps: one look tells all that changed since the last one, and what is gone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from callsheet import Job, JobState, NewJob
from callsheet.abc import JobChanges, JobFilter
from callsheet.providers.local import LocalProvider, _sweeping
from local.tools import Make, plans

RUNNING = JobFilter(states=frozenset({JobState.RUNNING}))


async def test_first_look_tells_all(provider: LocalProvider, make: Make) -> None:
    """Without a mark every job of the ids and of the filters is told, and the ids that are nothing."""
    jobs = [await make(state=state) for state in (JobState.RUNNING, JobState.DONE, JobState.RUNNING)]
    sweep = await provider.sweep([jobs[1].id, "none"], [RUNNING], None)
    assert sweep.jobs == {job.id: job for job in jobs} | {"none": None}


async def test_first_look_goes_through_all_pages(provider: LocalProvider) -> None:
    """More matches than a page holds are told, too."""

    made = await provider.create_jobs(
        [NewJob(name="a", idempotency_key=str(n), state=JobState.RUNNING) for n in range(2000)]
    )
    assert (await provider.sweep([], [RUNNING], None)).jobs == {job.id: job for job in made}


async def test_first_look_goes_through_all_pages_of_several_states(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where each state fills pages of its own."""
    monkeypatch.setattr(_sweeping, "PAGE", 10)
    states = [JobState.RUNNING, JobState.QUEUED]
    made = await provider.create_jobs(
        [NewJob(name="a", idempotency_key=str(n), state=states[n % 2]) for n in range(50)]
    )
    sweep = await provider.sweep([], [JobFilter(states=frozenset(states))], None)
    assert sweep.jobs == {job.id: job for job in made}


async def test_next_look_tells_what_changed(provider: LocalProvider, make: Make) -> None:
    """Only changed jobs of the ids or filters are told; each look's mark begins the next."""
    followed, other, running = await make(), await make(), await make(state=JobState.RUNNING)
    mark = (await provider.sweep([followed.id], [RUNNING], None)).mark
    assert (await provider.sweep([followed.id], [RUNNING], mark)).jobs == {}
    await provider.update_jobs([followed.id, other.id], JobChanges(message="x"))
    started = await make(state=JobState.RUNNING)
    sweep = await provider.sweep([followed.id], [RUNNING], mark)
    assert {id_: job and job.message for id_, job in sweep.jobs.items()} == {
        followed.id: "x",
        started.id: None,
    }
    assert (await provider.sweep([followed.id], [RUNNING], sweep.mark)).jobs == {}
    assert running.id not in sweep.jobs


async def test_job_that_left_its_filter_is_told_by_id(provider: LocalProvider, make: Make) -> None:
    """A watch by filter follows its jobs by id, so that it sees how they ended."""
    job = await make(state=JobState.RUNNING)
    mark = (await provider.sweep([], [RUNNING], None)).mark
    (done,) = await provider.update_jobs([job.id], JobChanges(state=JobState.DONE))
    assert (await provider.sweep([job.id], [RUNNING], mark)).jobs == {job.id: done}
    assert (await provider.sweep([], [RUNNING], mark)).jobs == {}


async def test_deleted_job_is_gone(provider: LocalProvider, make: Make) -> None:
    """Of the ids only; a job made and deleted between two looks is none of theirs."""
    job, other = await make(), await make()
    mark = (await provider.sweep([job.id], [JobFilter()], None)).mark
    await provider.delete_job(job.id)
    await provider.delete_job(other.id)
    await provider.delete_job((await make()).id)
    assert (await provider.sweep([job.id], [JobFilter()], mark)).jobs == {job.id: None}


async def test_every_kind_of_write_is_seen(provider: LocalProvider, make: Make) -> None:
    """Create, update, cancel, rerun, claim, beat: after each, a look by filter tells the job."""
    job = await make()
    mark = (await provider.sweep([], [JobFilter()], None)).mark

    async def told() -> list[Job | None]:
        nonlocal mark
        sweep = await provider.sweep([], [JobFilter()], mark)
        mark = sweep.mark
        return [*sweep.jobs.values()]

    assert await told() == []
    assert await told() == []
    (job,) = await provider.update_jobs([job.id], JobChanges(progress=0.1))
    assert await told() == [job]
    made = await make()
    assert await told() == [made]
    claim = await provider.claim_job(job.id, lease=60, grace=15)
    assert await told() == [claim.job]
    beaten = await provider.beat_job(claim, JobChanges(progress=0.2))
    assert await told() == [beaten]
    cancelled = await provider.cancel_job(job.id)
    assert await told() == [cancelled]
    copy = await provider.rerun_job(job.id, key=None)
    assert await told() == [copy]


@pytest.mark.parametrize("mark", [("someone else's", 3), 17, "x", object()])
async def test_mark_of_another_tracker_is_no_mark(provider: LocalProvider, make: Make, mark: object) -> None:
    """Who comes with a mark that is not ours is told everything."""
    job = await make()
    assert (await provider.sweep([job.id], [], mark)).jobs == {job.id: job}


async def test_database_brought_back_from_a_copy_is_looked_at_anew(
    directory: Path, provider: LocalProvider, make: Make
) -> None:
    """When the numbers of transactions went back, nothing may be missed."""
    job = await make()
    for number in range(3):
        await provider.update_jobs([job.id], JobChanges(message=str(number)))
    mark = (await provider.sweep([job.id], [], None)).mark
    with closing(sqlite3.connect(directory / "callsheet.db")) as db, db:
        db.execute("UPDATE counters SET value = 1")
        db.execute("UPDATE jobs SET seq = 1, message = 'from the copy'")
    sweep = await provider.sweep([job.id], [], mark)
    assert {id_: found and found.message for id_, found in sweep.jobs.items()} == {job.id: "from the copy"}


async def test_look_is_one_search_by_index(provider: LocalProvider, make: Make) -> None:
    """What changed since a mark is found without walking over jobs, however many there are."""
    job = await make()
    mark = (await provider.sweep([job.id], [], None)).mark
    await make()
    with plans(provider._store._database) as steps:
        await provider.sweep([job.id], [JobFilter()], mark)
    looks = [step for step in steps if "seq" in step]
    assert looks == [
        "SEARCH jobs USING INDEX jobs_seq (seq>?)",
        "SEARCH tombstones USING COVERING INDEX ix_tombstones_seq (seq>?)",
    ]
    assert [step for step in steps if step.startswith(("SCAN jobs", "SCAN tombstones"))] == []
