"""Listings: every filter, both ways, each page at the cost of a page, however many jobs there are."""

from __future__ import annotations

import itertools
import random
import re
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callsheet import InvalidCursor, Job, JobState, NewJob
from callsheet.abc import JobFilter, Position
from callsheet.providers.local import LocalProvider, _jobs, _queries
from callsheet.providers.local._database import Database
from callsheet.providers.local._stamps import to_us
from local.tools import Make, plans
from support import scale

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
COUNT = 100_000
PAGE = 100

EVERYTHING = {
    "all": {},
    "states": {"states": frozenset({JobState.FAILED})},
    "types": {"types": frozenset({"render"})},
    "user": {"user": "jane"},
    "item": {"item": "VX-1"},
    "two states": {"states": frozenset({JobState.FAILED, JobState.QUEUED})},
    "two states, two types": {
        "states": frozenset({JobState.FAILED, JobState.QUEUED}),
        "types": frozenset({"render", "publish"}),
    },
    "times": {
        "created_after": NOON + timedelta(seconds=1000),
        "created_before": NOON + timedelta(seconds=COUNT - 1000),
    },
    "states and times": {
        "states": frozenset({JobState.FAILED}),
        "created_after": NOON + timedelta(seconds=1000),
        "created_before": NOON + timedelta(seconds=COUNT - 1000),
    },
    "user and state": {"user": "jane", "states": frozenset({JobState.FAILED})},
}


async def collected(provider: LocalProvider, wanted: JobFilter, size: int) -> list[Job]:
    """Return all jobs of a listing."""
    jobs: list[Job] = []
    after = None
    while True:
        page = await provider.page_jobs(wanted, after=after, size=size)
        assert len(page.items) <= size
        jobs += page.items
        if page.next is None:
            return jobs
        after = page.next


def key(job: Job) -> tuple[Any, str]:
    return job.created_at, job.id


@pytest.fixture
async def mixed(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """120 jobs of all kinds, made at 12 instants."""
    chance = random.Random(11)
    for instant in range(12):
        moment = to_us(NOON + timedelta(seconds=instant))
        monkeypatch.setattr("callsheet.providers.local._database.now_us", lambda moment=moment: moment)
        await provider.create_jobs(
            [
                NewJob(
                    name=f"{instant}-{number}",
                    idempotency_key=f"{instant}-{number}",
                    user=chance.choice(["jane", "mia"]),
                    type=chance.choice(["render", "publish", None]),
                    state=chance.choice([JobState.QUEUED, JobState.FAILED, JobState.DONE]),
                    item=chance.choice(["VX-1", None]),
                    attributes={"shot": chance.choice([1, 2, "1", None])},
                )
                for number in range(10)
            ]
        )
    jobs = await collected(provider, JobFilter(newest_first=False), 1000)
    assert len(jobs) == 120
    return jobs


FILTERS = [
    *EVERYTHING.values(),
    {"states": frozenset[JobState]()},
    {"states": frozenset({JobState.UNKNOWN})},
    {"types": frozenset({"none"})},
    {"types": frozenset({"render", *map(str, range(10))}), "states": frozenset(JobState)},
    {"attributes": {"shot": 1}},
    {"attributes": {"shot": None}, "user": "mia"},
    {"created_after": NOON + timedelta(seconds=3), "created_before": NOON + timedelta(seconds=7)},
]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("conditions", FILTERS)
async def test_pages_of_any_size_hold_every_match_once(
    provider: LocalProvider, mixed: list[Job], conditions: dict[str, Any], newest_first: bool
) -> None:
    """Whatever the filter and the size, the pages together are the matches, in order; the count agrees."""
    wanted = JobFilter(**conditions, newest_first=newest_first)
    expected = sorted(filter(wanted.matches, mixed), key=key, reverse=newest_first)
    for size in (1, 7, 120, 1000):
        assert await collected(provider, wanted, size) == expected
    assert await provider.count_jobs(wanted) == len(expected)


async def test_jobs_that_come_and_go_do_not_shift_pages(
    provider: LocalProvider, make: Make, mixed: list[Job]
) -> None:
    """What is there throughout a listing appears once, though others are made and deleted between pages."""
    for newest_first in (True, False):
        wanted = JobFilter(newest_first=newest_first)
        before = await collected(provider, wanted, 1000)
        doomed, stable = before[::4], [job for place, job in enumerate(before) if place % 4]
        seen: list[Job] = []
        after = None
        for turn in itertools.count():
            page = await provider.page_jobs(wanted, after=after, size=9)
            seen += page.items
            if turn < len(doomed):
                await provider.delete_job(doomed[turn].id)
            await make(f"new {turn}", idempotency_key=f"new {newest_first} {turn}")
            if page.next is None or turn > 40:
                break
            after = page.next
        ids = [job.id for job in seen]
        assert len(ids) == len(set(ids))
        assert [job for job in seen if job in stable] == stable


VALUES = [True, False, 1, 0, 1.0, 1.5, "1", "", None, [], [1, True], {}, {"a": [None]}, 2**70, "ü✓'\"%_\\"]
NAMES = ["plain", "", "a.b", "$", "$.a", 'quo"te', "apo'strophe", "[0]", "ü✓", "a b", "%", "\\", "?", ":x"]


async def test_attributes_are_compared_as_json(provider: LocalProvider, make: Make) -> None:
    """`true` is not `1`, `null` is not absence, and no name is special."""
    made = {repr(value): await make(attributes={"value": value}) for value in VALUES}
    absent = await make(attributes={})
    for value in VALUES:
        wanted = JobFilter(attributes={"value": value})
        found = await collected(provider, wanted, 100)
        assert {job.id for job in found} == {
            job.id
            for other, job in made.items()
            if other == repr(value) or (value == 1 and _is_one(value, other))
        }
        assert await provider.count_jobs(wanted) == len(found)
        assert absent not in found
    for name in NAMES:
        job = await make(attributes={name: "here", "rest": 1})
        assert await collected(provider, JobFilter(attributes={name: "here"}), 100) == [job]
        assert await collected(provider, JobFilter(attributes={name: "here", "rest": 1}), 100) == [job]
        assert await collected(provider, JobFilter(attributes={name: "here", "rest": 2}), 100) == []


def _is_one(value: Any, other: str) -> bool:
    return value is not True and other in ("1", "1.0")


DAMAGED = [
    Position("yesterday", ("a",)),
    Position("2026-05-01T12:00:00", ("a",)),
    Position(NOON.isoformat(), ()),
    Position("", ("a",)),
    Position("9" * 5000, ("a",)),
]


@pytest.mark.parametrize("after", DAMAGED)
async def test_damaged_position_is_an_invalid_cursor(provider: LocalProvider, after: Position) -> None:
    """A place that this tracker never gave out is told as that, for jobs and components."""
    with pytest.raises(InvalidCursor, match="not one of the local tracker"):
        await provider.page_jobs(JobFilter(), after=after, size=5)
    with pytest.raises(InvalidCursor, match="not one of the local tracker"):
        await provider.page_components(job_id=None, location_id=None, after=after, size=5)


# -- cost, on 100,000 jobs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """100,000 jobs, one a second: 1 % FAILED, 1 % RUNNING, the rest DONE; half of them Jane's."""
    directory = tmp_path_factory.mktemp("large") / "tracker"
    database = Database(directory, f"local:{directory}", busy=5)
    database.open()
    with closing(sqlite3.connect(directory / "callsheet.db")) as db, db:
        db.execute(
            """
            INSERT INTO jobs (id, name, state, type, description, "user", item, created_at, updated_at,
                              attributes, seq, fence)
            WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < ? - 1)
            SELECT printf('job-%06d', x), 'job ' || x,
                   CASE x % 100 WHEN 7 THEN 'failed' WHEN 8 THEN 'queued' ELSE 'done' END,
                   CASE x % 3 WHEN 0 THEN 'render' WHEN 1 THEN 'publish' END, '',
                   CASE x % 2 WHEN 0 THEN 'mia' ELSE 'jane' END, CASE x % 50 WHEN 7 THEN 'VX-1' END,
                   ? + x * 1000000, ? + x * 1000000, '{}', 0, 0 FROM n
            """,
            (COUNT, to_us(NOON), to_us(NOON)),
        )
    assert page(database, JobFilter(), None, 1)[0].name == f"job {COUNT - 1}"
    yield database
    database.close()


def place(number: int) -> Position:
    return Position((NOON + timedelta(seconds=number)).isoformat(), (f"job-{number:06d}",))


def page(database: Database, wanted: JobFilter, after: Position | None, size: int = PAGE) -> list[Job]:
    with database.reading() as db:
        return [*_jobs.page(db, "local:x", wanted, after, size).items]


def work(database: Database, wanted: JobFilter, after: Position | None) -> int:
    """Return how many steps SQLite's machine takes for the page: a measure that no load can blur."""
    steps = itertools.count()
    with database.reading() as db:
        driver = db.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(lambda: next(steps) and None, 10)
        try:
            _jobs.page(db, "local:x", wanted, after, PAGE)
        finally:
            driver.set_progress_handler(None, 0)
    return next(steps) * 10


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("conditions", EVERYTHING.values(), ids=EVERYTHING.keys())
def test_pages_come_in_the_order_of_an_index(
    large: Database, conditions: dict[str, Any], newest_first: bool
) -> None:
    """No query walks over the table, and none sorts: each look is into an index that has the order."""
    wanted = JobFilter(**conditions, newest_first=newest_first)
    for after in (None, place(COUNT // 2)):
        with plans(large) as steps:
            page(large, wanted, after)
        branches = len(conditions.get("states", "1")) * len(conditions.get("types", "1"))
        looks = [
            step for step in steps if re.match(r"(SEARCH|SCAN) jobs USING (COVERING )?INDEX jobs_", step)
        ]
        rows = ["SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)"] if branches > 1 else []
        assert len(looks) == branches
        assert steps == looks + rows


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("conditions", EVERYTHING.values(), ids=EVERYTHING.keys())
def test_page_costs_the_same_at_either_end(
    large: Database, conditions: dict[str, Any], newest_first: bool
) -> None:
    """The first page, one from the middle and one near the end take the same work, and little."""
    wanted = JobFilter(**conditions, newest_first=newest_first)
    near, far = (COUNT - 20_000, 20_000) if newest_first else (20_000, COUNT - 20_000)
    costs = [work(large, wanted, after) for after in (None, place(near), place(COUNT // 2), place(far))]
    branches = len(conditions.get("states", "1")) * len(conditions.get("types", "1"))
    # A row takes some 50 steps to find, compare and hand out; 100,000 rows would take millions.
    assert max(costs) < 150 * (PAGE + 1) * branches
    assert max(costs) < 2 * min(costs)


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        ({"states": {JobState.FAILED}, "user": "jane"}, "jobs_state"),
        ({"states": {JobState.FAILED}, "types": {"render"}}, "jobs_state"),
        ({"states": {JobState.DONE}, "user": "jane"}, "jobs_user"),
        ({"states": {JobState.DONE}, "types": {"render"}}, "jobs_type"),
        ({"user": "jane", "types": {"render"}}, "jobs_user"),
        ({"states": {JobState.FAILED}, "user": "jane", "item": "VX-1"}, "jobs_item"),
    ],
)
def test_search_goes_by_the_word_that_few_jobs_have(
    large: Database, conditions: dict[str, Any], index: str
) -> None:
    """Of several conditions the one is looked up that leaves the fewest jobs to compare."""
    with plans(large) as steps:
        page(large, JobFilter(**conditions), place(COUNT // 2))
    assert [step.split(" (")[0] for step in steps] == [f"SEARCH jobs USING INDEX {index}"]


def test_cursor_beyond_the_times_reads_nothing_twice(large: Database) -> None:
    """A place outside the wanted times neither widens them nor walks to them."""
    wanted = JobFilter(
        created_after=NOON + timedelta(seconds=50), created_before=NOON + timedelta(seconds=60)
    )
    assert [job.name for job in page(large, wanted, place(COUNT - 5))] == [
        f"job {n}" for n in range(59, 49, -1)
    ]
    assert work(large, wanted, place(COUNT - 5)) < 5000
    assert page(large, wanted, place(49)) == []


def test_count_by_state_reads_an_index_only(large: Database) -> None:
    """Counting touches no row of the table."""
    with plans(large) as steps, large.reading() as db:
        counted = _queries.count(db, JobFilter(states=frozenset({JobState.FAILED})))
    assert counted == COUNT // 100
    assert [step for step in steps if "jobs" in step and "COVERING INDEX" not in step] == []


def test_memory_is_flat_while_listing(large: Database) -> None:
    """A listing of all jobs holds a page, not what came before."""
    peaks: list[int] = []
    after = None
    tracemalloc.start()
    try:
        with large.reading() as db:
            for _ in range(scale(20, COUNT // 1000)):
                tracemalloc.reset_peak()
                after = _jobs.page(db, "local:x", JobFilter(), after, 1000).next
                peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks[5:]) < 1.1 * max(peaks[:5])
    assert max(peaks) < 8 << 20
