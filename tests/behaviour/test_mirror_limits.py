"""Mirroring at its limits: what a source may tell, trouble on either side, and time that runs out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from callsheet import (
    AttachError,
    CallsheetError,
    Client,
    Conflict,
    Denied,
    FrameSequence,
    Job,
    JobState,
    NotFound,
    Outcome,
    RateLimited,
    Unavailable,
    WaitTimeout,
    _mirroring,
)
from callsheet._mirroring import mirror_key
from callsheet.abc import Sweep
from rig import MemoryRig, Rig
from support import scale
from support.checkpoints import cut_at
from support.clocks import Clock
from support.mirrors import OUTPUTS, contents
from support.wrapping import Wrapping


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A source that can tell anything; what each tracker tells is held to elsewhere."""
    async with MemoryRig(tmp_path) as rig:
        yield rig


@pytest.fixture
async def job(rig: Rig) -> Job:
    """A job that is running."""
    return await rig.start(await rig.make_job("Render sh010", description="two shots"))


def reports(into: Wrapping) -> list[dict[str, Any]]:
    """Return the changes that were written to the mirror, in order."""
    return [changes.given() for _, changes in into.arguments("update_jobs")]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what callsheet has warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# -- what is shown -------------------------------------------------------------------------------------------


async def test_every_state_is_shown(rig: Rig, into: Wrapping, job: Job) -> None:
    """Queued, paused and running are shown on the way, and a job that is taken up again after its end."""
    async with rig.another_client() as client, Client(into) as shown:
        states = [*map(JobState, ("queued", "paused", "running", "done", "running", "failed"))]
        found = []
        for state in states:
            await rig.hand.jobs.update(job, state=state)
            try:
                mirror = await client.jobs.mirror(job, into=shown, timeout=0)
            except WaitTimeout:
                (mirror,) = await shown.jobs.list().collect()
            found.append(mirror.state)
        assert found == states


async def test_the_latest_wins(rig: Rig, into: Wrapping, job: Job) -> None:
    """What changes while a report is under way is not reported one by one: the latest alone follows."""
    go = anyio.Event()

    async def write(real: Any, *args: Any) -> Any:
        if into.made["update_jobs"] == 1:
            await go.wait()
        return await real(*args)

    into.on["update_jobs"] = write
    async with rig.another_client() as client, Client(into) as shown, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.jobs.mirror(job, into=shown))
        await into.next_calls("create_jobs")
        await rig.hand.jobs.update(job, message="frame 0")
        await into.next_calls("update_jobs")
        for frame in range(1, 10):
            await rig.hand.jobs.update(job, message=f"frame {frame}")
        go.set()
        await into.next_calls("update_jobs")
        await rig.finish(job)
    assert [report["message"] for report in reports(into)[:2]] == ["frame 0", "frame 9"]
    assert len(reports(into)) == 3


async def test_no_more_often_than_the_target_likes(rig: Rig, into: Wrapping, job: Job, clock: Clock) -> None:
    """Between two reports the target has its rest, whatever happens meanwhile."""
    into.progress_interval = 20
    await rig.hand.jobs.update(job, message="frame 0")
    async with rig.another_client() as client, Client(into) as shown, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.jobs.mirror(job, into=shown))
        await into.next_calls("update_jobs")
        for frame in (1, 2):
            await rig.hand.jobs.update(job, message=f"frame {frame}")
            await anyio.sleep(0.05)
        assert into.made["update_jobs"] == 1
        await clock.skip_waiting(21)
        await into.next_calls("update_jobs")
        tasks.cancel_scope.cancel()
    assert reports(into) == [{"message": "frame 0"}, {"message": "frame 2"}]


async def test_fields_that_the_target_does_not_take(rig: Rig, other: Rig, job: Job) -> None:
    """What the target cannot be told is left out, and the rest is told."""
    lacks = {"update(message=)", "update(problem=)"}
    into = other.wrapped(capabilities=other.capabilities - lacks)
    await rig.hand.jobs.update(job, message="frame 3", progress=0.5)
    await rig.fail(job, "no licence")
    async with rig.another_client() as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.state, mirror.progress) == (JobState.FAILED, 0.5)
    assert reports(into) == [{"state": JobState.FAILED, "progress": 0.5}]


# -- what the source tells -----------------------------------------------------------------------------------


def telling(rig: Rig, **facts: Any) -> Wrapping:
    """Return the source's provider, whose jobs have these fields for as long as it is asked."""
    provider = rig.wrapped()

    async def get(real: Any, ids: Any) -> list[Job | None]:
        return [None if one is None else attrs.evolve(one, **facts) for one in await real(ids)]

    async def sweep(real: Any, *args: Any) -> Sweep:
        found = await real(*args)
        jobs = {id_: one and attrs.evolve(one, **facts) for id_, one in found.jobs.items()}
        return Sweep(jobs, found.mark)

    provider.on |= {"get_jobs": get, "sweep": sweep}
    return provider


async def test_a_job_that_is_about_to_end(rig: Rig, into: Wrapping, job: Job) -> None:
    """A word such as "aborting" is not shown as an end before the tracker says that it has ended."""
    source = telling(rig, state=JobState.CANCELLED, vendor_state="ABORTED_PENDING", ended=False)
    async with Client(source) as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
        (mirror,) = await shown.jobs.list().collect()
        assert (mirror.state, mirror.ended) == (JobState.QUEUED, False)
        source.on.clear()
        await rig.cancel(job)
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.state, mirror.ended) == (JobState.CANCELLED, True)


async def test_an_end_of_an_unknown_word(rig: Rig, into: Wrapping, job: Job) -> None:
    """A job that ended by a word newer than callsheet has failed, and the problem says that word."""
    source = telling(rig, state=JobState.UNKNOWN, vendor_state="EVAPORATED", ended=True)
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.state, mirror.problem) == (JobState.FAILED, "ended as 'EVAPORATED'")


async def test_fields_that_an_answer_lacks(rig: Rig, into: Wrapping, job: Job) -> None:
    """What an answer did not carry is not taken for empty; at the end it is asked for."""
    await rig.hand.jobs.update(job, message="frame 3")
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
    thin = telling(rig, message=None, description="", missing=frozenset({"message", "description"}))
    async with Client(thin) as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
        (mirror,) = await shown.jobs.list().collect()
        assert (mirror.message, mirror.description) == ("frame 3", "two shots")
        await rig.hand.jobs.update(job, message="frame 9")
        await rig.finish(job)
        whole = thin.on.pop("get_jobs")
        calls = 0

        async def get(real: Any, ids: Any) -> Any:
            nonlocal calls
            calls += 1
            return await (whole(real, ids) if calls == 1 else real(ids))

        thin.on["get_jobs"] = get
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.state, mirror.message) == (JobState.DONE, "frame 9")


async def test_a_job_that_is_taken_up_again_as_its_end_is_looked_at(
    rig: Rig, into: Wrapping, job: Job
) -> None:
    """An end that was seen is shown, though the job runs again when it is asked what the answer lacked."""
    await rig.finish(job)
    source = rig.wrapped()

    async def get(real: Any, ids: Any) -> list[Job | None]:
        (found,) = await real(ids)
        if source.made["get_jobs"] == 1:
            await rig.start(job)
            found = attrs.evolve(found, missing=frozenset({"message"}))
        return [found]

    source.on["get_jobs"] = get
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.state, mirror.problem) == (JobState.DONE, None)


async def test_a_problem_that_is_told_apart(rig: Rig, into: Wrapping, job: Job) -> None:
    """The tracker is asked why a job failed, as it may know more than the job; if not, that has to do."""
    await rig.fail(job, "no licence")
    source = telling(rig, problem=None, missing=frozenset({"problem"}))
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        assert mirror.problem == "no licence"
        source.on |= telling(rig, problem="1 of 1 tasks failed").on
        assert (await client.jobs.mirror(job, into=shown)).problem == "no licence"

        async def refuse(real: Any, id_: str) -> str:
            raise Denied("not for you")

        source.on["job_problem"] = refuse
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.state, mirror.problem) == (JobState.FAILED, "1 of 1 tasks failed")


async def test_texts_that_no_tracker_can_store(rig: Rig, into: Wrapping, job: Job) -> None:
    """What another tracker could not store, it gets in a form that it can."""
    source = telling(rig, name="\0", description="a\0b", message="\ud800", problem="x" * 200_000, ended=True)
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
    assert (mirror.name, mirror.description, mirror.message) == ("\\0", "a\\0b", "\\ud800")
    assert mirror.problem == "x" * _mirroring.MAX_TEXT


# -- time ----------------------------------------------------------------------------------------------------


async def test_out_of_time(rig: Rig, into: Wrapping, job: Job, clock: Clock) -> None:
    """After the time, the error holds the job as last seen, and the mirror stands as it is."""
    provider = rig.wrapped()
    known = [job]

    async def look(real: Any, *args: Any) -> Any:
        if provider.made["sweep"] == 1:
            known.append(await rig.hand.jobs.update(job, message="frame 9"))
        if provider.made["sweep"] == 2:
            clock.skip(21)
        return await real(*args)

    provider.on["sweep"] = look
    async with Client(provider) as client, Client(into) as shown:
        for timeout in (0, 20):
            with pytest.raises(WaitTimeout, match=f"{timeout:g} s") as caught:
                await client.jobs.mirror(job.id, into=shown, timeout=timeout)
            error = caught.value
            (mirror,) = await shown.jobs.list().collect()
            assert (error.job, error.jobs) == (known[-1], known[-1:])
            assert (error.provider, error.outcome) == (rig.name, Outcome.UNKNOWN)
            assert error.idempotency_key == mirror_key(job.tracker, job.id)
            assert mirror.id in str(error)
            assert mirror.state is JobState.RUNNING
    assert len(known) == 2


async def test_out_of_time_in_trouble(rig: Rig, into: Wrapping, job: Job, clock: Clock) -> None:
    """If the source could not be looked at until the time was over, the error tells why."""
    provider = rig.wrapped()

    async def look(real: Any, *args: Any) -> Any:
        clock.skip(21)
        raise Unavailable("restarting")

    provider.on["sweep"] = look
    async with Client(provider) as client, Client(into) as shown:
        with pytest.raises(WaitTimeout) as caught:
            await client.jobs.mirror(job, into=shown, timeout=20)
    assert isinstance(caught.value.__cause__, Unavailable)


async def test_out_of_time_while_copying(rig: Rig, into: Wrapping, job: Job, clock: Clock) -> None:
    """The time is that of the whole call: a copy that does not get on is given up, for the next call."""
    await rig.put_out(job, OUTPUTS)
    (done,) = await rig.finish(job)

    async def hang(real: Any, *args: Any, **kwargs: Any) -> Any:
        if into.made["upload"] == 1:
            clock.skip(21)
        await anyio.sleep_forever()

    into.on["upload"] = hang
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(WaitTimeout, match="outputs are not copied") as caught:
            await client.jobs.mirror(job, into=shown, timeout=20)
        (mirror,) = await shown.jobs.list().collect()
    assert caught.value.job == done
    assert mirror.state is JobState.RUNNING


async def test_cancelled_at_each_checkpoint(rig: Rig, other: Rig) -> None:
    """Wherever a call is cancelled, the next one ends with one mirror that has each output once."""
    outputs = {"a.exr": b"image", "b.exr": b"other"}
    checkpoint, was_reached = 0, True
    async with rig.another_client() as client, other.another_client() as shown:
        while was_reached:
            checkpoint += scale(2, 1)
            job = await rig.make_job(f"job {checkpoint}")
            await rig.put_out(job, outputs)
            await rig.finish(job)
            mirror = partial(client.jobs.mirror, job, into=shown)
            cut = await cut_at(checkpoint, mirror)
            made = await mirror()
            assert cut.result in (None, made)
            assert made.state is JobState.DONE
            assert [one for one in await shown.jobs.list().collect() if one.source_id == job.id] == [made]
            assert await contents(shown, made) == outputs
            was_reached = cut.reached
    assert checkpoint > 10


# -- trouble -------------------------------------------------------------------------------------------------


async def test_trouble_that_passes(
    rig: Rig, into: Wrapping, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """A tracker that is down for a while, be it the one or the other, is waited for with one warning each."""
    source = rig.wrapped()
    source.watch_interval = 0.001
    troubles = {"sweep": 3, "update_jobs": 3}

    def failing(name: str) -> Any:
        async def call(real: Any, *args: Any) -> Any:
            troubles[name] -= 1
            if troubles[name] >= 0:
                raise Unavailable(f"{name} is down")
            return await real(*args)

        return call

    source.on["sweep"] = failing("sweep")
    into.on["update_jobs"] = failing("update_jobs")
    await rig.hand.jobs.update(job, message="frame 3")
    mirrors: list[Job] = []
    async with Client(source) as client, Client(into) as shown, anyio.create_task_group() as tasks:

        async def mirror() -> None:
            mirrors.append(await client.jobs.mirror(job, into=shown))

        tasks.start_soon(mirror)
        await into.next_calls("update_jobs", 4)
        await rig.finish(job)
    assert (mirrors[0].state, mirrors[0].message) == (JobState.DONE, "frame 3")
    assert reports(into)[:4] == [{"message": "frame 3"}] * 4
    assert [word for line in warnings(caplog) for word in troubles if word in line] == [
        "update_jobs",
        "sweep",
    ]


async def test_each_trouble_is_told_once(
    rig: Rig, into: Wrapping, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """Reports that fail one after another are one line of the log; the next trouble has its own."""
    calls = 0

    async def write(real: Any, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (1, 2, 4):
            raise Unavailable(f"trouble {calls}")
        return await real(*args)

    into.on["update_jobs"] = write
    await rig.hand.jobs.update(job, message="frame 1")
    async with rig.another_client() as client, Client(into) as shown, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.jobs.mirror(job, into=shown))
        await into.next_calls("update_jobs", 3)
        await rig.hand.jobs.update(job, message="frame 2")
        await into.next_calls("update_jobs", 2)
        await rig.finish(job)
    assert ["trouble 1" in line or "trouble 4" in line for line in warnings(caplog)] == [True, True]


@pytest.mark.parametrize("has_ended", [False, True], ids=["on the way", "at the end"])
async def test_a_tracker_that_asks_for_patience(
    rig: Rig, into: Wrapping, job: Job, clock: Clock, *, has_ended: bool
) -> None:
    """Being asked to slow down is no failure: the mirror waits as told, and ends as the job does."""
    await rig.hand.jobs.update(job, message="frame 3")
    if has_ended:
        await rig.finish(job)

    async def write(real: Any, *args: Any) -> Any:
        if into.made["update_jobs"] == 1:
            raise RateLimited("slow down", retry_after=30)
        return await real(*args)

    source = rig.wrapped()
    into.on["update_jobs"] = write
    mirrors: list[Job] = []
    async with Client(source) as client, Client(into) as shown, anyio.create_task_group() as tasks:

        async def mirror() -> None:
            mirrors.append(await client.jobs.mirror(job, into=shown))

        tasks.start_soon(mirror)
        await into.next_calls("update_jobs")
        if not has_ended:
            await source.next_calls("sweep")
        await clock.skip_waiting(15)
        await anyio.sleep(0.05)
        assert into.made["update_jobs"] == 1
        await clock.skip_waiting(16)
        await into.next_calls("update_jobs")
        if not has_ended:
            await rig.finish(job)
    assert (mirrors[0].state, mirrors[0].message) == (JobState.DONE, "frame 3")
    assert into.made["update_jobs"] == (2 if has_ended else 3)


async def test_an_end_of_which_little_is_known(
    rig: Rig, into: Wrapping, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """If an answer lacks fields and they cannot be asked for any more, the end is shown all the same."""
    await rig.finish(job)
    source = telling(rig, missing=frozenset({"message"}))
    first = source.on["get_jobs"]

    async def get(real: Any, ids: Any) -> Any:
        if source.made["get_jobs"] > 1:
            raise Denied("your key was withdrawn")
        return await first(real, ids)

    source.on["get_jobs"] = get
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
    assert mirror.state is JobState.DONE
    assert ["withdrawn" in line for line in warnings(caplog)] == [True]


async def test_an_end_that_cannot_be_written(rig: Rig, other: Rig, into: Wrapping, job: Job) -> None:
    """If the end does not get there for half a minute, the error says so, and how to go on; then it does."""
    await rig.put_out(job, OUTPUTS)
    await rig.finish(job)

    async def fail(real: Any, *args: Any) -> Any:
        raise Unavailable("down", outcome=Outcome.UNKNOWN)

    into.on["update_jobs"] = fail
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(Unavailable) as caught:
            await client.jobs.mirror(job, into=shown)
        error = caught.value
        assert (error.provider, error.outcome) == (other.name, Outcome.UNKNOWN)
        assert error.idempotency_key == mirror_key(job.tracker, job.id)
        assert into.made["update_jobs"] == len(_mirroring.PAUSES) + 1
        into.on.clear()
        mirror = await client.jobs.mirror(job, into=shown)
        assert await contents(shown, mirror) == OUTPUTS
    assert mirror.state is JobState.DONE


@pytest.mark.parametrize("call", ["made_job", "create_jobs", "update_jobs", "sweep"])
async def test_trouble_that_stays(rig: Rig, other: Rig, into: Wrapping, job: Job, call: str) -> None:
    """An error that waiting cannot cure is raised, under the name of the tracker that it came from."""
    source = rig.wrapped()
    await rig.hand.jobs.update(job, message="frame 3")

    async def refuse(real: Any, *args: Any) -> Any:
        raise Denied("your key was withdrawn")

    (source if call == "sweep" else into).on[call] = refuse
    async with Client(source) as client, Client(into) as shown:
        with pytest.raises(Denied, match="withdrawn") as caught:
            await client.jobs.mirror(job, into=shown)
    assert caught.value.provider == (rig.name if call == "sweep" else other.name)
    assert caught.value.idempotency_key == mirror_key(job.tracker, job.id)


async def test_a_mirror_that_goes(rig: Rig, other: Rig, into: Wrapping, job: Job) -> None:
    """If the mirror is removed, there is nothing left to tell."""
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
        async with anyio.create_task_group() as tasks:

            async def mirror() -> None:
                with pytest.raises(NotFound) as caught:
                    await client.jobs.mirror(job, into=shown)
                assert caught.value.provider == other.name

            tasks.start_soon(mirror)
            await into.next_calls("made_job")
            await other.vanish((await shown.jobs.list().collect())[0])
            await rig.finish(job)


async def test_a_mirror_that_was_deleted(rig: Rig, other: Rig, into: Wrapping, job: Job) -> None:
    """A mirror that somebody has deleted is not made again where the tracker remembers its key."""
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(WaitTimeout):
            await client.jobs.mirror(job, into=shown, timeout=0)
        await other.vanish((await shown.jobs.list().collect())[0])
        with pytest.raises(Conflict, match="deleted") as caught:
            await client.jobs.mirror(job, into=shown)
        assert await shown.jobs.list().collect() == []
    assert caught.value.idempotency_key == mirror_key(job.tracker, job.id)


async def test_a_copy_that_may_have_been_done(rig: Rig, into: Wrapping, job: Job) -> None:
    """If it is not known whether an output has got there, the error says so."""
    await rig.put_out(job, {"a.exr": b"image"})
    await rig.finish(job)

    async def upload(real: Any, *args: Any, **options: Any) -> Any:
        raise Denied("your key was withdrawn", outcome=Outcome.UNKNOWN)

    into.on["upload"] = upload
    async with rig.another_client() as client, Client(into) as shown:
        with pytest.raises(AttachError, match="withdrawn") as caught:
            await client.jobs.mirror(job, into=shown)
    assert (caught.value.outcome, caught.value.attached) == (Outcome.UNKNOWN, [])


async def test_a_copy_that_is_cut_off(rig: Rig, into: Wrapping, job: Job) -> None:
    """Bytes that break off are sent again, in the same call; if they never come, the end is shown anyway."""
    await rig.put_out(job, OUTPUTS)
    await rig.finish(job)
    cuts = 2

    async def upload(real: Any, *args: Any, **options: Any) -> Any:
        nonlocal cuts
        if args[0].name == "depth.exr" and cuts:
            cuts -= 1
            raise Unavailable("try again")
        return await real(*args, **options)

    into.on["upload"] = upload
    async with rig.another_client() as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        assert await contents(shown, mirror) == OUTPUTS
        assert into.made["upload"] == len(OUTPUTS) + 2

        async def fail(real: Any, *args: Any, **options: Any) -> Any:
            raise Unavailable("down")

        into.on["upload"] = fail
        second = await rig.make_job("second")
        await rig.put_out(second, {"a": b"x"})
        await rig.finish(second)
        with pytest.raises(AttachError) as caught:
            await client.jobs.mirror(second, into=shown)
        assert [type(why) for why in caught.value.failed.values()] == [Unavailable]
        assert {one.state for one in await shown.jobs.list().collect()} == {JobState.DONE}


@pytest.mark.parametrize("kind", [Denied, Unavailable])
async def test_outputs_that_cannot_be_listed(
    rig: Rig, into: Wrapping, job: Job, kind: type[CallsheetError]
) -> None:
    """If it cannot even be known what the outputs are, the end is shown all the same, then the error."""
    await rig.finish(job)
    source = rig.wrapped()

    async def refuse(real: Any, **options: Any) -> Any:
        raise kind("not for you")

    source.on["page_components"] = refuse
    async with Client(source) as client, Client(into) as shown:
        with pytest.raises(kind, match="not for you") as caught:
            await client.jobs.mirror(job, into=shown)
        (mirror,) = await shown.jobs.list().collect()
    assert mirror.state is JobState.DONE
    assert caught.value.provider == rig.name


async def test_frames_with_a_gap(rig: Rig, into: Wrapping, job: Job, tmp_path: Path) -> None:
    """Frames that no sequence can be made of are copied as files."""
    for number in range(8, 12):
        (tmp_path / f"a.{number}.exr").write_bytes(b"frame %d" % number)
    frames = FrameSequence(tmp_path / "a.%d.exr", 8, 11)
    await rig.hand.jobs.attach(job, [frames])
    await rig.finish(job)
    source = rig.wrapped()

    async def members(real: Any, component: Any) -> Any:
        found = await real(component)
        return None if found is None else [found[0], *found[2:]]

    source.on["members"] = members
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        assert await contents(shown, mirror) == {
            f"a.{number}.exr": b"frame %d" % number for number in (8, 10, 11)
        }


async def test_a_tracker_without_sequences(rig: Rig, other: Rig, job: Job, tmp_path: Path) -> None:
    """Where no component can be made of frames, they are copied as files, and found again as such."""
    for number in range(5):
        (tmp_path / f"a.{number}.exr").write_bytes(b"frame %d" % number)
    await rig.hand.jobs.attach(job, [FrameSequence(tmp_path / "a.%d.exr", 0, 4)])
    await rig.finish(job)
    plain = other.wrapped(capabilities=other.capabilities - {"upload(frames=)"}, batch_size=2)
    async with rig.another_client() as client, Client(plain) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        outputs = {f"a.{number}.exr": b"frame %d" % number for number in range(5)}
        assert await contents(shown, mirror) == outputs
        assert await client.jobs.mirror(job, into=shown) == mirror
        assert await contents(shown, mirror) == outputs
    assert plain.made["upload"] == 5
    assert [len(keys) for (keys,) in plain.arguments("made_components")] == [2, 2, 1]


async def test_a_size_that_is_not_known(rig: Rig, into: Wrapping, job: Job) -> None:
    """An output whose size the tracker does not say is copied by way of a temporary file."""
    await rig.put_out(job, OUTPUTS)
    await rig.finish(job)
    source = rig.wrapped()

    async def page(real: Any, **options: Any) -> Any:
        found = await real(**options)
        return attrs.evolve(found, items=[attrs.evolve(one, size=None) for one in found.items])

    source.on["page_components"] = page
    async with Client(source) as client, Client(into) as shown:
        mirror = await client.jobs.mirror(job, into=shown)
        assert await contents(shown, mirror) == OUTPUTS
