"""Waiting for jobs: until they have ended or are where they should be, in one look a tick for all waiters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from callsheet import (
    BulkError,
    Client,
    Denied,
    InvalidRequest,
    Job,
    JobState,
    NotFound,
    Outcome,
    RateLimited,
    Unavailable,
    WaitTimeout,
)
from rig import Rig
from support import scale
from support.clocks import Clock
from support.needs import needs
from support.tables import raises_for
from support.wrapping import Wrapping


@pytest.fixture
async def jobs(rig: Rig) -> list[Job]:
    """Three jobs that run."""
    return [await rig.start(job) for job in await rig.make_jobs(3)]


async def test_a_job_that_has_ended(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Waiting for a job that has ended returns it as it is now, however it ended, by itself or its id."""
    (done,) = await rig.finish(jobs[0])
    failed = await rig.fail(jobs[1], "no licence")
    cancelled = await rig.cancel(jobs[2])
    assert await client.jobs.wait(jobs[0]) == done
    assert await client.jobs.wait(jobs[1].id, timeout=30) == failed
    assert await client.jobs.wait(jobs[2]) == cancelled
    assert await client.jobs.wait_all([jobs[2], jobs[0].id, jobs[1], jobs[0]]) == [
        cancelled,
        done,
        failed,
        done,
    ]
    assert await client.jobs.wait_all([]) == []


@pytest.mark.parametrize("state", [JobState.DONE, JobState.CANCELLED])
async def test_a_job_that_ends_later(rig: Rig, jobs: list[Job], state: JobState) -> None:
    """A waiter goes on through other changes and gets the job as it ended."""
    provider = rig.wrapped()
    async with Client(provider) as client, anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert await client.jobs.wait(jobs[0]) == await rig.hand.jobs.get(jobs[0])

        tasks.start_soon(wait)
        await provider.next_calls("sweep")
        await rig.hand.jobs.update(jobs[0], progress=0.5, state=JobState.PAUSED)
        await provider.next_calls("sweep", 2)
        await rig.hand.jobs.update(jobs[0], state=state)
        await rig.tick()


UNTIL: list[tuple[str, Any]] = [
    ("a state", {JobState.PAUSED}),
    ("words", ["paused", "done"]),
    ("a test", lambda job: "waiting for a licence" in (job.message, job.description)),
]


@pytest.mark.parametrize("until", [until for _, until in UNTIL], ids=[name for name, _ in UNTIL])
async def test_until(rig: Rig, jobs: list[Job], until: Any) -> None:
    """A state or a test of the job ends the wait earlier, and already holds if it holds at the first look."""
    provider = rig.wrapped()
    found: list[Job] = []

    async def wait() -> None:
        found.append(await client.jobs.wait(jobs[0], until=until))

    async with Client(provider) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await provider.next_calls("sweep", 2)
            assert found == []
            message = "waiting for a licence"
            paused = await rig.hand.jobs.update(jobs[0], state=JobState.PAUSED, message=message)
        assert found == [paused]
        assert await client.jobs.wait(jobs[0], until=until) == paused


@pytest.mark.parametrize("until", [until for _, until in UNTIL], ids=[name for name, _ in UNTIL])
async def test_an_end_ends_every_wait(rig: Rig, client: Client[Any], jobs: list[Job], until: Any) -> None:
    """A job that ended will not get where it was waited for: it is returned as it ended."""
    failed = await rig.fail(jobs[0], "no licence")
    assert await client.jobs.wait(jobs[0], until=until) == failed


async def test_all_of_many(rig: Rig, jobs: list[Job]) -> None:
    """Waiting for many returns when the last is there, each as it was when it was there."""
    provider = rig.wrapped()
    found: list[Job] = []

    async def wait() -> None:
        found.extend(await client.jobs.wait_all(reversed(jobs)))

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await provider.next_calls("sweep")
        (first,) = await rig.finish(jobs[1])
        await provider.next_calls("sweep", 2)
        second = await rig.fail(jobs[2], "no licence")
        await provider.next_calls("sweep", 2)
        assert found == []
        third = await rig.cancel(jobs[0])
    assert found == [second, first, third]


# -- time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.1])
async def test_out_of_time(rig: Rig, client: Client[Any], jobs: list[Job], timeout: float) -> None:
    """After the time, the error holds the job as last seen, and the job goes on."""
    with pytest.raises(WaitTimeout) as caught:
        await client.jobs.wait(jobs[0], timeout=timeout)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.job, error.jobs) == (jobs[0], [jobs[0]])
    assert (error.provider, error.outcome) == (rig.name, Outcome.NOT_DONE)
    assert jobs[0].id in str(error)
    assert f"{timeout:g} s" in str(error)
    assert await client.jobs.get(jobs[0]) == jobs[0]


async def out_of_time(
    provider: Wrapping, clock: Clock, wait: Awaitable[object], looks: int = 2
) -> WaitTimeout:
    """Return the error of a wait for 20 seconds, whose time is over when so many looks have begun."""
    told: list[WaitTimeout] = []

    async def run() -> None:
        with pytest.raises(WaitTimeout) as caught:
            await wait
        told.append(caught.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await provider.next_calls("sweep", looks)
        await clock.skip_waiting(21)
    return told[0]


async def test_out_of_time_with_news(rig: Rig, jobs: list[Job], clock: Clock) -> None:
    """What was seen last is what a look found, not what was given."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        changed = await rig.hand.jobs.update(jobs[0], message="frame 3")
        error = await out_of_time(provider, clock, client.jobs.wait(jobs[0].id, timeout=20))
    assert (error.job, error.jobs) == (changed, [changed])


async def test_out_of_time_for_many(rig: Rig, jobs: list[Job], clock: Clock) -> None:
    """Of many, the error names the first that is not there and holds all, in the order given."""
    provider = rig.wrapped()
    (done,) = await rig.finish(jobs[1])
    async with Client(provider) as client:
        wait = client.jobs.wait_all([jobs[1], jobs[2].id, jobs[0]], timeout=20)
        error = await out_of_time(provider, clock, wait)
    still = f"job {jobs[2].id} is still {jobs[2].state} after 20 s"
    assert str(error) == f"2 of 3 jobs are not there yet: {still}"
    assert error.jobs == [done, jobs[2], jobs[0]]
    assert error.job == jobs[2]


async def test_no_time_is_enough_for_what_has_ended(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Waiting for no time at all is a look: a job that has ended is returned."""
    (done,) = await rig.finish(jobs[0])
    assert await client.jobs.wait(jobs[0], timeout=0) == done


async def test_bad_arguments(rig: Rig, jobs: list[Job]) -> None:
    """A bad timeout or `until` is refused by name before the tracker is looked at."""
    provider = rig.wrapped()
    bad: list[dict[str, Any]] = [
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "1"},
        {"until": set()},
        {"until": {"asleep"}},
        {"until": "done"},
        {"until": 7},
        {"until": _is_done},
    ]
    async with Client(provider) as client:
        for arguments in bad:
            with raises_for(arguments, InvalidRequest, match=next(iter(arguments))):
                await client.jobs.wait(jobs[0], **arguments)
            with raises_for(arguments, InvalidRequest, match=next(iter(arguments))):
                await client.jobs.wait_all(jobs, **arguments)
    assert provider.made["sweep"] == 0


async def _is_done(job: Job) -> bool:
    """What cannot be asked without awaiting, and would always seem to be true."""
    return job.state is JobState.DONE


# -- jobs that go --------------------------------------------------------------------------------------------


@needs("wait", "delete")
async def test_a_job_that_vanishes(rig: Rig, jobs: list[Job]) -> None:
    """A job that is removed while it is waited for is `NotFound`, which names it."""
    provider = rig.wrapped()
    async with Client(provider) as client, anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(NotFound, match=jobs[0].id) as caught:
                await client.jobs.wait(jobs[0])
            assert caught.value.provider == rig.name

        tasks.start_soon(wait)
        await provider.next_calls("sweep")
        await rig.vanish(jobs[0])


@needs("wait", "delete")
async def test_some_of_many_vanish(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Of many, those that are gone are told by index, and the others are waited for."""
    await rig.vanish(jobs[1])
    done = await rig.finish(jobs[0], jobs[2])
    with pytest.raises(BulkError, match=jobs[1].id) as caught:
        await client.jobs.wait_all([jobs[0], jobs[1], "nope", jobs[2]], timeout=30)
    error = caught.value
    assert error.done == done
    assert {index: type(why) for index, why in error.failed.items()} == {1: NotFound, 2: NotFound}
    assert error.provider == rig.name


# -- one look for all ----------------------------------------------------------------------------------------


@pytest.mark.loop_limit(0.5, reason="thousands of waiters are started and woken in one step of the test")
async def test_one_look_a_tick_for_thousands(rig: Rig) -> None:
    """However many wait, the tracker is looked at once a tick, for all of them together."""
    number = scale(rig.crowd, 10 * rig.crowd)
    jobs = await rig.make_jobs(number)
    provider = rig.wrapped()
    looks: list[int] = []
    go = anyio.Event()

    async def look(real: Any, ids: Any, wanted: Any, mark: Any) -> Any:
        looks.append(len(ids))
        if len(looks) == 1:
            await go.wait()  # until all others wait, too
        if len(looks) == 3:
            await rig.finish(*jobs)
        return await real(ids, wanted, mark)

    provider.on["sweep"] = look
    found: list[Job] = []

    async def wait(job: Job) -> None:
        found.append(await client.jobs.wait(job))

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        for index, job in enumerate(jobs):
            tasks.start_soon(wait, job)
            if index % 100 == 0:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        go.set()
    assert {(job.id, job.state) for job in found} == {(job.id, JobState.DONE) for job in jobs}
    assert len(found) == number
    # The first look was for those who came first; then one for the newcomers, and one a tick for all.
    assert len(looks) <= 5
    assert set(looks) <= {looks[0], number - looks[0], number}
    asked = {name for name, _, _ in provider.calls} - {"open", "aclose", "sweep"}
    assert asked == set()


@pytest.mark.parametrize("moment", ["asleep", "looking"])
async def test_the_one_who_drives_is_cancelled(rig: Rig, jobs: list[Job], moment: str) -> None:
    """Whoever drives the looks may leave at any time: another waiter takes over."""
    provider = rig.wrapped()
    looking, held = anyio.Event(), anyio.Event()

    async def look(real: Any, *args: Any) -> Any:
        if moment == "looking" and not held.is_set():
            looking.set()
            await anyio.sleep_forever()
        return await real(*args)

    provider.on["sweep"] = look
    found: list[Job] = []

    async def wait(job: Job) -> None:
        found.append(await client.jobs.wait(job))

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as driving:
            driving.start_soon(wait, jobs[0])
            await anyio.wait_all_tasks_blocked()
            for job in jobs[1:]:
                tasks.start_soon(wait, job)
            if moment == "looking":
                await looking.wait()
            else:
                await provider.next_calls("sweep", 2)
            driving.cancel_scope.cancel()
        held.set()
        done = await rig.finish(*jobs)
    assert sorted(found, key=lambda job: job.id) == sorted(done[1:], key=lambda job: job.id)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_one_who_was_to_drive_is_cancelled(rig: Rig, jobs: list[Job]) -> None:
    """A waiter that is cancelled as it is handed the looks, as asyncio alone can do, hands them on."""
    provider = rig.wrapped()
    scope = anyio.CancelScope()

    async def drive() -> None:
        with scope:
            await client.jobs.wait(jobs[0])
        second.cancel()  # it has been woken, and did not run yet

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(drive)
        await provider.next_calls("sweep")
        second = asyncio.create_task(client.jobs.wait(jobs[1]))
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(client.jobs.wait, jobs[2])
        await anyio.lowlevel.checkpoint()
        scope.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await rig.finish(jobs[2])


async def test_a_newcomer_does_not_wait_for_the_next_look(rig: Rig, jobs: list[Job]) -> None:
    """A job that has ended is told of at once, however long others have to wait for their next look."""
    provider = rig.wrapped()
    provider.watch_interval = 3600
    (done,) = await rig.finish(jobs[1])
    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.jobs.wait, jobs[0])
        await provider.next_calls("sweep")
        assert await client.jobs.wait(jobs[1]) == done
        tasks.cancel_scope.cancel()


async def test_a_waiter_after_another_has_left(rig: Rig, jobs: list[Job]) -> None:
    """Who comes when another has given up is looked for, and not the other."""
    provider = rig.wrapped()
    (done,) = await rig.finish(jobs[1])
    async with Client(provider) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.jobs.wait, jobs[0])
            await provider.next_calls("sweep", 3)
            tasks.cancel_scope.cancel()
        assert await client.jobs.wait(jobs[1]) == done


async def test_waiters_come_and_go(rig: Rig, jobs: list[Job]) -> None:
    """In any order of giving up, those who stay get their job; when nobody waits, nobody looks."""
    provider = rig.wrapped()
    found: list[Job] = []
    scopes: list[anyio.CancelScope] = []

    async def wait(job: Job) -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            found.append(await client.jobs.wait(job))

    async with Client(provider) as client:
        async with anyio.create_task_group() as tasks:
            for index in range(12):
                tasks.start_soon(wait, jobs[index % 3])
                await provider.next_calls("sweep")
            for index in (0, 7, 1, 2, 3, 11, 4, 5):
                scopes[index].cancel()
                await provider.next_calls("sweep")
            done = await rig.finish(*jobs)
        looks = provider.made["sweep"]
        assert sorted(job.id for job in found) == sorted(done[index % 3].id for index in (6, 8, 9, 10))
        await anyio.sleep(0.1)
        assert provider.made["sweep"] == looks
        assert await client.jobs.wait(jobs[0]) == done[0]


async def test_a_waiter_whose_test_fails(rig: Rig, jobs: list[Job]) -> None:
    """An error of one waiter's own test reaches that waiter alone."""
    provider = rig.wrapped()

    async def wait_badly() -> None:
        with pytest.raises(ZeroDivisionError):
            await client.jobs.wait(jobs[0], until=lambda job: 1 // 0 == 1)

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(wait_badly)
        tasks.start_soon(client.jobs.wait, jobs[1])
        await provider.next_calls("sweep", 2)
        await rig.finish(jobs[1])


# -- trouble -------------------------------------------------------------------------------------------------


async def test_trouble_that_passes(rig: Rig, jobs: list[Job], caplog: pytest.LogCaptureFixture) -> None:
    """A tracker that is down for a while is waited for: one warning, and the job's end in the end."""
    provider = rig.wrapped()
    provider.watch_interval = 0.001
    troubles = 4

    async def look(real: Any, *args: Any) -> Any:
        nonlocal troubles
        troubles -= 1
        if troubles >= 0:
            raise Unavailable("starting up")
        return await real(*args)

    provider.on["sweep"] = look
    (done,) = await rig.finish(jobs[0])
    async with Client(provider) as client:
        assert await client.jobs.wait(jobs[0]) == done
        assert troubles == -1
        # It is over, and the next one is another.
        with pytest.raises(WaitTimeout) as caught:
            await client.jobs.wait(jobs[1], timeout=0)
        assert caught.value.__cause__ is None
        troubles = 2
        (done,) = await rig.finish(jobs[1])
        assert await client.jobs.wait(jobs[1]) == done
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name.partition(".")[0] for record in warnings] == ["callsheet"] * 2
    assert ["starting up" in record.getMessage() for record in warnings] == [True] * 2


async def test_pauses_grow_in_trouble(rig: Rig, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker in trouble is asked less and less often, up to a longest pause."""
    monkeypatch.setattr("callsheet._watching.MAX_PAUSE", 0.005)
    provider = rig.wrapped()
    provider.watch_interval = 0.001
    pauses: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        pauses.append((low, high))
        return low

    async def look(real: Any, *args: Any) -> Any:
        if len(pauses) < 4:
            raise Unavailable("starting up")
        return await real(*args)

    monkeypatch.setattr("callsheet._watching.random.uniform", uniform)
    provider.on["sweep"] = look
    (done,) = await rig.finish(jobs[0])
    async with Client(provider) as client:
        assert await client.jobs.wait(jobs[0]) == done
    assert pauses[:4] == [(0.001, 0.002), (0.002, 0.004), (0.0025, 0.005), (0.0025, 0.005)]


async def test_a_tracker_that_asks_for_patience(rig: Rig, jobs: list[Job], clock: Clock) -> None:
    """A tracker that says when to come back is left alone until then."""
    provider = rig.wrapped()
    troubles: list[RateLimited] = []

    async def look(real: Any, *args: Any) -> Any:
        if not troubles:
            troubles.append(RateLimited("slow down", retry_after=30))
            raise troubles[0]
        return await real(*args)

    provider.on["sweep"] = look
    (done,) = await rig.finish(jobs[0])
    found: list[Job] = []

    async def wait() -> None:
        found.append(await client.jobs.wait(jobs[0]))

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await clock.skip_waiting(15)
        await anyio.wait_all_tasks_blocked()
        assert provider.made["sweep"] == 1
        await clock.skip_waiting(16)
    assert found == [done]


async def test_trouble_until_the_time_is_over(rig: Rig, jobs: list[Job], clock: Clock) -> None:
    """A tracker that is down for too long is a timeout, with the trouble as its cause."""
    provider = rig.wrapped()

    async def look(real: Any, *args: Any) -> Any:
        raise Unavailable("starting up")

    provider.on["sweep"] = look
    async with Client(provider) as client:
        error = await out_of_time(provider, clock, client.jobs.wait(jobs[0], timeout=20), looks=1)
    assert isinstance(error.__cause__, Unavailable)
    assert error.jobs == [jobs[0]]


async def test_trouble_that_stays(rig: Rig, jobs: list[Job]) -> None:
    """An error that waiting cannot cure reaches every waiter at once, and ends nobody else's later wait."""
    provider = rig.wrapped()

    async def look(real: Any, *args: Any) -> Any:
        raise Denied("your key was withdrawn")

    provider.on["sweep"] = look
    told: list[str] = []

    async def wait(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(Denied, match="withdrawn") as caught:
            await call()
        told.append(str(caught.value.provider))

    async with Client(provider) as client:
        async with anyio.create_task_group() as tasks:
            for job in jobs:
                tasks.start_soon(wait, lambda job=job: client.jobs.wait(job))
            tasks.start_soon(wait, lambda: client.jobs.wait_all(jobs))
        assert told == [rig.name] * 4
        del provider.on["sweep"]
        done = await rig.finish(*jobs)
        assert await client.jobs.wait_all(jobs) == done
