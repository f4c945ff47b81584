"""What a job's fields become as it is made, changed, copied and deleted, and what keys stand for."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import time_machine

from callsheet import AttachError, Conflict, File, Job, JobState, NewJob, NotFound, Outcome
from callsheet.abc import JobChanges
from callsheet.providers.local import LocalComponent, LocalJob, LocalLocation, LocalProvider
from callsheet.providers.local._stamps import from_us, new_ids, to_us
from local.tools import Make, Upload

FULL: dict[str, Any] = {
    "name": "Publish sh010 ✓",
    "user": "mia",
    "type": "publish",
    "state": JobState.RUNNING,
    "description": "12 files",
    "priority": 70,
    "item": "VX-1",
    "attributes": {"show": "abc", "frames": [1, 2], "deep": {"null": None, "big": 2**70}},
}
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


async def test_job_has_what_it_was_made_with(provider: LocalProvider, make: Make) -> None:
    """Every field comes back as it was given, with the tracker's own record beside it."""
    with time_machine.travel(NOON, tick=False):
        job = await make(**FULL)
    assert job == Job(
        id=job.id,
        tracker=provider.tracker,
        vendor_state="running",
        ended=False,
        created_at=NOON,
        started_at=NOON,
        updated_at=NOON,
        **FULL,
    )
    assert await provider.get_jobs([job.id]) == [job]
    record = LocalJob(
        **FULL | {"state": "running"},
        id=job.id,
        progress=None,
        message=None,
        problem=None,
        source_id=None,
        created_at=NOON,
        started_at=NOON,
        updated_at=NOON,
        finished_at=None,
        seq=1,
        fence=0,
        lease_until=None,
        lease_length=None,
        boot=None,
    )
    assert job.details == provider.details(job) == record
    assert dict(job.raw) == {
        **FULL,
        **dict.fromkeys(
            [
                "progress",
                "message",
                "problem",
                "source_id",
                "finished_at",
                "lease_until",
                "lease_length",
                "boot",
            ]
        ),
        **dict.fromkeys(["created_at", "started_at", "updated_at"], to_us(NOON)),
        "id": job.id,
        "seq": 1,
        "fence": 0,
    }
    assert repr(job.raw) == f"JobRecord({dict(job.raw)!r})"


async def test_least_job_has_the_defaults(provider: LocalProvider, make: Make) -> None:
    """A job that is only named is QUEUED, and its provider's user's."""
    job = await make("a")
    assert (job.state, job.user, job.attributes, job.started_at) == (JobState.QUEUED, "jane", {}, None)


async def test_records_pickle(provider: LocalProvider, make: Make, upload: Upload) -> None:
    """Jobs, components and locations cross process borders whole, details too."""
    job = await make(**FULL)
    (component,) = await provider.link(job.id, [await upload(b"x")])
    location = await provider.get_location("local")
    for record in (job, component, location):
        again = pickle.loads(pickle.dumps(record))
        assert again == record
        assert again.details == record.details
        assert dict(again.raw) == dict(record.raw)
    assert isinstance(component.details, LocalComponent)
    assert location.details == LocalLocation(id="local", name="local", kind="directory")
    assert provider.details(location) == location.details


@pytest.mark.parametrize("before", [state for state in JobState if state is not JobState.UNKNOWN])
async def test_any_state_may_follow_any_other(provider: LocalProvider, make: Make, before: JobState) -> None:
    """`started_at` is the first start, `finished_at` the last end, and there only while it is ended."""
    for after in [state for state in JobState if state is not JobState.UNKNOWN]:
        with time_machine.travel(NOON, tick=False) as traveller:
            job = await make(state=before)
            traveller.shift(timedelta(minutes=1))
            (changed,) = await provider.update_jobs([job.id], JobChanges(state=after))
        then = NOON + timedelta(minutes=1)
        started = NOON if before is JobState.RUNNING else then if after is JobState.RUNNING else None
        finished = None if after not in ENDED else NOON if before in ENDED else then
        assert (changed.state, changed.ended, changed.vendor_state) == (after, after in ENDED, after.value)
        assert (changed.started_at, changed.finished_at, changed.updated_at) == (started, finished, then)


async def test_changes_change_only_what_they_name(provider: LocalProvider, make: Make) -> None:
    """Each field alone, and to `None` where that has a meaning; new attributes replace all."""
    job = await make(**FULL)
    for changes in (
        {"progress": 0.5},
        {"message": "frame 3"},
        {"problem": "no disk"},
        {"description": ""},
        {"priority": None},
        {"name": "Other"},
        {"attributes": {"only": True}},
        {"progress": None, "message": None, "problem": None},
    ):
        (changed,) = await provider.update_jobs([job.id], JobChanges(**changes))
        expected = {name: getattr(job, name) for name in FULL | {"progress": 0, "message": 0, "problem": 0}}
        assert {name: getattr(changed, name) for name in expected} == expected | changes
        job = changed


async def test_update_of_many_is_all_or_none(provider: LocalProvider, make: Make) -> None:
    """One job that is missing keeps all others from being changed, and is named."""
    jobs = [await make(), await make()]
    with pytest.raises(NotFound, match="there is no job 'none'"):
        await provider.update_jobs([jobs[0].id, "none", jobs[1].id], JobChanges(name="Other"))
    assert await provider.get_jobs([job.id for job in jobs]) == jobs


async def test_cancel_leaves_ended_jobs_as_they_are(provider: LocalProvider, make: Make) -> None:
    """A queued job is cancelled once; one that has ended keeps its end."""
    cancelled = await provider.cancel_job((await make()).id)
    assert (cancelled.state, cancelled.ended) == (JobState.CANCELLED, True)
    assert await provider.cancel_job(cancelled.id) == cancelled
    done = await make(state=JobState.DONE)
    assert await provider.cancel_job(done.id) == done


async def test_rerun_copies_fields_and_no_files(provider: LocalProvider, make: Make, upload: Upload) -> None:
    """The copy is QUEUED and knows where it comes from; its key makes it once."""
    source = await make(**FULL | {"state": JobState.FAILED})
    await provider.update_jobs([source.id], JobChanges(problem="no disk", progress=0.5, message="x"))
    await provider.link(source.id, [await upload(b"x")])
    copy = await provider.rerun_job(source.id, key="again")
    assert {name: getattr(copy, name) for name in FULL} == FULL | {"state": JobState.QUEUED}
    assert (copy.source_id, copy.problem, copy.progress, copy.message, copy.finished_at) == (
        source.id,
        None,
        None,
        None,
        None,
    )
    page = await provider.page_components(job_id=copy.id, location_id=None, after=None, size=5)
    assert (page.items, page.next) == ([], None)
    assert await provider.rerun_job(source.id, key="again") == copy
    assert (await provider.rerun_job(source.id, key=None)).id not in (copy.id, source.id)


async def test_key_makes_one_job(provider: LocalProvider, make: Make) -> None:
    """The same request under the same key returns the job it made, as it is now."""
    job = await make("a", idempotency_key="k")
    (changed,) = await provider.update_jobs([job.id], JobChanges(name="renamed"))
    assert await make("a", idempotency_key="k") == changed


async def test_key_of_another_request_is_refused(provider: LocalProvider, make: Make, upload: Upload) -> None:
    """Whatever differs, the kind of call too, the key's owner is not handed out to strangers."""
    job = await make("a", idempotency_key="k")
    await upload(b"x", key="u")
    for other in ({"name": "b"}, {"user": "mia"}, {"attributes": {"x": 1}}, {"state": JobState.DONE}):
        with pytest.raises(Conflict, match="the idempotency key 'k' was used with another request") as caught:
            await make(**{"name": "a", "idempotency_key": "k"} | other)
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.NOT_DONE, "k")
    with pytest.raises(Conflict, match="'k'"):
        await provider.rerun_job(job.id, key="k")
    with pytest.raises(Conflict, match="'u'"):
        await make("a", idempotency_key="u")
    with pytest.raises(Conflict, match="'k'"):
        await upload(b"x", key="k")


async def test_key_outlives_its_job(provider: LocalProvider, make: Make, upload: Upload) -> None:
    """A deleted job is not made again behind the back of whoever deleted it."""
    job = await make("a", idempotency_key="k")
    await provider.delete_job(job.id)
    with pytest.raises(Conflict, match=rf"'k' was used for job {job.id}, which has been deleted"):
        await make("a", idempotency_key="k")
    component = await upload(b"x", key="u")
    await provider.delete_component(component.id)
    with pytest.raises(Conflict, match=rf"'u' was used for component {component.id}, which has been deleted"):
        await upload(b"x", key="u")


async def test_many_are_made_all_or_none(provider: LocalProvider, make: Make) -> None:
    """One key that cannot be used keeps every job of the call from being made, and its keys unused."""
    await make("old", idempotency_key="old")
    new = [NewJob(name=name, idempotency_key=name) for name in ("a", "old", "b")]
    assert [job.name for job in await provider.create_jobs(new)] == ["a", "old", "b"]
    twice = [NewJob(name="c", idempotency_key="c"), NewJob(name="d", idempotency_key="c")]
    stranger = [NewJob(name="c", idempotency_key="c"), NewJob(name="x", idempotency_key="old")]
    for impossible, message in ((twice, "is used for two different jobs"), (stranger, "another request")):
        with pytest.raises(Conflict, match=message):
            await provider.create_jobs(impossible)
    (made,) = await provider.create_jobs([NewJob(name="c, at last", idempotency_key="c")])
    same = await provider.create_jobs([NewJob(name="e", idempotency_key="e")] * 2)
    assert made.name == "c, at last"
    assert same[0] == same[1]


async def test_who_deletes_at_the_same_time_is_told_that_another_did(
    provider: LocalProvider, make: Make, upload: Upload
) -> None:
    """Of two who delete one job, or one component, together, one has done so and the other is too late."""
    job, component = await make(), await upload(b"x")
    told: list[str] = []

    async def delete(call: Callable[[str], Awaitable[None]], id_: str) -> None:
        try:
            await call(id_)
        except NotFound as error:
            told.append(str(error))

    async with anyio.create_task_group() as tasks:
        for call, id_ in (
            *[(provider.delete_job, job.id)] * 2,
            *[(provider.delete_component, component.id)] * 2,
        ):
            tasks.start_soon(delete, call, id_)
    assert sorted(told) == [f"there is no component {component.id!r}", f"there is no job {job.id!r}"]


async def test_delete_removes_what_only_the_job_had(
    provider: LocalProvider, make: Make, upload: Upload
) -> None:
    """A component that another job has too stays; one of its own goes."""
    one, other = await make(), await make()
    own, shared = await upload(b"own"), await upload(b"shared")
    await provider.link(one.id, [own, shared])
    (kept,) = await provider.link(other.id, [shared])
    await provider.delete_job(one.id)
    with pytest.raises(NotFound, match=own.id):
        await provider.get_component(own.id)
    assert await provider.get_component(shared.id) == kept
    assert await provider.get_jobs([one.id, other.id]) == [None, other]
    with pytest.raises(NotFound):
        await provider.delete_job(one.id)


async def test_job_begins_with_its_files(provider: LocalProvider, upload: Upload, tmp_path: Path) -> None:
    """Files of all kinds are its inputs from the start; a repeat sends nothing again."""
    (tmp_path / "a.exr").write_bytes(b"a")
    there = await upload(b"there", "there.exr")
    files = [tmp_path / "a.exr", File(b"b", name="b.exr"), there]
    new = NewJob(name="a", idempotency_key="k", files=files)
    (job,) = await provider.create_jobs([new])
    page = await provider.page_components(job_id=job.id, location_id=None, after=None, size=9)
    inputs = {component.name: (component.role, component.job_id) for component in page.items}
    assert inputs == dict.fromkeys(["a.exr", "b.exr", "there.exr"], ("input", job.id))
    (tmp_path / "a.exr").unlink()
    assert await provider.create_jobs([new]) == [job]
    other = NewJob(name="a", idempotency_key="k", files=files[:1])
    with pytest.raises(Conflict, match="another request"):
        await provider.create_jobs([other])


async def test_job_whose_file_fails_is_not_made(provider: LocalProvider, tmp_path: Path) -> None:
    """The error names the file and the key; with the file there, the same call makes the job."""
    missing = tmp_path / "missing.exr"
    new = NewJob(name="a", idempotency_key="k", files=[File(b"b", name="b.exr"), missing])
    with pytest.raises(AttachError, match=r"1 of 2 files could not be stored, .* missing\.exr") as caught:
        await provider.create_jobs([new])
    error = caught.value
    assert (error.outcome, error.idempotency_key, error.provider) == (Outcome.NOT_DONE, "k", "local")
    assert [*error.failed] == [missing]
    assert isinstance(error.failed[missing], FileNotFoundError)
    missing.write_bytes(b"there now")
    (job,) = await provider.create_jobs([new])
    page = await provider.page_components(job_id=job.id, location_id=None, after=None, size=9)
    assert sorted(component.name for component in page.items) == ["b.exr", "missing.exr"]


async def test_job_with_a_component_that_is_gone_is_not_made(provider: LocalProvider, upload: Upload) -> None:
    """Nothing is made without one of its files, and the missing one is named."""
    gone = await upload(b"x")
    await provider.delete_component(gone.id)
    for key in ("k", "k"):
        with pytest.raises(NotFound, match=gone.id):
            await provider.create_jobs([NewJob(name="a", idempotency_key=key, files=[gone])])


async def test_policy_decides_what_is_allowed(directory: Path) -> None:
    """By default everybody may look and the job's own user may do the rest; a policy may say otherwise."""
    async with LocalProvider(directory, user="jane") as provider:
        (job,) = await provider.create_jobs([NewJob(name="a", idempotency_key="k")])
        assert [await provider.allows(job.id, "view", user) for user in ("jane", "mia")] == [True, True]
        assert [await provider.allows(job.id, "delete", user) for user in ("jane", "mia")] == [True, False]
    asked: list[tuple[str, str, str]] = []

    def policy(job: Job, action: str, user: str) -> bool:
        asked.append((job.id, action, user))
        return user == "mia"

    async with LocalProvider(directory, policy=policy) as provider:
        assert [await provider.allows(job.id, "abort", user) for user in ("jane", "mia")] == [False, True]
    assert asked == [(job.id, "abort", "jane"), (job.id, "abort", "mia")]


async def test_problem_is_the_jobs_own(provider: LocalProvider, make: Make) -> None:
    """What was written as its problem is read as its problem."""
    job = await make()
    assert await provider.job_problem(job.id) is None
    await provider.update_jobs([job.id], JobChanges(problem="no disk"))
    assert await provider.job_problem(job.id) == "no disk"


def test_ids_grow_even_if_the_clock_goes_back() -> None:
    """Ids of one process are strictly increasing, and carry version, variant and time."""
    made = new_ids(3, to_us(NOON)) + new_ids(2, to_us(NOON - timedelta(days=9))) + new_ids(1, to_us(NOON))
    later = new_ids(1, to_us(datetime(2100, 1, 1, tzinfo=UTC)))
    assert made + later == sorted({*made, *later})
    milliseconds = int(later[0].replace("-", "")[:12], 16)
    assert milliseconds == to_us(datetime(2100, 1, 1, tzinfo=UTC)) // 1000
    assert {(id_[14], id_[19] in "89ab") for id_ in made + later} == {("7", True)}


@pytest.mark.parametrize("moment", [NOON + timedelta(microseconds=1), datetime(9999, 12, 31, tzinfo=UTC)])
def test_times_are_exact(moment: datetime) -> None:
    """A microsecond is a microsecond, in any year."""
    assert from_us(to_us(moment)) == moment
    assert from_us(to_us(moment)).tzinfo is UTC


def test_user_is_the_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever names no user is the one who is logged in, even one whose id has no name."""
    monkeypatch.setenv("LOGNAME", "login")
    assert LocalProvider(tmp_path).user == "login"
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert LocalProvider(tmp_path).user == "4711"
