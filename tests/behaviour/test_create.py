"""Making jobs: what comes back, many at once, and keys that make a repeat safe."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from callsheet import (
    AttachError,
    BulkError,
    Client,
    Conflict,
    File,
    InvalidRequest,
    Job,
    JobState,
    NewJob,
    NotFound,
    Outcome,
)
from rig import Rig
from support.needs import needs
from support.tables import raises_for


def fields(job: Job) -> dict[str, Any]:
    """Return the common fields, but those that only the tracker can know."""
    of_the_tracker = {"id", "vendor_state", "raw", "_reader"}
    of_the_clock = {"created_at", "updated_at", "started_at", "finished_at"}
    plain = attrs.asdict(job, recurse=False)
    return {name: value for name, value in plain.items() if name not in of_the_tracker | of_the_clock}


async def test_a_job_with_only_a_name(rig: Rig, client: Client[Any]) -> None:
    """A name is enough: the job is queued, for the user who is logged in, and every field is known."""
    job = await client.jobs.create("Publish sh010")
    assert fields(job) == {
        "tracker": client.provider.tracker,
        "name": "Publish sh010",
        "state": JobState.QUEUED,
        "ended": False,
        "type": rig.default_type,
        "priority": None,
        "progress": None,
        "message": None,
        "description": "",
        "problem": None,
        "user": rig.user,
        "item": None,
        "source_id": None,
        "attributes": {},
        "missing": frozenset(),
        **rig.fresh,
    }
    assert job.created_at is not None
    assert job.created_at.tzinfo is UTC
    assert job.updated_at == (job.created_at if rig.keeps_times else None)
    assert (job.started_at, job.finished_at) == (None, None)
    assert await client.jobs.get(job) == job


@needs(
    *(
        f"create({word}=)"
        for word in ("user", "type", "state", "description", "priority", "item", "attributes")
    )
)
async def test_a_job_with_every_field(rig: Rig, client: Client[Any]) -> None:
    """Each field that is given comes back as it was given, at once and when asked for again."""
    given: dict[str, Any] = {
        "name": "Comp sh010 \N{FILM FRAMES}",
        "user": "bob",
        "type": rig.types[0],
        "state": JobState.PAUSED,
        "description": "12 files\nof two shots",
        "priority": 70,
        "item": "VX-1",
        "attributes": {"shot": "sh010", "frames": [1, 2.5, None, True], "deep": {"ä": {"'\"": ""}}},
    }
    job = await client.jobs.create(**given)
    assert fields(job) == given | {
        "tracker": client.provider.tracker,
        "ended": False,
        "progress": None,
        "message": None,
        "problem": None,
        "source_id": None,
        "missing": frozenset(),
    }
    assert await client.jobs.get(job.id) == job


@needs("create(state=)")
async def test_a_job_that_begins_in_any_state(rig: Rig, client: Client[Any]) -> None:
    """A job may be made in any state, as enum or word, and its times and end fit that state."""
    for state in JobState:
        if state is JobState.UNKNOWN:
            continue
        if state not in rig.begins:
            with pytest.raises(InvalidRequest, match=f"state.*{state.value}"):
                await client.jobs.create("render", state=state)
            continue
        for given in (state, state.value):
            job = await client.jobs.create("render", state=given)  # type: ignore[arg-type]  # a word will do
            ended = state in {JobState.DONE, JobState.FAILED, JobState.CANCELLED}
            assert (job.state, job.ended) == (state, ended)
            assert (job.started_at is not None) is (state is JobState.RUNNING)
            assert (job.finished_at is not None) is ended
            assert await client.jobs.get(job) == job


async def test_each_create_makes_another_job(rig: Rig, client: Client[Any]) -> None:
    """Two jobs of the same fields are two jobs, made one after the other."""
    one, other = await client.jobs.create("render"), await client.jobs.create("render")
    assert one.id != other.id
    assert one.created_at is not None
    assert other.created_at is not None
    assert one.created_at <= other.created_at
    assert await client.jobs.list(newest_first=rig.supports("list(newest_first=)") is False).collect() == (
        [one, other] if rig.supports("list(newest_first=)") else [other, one]
    )


@needs("create_many")
async def test_many_jobs_in_order(rig: Rig, client: Client[Any]) -> None:
    """Many jobs come back in the order given, each with its own fields; made at once, they list so too."""
    new = [NewJob(name=f"job {index}", description=f"number {index}") for index in range(250)]
    made = await client.jobs.create_many(iter(new))
    assert [(job.name, job.description, job.user) for job in made] == [
        (one.name, one.description, rig.user) for one in new
    ]
    assert len({job.id for job in made}) == 250
    assert await client.jobs.get_many(made) == made
    listed = await client.jobs.list().collect()
    if rig.atomic:
        assert listed == made[::-1]
    else:
        assert sorted(listed, key=made.index) == made


@needs("create_many")
async def test_no_jobs_at_all(rig: Rig, client: Client[Any]) -> None:
    """Making none makes none."""
    before = await rig.snapshot()
    assert await client.jobs.create_many([]) == []
    assert await rig.snapshot() == before


@needs("create_many", "create(idempotency_key=)")
async def test_many_jobs_of_which_one_cannot_be(rig: Rig, client: Client[Any]) -> None:
    """If one of many cannot be made, an atomic tracker makes none; another tells which were."""
    await client.jobs.create("taken", idempotency_key="k-1")
    before = await rig.snapshot()
    new = [NewJob(name="a"), NewJob(name="b", idempotency_key="k-1"), NewJob(name="c")]
    if rig.atomic:
        with pytest.raises(Conflict) as conflict:
            await client.jobs.create_many(new)
        assert (conflict.value.provider, conflict.value.outcome) == (rig.name, Outcome.NOT_DONE)
        assert "k-1" in str(conflict.value)
        assert await rig.snapshot() == before
    else:
        with pytest.raises(BulkError) as bulk:
            await client.jobs.create_many(new)
        assert [job.name for job in bulk.value.done] == ["a", "c"]
        assert {index: type(error) for index, error in bulk.value.failed.items()} == {1: rig.reused}
        assert await client.jobs.get_many(bulk.value.done) == bulk.value.done


@needs("create(idempotency_key=)")
async def test_a_key_makes_one_job(rig: Rig, client: Client[Any]) -> None:
    """Repeating a create with its key returns the job it made, as it is by now, also to another client."""
    job = await client.jobs.create("render", description="first", idempotency_key="k-1")
    before = await rig.snapshot()
    assert await client.jobs.create("render", description="first", idempotency_key="k-1") == job
    async with rig.another_client() as other:
        assert await other.jobs.create("render", description="first", idempotency_key="k-1") == job
    assert await rig.snapshot() == before
    running = await rig.start(job)
    assert await client.jobs.create("render", description="first", idempotency_key="k-1") == running


@needs("create(idempotency_key=)")
async def test_a_key_used_at_the_same_time(rig: Rig, client: Client[Any]) -> None:
    """Twenty creates with one key at once make one job, by two clients where keys are for all callers."""
    made: list[Job] = []

    async def create(through: Client[Any]) -> None:
        made.append(await through.jobs.create("render", idempotency_key="k-1"))

    async with rig.another_client() as other, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(create, client)
            tasks.start_soon(create, other if rig.keys_of_all else client)
    assert len(made) == 20
    assert made == [made[0]] * 20
    assert await client.jobs.list().collect() == [made[0]]


@needs("create(idempotency_key=)", "create(attributes=)")
async def test_a_key_used_for_another_request(rig: Rig, client: Client[Any]) -> None:
    """The same key with any field changed is a conflict that names the key, and makes nothing."""
    shot, other_shot = {"shot": rig.attribute(1)}, {"shot": rig.attribute(True)}
    given: dict[str, Any] = {"name": "render", "attributes": shot, "idempotency_key": "k-1"}
    job = await client.jobs.create(**given)
    before = await rig.snapshot()
    others: list[dict[str, Any]] = [
        *({"type": type_} for type_ in rig.types if type_ != rig.default_type),
        {"name": "other"},
        {"description": "other"},
        {"user": "bob"},
        {"priority": 1},
        {"attributes": other_shot},
        *([{"state": JobState.RUNNING}] if rig.supports("create(state=)") else []),
    ]
    for other in others:
        with raises_for(other, Conflict, match="k-1") as caught:
            await client.jobs.create(**(given | other))
        error = caught.value
        assert isinstance(error, Conflict)
        assert (error.provider, error.outcome, error.idempotency_key) == (rig.name, Outcome.NOT_DONE, "k-1")
    assert await rig.snapshot() == before
    assert await client.jobs.create(**given) == job


@needs("create(idempotency_key=)", "create(attributes=)")
async def test_a_key_does_not_depend_on_the_order_of_attributes(rig: Rig, client: Client[Any]) -> None:
    """The same attributes written in another order are the same request."""
    one, two = rig.attribute(1), rig.attribute([2])
    job = await client.jobs.create("render", attributes={"a": one, "b": two}, idempotency_key="k-1")
    assert await client.jobs.create("render", attributes={"b": two, "a": one}, idempotency_key="k-1") == job


@needs("create(idempotency_key=)", "delete")
async def test_a_key_of_a_deleted_job(rig: Rig, client: Client[Any]) -> None:
    """A key stays used when its job is deleted: the repeat is a conflict that says so, not a new job."""
    await client.jobs.delete(await rig.doomed(await client.jobs.create("render", idempotency_key="k-1")))
    if not rig.keeps_keys:
        assert (await client.jobs.create("other", idempotency_key="k-1")).name == "other"
        return
    before = await rig.snapshot()
    with pytest.raises(Conflict, match="deleted") as caught:
        await client.jobs.create("render", idempotency_key="k-1")
    assert (caught.value.provider, caught.value.outcome) == (rig.name, Outcome.NOT_DONE)
    assert await rig.snapshot() == before


@needs("create_many", "create(idempotency_key=)")
async def test_many_jobs_with_keys_again(rig: Rig, client: Client[Any]) -> None:
    """Repeating many with their keys, or with one key for the call, returns the same jobs and makes none."""
    keyed = [NewJob(name=f"job {index}", idempotency_key=f"k-{index}") for index in range(3)]
    made = await client.jobs.create_many(keyed)
    plain = [NewJob(name=f"other {index}") for index in range(3)]
    others = await client.jobs.create_many(plain, idempotency_key="all")
    before = await rig.snapshot()
    assert await client.jobs.create_many(keyed) == made
    assert await client.jobs.create_many(reversed(keyed)) == made[::-1]
    assert await client.jobs.create_many(plain, idempotency_key="all") == others
    assert await rig.snapshot() == before
    more = await client.jobs.create_many([*keyed, NewJob(name="new")])
    assert more[:3] == made
    assert len(await client.jobs.list().collect()) == 7


@needs("create_many", "create(idempotency_key=)")
async def test_one_key_twice_among_many(rig: Rig, client: Client[Any]) -> None:
    """A key given twice in one call makes one job for the same request."""
    one, other = await client.jobs.create_many([NewJob(name="render", idempotency_key="k-1")] * 2)
    assert one == other
    assert await client.jobs.list().collect() == [one]


@needs("create(files=)", "components.list")
async def test_a_job_with_files(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """Files given at creation are the job's inputs, whole."""
    (tmp_path / "a.txt").write_bytes(b"first")
    files = [tmp_path / "a.txt", File(b"second", name="b.txt")]
    if rig.one_file:
        with pytest.raises(InvalidRequest, match="one file"):
            await client.jobs.create("render", files=files)
        return
    job = await client.jobs.create("render", files=files)
    inputs = sorted(await client.components.list(job).collect(), key=lambda one: one.name)
    assert [(one.name, one.size, one.role, one.job_id) for one in inputs] == [
        ("a.txt", 5, "input", job.id),
        ("b.txt", 6, "input", job.id),
    ]
    assert [await rig.fetch(await client.components.url(one)) for one in inputs] == [b"first", b"second"]
    assert await client.jobs.get(job) == job


@needs("create(files=)", "create(idempotency_key=)", "components.list")
async def test_a_job_with_files_again(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """Repeating a create with files and its key sends and makes nothing twice."""
    (tmp_path / "a.txt").write_bytes(b"first")
    job = await client.jobs.create("render", files=[tmp_path / "a.txt"], idempotency_key="k-1")
    if rig.one_file:
        (job,) = await rig.finish(job)
    of = None if rig.lists_all_components else job
    inputs = await client.components.list(of).collect()
    assert await client.jobs.create("render", files=[tmp_path / "a.txt"], idempotency_key="k-1") == job
    assert await client.components.list(of).collect() == inputs
    assert len(inputs) == 1


@needs("create(files=)")
async def test_a_job_whose_files_cannot_be_read(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """If a file cannot be read no job is made: the error says which, that nothing was done, and the key."""
    (tmp_path / "a.txt").write_bytes(b"first")
    files = [tmp_path / "a.txt", tmp_path / "missing.txt"][1 if rig.one_file else 0 :]
    jobs = await client.jobs.list().collect()
    with pytest.raises((AttachError, FileNotFoundError), match=r"missing\.txt") as caught:
        await client.jobs.create("render", files=files, idempotency_key="k-1")
    if isinstance(caught.value, AttachError):
        error = caught.value
        assert (error.outcome, error.idempotency_key, error.provider) == (Outcome.NOT_DONE, "k-1", rig.name)
        assert {file: type(why) for file, why in error.failed.items()} == {files[-1]: FileNotFoundError}
    assert await client.jobs.list().collect() == jobs
    (tmp_path / "missing.txt").write_bytes(b"found")
    job = await client.jobs.create("render", files=files, idempotency_key="k-1")
    if rig.one_file:
        await rig.finish(job)
    inputs = await client.components.list(job).collect()
    assert sorted(one.name for one in inputs) == [path.name for path in files]


async def test_an_error_carries_the_key_that_was_made(rig: Rig) -> None:
    """A create without a key gets one, and an error hands it out, so that a repeat is safe."""
    provider = rig.wrapped()

    async def create_then_lose_the_answer(real: Any, new: Any) -> Any:
        await real(new)
        raise NotFound("the answer was lost", outcome=Outcome.UNKNOWN)

    async with Client(provider) as client:
        provider.on["create_jobs"] = create_then_lose_the_answer
        with pytest.raises(NotFound, match="the answer was lost") as caught:
            await client.jobs.create("render")
        del provider.on["create_jobs"]
        assert (caught.value.outcome, caught.value.provider) == (Outcome.UNKNOWN, rig.name)
        job = await client.jobs.create("render", idempotency_key=caught.value.idempotency_key)
        assert await client.jobs.list().collect() == [job]


@needs("mirror(into=)", "delete")
async def test_what_a_key_has_made(rig: Rig, client: Client[Any]) -> None:
    """A tracker that jobs are mirrored into finds what was made under a key, for as long as it is there."""
    provider = client.provider
    job = await client.jobs.create("render", idempotency_key="k-1")
    part = await client.components.upload(File(b"image", name="a.exr"), idempotency_key="k-2")
    assert await provider.made_job("k-1") == job
    assert await provider.made_job("k-2") is None
    assert await provider.made_components(["k-1", "k-2", "k-3"]) == [None, part, None]
    await client.jobs.delete(job)
    await client.components.delete(part)
    assert await provider.made_job("k-1") is None
    assert await provider.made_components(["k-2"]) == [None]
