"""Tracking: a block of work that shows as a job, whatever becomes of the block, the job or the tracker."""

from __future__ import annotations

import logging
import threading
import traceback
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import anyio
import anyio.to_thread
import pytest

from callsheet import (
    CallsheetError,
    Client,
    Conflict,
    Denied,
    File,
    InvalidRequest,
    Job,
    JobCancelled,
    JobState,
    LeaseLost,
    NotFound,
    Unavailable,
)
from callsheet.abc import Claim, JobChanges
from rig import Rig
from support.needs import needs
from support.tables import ends_with, raises_for

QUICK: dict[str, Any] = {"lease": 30.0, "beat": 0.01}
"""Beats often enough to be seen, under a lease that no slow machine lets lapse."""


class NoLicence(Exception):
    """What the work itself may raise."""


def render() -> NoReturn:
    raise NoLicence("no licence for sh010")


def beats(provider: Any) -> list[dict[str, Any]]:
    """Return the changes that each beat wrote."""
    return [args[1].given() for args in provider.arguments("beat_job")]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines that callsheet logged as errors."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR and record.name.partition(".")[0] == "callsheet"
    ]


# -- how a block ends ----------------------------------------------------------------------------------------


@needs("track", "create(attributes=)")
async def test_a_block_that_works(rig: Rig, client: Client[Any]) -> None:
    """A block shows as a running job of its user, and then as done."""
    given: dict[str, Any] = {"user": "bob", "description": "two shots", "attributes": {"shot": "sh010"}}
    async with client.jobs.track("Transcode A001", type=rig.types[0], **given) as tracked:
        job = tracked.job
        assert {name: getattr(job, name) for name in given} == given
        assert (job.name, job.type, job.state, job.ended) == (
            "Transcode A001",
            rig.types[0],
            JobState.RUNNING,
            False,
        )
        assert job.started_at is not None
        assert await rig.hand.jobs.get(job) == job
    done = tracked.job
    assert (done.id, done.state, done.ended, done.progress, done.problem) == (
        job.id,
        JobState.DONE,
        True,
        1.0,
        None,
    )
    assert await client.jobs.get(job) == done


@needs("track")
async def test_a_block_that_fails(rig: Rig, client: Client[Any]) -> None:
    """The block's own exception comes out as it is; the job fails with the last lines of its traceback."""
    with ends_with(NoLicence) as caught:
        async with client.jobs.track("render") as tracked:
            tracked.progress(0.5, "frame 500")
            render()
    assert (type(caught.value), str(caught.value)) == (NoLicence, "no licence for sh010")
    failed = await client.jobs.get(tracked.job)
    assert failed == tracked.job
    assert (failed.state, failed.ended, failed.progress, failed.message) == (
        JobState.FAILED,
        True,
        0.5,
        "frame 500",
    )
    lines = (failed.problem or "").splitlines()
    assert lines[-1].endswith("NoLicence: no licence for sh010")
    assert any("in render" in line for line in lines)
    assert 3 <= len(lines) <= 20
    assert await client.jobs.problem(failed) == failed.problem


@needs("track")
async def test_the_exception_of_a_block_tells_where_it_was_raised(rig: Rig, client: Client[Any]) -> None:
    """What comes out has the traceback that it had inside, down to the line that raised."""
    with pytest.raises(NoLicence) as caught:
        async with client.jobs.track("render"):
            render()
    here = "test_the_exception_of_a_block_tells_where_it_was_raised"
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)] == [here, "render"]


@needs("track")
async def test_a_block_that_fails_in_strange_words(rig: Rig, client: Client[Any]) -> None:
    """Whatever the exception says, its end can be shown: endless, not Unicode, with NUL, or a group."""
    problems: list[Exception] = [
        NoLicence("x" * 3_000_000),
        NoLicence("\n" * 100_000),
        NoLicence("a\0b \ud800 \N{SKULL}"),
        ExceptionGroup("several", [NoLicence("one"), NoLicence("two")]),
    ]
    for problem in problems:
        with pytest.raises(type(problem)) as caught:
            async with client.jobs.track("render") as tracked:
                raise problem
        assert caught.value is problem
        failed = await client.jobs.get(tracked.job)
        assert failed.state is JobState.FAILED
        assert failed.problem
        assert len(failed.problem) < 10_000


@needs("track")
async def test_a_block_that_is_cancelled(rig: Rig, client: Client[Any]) -> None:
    """A block cancelled from around it ends its job cancelled, and stays cancelled."""
    with anyio.CancelScope() as scope:
        async with client.jobs.track("render") as tracked:
            tracked.progress(0.25)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    cancelled = await client.jobs.get(tracked.job)
    assert cancelled == tracked.job
    assert (cancelled.state, cancelled.ended, cancelled.progress) == (JobState.CANCELLED, True, 0.25)


@needs("track")
async def test_a_block_inside_a_scope_of_its_own(rig: Rig, client: Client[Any]) -> None:
    """A timeout that the block handles itself is no end of the job."""
    async with client.jobs.track("render") as tracked:
        with anyio.move_on_after(0.01):
            await anyio.sleep_forever()
    assert tracked.job.state is JobState.DONE


@needs("track")
async def test_many_blocks_at_once(rig: Rig, client: Client[Any]) -> None:
    """Blocks of one client are independent: each job ends as its own block did."""
    ended: dict[int, JobState] = {}

    async def work(number: int) -> None:
        with suppress(NoLicence):
            async with client.jobs.track(f"job {number}", **QUICK) as tracked:
                await anyio.sleep(0.01 * (number % 3))
                if number % 2:
                    render()
        ended[number] = (await client.jobs.get(tracked.job)).state

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(work, number)
    assert ended == {n: JobState.FAILED if n % 2 else JobState.DONE for n in range(20)}


@needs("track")
async def test_an_end_that_the_block_sets_itself(rig: Rig) -> None:
    """An ended state set in the block stands when it ends well, whatever it is; nothing is sent after it."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
            async with client.jobs.track("render", **QUICK) as tracked:
                changed = await tracked.update(state=state, problem="as I said", message="all of it")
                assert changed == tracked.job
                sent = provider.made["beat_job"]
                await anyio.sleep(0.05)
            assert provider.made["beat_job"] == sent
            final = await client.jobs.get(tracked.job)
            assert (final.state, final.problem, final.message) == (state, "as I said", "all of it")


@needs("track")
async def test_an_end_that_the_block_sets_while_a_beat_is_under_way(rig: Rig) -> None:
    """A beat that began before the block set its end, and comes back after it, does not hide that end."""
    provider = rig.wrapped()
    held, ended = anyio.Event(), anyio.Event()

    async def beat(real: Any, claim: Claim, changes: JobChanges) -> Any:
        job = await real(claim, changes)
        if "state" not in changes.given() and not ended.is_set():
            held.set()
            await ended.wait()
        return job

    provider.on["beat_job"] = beat
    async with Client(provider) as client:
        async with client.jobs.track("render", **QUICK) as tracked:
            await held.wait()
            failed = await tracked.update(state=JobState.FAILED, problem="black frames")
            ended.set()
            await anyio.sleep(0.02)
            assert tracked.job == failed
        assert tracked.job == failed == await client.jobs.get(failed)


@needs("track")
async def test_a_beat_that_sees_the_cancellation_by_the_block_itself(rig: Rig) -> None:
    """A block that sets its job cancelled has not been cancelled from elsewhere, whoever sees it first."""
    provider = rig.wrapped()
    seen = anyio.Event()

    async def beat(real: Any, claim: Claim, changes: JobChanges) -> Any:
        job = await real(claim, changes)
        if "state" in changes.given():
            await seen.wait()
        elif job.state is JobState.CANCELLED:
            seen.set()
        return job

    provider.on["beat_job"] = beat
    async with Client(provider) as client:
        async with client.jobs.track("render", **QUICK) as tracked:
            await tracked.update(state=JobState.CANCELLED, message="not needed any more")
        assert (tracked.job.state, tracked.job.message) == (JobState.CANCELLED, "not needed any more")


@needs("track", "cancel", "update(message=)")
async def test_an_update_of_a_job_that_was_cancelled_from_elsewhere(rig: Rig) -> None:
    """A block that changes its job before a beat has seen the cancellation is stopped all the same."""
    async with rig.another_client() as client:
        with ends_with(JobCancelled):
            async with client.jobs.track("render") as tracked:
                await rig.cancel(tracked.job)
                changed = await tracked.update(message="frame 3")
                assert changed.state is JobState.CANCELLED
                tracked.progress(0.5)
                await anyio.sleep_forever()


@needs("track", "update(name=)")
async def test_changing_the_job_while_it_is_tracked(rig: Rig, client: Client[Any]) -> None:
    """`update` in the block changes the job at once; bad changes are refused like anywhere."""
    async with client.jobs.track("render") as tracked:
        changed = await tracked.update(name="render again", priority=90)
        assert await client.jobs.get(tracked.job) == changed == tracked.job
        assert (changed.name, changed.priority, changed.state) == ("render again", 90, JobState.RUNNING)
        with pytest.raises(InvalidRequest, match="progress must be from 0 to 1"):
            await tracked.update(progress=2)
    assert tracked.job.name == "render again"


@needs("track", "attach", "components.list")
async def test_attaching_to_the_tracked_job(rig: Rig, client: Client[Any]) -> None:
    """`attach` in the block attaches to its job."""
    async with client.jobs.track("render") as tracked:
        parts = await tracked.attach([File(b"abc", name="a.txt")], concurrency=1)
    assert [(part.name, part.job_id, part.role) for part in parts] == [("a.txt", tracked.job.id, "output")]
    assert await client.components.list(tracked.job).collect() == parts


# -- progress ------------------------------------------------------------------------------------------------


@needs("track")
async def test_the_first_and_the_last_report_are_sent(rig: Rig) -> None:
    """Of a thousand reports in one go, the first seen and the last are sent; what lies between is merged."""
    provider = rig.wrapped()
    provider.progress_interval = 3600
    async with Client(provider) as client:
        with ends_with(NoLicence):
            async with client.jobs.track("render") as tracked:
                tracked.progress(0.001, "frame 1")
                await provider.next_calls("beat_job")
                for frame in range(2, 1001):
                    tracked.progress(frame / 2000, f"frame {frame}")
                await anyio.sleep(0.05)
                assert provider.made["beat_job"] == 1
                render()
    first, last = beats(provider)
    assert first == {"progress": 0.001, "message": "frame 1"}
    assert (last["state"], last["progress"], last["message"]) == (JobState.FAILED, 0.5, "frame 1000")


@needs("track")
async def test_reports_are_seen_while_the_block_runs(rig: Rig) -> None:
    """Progress is sent in the background, no more often than the tracker likes, and `None` takes it back."""
    provider = rig.wrapped()
    provider.progress_interval = 0.001
    reports: list[dict[str, Any]] = [
        {"progress": 0.25, "message": "a"},
        {"progress": 0.5},
        {"progress": None, "message": "b"},
    ]
    async with Client(provider) as client, client.jobs.track("render") as tracked:
        for report in reports:
            tracked.progress(report["progress"], report.get("message"))
            reached = partial(_has_progress, wanted=report["progress"])
            await rig.hand.jobs.wait(tracked.job, until=reached, timeout=30)
        assert (await rig.hand.jobs.get(tracked.job)).message == "b"
    assert beats(provider)[:3] == reports


def _has_progress(job: Job, wanted: float | None) -> bool:
    return job.progress == wanted


@needs("track")
async def test_progress_from_a_thread(rig: Rig) -> None:
    """A worker thread, of the loop's or not, reports like anybody else."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        async with client.jobs.track("render") as tracked:
            await anyio.to_thread.run_sync(tracked.progress, 0.25, "from the loop's thread")
            await rig.hand.jobs.wait(tracked.job, until=lambda job: job.progress == 0.25, timeout=30)
            own = threading.Thread(target=tracked.progress, args=(0.5, "from a thread of its own"))
            own.start()
            await rig.hand.jobs.wait(tracked.job, until=lambda job: job.progress == 0.5, timeout=30)
            own.join()
    assert tracked.job.message == "from a thread of its own"


@needs("track")
async def test_progress_from_a_thread_that_the_loop_waits_for(rig: Rig, client: Client[Any]) -> None:
    """A report never waits for the loop: a block that joins its thread without awaiting does not hang."""
    async with client.jobs.track("render") as tracked:
        own = threading.Thread(target=tracked.progress, args=(0.5, "from a thread"), daemon=True)
        own.start()
        own.join(10)
        assert not own.is_alive()
    assert tracked.job.message == "from a thread"


@needs("track")
async def test_an_update_is_newer_than_an_earlier_report(rig: Rig, client: Client[Any]) -> None:
    """A report that was not yet sent when the block updates the same fields never overwrites them."""
    with ends_with(NoLicence):
        async with client.jobs.track("render") as tracked:
            tracked.progress(0.5, "older")
            await tracked.update(progress=0.75)
            tracked.progress(0.8, "newest")
            await tracked.update(progress=0.9)
            render()
    final = await client.jobs.get(tracked.job)
    assert (final.state, final.progress, final.message) == (JobState.FAILED, 0.9, "newest")


@needs("track")
async def test_an_update_is_newer_than_a_report_that_failed(rig: Rig) -> None:
    """A report that could not be sent is not sent again over what the block has set meanwhile."""
    provider = rig.wrapped()
    held, updated = anyio.Event(), anyio.Event()

    async def beat(real: Any, claim: Claim, changes: JobChanges) -> Any:
        if changes.given().get("message") == "older" and not updated.is_set():
            held.set()
            await updated.wait()
            raise Unavailable("for a moment")
        return await real(claim, changes)

    provider.on["beat_job"] = beat
    async with Client(provider) as client:
        async with client.jobs.track("render", **QUICK) as tracked:
            tracked.progress(0.5, "older")
            await held.wait()
            await tracked.update(message="newer")
            updated.set()
        assert (await client.jobs.get(tracked.job)).message == "newer"


@needs("track")
async def test_a_report_is_newer_than_one_that_failed(rig: Rig) -> None:
    """A report that could not be sent is not sent again over one that came meanwhile; they are merged."""
    provider = rig.wrapped()
    held, newer = anyio.Event(), anyio.Event()

    async def beat(real: Any, claim: Claim, changes: JobChanges) -> Any:
        if not newer.is_set():
            held.set()
            await newer.wait()
            raise Unavailable("for a moment")
        return await real(claim, changes)

    async with Client(provider) as client:
        with ends_with(NoLicence):
            async with client.jobs.track("render") as tracked:
                provider.on["beat_job"] = beat
                tracked.progress(0.25, "frame 250")
                await held.wait()
                tracked.progress(0.5)
                newer.set()
                render()
        final = await client.jobs.get(tracked.job)
    assert (final.state, final.progress, final.message) == (JobState.FAILED, 0.5, "frame 250")


@needs("track", "update(message=)")
async def test_a_report_after_an_update_is_kept_in_trouble(rig: Rig) -> None:
    """What is reported after an update of the same fields, and cannot be sent at first, is sent later."""
    provider = rig.wrapped()
    async with Client(provider) as client, client.jobs.track("render", **QUICK) as tracked:
        await tracked.update(message="older")
        provider.on["beat_job"] = Trouble(Unavailable("restarting"), times=2)
        tracked.progress(0.5, "newer")
        await rig.hand.jobs.wait(tracked.job, until=lambda job: job.message == "newer", timeout=30)


@needs("track", "update(progress=)")
async def test_a_report_during_an_update_that_failed(rig: Rig) -> None:
    """What was taken back for an update that failed does not come after what was reported meanwhile."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        with ends_with(NoLicence):
            async with client.jobs.track("render") as tracked:

                async def refuse(real: Any, *args: Any) -> Any:
                    tracked.progress(0.75)
                    raise Unavailable("away")

                tracked.progress(0.25, "frame 250")
                provider.on["beat_job"] = refuse
                with pytest.raises(Unavailable):
                    await tracked.update(progress=0.5)
                del provider.on["beat_job"]
                render()
        final = await client.jobs.get(tracked.job)
    assert (final.progress, final.message) == (0.75, "frame 250")


@needs("track")
async def test_an_end_set_by_the_block_outlives_its_later_updates(rig: Rig, client: Client[Any]) -> None:
    """A job that its block has set failed stays so, whatever else the block says afterwards."""
    async with client.jobs.track("render") as tracked:
        await tracked.update(state=JobState.FAILED, problem="black frames")
        await tracked.update(message="12 of 100 frames are black")
    final = await client.jobs.get(tracked.job)
    assert (final.state, final.problem) == (JobState.FAILED, "black frames")


@needs("track")
async def test_a_block_is_entered_once(rig: Rig, client: Client[Any]) -> None:
    """What `track` has returned serves one block; entering it again is refused, and changes nothing."""
    block = client.jobs.track("render")
    async with block as tracked:
        pass
    before = await client.jobs.get(tracked.job)
    with pytest.raises(InvalidRequest, match="entered before"):
        await block.__aenter__()
    assert await client.jobs.get(tracked.job) == before


@needs("track")
async def test_progress_that_makes_no_sense(rig: Rig, client: Client[Any]) -> None:
    """Bad progress is refused where it is reported, and changes nothing."""
    bad: list[Any] = [-0.1, 1.1, float("nan"), "half", True]
    async with client.jobs.track("render") as tracked:
        for value in bad:
            with raises_for(value, InvalidRequest, match="progress"):
                tracked.progress(value)
        with pytest.raises(InvalidRequest, match="message"):
            tracked.progress(0.5, 7)  # type: ignore[arg-type]  # the test is about this
        assert (await client.jobs.get(tracked.job)).progress is None


@needs("track")
async def test_no_report_comes_after_the_end(rig: Rig) -> None:
    """A report that is under way when the block ends never overwrites the end."""
    provider = rig.wrapped()
    provider.progress_interval = 0.0
    held = anyio.Event()

    async def beat(real: Any, claim: Claim, changes: JobChanges) -> Any:
        if "state" not in changes.given() and changes.given():
            held.set()
            with suppress(TimeoutError), anyio.fail_after(0.2):
                await ended.wait()
        job = await real(claim, changes)
        if "state" in changes.given():
            ended.set()
        return job

    provider.on["beat_job"] = beat
    ended = anyio.Event()
    async with Client(provider) as client:
        async with client.jobs.track("render", **QUICK) as tracked:
            tracked.progress(0.5, "half way")
            await held.wait()
        final = await client.jobs.get(tracked.job)
    assert (final.state, final.progress, final.message) == (JobState.DONE, 1.0, "half way")
    assert tracked.job == final


# -- cancelled or lost from elsewhere ------------------------------------------------------------------------


class Turns:
    """Lets others change the job only between two beats: some trackers cannot tell who wrote first."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.cancelled = anyio.Event()

    async def __call__(self, real: Any, *args: Any) -> Any:
        async with self.lock:
            job = await real(*args)
        if job.state is JobState.CANCELLED:
            self.cancelled.set()
        return job


@needs("track", "cancel")
async def test_cancelled_from_elsewhere(rig: Rig) -> None:
    """A job that somebody cancels stops its block at the next beat: `JobCancelled`, and the job stays so."""
    provider = rig.wrapped()
    turns = provider.on["beat_job"] = Turns()
    cleaned = False
    async with Client(provider) as client:
        with ends_with(JobCancelled) as caught:
            async with client.jobs.track("render", **QUICK) as tracked:
                async with turns.lock:
                    await rig.cancel(tracked.job)
                try:
                    await anyio.sleep_forever()
                finally:
                    cleaned = True
        assert cleaned
        assert caught.value.provider == rig.name
        assert tracked.job.id in str(caught.value)
        final = await client.jobs.get(tracked.job)
        assert (final.state, final.ended) == (JobState.CANCELLED, True)
        assert tracked.job == final


@needs("track", "cancel")
async def test_cancelled_from_elsewhere_and_ignored(rig: Rig) -> None:
    """With `on_cancel="ignore"` the block goes on to its end, which is what the job shows."""
    provider = rig.wrapped()
    turns = provider.on["beat_job"] = Turns()
    async with Client(provider) as client:
        async with client.jobs.track("render", on_cancel="ignore", **QUICK) as tracked:
            async with turns.lock:
                await rig.cancel(tracked.job)
            await turns.cancelled.wait()
            await anyio.sleep(0.02)
        assert (await client.jobs.get(tracked.job)).state is JobState.DONE


@needs("track", "cancel")
async def test_the_block_fails_while_it_is_stopped(rig: Rig) -> None:
    """An error of the block's own clean-up comes out, not the cancellation that caused it."""
    provider = rig.wrapped()
    turns = provider.on["beat_job"] = Turns()
    async with Client(provider) as client:
        with ends_with(NoLicence):
            async with client.jobs.track("render", **QUICK) as tracked:
                async with turns.lock:
                    await rig.cancel(tracked.job)
                try:
                    await anyio.sleep_forever()
                finally:
                    render()
        assert (await client.jobs.get(tracked.job)).ended


@needs("track", "delete")
async def test_the_job_vanishes(rig: Rig, client: Client[Any], caplog: pytest.LogCaptureFixture) -> None:
    """A job that is removed does not disturb its block; the end that cannot be written is one ERROR line."""
    result = None
    async with client.jobs.track("render", **QUICK) as tracked:
        await rig.vanish(tracked.job)
        await anyio.sleep(0.05)
        result = "rendered"
    assert result == "rendered"
    (line,) = errors(caplog)
    assert tracked.job.id in line
    assert "done" in line


@needs("track")
async def test_a_silent_worker_loses_its_job(rig: Rig) -> None:
    """A worker that does not beat for lease and grace has lost the job: it shows as failed, "lost"."""
    provider = rig.wrapped()

    async def silence(real: Any, *args: Any) -> Any:
        if not talking.is_set():
            await talking.wait()
        return await real(*args)

    provider.on["beat_job"] = silence
    talking = anyio.Event()
    async with Client(provider) as client:
        with ends_with(LeaseLost) as caught:
            async with client.jobs.track("render", lease=0.1, beat=0.01, grace=0.05) as tracked:
                await anyio.sleep(0.2)
                await rig.reap()
                lost = await rig.hand.jobs.wait(tracked.job, timeout=30)
                assert (lost.state, lost.problem, lost.ended) == (JobState.FAILED, "lost", True)
                talking.set()
                await anyio.sleep_forever()
    assert caught.value.provider == rig.name
    assert await rig.hand.jobs.get(tracked.job) == lost
    assert await rig.hand.jobs.problem(tracked.job) == "lost"


@needs("track")
async def test_the_job_is_given_to_another_worker(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that comes back after its job was given away is told so, and writes nothing more."""
    provider = rig.wrapped()

    async def silence(real: Any, *args: Any) -> Any:
        if not talking.is_set():
            await talking.wait()
        return await real(*args)

    provider.on["beat_job"] = silence
    talking = anyio.Event()
    async with Client(provider) as client:
        with ends_with(LeaseLost):
            async with client.jobs.track("render", lease=0.1, beat=0.01, grace=0.0) as tracked:
                await anyio.sleep(0.15)
                await rig.reap()
                async with rig.hand.jobs.track(job=tracked.job, **QUICK) as second:
                    assert second.job.id == tracked.job.id
                    second.progress(0.75, "by the second")
                    talking.set()
                    with suppress(anyio.get_cancelled_exc_class()):
                        await anyio.sleep(30)
        with pytest.raises(LeaseLost):
            await tracked.update(message="too late")
    assert not any("state" in given for given in beats(provider))
    final = await rig.hand.jobs.get(second.job)
    assert (final.state, final.message) == (JobState.DONE, "by the second")


@needs("track")
async def test_a_lease_that_lapsed_while_the_block_ended(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """If the job is found lost only when the end is written, a good block still hears of it."""
    provider = rig.wrapped()
    provider.on["beat_job"] = _never
    async with Client(provider) as client:
        with ends_with(LeaseLost):
            async with client.jobs.track("render", lease=0.1, beat=0.01, grace=0.0) as tracked:
                await anyio.sleep(0.15)
                await rig.reap()
                await rig.hand.jobs.wait(tracked.job, timeout=30)
                del provider.on["beat_job"]
    assert [tracked.job.id in line for line in errors(caplog)] == [True]
    assert (await rig.hand.jobs.get(tracked.job)).problem == "lost"


async def _never(*_: Any) -> NoReturn:
    await anyio.sleep_forever()
    raise AssertionError


@needs("track")
async def test_only_silent_workers_lose_jobs(rig: Rig) -> None:
    """A job that runs without a lease, and one whose worker beats, are nobody's to declare lost."""
    provider = rig.wrapped()
    provider.progress_interval = 3600
    plain = await rig.start(await rig.make_job())
    async with Client(provider) as client:
        async with client.jobs.track("render", grace=0.0, **QUICK) as tracked:
            for _ in range(2):
                await rig.age(0.6 * QUICK["lease"])
                await provider.next_calls("beat_job", 2)
            await rig.reap()
            assert await rig.hand.jobs.get(plain) == plain
            assert (await rig.hand.jobs.get(tracked.job)).state is JobState.RUNNING
        assert (await rig.hand.jobs.get(tracked.job)).state is JobState.DONE


# -- adopting ------------------------------------------------------------------------------------------------


@needs("track")
async def test_adopting_a_job(rig: Rig, client: Client[Any]) -> None:
    """A job that exists, in any state, is taken over by itself or its id, and ends as the block does."""
    for job in (await rig.make_job(), await rig.fail(await rig.make_job(), "no licence")):
        for given in (job, job.id):
            async with client.jobs.track(job=given) as tracked:
                adopted = tracked.job
                assert (adopted.id, adopted.name, adopted.state) == (job.id, job.name, JobState.RUNNING)
                assert (adopted.ended, adopted.finished_at, adopted.problem) == (False, None, None)
            final = await client.jobs.get(job)
            assert (final.state, final.created_at) == (JobState.DONE, job.created_at)
    assert len(await client.jobs.list().collect()) == 2


@needs("track", "update(attributes=)")
async def test_adopting_with_new_words(rig: Rig, client: Client[Any]) -> None:
    """A name, description or attributes given while adopting are written over the job's own."""
    job = await rig.make_job("before", description="old", attributes={"take": 1})
    async with client.jobs.track("after", job=job, attributes={"take": 2}) as tracked:
        words = (tracked.job.name, tracked.job.description, tracked.job.attributes)
        assert words == ("after", "old", {"take": 2})
        assert await rig.hand.jobs.get(job) == tracked.job


@needs("track")
async def test_adopting_what_is_held(rig: Rig, client: Client[Any]) -> None:
    """A job whose worker is alive is a conflict: the block does not begin, the worker is not disturbed."""
    async with rig.hand.jobs.track("render", **QUICK) as tracked:
        with pytest.raises(Conflict, match=tracked.job.id) as caught:
            async with client.jobs.track(job=tracked.job):
                pytest.fail("the block must not begin")
        assert caught.value.provider == rig.name
    assert tracked.job.state is JobState.DONE
    async with client.jobs.track(job=tracked.job) as again:
        pass
    assert again.job.state is JobState.DONE


@needs("track")
async def test_adopting_what_is_not_there(rig: Rig, client: Client[Any]) -> None:
    """A job that is not there cannot be adopted."""
    before = await rig.snapshot()
    with pytest.raises(NotFound, match="nope") as caught:
        async with client.jobs.track(job="nope"):
            pytest.fail("the block must not begin")
    assert caught.value.provider == rig.name
    assert await rig.snapshot() == before


@needs("track", "create(idempotency_key=)")
async def test_tracking_with_a_key(rig: Rig, client: Client[Any]) -> None:
    """The same key finds the same job: a task that is delivered again joins it, unless it is still held."""
    async with client.jobs.track("render", idempotency_key="task-1", **QUICK) as first:
        with pytest.raises(Conflict):
            async with rig.hand.jobs.track("render", idempotency_key="task-1"):
                pytest.fail("the block must not begin")
    async with client.jobs.track("render", idempotency_key="task-1") as again:
        assert (again.job.id, again.job.state) == (first.job.id, JobState.RUNNING)
    with pytest.raises(Conflict, match="task-1"):
        async with client.jobs.track("other", idempotency_key="task-1"):
            pytest.fail("the block must not begin")
    assert [job.id for job in await client.jobs.list().collect()] == [first.job.id]


# -- trouble in reporting ------------------------------------------------------------------------------------


@needs("track")
async def test_trouble_at_the_entry(rig: Rig) -> None:
    """If the job cannot be made, the block does not begin, and the error carries the key."""
    provider = rig.wrapped()

    async def refuse(real: Any, *args: Any, **kwargs: Any) -> Any:
        raise Unavailable("restarting")

    provider.on["claim_job"] = refuse
    async with Client(provider) as client:
        with pytest.raises(Unavailable, match="restarting") as caught:
            async with client.jobs.track("render", idempotency_key="task-1"):
                pytest.fail("the block must not begin")
    assert (caught.value.provider, caught.value.idempotency_key) == (rig.name, "task-1")


class Trouble:
    """Lets so many beats fail, then none."""

    def __init__(self, error: CallsheetError, times: float = float("inf")) -> None:
        self.left = times
        self._error = error

    async def __call__(self, real: Any, *args: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise self._error
        return await real(*args)


@needs("track")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("error", [Unavailable("restarting"), Denied("your key was withdrawn")], ids=str)
async def test_trouble_never_fails_the_work(
    rig: Rig, caplog: pytest.LogCaptureFixture, error: CallsheetError, *, fails: bool
) -> None:
    """Whatever reporting meets, the block's outcome stands; what could not be written is one ERROR line."""
    provider = rig.wrapped()
    provider.progress_interval = 0.0
    provider.on["beat_job"] = Trouble(error)
    result = None
    async with Client(provider) as client:
        with suppress(NoLicence):
            async with client.jobs.track("render", final_timeout=0.3, **QUICK) as tracked:
                tracked.progress(0.5)
                await provider.next_calls("beat_job", 3)
                if fails:
                    render()
                result = "rendered"
    assert result == (None if fails else "rendered")
    (line,) = errors(caplog)
    assert tracked.job.id in line
    assert ("failed" if fails else "done") in line
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(tracked.job.id in warning and str(error) in warning for warning in warnings)


@needs("track")
async def test_trouble_that_passes(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """After trouble that passes, the latest progress and the end are written as if there had been none."""
    provider = rig.wrapped()
    provider.progress_interval = 0.0
    async with Client(provider) as client:
        async with client.jobs.track("render", **QUICK) as tracked:
            provider.on["beat_job"] = Trouble(Unavailable("restarting"), times=3)
            tracked.progress(0.25, "frame 1")
            await provider.next_calls("beat_job")
            tracked.progress(0.5)
            seen = await rig.hand.jobs.wait(tracked.job, until=lambda job: job.progress == 0.5, timeout=30)
            assert seen.message == "frame 1"
            provider.on["beat_job"] = Trouble(Unavailable("again"), times=2)
    final = await rig.hand.jobs.get(tracked.job)
    assert (final.state, final.progress, final.message) == (JobState.DONE, 1.0, "frame 1")
    assert errors(caplog) == []


@needs("track")
async def test_trouble_is_told_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """However many beats fail one after another, one line tells so; the next trouble has its own."""
    provider = rig.wrapped()
    calls = 0

    async def beat(real: Any, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (1, 2, 4, 5):
            raise Unavailable(f"trouble {calls}")
        return await real(*args)

    async with Client(provider) as client, client.jobs.track("render", **QUICK) as tracked:
        provider.on["beat_job"] = beat
        await provider.next_calls("beat_job", 7)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        f"job {tracked.job.id} cannot be reported on: trouble {call}; the work goes on" for call in (1, 4)
    ]


@needs("track")
async def test_a_tracker_that_hangs(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A tracker that does not answer holds the end of a block up for `final_timeout` and no longer."""
    provider = rig.wrapped()
    provider.on["beat_job"] = _never
    async with Client(provider) as client:
        async with client.jobs.track("render", final_timeout=0.1, **QUICK) as tracked:
            tracked.progress(0.5)
        assert [tracked.job.id in line and "done" in line for line in errors(caplog)] == [True]


@needs("track")
async def test_the_end_is_written_under_a_shield(rig: Rig) -> None:
    """A cancellation that arrives while the end is being written does not keep it from being written."""
    provider = rig.wrapped()
    scope = anyio.CancelScope()

    async def beat(real: Any, claim: Claim, changes: JobChanges) -> Any:
        scope.cancel()
        await anyio.sleep(0.01)
        return await real(claim, changes)

    async with Client(provider) as client:
        with scope:
            async with client.jobs.track("render") as tracked:
                provider.on["beat_job"] = beat
        assert (await rig.hand.jobs.get(tracked.job)).state is JobState.DONE


# -- what makes no sense -------------------------------------------------------------------------------------


@needs("track")
async def test_what_makes_no_sense(rig: Rig, client: Client[Any]) -> None:
    """Bad arguments are refused by name before anything is written."""
    job = await rig.make_job()
    before = await rig.snapshot()
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "give the name"),
        ({"name": ""}, "name must not be empty"),
        ({"name": "a", "on_cancel": "shrug"}, "on_cancel"),
        ({"name": "a", "lease": 0}, "lease"),
        ({"name": "a", "lease": float("nan")}, "lease"),
        ({"name": "a", "lease": 1e10}, "lease must be a number of seconds from 0.01 to 1e"),
        ({"name": "a", "grace": 1e300}, "grace must be a number of seconds from 0 to 1e"),
        ({"name": "a", "beat": -1}, "beat"),
        ({"name": "a", "beat": 59.0}, "beat"),
        ({"name": "a", "grace": -1}, "grace"),
        ({"name": "a", "final_timeout": "soon"}, "final_timeout"),
        ({"name": "a", "attributes": {"a": float("nan")}}, "attributes"),
        ({"name": "a", "user": ""}, "user"),
        ({"job": job, "user": "bob"}, "user"),
        ({"job": job, "idempotency_key": "k-1"}, "idempotency_key"),
        ({"job": 7}, "job"),
    ]
    for arguments, complaint in bad:
        with raises_for(arguments, InvalidRequest, match=complaint):
            async with client.jobs.track(**arguments):
                pytest.fail("the block must not begin")
    assert await rig.snapshot() == before


@needs("track")
async def test_nothing_is_written_before_the_block_begins(rig: Rig, client: Client[Any]) -> None:
    """Making the context asks the tracker nothing; a block is entered once."""
    before = await rig.snapshot()
    block = client.jobs.track("render")
    assert await rig.snapshot() == before
    async with block as tracked:
        assert isinstance(tracked.job, Job)
    assert len(await client.jobs.list().collect()) == 1


# -- entering ------------------------------------------------------------------------------------------------


@needs("track", "create")
@pytest.mark.parametrize("is_early", [True, False])
async def test_cancelled_while_entering(
    rig: Rig, client: Client[Any], monkeypatch: pytest.MonkeyPatch, *, is_early: bool
) -> None:
    """A block that is cancelled while its job is being claimed leaves the job cancelled, not running."""
    job = await client.jobs.create("render")
    claim_job = client.provider.claim_job

    async def claim(*arguments: Any, **options: Any) -> Any:
        if is_early:
            scope.cancel()
        claimed = await claim_job(*arguments, **options)
        scope.cancel()
        return claimed

    monkeypatch.setattr(client.provider, "claim_job", claim)
    with anyio.CancelScope() as scope:
        async with client.jobs.track(job=job):
            pytest.fail("the block was entered")
    assert scope.cancelled_caught
    assert (await client.jobs.get(job)).state is JobState.CANCELLED


@needs("track", "create")
async def test_changes_that_fail_while_entering(
    rig: Rig, client: Client[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an adopted job cannot be given its new name, that is raised, and the job ends failed."""
    job = await client.jobs.create("render")
    beat_job = client.provider.beat_job

    async def beat(claim: Any, changes: Any) -> Any:
        if "name" in changes.given():
            raise Denied("not yours to name")
        return await beat_job(claim, changes)

    monkeypatch.setattr(client.provider, "beat_job", beat)

    async def enter() -> None:
        async with client.jobs.track("another name", job=job):
            pytest.fail("the block was entered")

    with pytest.raises(Denied, match="not yours to name"):
        await enter()
    ended = await client.jobs.get(job)
    assert (ended.state, ended.name) == (JobState.FAILED, "render")
    assert "not yours to name" in (ended.problem or "")


@needs("track")
async def test_leaving_the_program_with_success(rig: Rig, client: Client[Any]) -> None:
    """`sys.exit()` out of a block is a success, with a code or words it is a failure."""
    ended = []
    for code in (None, 0, 3, "out of frames"):

        async def leave(code: Any = code) -> None:
            async with client.jobs.track("render") as tracked:
                ended.append(tracked)
                raise SystemExit(code)

        with pytest.raises(SystemExit):
            await leave()
    states = [tracked.job.state for tracked in ended]
    assert states == [JobState.DONE, JobState.DONE, JobState.FAILED, JobState.FAILED]


@needs("track", "update(message=)")
async def test_words_after_the_end(rig: Rig, client: Client[Any]) -> None:
    """What a block tells after it has set its own end is written, too."""
    async with client.jobs.track("render") as tracked:
        await tracked.update(state=JobState.FAILED)
        await tracked.update(message="disk full", problem="no room")
    job = await client.jobs.get(tracked.job)
    assert (job.state, job.message, job.problem) == (JobState.FAILED, "disk full", "no room")


@needs("track", "update(message=)", "update(state=)")
async def test_words_after_the_block(rig: Rig, client: Client[Any]) -> None:
    """What is told when the block has been left is written as by anybody else, not dropped."""
    async with client.jobs.track("render") as tracked:
        pass
    told = await tracked.update(message="copied to tape", description="tape 7")
    assert (told.state, told.message, told.description) == (JobState.DONE, "copied to tape", "tape 7")
    assert await client.jobs.get(tracked.job) == told == tracked.job
    again = await tracked.update(state=JobState.RUNNING)
    assert again.state is JobState.RUNNING
    assert await client.jobs.get(tracked.job) == again


@needs("track", "update(progress=)", "update(message=)")
async def test_a_report_outlives_an_update_that_failed(
    rig: Rig, client: Client[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was reported before an update that did not get there is not lost with it."""
    beat_job = client.provider.beat_job
    away = True

    async def beat(claim: Any, changes: Any) -> Any:
        if away:
            raise Unavailable("away")
        return await beat_job(claim, changes)

    monkeypatch.setattr(client.provider, "beat_job", beat)
    async with client.jobs.track("render") as tracked:
        tracked.progress(0.9, "frame 9")
        with pytest.raises(Unavailable):
            await tracked.update(state=JobState.FAILED, progress=0.95)
        away = False
    job = await client.jobs.get(tracked.job)
    assert (job.state, job.progress, job.message) == (JobState.DONE, 1.0, "frame 9")
