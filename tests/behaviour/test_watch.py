"""Watching jobs: by name until they have ended, by filter for good; states may be merged, ends never."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime
from typing import Any

import anyio
import pytest

from callsheet import (
    Client,
    Denied,
    InvalidRequest,
    Job,
    JobChange,
    JobState,
    NewJob,
    NotFound,
    Unavailable,
    Watch,
)
from rig import Rig
from support import scale
from support.clocks import Clock
from support.needs import needs
from support.tables import ends_with, raises_for

Seen = list[JobChange]


async def to_the_end(watch: Watch) -> Seen:
    """Read a watch until it ends."""
    return [change async for change in watch]


@pytest.fixture
async def jobs(rig: Rig) -> list[Job]:
    """Three jobs that run."""
    return [await rig.start(job) for job in await rig.make_jobs(3)]


# -- named jobs ----------------------------------------------------------------------------------------------


async def test_from_the_first_look_to_the_end(rig: Rig, jobs: list[Job]) -> None:
    """A watch tells what a job is at first, then each change that a look finds, up to its end."""
    provider = rig.wrapped()
    seen: Seen = []

    async def watch() -> None:
        async for change in client.jobs.watch(jobs[0]):
            seen.append(change)

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await provider.next_calls("sweep", 2)
        paused = await rig.hand.jobs.update(jobs[0], state=JobState.PAUSED, message="no licence")
        await provider.next_calls("sweep", 2)
        (done,) = await rig.finish(jobs[0])
    assert seen == [JobChange(None, jobs[0]), JobChange(jobs[0], paused), JobChange(paused, done)]


async def test_a_job_that_has_ended(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A job that has ended is told once, by itself or its id, and the watch is over; also when read again."""
    failed = await rig.fail(jobs[0], "no licence")
    watch = client.jobs.watch(jobs[0].id, jobs[0])
    assert await to_the_end(watch) == [JobChange(None, failed)]
    assert await to_the_end(watch) == []


async def test_many_jobs(rig: Rig, client: Client[Any]) -> None:
    """Each of many jobs is told of, and the watch ends with the last."""
    jobs = await rig.make_jobs(30)
    await rig.finish(*jobs)
    done = await client.jobs.get_many(jobs)
    seen = await to_the_end(client.jobs.watch(*jobs))
    assert {change.current for change in seen} == set(done)
    assert [change.previous for change in seen] == [None] * 30


async def test_merged_states(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """However much happens between two reads, what is told fits together, and the end is there."""
    other = rig.wrapped()
    watch = client.jobs.watch(jobs[0])
    first = await anext(watch)
    async with Client(other) as driver, anyio.create_task_group() as tasks:
        # Another watch of the same client would look, too; nobody reads this one meanwhile.
        tasks.start_soon(driver.jobs.wait, jobs[0])
        for index in range(5):
            await rig.hand.jobs.update(jobs[0], message=f"frame {index}")
        (done,) = await rig.finish(jobs[0])
    assert [first, *await to_the_end(watch)] == [JobChange(None, jobs[0]), JobChange(jobs[0], done)]


async def test_states_between_looks_are_merged_for_a_slow_reader(rig: Rig, jobs: list[Job]) -> None:
    """While another waiter drives the looks, a slow reader's news are merged, but not past an end."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        slow = client.jobs.watch(jobs[0], jobs[1])
        first = {change.current for change in [await anext(slow), await anext(slow)]}
        assert first == {jobs[0], jobs[1]}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.jobs.wait, jobs[2])
            for index in range(3):
                last = await rig.hand.jobs.update(jobs[1], message=f"frame {index}")
                await provider.next_calls("sweep", 2)
            (done,) = await rig.finish(jobs[0])
            await provider.next_calls("sweep", 2)
            again = await rig.start(jobs[0])
            await provider.next_calls("sweep", 2)
            await rig.finish(jobs[2])
        told = [await anext(slow) for _ in range(2)]
        assert sorted(told, key=lambda change: change.current != done) == [
            JobChange(jobs[0], done),
            JobChange(jobs[1], last),
        ]
        assert again.state is JobState.RUNNING
        (final,) = await rig.finish(jobs[1])
        assert await to_the_end(slow) == [JobChange(last, final)]


@needs("watch", "delete")
async def test_a_job_that_vanishes(rig: Rig, jobs: list[Job]) -> None:
    """A job that is removed is told once as gone, and counts as over."""
    provider = rig.wrapped()
    seen: Seen = []

    async def watch() -> None:
        async for change in client.jobs.watch(jobs[0]):
            seen.append(change)

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await provider.next_calls("sweep", 2)
        await rig.vanish(jobs[0])
    assert seen == [JobChange(None, jobs[0]), JobChange(jobs[0], None)]


async def test_a_job_that_is_not_there(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A job that never was is `NotFound` by its name, once; the watch goes on with the others."""
    (done,) = await rig.finish(jobs[0])
    watch = client.jobs.watch("nope", jobs[0])
    seen: Seen = []
    missing: list[str] = []
    for _ in range(2):
        try:
            seen.append(await anext(watch))
        except NotFound as error:
            missing.append(f"{error.provider}: {error}")
    assert seen == [JobChange(None, done)]
    assert missing == [f"{rig.name}: there is no job 'nope'"]
    assert await to_the_end(watch) == []


async def test_two_watches_of_one_job(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Two watches of a job are told the same, whichever of them looks."""
    seen: dict[int, Seen] = defaultdict(list)

    async def watch(number: int) -> None:
        async for change in client.jobs.watch(jobs[0]):
            seen[number].append(change)
            told.set()

    told = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, 1)
        tasks.start_soon(watch, 2)
        await told.wait()
        (done,) = await rig.finish(jobs[0])
    for number in (1, 2):
        assert seen[number][-1].current == done
        assert seen[number][0].previous is None


async def test_nothing_is_asked_before_it_is_read(rig: Rig, jobs: list[Job]) -> None:
    """Making a watch asks the tracker nothing, and leaving it stops the looks."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        watch = client.jobs.watch(jobs[0])
        await anyio.sleep(0.05)
        assert provider.made["sweep"] == 0
        async for _ in watch:
            break
        looks = provider.made["sweep"]
        await anyio.sleep(0.1)
        assert provider.made["sweep"] == looks >= 1
        (done,) = await rig.finish(jobs[0])
        assert await to_the_end(watch) == [JobChange(jobs[0], done)]


@pytest.mark.parametrize("seed", range(scale(3, 30)))
async def test_what_is_told_fits_together(rig: Rig, seed: int) -> None:
    """Under random changes, each job's changes form a chain from its first state to its end."""
    dice = random.Random(seed)
    jobs = await rig.make_jobs(10)
    provider = rig.wrapped()
    provider.watch_interval = 0.001
    chains: dict[str, Seen] = defaultdict(list)

    async def watch() -> None:
        async for change in client.jobs.watch(*jobs):
            assert change.current is not None
            chains[change.current.id].append(change)
            if dice.random() < 0.3:
                await anyio.sleep(0.002)

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        running = list(jobs)
        while running:
            job = dice.choice(running)
            if dice.random() < 0.2:
                await rig.finish(job)
                running.remove(job)
            else:
                await rig.hand.jobs.update(job, message=str(dice.random()))
    final = {job.id: job for job in await rig.hand.jobs.get_many(jobs) if job is not None}
    assert {id_: chain[-1].current for id_, chain in chains.items()} == final
    for chain in chains.values():
        assert [change.previous for change in chain] == [None, *(change.current for change in chain[:-1])]
        assert all(change.previous != change.current for change in chain)


# -- by filter -----------------------------------------------------------------------------------------------


class Collected:
    """What a watch tells, in a task of its own until it is stopped."""

    def __init__(self, watch: Watch) -> None:
        self.seen: Seen = []
        self.scope = anyio.CancelScope()
        self._watch = watch
        self._told = anyio.Event()

    async def run(self) -> None:
        with self.scope:
            async for change in self._watch:
                self.seen.append(change)
                self._told.set()
                self._told = anyio.Event()

    async def of(self, job: Job, *, gone: bool = False) -> JobChange:
        """Return the change that tells of this very state of the job, or that it is gone."""
        while True:
            for change in self.seen:
                if change.previous == job and change.current is None if gone else change.current == job:
                    return change
            await self._told.wait()


async def test_what_matches_now_and_later(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A filter finds what matches at first, newcomers, and those that come to match; never the others."""
    other = await rig.make_job("other", user=rig.users[0])
    collected = Collected(client.jobs.watch(user=rig.user, states=[JobState.RUNNING]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collected.run)
        assert {(await collected.of(job)).previous for job in jobs} == {None}
        queued = await rig.make_job("new")
        running = await rig.start(queued)
        assert (await collected.of(running)).previous is None
        await rig.start(other)
        changed = await rig.hand.jobs.update(running, message="frame 1")
        assert (await collected.of(changed)).previous == running
        collected.scope.cancel()
    assert {change.current.user for change in collected.seen if change.current} == {rig.user}
    assert len(collected.seen) == 5


async def test_what_leaves_the_filter(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A job that stops matching is told of once more: its end is never missed; and again if it comes back."""
    collected = Collected(client.jobs.watch(states={JobState.RUNNING}))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collected.run)
        for job in jobs:
            await collected.of(job)
        failed = await rig.fail(jobs[0], "no licence")
        assert (await collected.of(failed)).previous == jobs[0]
        paused = await rig.hand.jobs.update(jobs[1], state=JobState.PAUSED)
        assert (await collected.of(paused)).previous == jobs[1]
        await rig.hand.jobs.update(jobs[1], message="still waiting")
        again = await rig.start(jobs[1])
        assert (await collected.of(again)).previous is None
        (done,) = await rig.finish(jobs[1])
        assert (await collected.of(done)).previous == again
        collected.scope.cancel()
    assert len(collected.seen) == 3 + 4


async def test_an_end_is_told_to_a_slow_reader_of_a_filter(rig: Rig, jobs: list[Job]) -> None:
    """A job that ended and was taken up again before its news are read is told of twice, first as ended."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        slow = client.jobs.watch(user=rig.user)
        assert {(await anext(slow)).current for _ in jobs} == set(jobs)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.jobs.wait, jobs[2])
            (done,) = await rig.finish(jobs[0])
            await provider.next_calls("sweep", 2)
            again = await rig.start(jobs[0])
            await provider.next_calls("sweep", 2)
            await rig.finish(jobs[2])
        assert [await anext(slow) for _ in range(2)] == [JobChange(jobs[0], done), JobChange(done, again)]


@needs("watch", "delete", "list(user=)")
async def test_what_vanishes_from_the_filter(
    rig: Rig, client: Client[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matching job that is removed is told of as gone, and makes room for another."""
    monkeypatch.setattr("callsheet._watching.MAX_JOBS", 1)
    job = await rig.make_job(user=rig.users[0])
    collected = Collected(client.jobs.watch(user=rig.users[0]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collected.run)
        await collected.of(job)
        await rig.vanish(job)
        await collected.of(job, gone=True)
        other = await rig.make_job(user=rig.users[0])
        await collected.of(other)
        collected.scope.cancel()
    assert collected.seen == [JobChange(None, job), JobChange(job, None), JobChange(None, other)]


async def test_a_filter_that_finds_nothing_goes_on(rig: Rig, client: Client[Any]) -> None:
    """A watch by filter does not end by itself."""
    collected = Collected(client.jobs.watch(user=rig.users[0]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collected.run)
        await anyio.sleep(0.1)
        assert collected.seen == []
        job = await rig.make_job(user=rig.users[0])
        assert (await collected.of(job)).previous is None
        (done,) = await rig.finish(job)
        assert (await collected.of(done)).previous == job
        newer = await rig.make_job(user=rig.users[0])
        await collected.of(newer)
        collected.scope.cancel()


async def test_a_burst_between_two_looks(rig: Rig) -> None:
    """Jobs that come and end between two looks are told of with their end, all of them."""
    provider = rig.wrapped()
    async with Client(provider) as client, anyio.create_task_group() as tasks:
        collected = Collected(client.jobs.watch(user=rig.user))
        tasks.start_soon(collected.run)
        await provider.next_calls("sweep", 2)
        made = await rig.hand.jobs.create_many([NewJob(name=f"job {index}") for index in range(100)])
        ended = await rig.finish(*made)
        for job in ended:
            await collected.of(job)
        collected.scope.cancel()
    last = {change.current.id: change.current for change in collected.seen if change.current}
    assert last == {job.id: job for job in ended}


async def test_watches_by_name_and_filter_together(rig: Rig, jobs: list[Job]) -> None:
    """All watches of a client share each look, whatever they watch."""
    provider = rig.wrapped()
    async with Client(provider) as client, anyio.create_task_group() as tasks:
        named = Collected(client.jobs.watch(jobs[0]))
        filtered = Collected(client.jobs.watch(states={JobState.RUNNING}))
        tasks.start_soon(named.run)
        tasks.start_soon(filtered.run)
        tasks.start_soon(client.jobs.wait, jobs[1])
        await filtered.of(jobs[2])
        await provider.next_calls("sweep")
        looks = provider.made["sweep"]
        done = await rig.finish(*jobs)
        for job in done:
            await filtered.of(job)
        assert provider.made["sweep"] - looks <= 3
        filtered.scope.cancel()
    assert [change.current for change in named.seen] == [jobs[0], done[0]]
    ids, filters, _ = provider.arguments("sweep")[looks - 1]
    assert set(ids) == {job.id for job in jobs}
    assert len(list(filters)) == 1


async def test_more_jobs_than_can_be_followed(
    rig: Rig, client: Client[Any], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that too many jobs match is an error that says so, not a watch without bounds."""
    monkeypatch.setattr("callsheet._watching.MAX_JOBS", 2)
    watch = client.jobs.watch(user=rig.user)
    with ends_with(InvalidRequest) as caught:
        for _ in jobs:
            await anext(watch)
    assert "more than 2 jobs match" in str(caught.value)


# -- trouble, and what makes no sense ------------------------------------------------------------------------


async def test_trouble_that_passes(rig: Rig, jobs: list[Job]) -> None:
    """A watch outlives a tracker that is down for a while, and misses no end over it."""
    provider = rig.wrapped()
    provider.watch_interval = 0.001
    async with Client(provider) as client:
        watch = client.jobs.watch(jobs[0])
        assert await anext(watch) == JobChange(None, jobs[0])
        troubles = 3

        async def look(real: Any, *args: Any) -> Any:
            nonlocal troubles
            troubles -= 1
            if troubles >= 0:
                raise Unavailable("restarting")
            return await real(*args)

        provider.on["sweep"] = look
        (done,) = await rig.finish(jobs[0])
        assert await to_the_end(watch) == [JobChange(jobs[0], done)]
    assert troubles == -1


async def test_trouble_that_stays(rig: Rig, jobs: list[Job]) -> None:
    """Any other error is raised, and the watch may be gone on with: nothing is lost."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        watch = client.jobs.watch(jobs[0])
        assert await anext(watch) == JobChange(None, jobs[0])

        async def look(real: Any, *args: Any) -> Any:
            del provider.on["sweep"]
            raise Denied("your key was withdrawn")

        provider.on["sweep"] = look
        with pytest.raises(Denied, match="withdrawn") as caught:
            await anext(watch)
        assert caught.value.provider == rig.name
        (done,) = await rig.finish(jobs[0])
        assert await to_the_end(watch) == [JobChange(jobs[0], done)]


async def test_trouble_that_stays_is_told_once(rig: Rig, jobs: list[Job]) -> None:
    """However often looks fail while nobody reads a watch, it tells so once, and then goes on."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        watch = client.jobs.watch(jobs[0])
        assert await anext(watch) == JobChange(None, jobs[0])
        provider.on["sweep"] = refuse
        for _ in range(3):
            with pytest.raises(Denied):
                await client.jobs.wait(jobs[1])
        del provider.on["sweep"]
        (done,) = await rig.finish(jobs[0])
        with pytest.raises(Denied):
            await anext(watch)
        assert await to_the_end(watch) == [JobChange(jobs[0], done)]


async def refuse(real: Any, *args: Any) -> Any:
    """Refuse to look."""
    raise Denied("your key was withdrawn")


async def test_a_watch_that_was_refused_gives_the_tracker_its_rest(
    rig: Rig, jobs: list[Job], clock: Clock
) -> None:
    """Whoever goes on reading after an error does not make the tracker be asked again before its time."""
    provider = rig.wrapped()
    provider.watch_interval = 30
    provider.on["sweep"] = refuse
    told: list[Denied] = []

    async def read() -> None:
        with pytest.raises(Denied) as caught:
            await anext(watch)
        told.append(caught.value)

    async with Client(provider) as client:
        watch = client.jobs.watch(jobs[0])
        await read()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert (provider.made["sweep"], len(told)) == (1, 1)
            await clock.skip_waiting(31)
    assert (provider.made["sweep"], len(told)) == (2, 2)


async def test_each_look_begins_where_the_last_one_ended(rig: Rig, jobs: list[Job]) -> None:
    """After a first look at all, a tracker is asked for what has changed since the last look."""
    provider = rig.wrapped()
    looks: list[tuple[Any, Any]] = []

    async def look(real: Any, ids: Any, wanted: Any, mark: Any) -> Any:
        found = await real(ids, wanted, mark)
        looks.append((mark, found.mark))
        return found

    provider.on["sweep"] = look
    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.jobs.wait, jobs[0])
        await provider.next_calls("sweep", 4)
        await rig.finish(jobs[0])
    given, got = zip(*looks, strict=True)
    assert given == (None, *got[:-1])


async def test_what_happens_between_the_looks_of_a_newcomer(rig: Rig, jobs: list[Job]) -> None:
    """What changes after a newcomer's first look, and is found by everybody's next one, is not lost on it."""
    provider = rig.wrapped()
    done: list[Job] = []

    async def look(real: Any, ids: Any, wanted: Any, mark: Any) -> Any:
        found = await real(ids, wanted, mark)
        if mark is None and jobs[0].id in ids and not done:
            done.extend(await rig.finish(jobs[0]))
        return found

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.jobs.wait, jobs[1])
        await provider.next_calls("sweep", 2)
        provider.on["sweep"] = look
        seen = await to_the_end(client.jobs.watch(jobs[0]))
        await rig.finish(jobs[1])
    assert [change.current for change in seen][-1:] == done


async def test_trouble_at_the_first_look_of_a_newcomer(rig: Rig, jobs: list[Job]) -> None:
    """A newcomer whose first look fails is looked at again, though nothing has changed since then."""
    provider = rig.wrapped()
    provider.watch_interval = 0.001
    troubles: list[Unavailable] = []

    async def look(real: Any, ids: Any, *args: Any) -> Any:
        if jobs[0].id in ids and not troubles:
            troubles.append(Unavailable("restarting"))
            raise troubles[0]
        return await real(ids, *args)

    provider.on["sweep"] = look
    (done,) = await rig.finish(jobs[0])
    async with Client(provider) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.jobs.wait, jobs[1])
        await provider.next_calls("sweep", 2)
        assert await to_the_end(client.jobs.watch(jobs[0])) == [JobChange(None, done)]
        await rig.finish(jobs[1])
    assert len(troubles) == 1


async def test_a_look_that_is_cancelled_loses_nothing(rig: Rig, jobs: list[Job]) -> None:
    """A reader cancelled while it looks goes on later, with what has happened since."""
    provider = rig.wrapped()
    scope = anyio.CancelScope()

    async def look(real: Any, *args: Any) -> Any:
        found = await real(*args)
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        return found

    async with Client(provider) as client:
        watch = client.jobs.watch(jobs[0])
        assert await anext(watch) == JobChange(None, jobs[0])
        changed = await rig.hand.jobs.update(jobs[0], message="frame 1")
        provider.on["sweep"] = look
        with scope:
            await anext(watch)
        assert scope.cancelled_caught
        del provider.on["sweep"]
        assert await anext(watch) == JobChange(jobs[0], changed)


async def test_what_makes_no_sense(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A watch of nothing, of both jobs and a filter, or by a bad filter is refused when it is made."""
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "give either jobs or a filter"),
        ({"newest_first": False}, "newest_first"),
        ({"page_size": 5}, "page_size"),
        ({"states": {"asleep"}}, "asleep"),
        ({"user": ""}, "user"),
        ({"created_after": datetime(2026, 1, 1)}, "created_after"),
    ]
    for arguments, complaint in bad:
        with raises_for(arguments, InvalidRequest, match=complaint):
            client.jobs.watch(**arguments)
    with pytest.raises(InvalidRequest, match="give either jobs or a filter"):
        client.jobs.watch(jobs[0], user="bob")
    with pytest.raises(InvalidRequest, match="job must be a Job or its id, not list"):
        client.jobs.watch(jobs)  # type: ignore[arg-type]  # the test is about this


@needs("watch", "create")
async def test_a_watch_is_read_by_one_task(rig: Rig, client: Client[Any]) -> None:
    """Two tasks that read one watch would each miss what the other gets: the second is refused."""
    job = await client.jobs.create("render")
    watch = client.jobs.watch(job)
    assert (await anext(watch)).current == await client.jobs.get(job)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, watch)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(InvalidRequest, match="one task"):
            await anext(watch)
        tasks.cancel_scope.cancel()
