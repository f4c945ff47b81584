"""Deadline's listings, counts and watches: nothing lost or doubled, in few requests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from callsheet import Client, InvalidCursor, InvalidRequest, Job, JobState, NotFound, Unsupported
from callsheet._http._retry import Retry
from callsheet.abc import JobFilter, Position
from callsheet.providers.deadline import DeadlineProvider, _batches, _finding, _pace
from callsheet.providers.deadline._pace import Pace
from callsheet.sandbox import Sandbox
from support import scale
from support.deadlinehand import ARN, FARM, QUEUE, TEMPLATE
from support.tables import raises_for

Deadline = Client[DeadlineProvider]


def searches(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the searches so far."""
    return [json.loads(request.body) for request in sandbox.requests("*/search/jobs")]


def ids_of(jobs: Iterable[Job]) -> list[str]:
    """Return the ids of jobs."""
    return [job.id for job in jobs]


# -- paging --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("size", [7, 100])
async def test_jobs_of_one_instant(
    client: Deadline, sandbox: Sandbox, size: int, *, newest_first: bool
) -> None:
    """However many jobs one instant has, each is listed once, in hardly more requests than pages."""
    sandbox.clock.freeze()
    before = sandbox.act("deadline", "make", number=3)["jobs"]
    sandbox.clock.advance(1)
    same = sandbox.act("deadline", "make", number=150)["jobs"]
    sandbox.clock.advance(1)
    after = sandbox.act("deadline", "make", number=3)["jobs"]
    sandbox.forget_requests()
    listed = ids_of(await client.jobs.list(newest_first=newest_first, page_size=size).collect())
    assert sorted(listed) == sorted([*before, *same, *after])
    assert sorted(listed[3:-3]) == sorted(same)
    assert set(listed[:3]) == set(after if newest_first else before)
    assert len(searches(sandbox)) <= 156 // size + 2


async def test_an_instant_from_which_jobs_leave(client: Deadline, sandbox: Sandbox) -> None:
    """Jobs that stop matching between two pages of one instant let no other be missed or told twice."""
    sandbox.clock.freeze()
    ids = sandbox.act("deadline", "make", number=60)["jobs"]
    dice = random.Random(7)
    left, gone, seen = set(ids), set(), []
    async for job in client.jobs.list(states={JobState.QUEUED}, page_size=10):
        seen.append(job.id)
        if dice.random() < 0.4:
            leaving = dice.choice(sorted(left))
            left.discard(leaving)
            gone.add(leaving)
            sandbox.act("deadline", "finish", job=leaving)
    assert len(seen) == len(set(seen))
    assert left <= set(seen)
    assert gone


async def test_newcomers_shift_nothing(client: Deadline, sandbox: Sandbox) -> None:
    """Jobs that are made while a listing runs neither hide others nor show any twice."""
    ids = sandbox.act("deadline", "make", number=30)["jobs"]
    seen = []
    async for job in client.jobs.list(page_size=5):
        seen.append(job.id)
        sandbox.act("deadline", "make", number=2)
    assert sorted(seen) == sorted(ids)


async def test_a_place_too_far_inside_an_instant(client: Deadline) -> None:
    """Behind more than 10,000 jobs of one instant Deadline cannot go on, and the cursor says so."""
    place = Position("2026-01-01T00:00:00+00:00", tuple(f"job-{index:032x}" for index in range(10_001)))
    with pytest.raises(InvalidCursor, match="more than 10000 jobs were made in one instant"):
        await client.provider.page_jobs(JobFilter(), after=place, size=10)


async def test_a_page_is_thin_and_says_so(client: Deadline, sandbox: Sandbox) -> None:
    """A search does not tell the description; the job says that it is missing, and asking for it fills it."""
    job = await client.jobs.create("x", template=TEMPLATE, description="two shots")
    sandbox.forget_requests()
    listed = await client.jobs.list().first()
    assert listed is not None
    assert (listed.description, listed.missing) == ("", frozenset({"description"}))
    assert len(sandbox.requests()) == 1
    assert await client.jobs.get(listed) == job
    assert client.provider.details(listed).queue_id == QUEUE
    assert client.provider.details(listed).parameters == {}


async def test_the_largest_page_is_asked_for(client: Deadline, sandbox: Sandbox) -> None:
    """A listing asks for a hundred at a time, and for nothing else."""
    sandbox.act("deadline", "make", number=250)
    sandbox.forget_requests()
    assert len(await client.jobs.list().collect()) == 250
    assert len(sandbox.requests()) == len(searches(sandbox)) == 3


# -- filters -------------------------------------------------------------------------------------------------

ODD: dict[str, dict[str, str]] = {
    "create failed": {"lifecycleStatus": "CREATE_FAILED", "taskRunStatus": "PENDING"},
    "upload failed": {"lifecycleStatus": "UPLOAD_FAILED"},
    "coming": {"lifecycleStatus": "CREATE_IN_PROGRESS"},
    "not compatible": {"taskRunStatus": "NOT_COMPATIBLE"},
    "archived": {"lifecycleStatus": "ARCHIVED", "taskRunStatus": "READY"},
    "archived, done": {"lifecycleStatus": "ARCHIVED", "taskRunStatus": "SUCCEEDED"},
    "starting": {"taskRunStatus": "STARTING"},
    "suspended": {"taskRunStatus": "SUSPENDED"},
    "cancelled": {"taskRunStatus": "CANCELED"},
    "scheduled": {"taskRunStatus": "SCHEDULED"},
    "failed": {"taskRunStatus": "FAILED"},
    "napping": {"taskRunStatus": "NAPPING"},
}


async def test_filters_and_counts_tell_states_apart(client: Deadline, sandbox: Sandbox) -> None:
    """For any set of states, what is listed is what has one of them, and what is counted is that many."""
    for name, members in ODD.items():
        (id_,) = sandbox.act("deadline", "make", name=name)["jobs"]
        sandbox.act("deadline", "change", job=id_, members=members)
    everything = await client.jobs.list().collect()
    states = {job.name: job.state for job in everything}
    assert states == {
        "create failed": JobState.FAILED,
        "upload failed": JobState.FAILED,
        "coming": JobState.QUEUED,
        "not compatible": JobState.FAILED,
        "archived": JobState.CANCELLED,
        "archived, done": JobState.DONE,
        "starting": JobState.RUNNING,
        "suspended": JobState.PAUSED,
        "cancelled": JobState.CANCELLED,
        "scheduled": JobState.QUEUED,
        "failed": JobState.FAILED,
        "napping": JobState.UNKNOWN,
    }
    dice = random.Random(3)
    wishes = [{state} for state in JobState] + [set(dice.sample(list(JobState), 3)) for _ in range(8)]
    for wanted in (*wishes, set(), set(JobState)):
        listed = await client.jobs.list(states=wanted).collect()
        assert {job.name for job in listed} == {name for name, state in states.items() if state in wanted}
        assert await client.jobs.count(states=wanted) == len(listed), wanted


async def test_every_filter_at_once(client: Deadline, sandbox: Sandbox) -> None:
    """All that can be asked for fits into one search, and counts agree."""
    names = ["Shot", "Take", "Layer", "Eye"]
    template = {**TEMPLATE, "parameterDefinitions": [{"name": name, "type": "STRING"} for name in names]}
    made = []
    for index in range(12):
        sandbox.clock.advance(1)
        values = dict(zip(names, ["sh010", str(index % 2), "beauty", str(index % 3)], strict=True))
        made.append(await client.jobs.create(f"job {index}", template=template, parameters=values))
    wanted: dict[str, Any] = {
        "states": {JobState.QUEUED, JobState.UNKNOWN},
        "user": f"{ARN}sandbox",
        "created_after": made[2].created_at,
        "created_before": made[10].created_at,
    }
    for attributes in ({"Shot": "sh010"}, dict(zip(names, ["sh010", "0", "beauty", "1"], strict=True))):
        expected = [job.id for job in made[2:10] if attributes.items() <= job.attributes.items()]
        assert expected
        for newest_first in (True, False):
            listing = client.jobs.list(
                **wanted, attributes=attributes, page_size=1, newest_first=newest_first
            )
            assert ids_of(await listing.collect()) == (expected[::-1] if newest_first else expected)
        assert await client.jobs.count(**wanted, attributes=attributes) == len(expected)
    for search in searches(sandbox):
        groups = search.get("filterExpressions", {"filters": []})["filters"]
        assert len(groups) <= 3
        inner = [one["groupFilter"]["filters"] for one in groups if "groupFilter" in one]
        assert all(len(one) <= 3 and not any("groupFilter" in deep for deep in one) for one in inner)


async def test_attributes_that_no_job_can_have(client: Deadline, sandbox: Sandbox) -> None:
    """Parameters are texts: what is none is found nowhere; what cannot be asked for is refused."""
    await client.jobs.create("x", template=TEMPLATE)
    sandbox.forget_requests()
    for value in (1, True, None, {"a": 1}):
        assert await client.jobs.list(attributes={"v": value}).collect() == []
        assert await client.jobs.count(attributes={"v": value}) == 0
    assert sandbox.requests() == []
    with pytest.raises(Unsupported, match="list"):
        await client.jobs.list(attributes={"v": ["a"]}).collect()
    for text in ("", "x" * 257):
        with raises_for(text, InvalidRequest, match="1 to 256 characters"):
            await client.jobs.list(attributes={"v": text}).collect()


async def test_a_count_beyond_the_window(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More jobs than Deadline counts at once are counted by spans of their creation, exactly."""
    monkeypatch.setattr(_finding, "WINDOW", 20)
    sandbox.clock.freeze()
    for number in (5, 12, 1, 19, 7):
        sandbox.act("deadline", "make", number=number)
        sandbox.clock.advance(3600 * number)
    assert await client.jobs.count() == 44
    assert await client.jobs.count(states={JobState.QUEUED}) == 44
    assert await client.jobs.count(states={JobState.DONE}) == 0
    sandbox.act("deadline", "make", number=25)
    with pytest.raises(Unsupported, match="made in one instant"):
        await client.jobs.count()


async def test_the_cap_of_a_search(client: Deadline, sandbox: Sandbox) -> None:
    """Where Deadline says no more than 10,000, the count is exact nonetheless."""
    sandbox.clock.freeze()
    at_once = scale(10, 1000)
    for _ in range(12):
        sandbox.act("deadline", "make", number=at_once)
        sandbox.clock.advance(1)
    assert await client.jobs.count() == 12 * at_once


# -- watching ------------------------------------------------------------------------------------------------


async def test_a_sweep_is_one_request_for_a_hundred(client: Deadline, sandbox: Sandbox) -> None:
    """Waiting for thousands of jobs asks for a hundred in a request, look after look."""
    number = scale(1000, 5000)
    ids = sandbox.act("deadline", "make", number=number)["jobs"]
    sandbox.forget_requests()
    await client.provider.sweep(ids, [], None)
    assert len(sandbox.requests("/2023-10-12/batch-get-job")) == -(-number // 100)
    assert len(sandbox.requests()) == -(-number // 100)
    print(f"{number} jobs: {-(-number // 100)} requests a sweep")


async def test_what_came_before_is_not_read_again(client: Deadline, sandbox: Sandbox) -> None:
    """A look tells of no job whose hundred is as it was; of one that changed, or went, it tells."""
    sandbox.clock.freeze()
    ids = sorted(sandbox.act("deadline", "make", number=150)["jobs"])
    first = await client.provider.sweep(ids, [], None)
    assert sorted(first.jobs) == ids
    second = await client.provider.sweep(ids, [], first.mark)
    assert second.jobs == {}
    sandbox.act("deadline", "start", job=ids[120])
    sandbox.act("deadline", "vanish", job=ids[130])
    third = await client.provider.sweep(ids, [], second.mark)
    assert third.jobs == dict(zip(ids[100:], await client.provider.get_jobs(ids[100:]), strict=True))
    assert (third.jobs[ids[120]], third.jobs[ids[130]]) != (first.jobs[ids[120]], first.jobs[ids[130]])
    assert third.jobs[ids[130]] is None
    # An older mark: whatever has changed since then is told.
    assert (await client.provider.sweep(ids, [], first.mark)).jobs == third.jobs
    assert (await client.provider.sweep(ids, [], third.mark)).jobs == {}
    # Others in one hundred make another answer.
    assert sorted((await client.provider.sweep(ids[1:101], [], third.mark)).jobs) == ids[1:101]


async def test_a_job_that_is_refused_for_now_is_no_answer(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that leaves a job for later says nothing of it, however often it comes."""
    monkeypatch.setattr(_batches, "PAUSE", 0.001)
    ids = sandbox.act("deadline", "make", number=3)["jobs"]
    looks = [await client.provider.sweep(ids, [], None)]
    for _ in range(2):
        sandbox.act("deadline", "refuse", job=ids[1], code="InternalServerErrorException", times=1)
        looks.append(await client.provider.sweep(ids, [], looks[-1].mark))
    # At last, what was said when it was asked for again, alone, comes again.
    assert [set(look.jobs) for look in looks] == [set(ids), set(ids), {ids[0], ids[2]}]
    assert looks[1].jobs == looks[0].jobs
    assert set((await client.provider.sweep(ids, [], looks[-1].mark)).jobs) == set(ids)


@pytest.mark.parametrize(
    ("members", "state"),
    [
        ({"lifecycleStatus": "CREATE_FAILED"}, JobState.FAILED),
        ({"lifecycleStatus": "UPLOAD_FAILED"}, JobState.FAILED),
        ({"lifecycleStatus": "ARCHIVED"}, JobState.CANCELLED),
        ({"taskRunStatus": "NOT_COMPATIBLE"}, JobState.FAILED),
        ({"taskRunStatus": "CANCELED"}, JobState.CANCELLED),
    ],
)
async def test_every_end_ends_a_wait(
    client: Deadline, sandbox: Sandbox, members: dict[str, str], state: JobState
) -> None:
    """A job that was never made, or was archived, is not waited for, as AWS's own waiters do."""
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.act("deadline", "change", job=job.id, members=members)
    assert (await client.jobs.wait(job, timeout=30)).state is state


async def test_a_requeue_that_is_under_way_is_no_end(client: Deadline, sandbox: Sandbox) -> None:
    """A failed job that was asked to run again has not ended, though it still says failed."""
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.act("deadline", "fail", job=job.id)
    members = {"lifecycleStatus": "UPDATE_IN_PROGRESS", "targetTaskRunStatus": "PENDING"}
    sandbox.act("deadline", "change", job=job.id, members=members)
    again = await client.jobs.get(job)
    assert (again.state, again.ended) == (JobState.FAILED, False)


async def test_a_search_that_lags_takes_nothing_back(client: Deadline, sandbox: Sandbox) -> None:
    """What a filter finds is looked at itself: an old state in the index is told to nobody."""
    sandbox.clock.freeze()
    sandbox.configure("deadline", search_lag_seconds=30)
    job = await client.jobs.create("x", template=TEMPLATE)
    assert await client.jobs.list().collect() == []
    sandbox.clock.advance(60)
    sandbox.act("deadline", "finish", job=job.id)
    (listed,) = await client.jobs.list().collect()
    assert listed.state is JobState.QUEUED
    sweep = await client.provider.sweep([], [JobFilter(states=frozenset({JobState.QUEUED}))], None)
    assert {id_: found and found.state for id_, found in sweep.jobs.items()} == {job.id: JobState.DONE}


async def test_a_watch_by_filter_asks_for_what_changed(client: Deadline, sandbox: Sandbox) -> None:
    """After the first look, only jobs that the search shows changed are looked at one by one."""
    ids = sandbox.act("deadline", "make", number=130)["jobs"]
    wanted = [JobFilter(user=f"{ARN}sandbox")]
    first = await client.provider.sweep([], wanted, None)
    assert set(first.jobs) == set(ids)
    for changed in (ids[3], ids[-3]):
        sandbox.act("deadline", "start", job=changed)
    second = await client.provider.sweep([ids[5]], wanted, first.mark)
    assert set(second.jobs) == {ids[3], ids[5], ids[-3]}


async def test_looks_come_as_often_as_something_happens(sandbox: Sandbox) -> None:
    """While nothing changes, looks come ever later; the first change brings them back; a wish is kept."""
    ids = sandbox.act("deadline", "make", number=3)["jobs"]
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        mark, pauses = None, []
        for _ in range(8):
            mark = (await client.provider.sweep(ids, [], mark)).mark
            pauses.append(client.provider.watch_interval)
        assert pauses == [2.0, 3.0, 4.5, 6.75, 10.125, 15.0, 15.0, 15.0]
        sandbox.act("deadline", "start", job=ids[1])
        await client.provider.sweep(ids, [], mark)
        assert client.provider.watch_interval == 2.0
    async with Client(DeadlineProvider(FARM, QUEUE, watch_interval=7.0)) as client:
        for _ in range(2):
            await client.provider.sweep(ids, [], None)
        assert client.provider.watch_interval == 7.0


async def test_a_watched_job_that_vanishes(client: Deadline, sandbox: Sandbox) -> None:
    """Gone is what a look at the job itself says is gone."""
    job = await client.jobs.create("x", template=TEMPLATE)
    sandbox.act("deadline", "vanish", job=job.id)
    with pytest.raises(NotFound, match=job.id):
        await client.jobs.wait(job, timeout=30)
    assert (await client.provider.sweep(["nope", job.id], [], None)).jobs == {"nope": None, job.id: None}


# -- too much ------------------------------------------------------------------------------------------------


class Clock:
    """A pace's own time, which goes on only as it is waited for."""

    now = 0.0

    def current_time(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        await anyio.lowlevel.checkpoint()


async def test_all_tasks_slow_down_together(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 429 nobody asks before the time that Deadline named, and every job is still told of."""
    ids = sandbox.act("deadline", "make", number=400)["jobs"]
    clock, turns, refused = Clock(), list[float](), list[int]()
    take_turn, refuse, said = Pace.turn, Pace.refused, anyio.Event()

    async def turn(pace: Pace) -> None:
        await take_turn(pace)
        turns.append(clock.now)

    def refusal(pace: Pace, retry_after: float | None) -> None:
        refuse(pace, retry_after)
        refused.append(len(turns))
        said.set()

    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        monkeypatch.setattr(_pace, "anyio", clock)
        monkeypatch.setattr(Pace, "turn", turn)
        monkeypatch.setattr(Pace, "refused", refusal)
        # The pace alone makes everybody wait: a repeat by itself would come at once.
        monkeypatch.setattr(Retry, "wait", lambda *_: 0.0)
        sandbox.faults.add(
            "status", path="/2023-10-12/batch-get-job", status=429, retry_after=20, nth=[1, 2, 3, 4]
        )
        found: list[Job | None] = []

        async def look() -> None:
            found.extend(await client.jobs.get_many(ids))

        async def another() -> None:
            await said.wait()
            await client.provider.queue()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            tasks.start_soon(another)
    later = turns[refused[0] :]
    assert len(refused) == 4
    assert len(turns) == 9
    assert len(later) >= 5
    assert min(later) >= 20
    assert sorted(set(later)) == later
    assert [job.id for job in found if job] == ids


async def test_a_batch_of_which_some_was_too_much(
    client: Deadline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was too much is asked for again, alone, and all slow down, until they may go on."""
    clock = Clock()
    monkeypatch.setattr(_pace, "anyio", clock)
    monkeypatch.setattr(_batches, "PAUSE", 0.001)
    ids = sandbox.act("deadline", "make", number=3)["jobs"]
    sandbox.act("deadline", "refuse", job=ids[1], code="ThrottlingException", times=1)
    sandbox.forget_requests()
    assert [job.id for job in await client.jobs.get_many(ids) if job] == ids
    assert len(sandbox.requests("/2023-10-12/batch-get-job")) == 2
    assert clock.now >= 1
    pace = client.provider._server.pace
    assert pace.rate is not None
    for _ in range(15):
        await client.provider.queue()
    assert pace.rate is None


async def waited(pace: Pace, clock: Clock) -> float:
    """Return for how long a task waits for its turn."""
    began = clock.now
    await pace.turn()
    return clock.now - began


async def test_a_pace_that_is_refused_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wave of refusals halves the pace, down to a bound; as many successes bring back that of before."""
    clock, pace = Clock(), Pace()
    monkeypatch.setattr(_pace, "anyio", clock)
    for _ in range(20):
        await pace.turn()
        clock.now += 0.1  # ten a second
    for _ in range(3):
        pace.refused(0)
        assert pace.rate == pytest.approx(5)
    assert [await waited(pace, clock) for _ in range(2)] == pytest.approx([0, 0.2])
    pace.refused(0)
    assert pace.rate == pytest.approx(2.5)
    for _ in range(5):
        await pace.turn()
        pace.refused(0)
    assert pace.rate == _pace.SLOWEST
    for _ in range(61):  # 0.5 by 1.05 to the power of 62 is ten
        pace.succeeded()
    assert pace.rate is not None
    pace.succeeded()
    assert pace.rate is None
    for _ in range(20):
        await pace.turn()
        clock.now += 0.25  # what came before is no longer what is usual
    pace.refused(0)
    assert pace.rate == pytest.approx(2)
    for _ in range(15):
        pace.succeeded()
    assert pace.rate is None


async def test_how_long_a_pace_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest time that was named counts, a second if none was, and half a minute at most."""
    clock, pace = Clock(), Pace()
    monkeypatch.setattr(_pace, "anyio", clock)
    for named, wait in (([None], 1), ([20.0, 0.0, None], 20), ([600.0], 30)):
        for retry_after in named:
            pace.refused(retry_after)
        assert await waited(pace, clock) == pytest.approx(wait)
        clock.now += 100
