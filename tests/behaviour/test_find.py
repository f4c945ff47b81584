"""Finding jobs: one, many, how many, and every filter against what it should find."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from callsheet import Client, Job, JobState, NewJob, NotFound, Outcome, Unsupported
from callsheet.abc import JobFilter
from rig import Rig
from support import scale
from support.needs import needs
from support.tables import raises_for


async def test_get_by_job_or_id(rig: Rig, client: Client[Any]) -> None:
    """A job is found by itself or its id, as it is now."""
    job = await rig.make_job()
    assert await client.jobs.get(job.id) == job
    running = await rig.start(job)
    assert running != job
    assert await client.jobs.get(job) == running


async def test_get_what_is_not_there(rig: Rig, client: Client[Any]) -> None:
    """An id of no job is `NotFound`, which says so and is a `LookupError`, whatever the id holds."""
    await rig.make_job()
    for id_ in ("nope", "0", "' OR 1=1 --", "../x", "a/b", "ä\n", "%", "x" * 10_000):
        with raises_for(id_, NotFound, match=re.escape(id_[:100].strip())) as caught:
            await client.jobs.get(id_)
        error = caught.value
        assert isinstance(error, NotFound)
        assert isinstance(error, LookupError)
        assert (error.provider, error.outcome, error.idempotency_key) == (rig.name, Outcome.NOT_DONE, None)


async def test_get_many_in_order(rig: Rig, client: Client[Any]) -> None:
    """Many jobs come in the order asked for, twice if asked twice, with `None` where there is none."""
    jobs = await rig.make_jobs(5)
    wanted: list[Job | str] = [jobs[3], "nope", jobs[0].id, jobs[3].id, "nope", jobs[4]]
    assert await client.jobs.get_many(wanted) == [jobs[3], None, jobs[0], jobs[3], None, jobs[4]]
    assert await client.jobs.get_many(iter(wanted[:1])) == [jobs[3]]
    assert await client.jobs.get_many([]) == []


async def test_get_more_than_a_batch(rig: Rig) -> None:
    """However many are asked for, no request to the tracker is larger than it allows."""
    provider = rig.wrapped(batch_size=7)
    jobs = await rig.make_jobs(30)
    async with Client(provider) as client:
        assert await client.jobs.get_many(jobs[::-1]) == jobs[::-1]
    assert [len(args[0]) for args in provider.arguments("get_jobs")] == [7, 7, 7, 7, 2]


# -- filters -------------------------------------------------------------------------------------------------

HOSTILE_NAMES = [
    "a.b",
    "$",
    "$.a",
    '"',
    "'",
    "a[0]",
    "[0]",
    "*",
    " a",
    "%",
    "_",
    "a\\",
    "ä",
    "日本",
    "x" * 300,
]


async def found(client: Client[Any], **wanted: Any) -> set[str]:
    """Return the names of the jobs that a filter finds; counting them must give the same number."""
    jobs = await client.jobs.list(**wanted).collect()
    assert len({job.id for job in jobs}) == len(jobs)
    assert await client.jobs.count(**wanted) == len(jobs)
    return {job.name for job in jobs}


async def make(rig: Rig, client: Client[Any], jobs: Iterable[NewJob]) -> list[Job]:
    """Make the jobs through the hand of another program."""
    return await rig.hand.jobs.create_many(jobs)


@needs("list(states=)", "count")
async def test_filter_by_states(rig: Rig, client: Client[Any]) -> None:
    """Any of the states given will do; no state at all finds nothing."""
    settable = [state for state in JobState if state is not JobState.UNKNOWN]
    await make(rig, client, [NewJob(name=state.value, state=state) for state in settable])
    for size in (1, 2, 6):
        for states in itertools.combinations(settable, size):
            assert await found(client, states=set(states)) == {state.value for state in states}
    assert await found(client, states=["running", JobState.DONE]) == {"running", "done"}
    if rig.lists_unknown:
        assert await found(client, states={JobState.UNKNOWN}) == set()
    else:
        with pytest.raises(Unsupported, match="unknown"):
            await found(client, states={JobState.UNKNOWN, JobState.DONE})
    assert await found(client, states=()) == set()
    assert await found(client) == {state.value for state in settable}


@needs("list(types=)", "count")
async def test_filter_by_types(rig: Rig, client: Client[Any]) -> None:
    """Any of the types given will do, exactly as they are written."""
    await make(rig, client, [NewJob(name=word, type=word) for word in rig.types])
    await make(rig, client, [NewJob(name="no type given")])
    untyped = {"no type given"} if rig.default_type in rig.types else set()
    for word in rig.types:
        assert await found(client, types={word}) == {word} | untyped
        assert await found(client, types=[word, "none such"]) == {word} | untyped
    assert await found(client, types=set(rig.types)) == set(rig.types) | untyped
    assert await found(client, types={"none such"}) == set()
    assert await found(client, types=()) == set()


@needs("list(user=)", "count")
async def test_filter_by_user(rig: Rig, client: Client[Any]) -> None:
    """A user's jobs are those with exactly that name."""
    await make(rig, client, [NewJob(name=user, user=user) for user in rig.users])
    await make(rig, client, [NewJob(name="mine")])
    for user in rig.users:
        assert await found(client, user=user) == {user}
    assert await found(client, user=rig.user) == {"mine"}
    assert await found(client, user="nobody") == set()


@needs("list(item=)", "count")
async def test_filter_by_item(rig: Rig, client: Client[Any]) -> None:
    """An item's jobs are those that work on exactly that item."""
    await make(rig, client, [NewJob(name=item, item=item) for item in ("VX-1", "VX-10", "vx-1")])
    await make(rig, client, [NewJob(name="no item")])
    assert await found(client, item="VX-1") == {"VX-1"}
    assert await found(client, item="VX-2") == set()


ATTRIBUTES: dict[str, Any] = {
    "true": True,
    "false": False,
    "one": 1,
    "one as text": "1",
    "zero": 0,
    "one and a half": 1.5,
    "null": None,
    "empty text": "",
    "text": "sh010",
    "true as text": "true",
    "null as text": "null",
    "quoted": '"sh010"',
    "list": [1, [2, {"a": None}], "x"],
    "other list": [1, [2, {"a": 0}], "x"],
    "mapping": {"b": [True], "a": {"c": "d"}},
    "empty list": [],
    "empty mapping": {},
    "large": 2**53 + 1,
    "larger": 2**70,
    "small": -(2**63),
    "emoji": "\N{FILM FRAMES}",
}


@needs("list(attributes=)", "count")
async def test_filter_by_attributes(rig: Rig, client: Client[Any]) -> None:
    """Attributes are equal as in JSON: `true` is not `1`, `null` is not absent, nested values count whole."""
    values = {name: it for name, it in ATTRIBUTES.items() if rig.finds_empty or it not in ("", [])}
    kept = {name: it for name, it in values.items() if rig.json_attributes or isinstance(it, str)}
    await make(rig, client, [NewJob(name=name, attributes={"v": it}) for name, it in kept.items()])
    other = {"w": rig.attribute(None)}
    await make(rig, client, [NewJob(name="without"), NewJob(name="other", attributes=other)])
    for name, value in values.items():
        assert await found(client, attributes={"v": value}) == {name} & kept.keys()
    assert await found(client, attributes={"v": {"a": {"c": "d"}, "b": [True]}}) == {"mapping"} & kept.keys()
    assert await found(client, attributes={"v": 1.0}) == {"one"} & kept.keys()
    assert await found(client, attributes={"v": 2**53}) == set()
    assert await found(client, attributes=other) == {"other"}
    assert len(await found(client, attributes={})) == len(kept) + 2


@needs("list(attributes=)", "count")
async def test_filter_by_attributes_of_any_name(rig: Rig, client: Client[Any]) -> None:
    """The name of an attribute may hold whatever a path or query language gives a meaning to."""
    value = rig.attribute({"a": 1, "b": 2})
    await make(rig, client, [NewJob(name=name, attributes={name: value}) for name in HOSTILE_NAMES])
    for name in HOSTILE_NAMES:
        assert await found(client, attributes={name: value}) == {name}
        assert await found(client, attributes={name: {"a": 1}}) == set()


@needs("list(attributes=)", "count")
async def test_filter_by_several_attributes(rig: Rig, client: Client[Any]) -> None:
    """Each of several attributes must be equal; what else a job has does not matter."""
    two, three, yes = (rig.attribute(value) for value in (2, 3, True))
    await make(
        rig,
        client,
        [
            NewJob(name="both", attributes={"shot": "sh010", "take": two, "more": yes}),
            NewJob(name="other take", attributes={"shot": "sh010", "take": three}),
            NewJob(name="no take", attributes={"shot": "sh010"}),
        ],
    )
    assert await found(client, attributes={"shot": "sh010", "take": two}) == {"both"}
    assert await found(client, attributes={"shot": "sh010"}) == {"both", "other take", "no take"}


@needs("list(created_after=)", "list(created_before=)", "count")
async def test_filter_by_creation(rig: Rig, client: Client[Any]) -> None:
    """`created_after` is inclusive and `created_before` exclusive, to the microsecond, in any time zone."""
    moments: list[datetime] = []
    for name in "abc":
        created = (await rig.make_job(name)).created_at
        assert created is not None
        moments.append(created)
    tick = timedelta(microseconds=1)
    assert await found(client, created_after=moments[1]) == {"b", "c"}
    assert await found(client, created_after=moments[1] + tick) == {"c"}
    assert await found(client, created_before=moments[1]) == {"a"}
    assert await found(client, created_before=moments[1] + tick) == {"a", "b"}
    assert await found(client, created_after=moments[0], created_before=moments[2]) == {"a", "b"}
    assert await found(client, created_after=moments[2], created_before=moments[0]) == set()
    assert await found(client, created_after=moments[1].astimezone()) == {"b", "c"}


async def some_jobs(rig: Rig, client: Client[Any]) -> list[Job]:
    """Make sixty jobs that differ in every field that can be filtered by."""
    dice = random.Random(7)
    return await make(
        rig,
        client,
        [
            NewJob(
                name=f"job {index}",
                state=dice.choice([JobState.QUEUED, JobState.RUNNING, JobState.DONE, JobState.FAILED]),
                type=dice.choice([*rig.types[:2], None]),
                user=dice.choice(["jane", "bob", None]),
                item=dice.choice(["VX-1", "VX-2", None]),
                attributes={
                    "shot": rig.attribute(dice.choice([1, True, "1"])),
                    "take": rig.attribute(dice.randrange(2)),
                },
            )
            for index in range(60)
        ],
    )


CONDITIONS = ("states", "types", "user", "item", "attributes", "created_after", "created_before")


@needs(*(f"list({condition}=)" for condition in CONDITIONS), "list(newest_first=)", "count")
async def test_filters_together(rig: Rig, client: Client[Any]) -> None:
    """Conditions hold together, in either direction and any page size, as looking at each job would find."""
    dice = random.Random(3)
    jobs = await some_jobs(rig, client)
    assert await client.jobs.list(newest_first=False).collect() == jobs
    choices: dict[str, list[Any]] = {
        "states": [
            {JobState.QUEUED},
            {JobState.RUNNING, JobState.DONE},
            set(JobState) - (set() if rig.lists_unknown else {JobState.UNKNOWN}),
        ],
        "types": [set(rig.types[:1]), set(rig.types[:2])],
        "user": ["jane", "bob"],
        "item": ["VX-1", "VX-2"],
        "attributes": [
            {"shot": rig.attribute(1)},
            {"shot": rig.attribute(True), "take": rig.attribute(1)},
            {"take": rig.attribute(0)},
        ],
        "created_after": [jobs[10].created_at, jobs[20].created_at],
        "created_before": [jobs[40].created_at, jobs[50].created_at],
    }
    hits = 0
    for _ in range(scale(60, 600)):
        wanted = {name: dice.choice(choices[name]) for name in dice.sample(CONDITIONS, dice.randrange(1, 5))}
        frozen: dict[str, Any] = {
            name: frozenset(it) if isinstance(it, set) else it for name, it in wanted.items()
        }
        expected = [job for job in jobs if JobFilter(**frozen).matches(job)]
        newest_first = dice.random() < 0.5
        listing = client.jobs.list(**wanted, newest_first=newest_first, page_size=dice.choice([1, 7, None]))
        assert await listing.collect() == (expected[::-1] if newest_first else expected), wanted
        assert await client.jobs.count(**wanted) == len(expected)
        hits += len(expected)
    assert hits > 100


# -- counting ------------------------------------------------------------------------------------------------


@needs("count", "list(user=)")
async def test_a_count_from_earlier(rig: Rig) -> None:
    """With `max_age` an earlier count of the same filter may be had; by default the tracker is asked."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        assert await client.jobs.count(max_age=60) == 0
        await rig.make_job(user=rig.users[0])
        assert await client.jobs.count(max_age=60) == 0
        assert await client.jobs.count(max_age=60, user=rig.users[0]) == 1
        assert provider.made["count_jobs"] == 2
        assert await client.jobs.count() == 1
        assert await client.jobs.count(max_age=60) == 1
        assert provider.made["count_jobs"] == 3


@needs("count", "list(user=)")
async def test_counts_are_not_kept_without_limit(rig: Rig) -> None:
    """At most a thousand counts are kept: the one asked for longest ago is asked for again."""
    provider = rig.wrapped()

    async def count(real: Any, wanted: JobFilter) -> int:
        await checkpoint()
        return 1

    provider.on["count_jobs"] = count
    async with Client(provider) as client:
        for index in range(1001):
            await client.jobs.count(user=f"user {index}", max_age=3600)
        for index in (1000, 1, 0):
            await client.jobs.count(user=f"user {index}", max_age=3600)
        assert provider.made["count_jobs"] == 1002
        # What is asked for afresh, as 2 is here, is kept longer than what was asked for after it before.
        await client.jobs.count(user="user 2")
        await client.jobs.count(user="one more", max_age=3600)
        await client.jobs.count(user="user 2", max_age=3600)
    assert provider.made["count_jobs"] == 1004
