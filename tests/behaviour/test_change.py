"""Changing jobs: each field, every transition, many at once, cancel, rerun, delete, problem and allows."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import anyio
import attrs
import pytest

from callsheet import BulkError, Client, File, InvalidRequest, Job, JobState, NotFound, Outcome
from callsheet.abc import Action
from rig import Rig
from support.needs import needs

SETTABLE = [state for state in JobState if state is not JobState.UNKNOWN]
ENDED = {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


def unchanged(job: Job, *changed: str) -> Job:
    """Return the job without what was changed and without what any change changes."""
    blank: dict[str, Any] = dict.fromkeys(changed) | {"updated_at": None}
    return attrs.evolve(job, **blank)


CHANGES: dict[str, Any] = {
    "progress": 0.25,
    "message": "frame 10 of 40",
    "problem": "no licence\n  at line 3",
    "description": "",
    "priority": 100,
    "name": "other \N{FILM FRAMES}",
    "attributes": {"takes": [1, {"deep": None}]},
}


@pytest.mark.parametrize("field", CHANGES)
async def test_each_field(rig: Rig, client: Client[Any], field: str) -> None:
    """A field that is given changes, nothing else does, and the answer is what is there then."""

    @needs(f"update({field}=)")
    async def change(rig: Rig) -> None:
        job = await rig.make_job(description="before", priority=50, attributes={"shot": "sh010"})
        given: dict[str, Any] = {field: CHANGES[field]}
        changed = await client.jobs.update(job, **given)
        assert getattr(changed, field) == CHANGES[field]
        assert unchanged(changed, field) == unchanged(job, field)
        if rig.keeps_times:
            assert changed.updated_at is not None
            assert job.updated_at is not None
            assert changed.updated_at >= job.updated_at
        assert await client.jobs.get(job) == changed

    await change(rig=rig)


@needs(*(f"update({field}=)" for field in CHANGES), "update(state=)")
async def test_all_fields_at_once(rig: Rig, client: Client[Any]) -> None:
    """Everything that can change can change in one call, by the job's id too."""
    job = await rig.make_job()
    changed = await client.jobs.update(job.id, state=JobState.FAILED, **CHANGES)
    assert {field: getattr(changed, field) for field in CHANGES} == CHANGES
    assert (changed.state, changed.ended, changed.finished_at is not None) == (JobState.FAILED, True, True)
    assert await client.jobs.get(job) == changed


@pytest.mark.parametrize("field", ["progress", "message", "problem", "priority"])
async def test_a_field_becomes_unknown_again(rig: Rig, client: Client[Any], field: str) -> None:
    """`None` takes back what was known."""

    @needs(f"update({field}=)")
    async def change(rig: Rig) -> None:
        job = await rig.make_job()
        given: dict[str, Any] = {field: CHANGES[field]}
        await client.jobs.update(job, **given)
        nothing: dict[str, Any] = dict.fromkeys(given)
        if field in rig.always:
            with pytest.raises(InvalidRequest, match=field):
                await client.jobs.update(job, **nothing)
            return
        cleared = await client.jobs.update(job, **nothing)
        assert unchanged(cleared) == unchanged(job)

    await change(rig=rig)


@needs("update(attributes=)")
async def test_attributes_replace_all(rig: Rig, client: Client[Any]) -> None:
    """New attributes stand in place of all old ones; none at all leave none."""
    job = await rig.make_job(attributes={"shot": "sh010", "take": 1})
    assert (await client.jobs.update(job, attributes={"take": 2})).attributes == {"take": 2}
    assert (await client.jobs.update(job, attributes={})).attributes == {}


@needs("update(state=)")
async def test_every_transition(rig: Rig, client: Client[Any]) -> None:
    """Any state may follow any other; a job starts once, and has an end for as long as it is ended."""
    job, started = await rig.make_job(), None
    if rig.runs_jobs:
        with pytest.raises(InvalidRequest, match=r"state.*running"):
            await client.jobs.update(job, state=JobState.RUNNING)
        return
    for before, after in itertools.product(SETTABLE, SETTABLE):
        old = await client.jobs.update(job, state=before)
        new = await client.jobs.update(job, state=after.value)  # type: ignore[arg-type]  # a word is taken too
        for one, state in ((old, before), (new, after)):
            if state is JobState.RUNNING and started is None:
                started = one.started_at
                assert started is not None
            assert (one.state, one.ended, one.started_at) == (state, state in ENDED, started)
            assert (one.finished_at is not None) is one.ended
        if {before, after} <= ENDED:
            assert new.finished_at == old.finished_at
        assert await client.jobs.get(job) == new


@needs("update(progress=)", "update(state=)")
async def test_repeating_an_update_is_safe(rig: Rig, client: Client[Any]) -> None:
    """An update sets end values: twice is the same as once."""
    job = await rig.make_job()
    once = await client.jobs.update(job, state=JobState.DONE, progress=1.0)
    twice = await client.jobs.update(job, state=JobState.DONE, progress=1.0)
    assert unchanged(twice, "finished_at") == unchanged(once, "finished_at")


@needs("update(description=)")
async def test_no_update_is_lost(rig: Rig, client: Client[Any]) -> None:
    """Different fields changed at the same time by two clients are all there afterwards."""
    job = await rig.make_job()
    async with rig.another_client() as other, anyio.create_task_group() as tasks:
        for index in range(20):
            tasks.start_soon(partial(client.jobs.update, job, description=f"number {index}"))
            tasks.start_soon(partial(other.jobs.update, job, name=f"name {index}"))
    final = await client.jobs.get(job)
    assert final.description.startswith("number ")
    assert final.name.startswith("name ")


# -- many at once --------------------------------------------------------------------------------------------


@needs("update(state=)", "update(message=)")
async def test_many_jobs_at_once(rig: Rig, client: Client[Any]) -> None:
    """The same changes reach all jobs given, which come back fresh in the order given; others are left."""
    jobs = await rig.make_jobs(8)
    wanted: list[Job | str] = [jobs[5], jobs[1].id, jobs[3]]
    changed = await client.jobs.update_many(wanted, state=JobState.DONE, message="all of them")
    assert [job.id for job in changed] == [jobs[5].id, jobs[1].id, jobs[3].id]
    assert {(job.state, job.message, job.ended) for job in changed} == {(JobState.DONE, "all of them", True)}
    assert await client.jobs.get_many([jobs[5], jobs[1], jobs[3]]) == changed
    others = [job for index, job in enumerate(jobs) if index not in {1, 3, 5}]
    assert await client.jobs.get_many(others) == others


@needs("update(name=)")
async def test_one_job_twice_among_many(rig: Rig, client: Client[Any]) -> None:
    """A job given twice comes back twice."""
    one, other = await rig.make_jobs(2)
    changed = await client.jobs.update_many([one, other, one], name="same")
    assert [job.id for job in changed] == [one.id, other.id, one.id]
    assert [job.name for job in changed] == ["same"] * 3


@needs("update(name=)")
async def test_more_jobs_than_a_statement_takes(rig: Rig, client: Client[Any]) -> None:
    """However many jobs are given, they are changed."""
    jobs = await rig.make_jobs(1200)
    changed = await client.jobs.update_many(jobs, name="same")
    assert [job.id for job in changed] == [job.id for job in jobs]
    assert {job.name for job in changed} == {"same"}
    assert len(await client.jobs.list().collect()) == 1200


@needs("update(name=)")
async def test_no_jobs_at_all(rig: Rig, client: Client[Any]) -> None:
    """Changing none changes none."""
    await rig.make_job()
    before = await rig.snapshot()
    assert await client.jobs.update_many([], name="other") == []
    assert await rig.snapshot() == before


@needs("update(name=)")
async def test_many_jobs_of_which_one_is_gone(rig: Rig, client: Client[Any]) -> None:
    """If one of many is not there, an atomic tracker changes none; another tells which it changed."""
    jobs = await rig.make_jobs(3)
    before = await rig.snapshot()
    wanted: list[Job | str] = [jobs[0], "nope", jobs[2]]
    if rig.atomic:
        with pytest.raises(NotFound, match="'nope'") as missing:
            await client.jobs.update_many(wanted, name="other")
        assert (missing.value.provider, missing.value.outcome) == (rig.name, Outcome.NOT_DONE)
        assert await rig.snapshot() == before
    else:
        with pytest.raises(BulkError) as bulk:
            await client.jobs.update_many(wanted, name="other")
        error = bulk.value
        assert (error.provider, error.outcome) == (rig.name, Outcome.DONE)
        assert error.done == await client.jobs.get_many([jobs[0], jobs[2]])
        assert [job.name for job in error.done] == ["other", "other"]
        assert {index: type(why) for index, why in error.failed.items()} == {1: NotFound}


# -- what is not there ---------------------------------------------------------------------------------------


@needs("update(name=)", "cancel", "rerun", "delete", "problem", "allows", "attach", "wait")
async def test_a_job_that_is_not_there(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """Every call on a job that is gone is `NotFound` that names it, and changes nothing."""
    job = await rig.make_job()
    await rig.vanish(job)
    (tmp_path / "a.txt").write_bytes(b"a")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.jobs.get(job),
        lambda: client.jobs.update(job, name="other"),
        lambda: client.jobs.cancel(job),
        lambda: client.jobs.rerun(job),
        lambda: client.jobs.delete(job),
        lambda: client.jobs.problem(job),
        lambda: client.jobs.allows(job, "view"),
        lambda: client.jobs.attach(job, [tmp_path / "a.txt"]),
        lambda: client.jobs.attach(job, []),
        lambda: client.jobs.wait(job),
        lambda: client.components.list(job).collect(),
    ]
    before = await rig.snapshot()
    for call in calls:
        with pytest.raises(NotFound, match=job.id) as caught:
            await call()
        assert (caught.value.provider, caught.value.outcome) == (rig.name, Outcome.NOT_DONE)
    assert await rig.snapshot() == before


# -- cancel, rerun, delete -----------------------------------------------------------------------------------


@needs("cancel")
@pytest.mark.parametrize("state", SETTABLE)
async def test_cancel(rig: Rig, client: Client[Any], state: JobState) -> None:
    """A job that has not ended becomes cancelled; one that has is returned as it is."""
    job = await rig.make_job(state=state)
    before = await rig.snapshot()
    cancelled = await client.jobs.cancel(job)
    assert await client.jobs.get(job) == cancelled
    if state in ENDED:
        assert cancelled == job
        assert await rig.snapshot() == before
    else:
        assert (cancelled.state, cancelled.ended) == (JobState.CANCELLED, True)
        assert cancelled.finished_at is not None
        assert await client.jobs.cancel(job) == cancelled


@needs("rerun")
async def test_rerun(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """A rerun is a new queued job with the same fields and no files, which remembers its source."""
    given: dict[str, Any] = {"user": "bob", "description": "d", "priority": 70}
    given |= {"attributes": {"shot": rig.attribute([1])}, "type": rig.types[0]} | (
        {"item": "VX-1"} if rig.supports("create(item=)") else {}
    )
    old = await rig.make_job("comp", **given)
    if rig.supports("attach"):
        await client.jobs.attach(old, [File(b"x", name="x")])
    old = await rig.fail(await rig.start(old), "no licence")
    new = await client.jobs.rerun(old)
    copied = ("tracker", "name", "type", "description", "priority", "item", "attributes", "missing")
    assert [getattr(new, field) for field in copied] == [getattr(old, field) for field in copied]
    assert new.user == (old.user if rig.reruns_for_others else rig.user)
    assert (new.state, new.ended, new.source_id) == (JobState.QUEUED, False, old.id)
    assert (new.progress, new.message, new.problem) == (rig.fresh.get("progress"), None, None)
    assert new.id != old.id
    assert (new.started_at, new.finished_at) == (None, None)
    assert await client.jobs.get(new) == (new if rig.keeps_sources else attrs.evolve(new, source_id=None))
    assert await client.jobs.get(old) == old
    assert await client.components.list(new).collect() == []
    assert (await client.jobs.rerun(old)).id not in {old.id, new.id}
    assert (await client.jobs.rerun(new)).source_id == new.id


@needs("rerun", "rerun(idempotency_key=)", "update(name=)")
async def test_rerun_with_a_key(rig: Rig, client: Client[Any]) -> None:
    """Repeating a rerun with its key returns the same new job; the key is good for nothing else."""
    old, other = await rig.make_jobs(2)
    new = await client.jobs.rerun(old, idempotency_key="k-1")
    await client.jobs.update(old, name="changed meanwhile")
    before = await rig.snapshot()
    assert await client.jobs.rerun(old, idempotency_key="k-1") == new
    others: list[Callable[[], Awaitable[Job]]] = [
        lambda: client.jobs.rerun(other, idempotency_key="k-1"),
        lambda: client.jobs.create(new.name, idempotency_key="k-1"),
    ]
    for call in others:
        with pytest.raises(rig.reused) as reused:
            await call()
        assert reused.value.idempotency_key == "k-1"
    assert await rig.snapshot() == before


@needs("delete")
async def test_delete(rig: Rig, client: Client[Any]) -> None:
    """A deleted job is gone from every answer, and the others are not."""
    one, other = await rig.make_jobs(2)
    await rig.doomed(one)
    await client.jobs.delete(one.id)
    assert await client.jobs.get_many([one, other]) == [None, other]
    assert await client.jobs.list().collect() == [other]
    assert await client.jobs.count() == 1


@needs("delete", "attach", "upload", "components.list", "components.get")
async def test_delete_with_components(rig: Rig, client: Client[Any]) -> None:
    """Components that only the deleted job had go with it; shared and unattached ones stay."""
    one, other = await rig.make_jobs(2)
    loose = await client.components.upload(File(b"loose", name="loose"))
    shared = await client.components.upload(File(b"shared", name="shared"))
    (own, _) = await client.jobs.attach(one, [File(b"own", name="own"), shared])
    await client.jobs.attach(other, [shared])
    await client.jobs.delete(one)
    with pytest.raises(NotFound, match=own.id):
        await client.components.get(own)
    assert [part.name for part in await client.components.list().collect()] == ["loose", "shared"]
    assert [part.id for part in await client.components.list(other).collect()] == [shared.id]
    assert (await client.components.get(loose)).job_id is None
    async with client.components.open(shared) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"shared"


# -- problem, allows -----------------------------------------------------------------------------------------


@needs("problem")
async def test_problem(rig: Rig, client: Client[Any]) -> None:
    """The problem is why a job failed, whole, and `None` while there is none."""
    job = await rig.make_job()
    assert await client.jobs.problem(job) is None
    text = "Traceback:\n" + "  line\n" * 200 + "LicenceError: \N{SKULL}"
    await rig.fail(job, text)
    assert await client.jobs.problem(job.id) == rig.told(text)


@needs("allows")
async def test_allows(rig: Rig, client: Client[Any]) -> None:
    """Its own user may do everything with a job; others what the tracker lets strangers do."""
    bob = rig.users[0]
    mine, bobs = await rig.make_job(), await rig.make_job(user=bob)
    for action in get_args(Action):
        own = action != "delete" or rig.supports("delete")
        assert await client.jobs.allows(mine, action) is own
        assert await client.jobs.allows(bobs, action) is (rig.is_admin or action in rig.strangers_may)
        assert await client.jobs.allows(bobs.id, action, bob) is own
        assert await client.jobs.allows(mine, action, user=bob) is (action in rig.strangers_may)
