"""Listings: both ways, any page size, across processes, half read, and while the jobs come and go."""

from __future__ import annotations

import base64
import json
import random
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from callsheet import (
    Client,
    InvalidCursor,
    InvalidRequest,
    InvalidResponse,
    Job,
    JobState,
    Listing,
    Page,
    Unavailable,
)
from callsheet.abc import Position, Slice
from rig import Rig
from support import scale
from support.needs import needs
from support.tables import raises_for


@pytest.fixture
async def jobs(rig: Rig) -> list[Job]:
    """Twenty-five jobs, from the oldest to the newest."""
    return await rig.make_jobs(25)


async def read(listing: Listing[Job]) -> list[Job]:
    """Read a listing to its end by `async for`."""
    return [job async for job in listing]


@needs("list(newest_first=)")
@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_of_any_size_make_the_whole(
    rig: Rig, client: Client[Any], jobs: list[Job], *, newest_first: bool
) -> None:
    """Every job once, in order, whichever way and however many are fetched at a time."""
    expected = jobs[::-1] if newest_first else jobs
    for size in (1, 2, 7, 24, 25, 26, 1_000_000, None):
        assert await read(client.jobs.list(newest_first=newest_first, page_size=size)) == expected, size
        pages = [page async for page in client.jobs.list(newest_first=newest_first, page_size=size).pages()]
        assert [job for page in pages for job in page.items] == expected, size
        largest = min(size or client.provider.page_size, client.provider.page_size)
        assert all(len(page.items) <= largest for page in pages), size
        assert [page.cursor is None for page in pages] == [False] * (len(pages) - 1) + [True], size


async def test_newest_first_by_default(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Without being told, a listing begins with the newest."""
    assert await client.jobs.list().first() == jobs[-1]


async def test_nothing_is_asked_before_it_is_read(rig: Rig, jobs: list[Job]) -> None:
    """Making a listing, and asking for its cursor, asks the tracker nothing; each page is asked for once."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        listing = client.jobs.list(page_size=10)
        assert listing.cursor is None
        assert provider.made["page_jobs"] == 0
        await anext(listing)
        assert provider.made["page_jobs"] == 1
        assert await read(listing) == jobs[-2::-1]
        assert provider.made["page_jobs"] == 3
        assert [kwargs["size"] for name, _, kwargs in provider.calls if name == "page_jobs"] == [10] * 3


async def test_an_empty_tracker(rig: Rig, client: Client[Any]) -> None:
    """A listing of nothing is empty in every form."""
    assert await read(client.jobs.list()) == []
    assert [page async for page in client.jobs.list().pages()] == [Page([])]
    assert await client.jobs.list().first() is None
    assert await client.jobs.list().collect(limit=3) == []
    async with client.jobs.list() as listing:
        assert await read(listing) == []
    assert listing.cursor is None


async def test_collect_and_first_go_on(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A listing is read once: each way of reading goes on where the last one stopped."""
    newest = jobs[::-1]
    listing = client.jobs.list(page_size=4)
    assert await listing.collect(limit=0) == []
    assert await listing.collect(limit=6) == newest[:6]
    assert await listing.first() == newest[6]
    assert await anext(listing) == newest[7]
    async for job in listing:
        assert job == newest[8]
        break
    pages = listing.pages()
    first = await anext(pages)
    assert list(first.items) == newest[9 : 9 + len(first.items)]
    rest = [job async for page in pages for job in page.items]
    assert [*first.items, *rest] == newest[9:]
    assert await listing.collect() == []
    assert await listing.first() is None


async def test_the_cursor_resumes_after_the_last_item(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """At every place, a new listing from the cursor gives exactly what is left, with any page size."""
    newest = jobs[::-1]
    listing = client.jobs.list(page_size=4)
    for index in range(len(newest)):
        assert await anext(listing) == newest[index]
        again = client.jobs.list(page_size=index % 5 + 1, cursor=listing.cursor)
        assert again.cursor == listing.cursor
        assert await again.collect() == newest[index + 1 :]


async def test_page_cursors_resume_after_the_page(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """The cursor of a page, and that of the listing then, ask for what follows it."""
    newest, handed = jobs[::-1], 0
    listing = client.jobs.list(page_size=7)
    async for page in listing.pages():
        handed += len(page.items)
        for cursor in (page.cursor, listing.cursor):
            if cursor is not None:
                assert await client.jobs.list(cursor=cursor).collect() == newest[handed:]
    assert handed == len(newest)


RESUME = """
import sys, anyio, callsheet

async def main(url, cursor):
    async with callsheet.connect(url) as client:
        print(",".join([job.id async for job in client.jobs.list(cursor=cursor, page_size=3)]))

anyio.run(main, *sys.argv[1:])
"""


async def test_a_cursor_in_another_process(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A cursor is a text that another process can go on with."""
    listing = client.jobs.list(page_size=10)
    await listing.collect(limit=15)
    if rig.url is None:
        async with rig.another_client() as other:
            rest = await other.jobs.list(cursor=listing.cursor, page_size=3).collect()
            assert rest == jobs[9::-1]
    else:
        run = await anyio.run_process([sys.executable, "-c", RESUME, rig.url, str(listing.cursor)])
        assert run.stdout.decode().strip().split(",") == [job.id for job in jobs[9::-1]]


async def test_a_cursor_goes_on_with_newcomers(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Jobs made after a cursor was taken are not among what it asks for."""
    listing = client.jobs.list()
    await listing.collect(limit=5)
    await rig.make_jobs(5)
    assert await client.jobs.list(cursor=listing.cursor).collect() == jobs[-6::-1]


async def test_a_cursor_of_a_job_that_is_gone(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A cursor does not need the job it stands after."""
    listing = client.jobs.list()
    await listing.collect(limit=5)
    await rig.vanish(jobs[-5])
    await rig.vanish(jobs[-6])
    assert await client.jobs.list(cursor=listing.cursor).collect() == jobs[-7::-1]


# -- cursors that do not fit ---------------------------------------------------------------------------------


def altered(cursor: str, **fields: Any) -> str:
    """Return the cursor with some of its JSON fields replaced."""
    plain = json.loads(base64.urlsafe_b64decode(cursor)) | fields
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode()


DAMAGE: dict[str, Callable[[str], Any]] = {
    "empty": lambda cursor: "",
    "no base64": lambda cursor: "not a cursor!",
    "cut": lambda cursor: cursor[:-5],
    "cut at a byte": lambda cursor: cursor[:-4],
    "not ASCII": lambda cursor: "ä" + cursor[1:],
    "no JSON": lambda cursor: base64.urlsafe_b64encode(b"no json").decode(),
    "a list": lambda cursor: base64.urlsafe_b64encode(b"[1]").decode(),
    "nested": lambda cursor: base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    "a flipped letter": lambda cursor: cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:],
    "another version": lambda cursor: altered(cursor, v=2),
    "another tracker": lambda cursor: altered(cursor, t="local:/elsewhere"),
    "another filter": lambda cursor: altered(cursor, f="0" * 16),
    "no key": lambda cursor: altered(cursor, k=None),
    "a key that is no time": lambda cursor: altered(cursor, k="yesterday"),
    "an empty key": lambda cursor: altered(cursor, k=""),
    "ids of numbers": lambda cursor: altered(cursor, i=[1]),
    "no ids": lambda cursor: altered(cursor, i=[]),
    "ids in no list": lambda cursor: altered(cursor, i=7),
    "an id that is not Unicode": lambda cursor: altered(cursor, i=["\ud800"]),
    "bytes": lambda cursor: cursor.encode(),
    "a number": lambda cursor: 7,
}


async def test_a_damaged_cursor(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Whatever was done to a cursor, it is `InvalidCursor`, which says that it is about the cursor."""
    listing = client.jobs.list()
    await listing.collect(limit=5)
    assert listing.cursor is not None
    for how, damage in DAMAGE.items():
        with raises_for(how, InvalidCursor, match="cursor"):
            await client.jobs.list(cursor=damage(listing.cursor)).collect()


@needs("list(states=)", "list(newest_first=)")
async def test_a_cursor_of_another_query(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A cursor fits only the conditions and the direction it was made with; page size is none of them."""
    listing = client.jobs.list(states={JobState.QUEUED, JobState.DONE})
    await listing.collect(limit=5)
    same = client.jobs.list(states=[JobState.DONE, JobState.QUEUED], cursor=listing.cursor, page_size=2)
    assert await same.collect() == jobs[-6::-1]
    others: list[dict[str, Any]] = [
        {},
        {"states": {JobState.QUEUED}},
        {"states": {JobState.QUEUED, JobState.DONE}, "newest_first": False},
        {"states": {JobState.QUEUED, JobState.DONE}, "user": "jane"},
    ]
    for other in others:
        with pytest.raises(InvalidCursor, match="other filters or another order"):
            client.jobs.list(**other, cursor=listing.cursor)
    with pytest.raises(InvalidCursor):
        client.components.list(cursor=listing.cursor)


async def test_a_cursor_of_another_tracker(
    rig: Rig, client: Client[Any], jobs: list[Job], tmp_path: Any
) -> None:
    """A cursor of one tracker means nothing on another, even of the same kind."""
    listing = client.jobs.list()
    await listing.collect(limit=5)
    (tmp_path / "other").mkdir()
    async with type(rig)(tmp_path / "other") as other_rig, other_rig.another_client() as other:
        with pytest.raises(InvalidCursor, match="belongs to the tracker"):
            other.jobs.list(cursor=listing.cursor)


async def test_a_cursor_holds_no_secret(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A cursor is base64url JSON: version, tracker, a hash of the filter, key and ids, and nothing else."""
    listing = client.jobs.list(user=rig.user)
    job = await listing.first()
    assert job is not None
    assert job.created_at is not None
    plain = json.loads(base64.urlsafe_b64decode(str(listing.cursor)))
    assert plain == {
        "v": 1,
        "t": client.provider.tracker,
        "f": plain["f"],
        "k": job.created_at.isoformat(),
        "i": [job.id],
    }
    assert len(plain["f"]) == 16


# -- half read, read ahead -----------------------------------------------------------------------------------


async def test_leaving_half_way(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A listing may be dropped anywhere, inside `async with` or not, by `break` or by an error."""
    async for job in client.jobs.list(page_size=2):
        assert job == jobs[-1]
        break
    async with client.jobs.list(page_size=2) as listing:
        async for job in listing:
            assert job == jobs[-1]
            break
    listing = client.jobs.list(page_size=2)
    with pytest.raises(ZeroDivisionError):
        async with listing:
            print(len((await anext(listing)).name) // 0)
    assert await anext(listing) == jobs[-2]
    del listing


async def test_one_page_ahead(rig: Rig, jobs: list[Job]) -> None:
    """Inside `async with` the next page, and no more than that one, is fetched while this one is read."""
    provider = rig.wrapped()
    async with Client(provider) as client:
        async with client.jobs.list(page_size=5) as listing:
            for page in range(5):
                for index in range(5):
                    assert await anext(listing) == jobs[-1 - 5 * page - index]
                    await anyio.wait_all_tasks_blocked()
                    while provider.made["page_jobs"] < min(5, page + 2):
                        await anyio.lowlevel.checkpoint()
                    assert provider.made["page_jobs"] == min(5, page + 2)
            with pytest.raises(StopAsyncIteration):
                await anext(listing)


async def test_reading_ahead_gives_the_same(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Read ahead or not, from the start or the middle, with pages or items, the jobs are the same."""
    newest = jobs[::-1]
    async with client.jobs.list(page_size=4) as listing:
        assert await listing.collect(limit=3) == newest[:3]
        cursor = listing.cursor
        assert [job async for page in listing.pages() for job in page.items] == newest[3:]
    async with client.jobs.list(page_size=4, cursor=cursor) as listing:
        assert await read(listing) == newest[3:]
    listing = client.jobs.list(page_size=4)
    assert await listing.collect(limit=6) == newest[:6]
    async with listing:
        assert await listing.collect(limit=6) == newest[6:12]
    assert await listing.collect(limit=6) == newest[12:18]
    async with listing:
        assert await listing.collect() == newest[18:]


async def test_entering_twice(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """A listing that is being read ahead cannot be entered again."""
    async with client.jobs.list() as listing:
        with pytest.raises(InvalidRequest, match="read ahead already"):
            await listing.__aenter__()
        assert await read(listing) == jobs[::-1]


@pytest.mark.parametrize("ahead", [False, True])
async def test_trouble_between_pages(rig: Rig, jobs: list[Job], *, ahead: bool) -> None:
    """An error is raised where its page is needed, never sooner; the listing goes on with it afterwards."""
    provider = rig.wrapped()
    troubles = 1

    async def fail_once(real: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal troubles
        if kwargs["after"] is not None and troubles:
            troubles -= 1
            raise Unavailable("busy")
        return await real(*args, **kwargs)

    provider.on["page_jobs"] = fail_once
    async with Client(provider) as client:
        listing = client.jobs.list(page_size=10)

        async def read_with_trouble() -> None:
            assert await listing.collect(limit=10) == jobs[:14:-1]
            with pytest.raises(Unavailable, match="busy") as caught:
                await anext(listing)
            assert caught.value.provider == rig.name
            assert await read(listing) == jobs[14::-1]

        if ahead:
            async with listing:
                await read_with_trouble()
        else:
            await read_with_trouble()


async def test_a_tracker_that_goes_in_circles(rig: Rig, jobs: list[Job]) -> None:
    """A tracker that gives the same place twice is found out instead of being asked for ever."""
    provider = rig.wrapped()

    async def circle(real: Any, *args: Any, **kwargs: Any) -> Any:
        return Slice([], Position("2026-01-01T00:00:00+00:00", ("same",)))

    provider.on["page_jobs"] = circle
    async with Client(provider) as client:
        with pytest.raises(InvalidResponse, match="does not get on"):
            await read(client.jobs.list())
    assert provider.made["page_jobs"] == 2


async def test_short_and_empty_pages(rig: Rig, jobs: list[Job]) -> None:
    """A page that the tracker narrowed to nothing ends nothing: what follows is asked for."""
    provider = rig.wrapped()

    async def narrow(real: Any, *args: Any, **kwargs: Any) -> Any:
        page = await real(*args, **kwargs)
        return Slice([job for job in page.items if job in (jobs[0], jobs[13])], page.next)

    provider.on["page_jobs"] = narrow
    async with Client(provider) as client:
        assert await read(client.jobs.list(page_size=3)) == [jobs[13], jobs[0]]
        pages = [page async for page in client.jobs.list(page_size=3).pages()]
        assert [list(page.items) for page in pages if page.items] == [[jobs[13]], [jobs[0]]]
        assert len(pages) == 9
        assert await client.jobs.list(page_size=3).first() == jobs[13]
        async with client.jobs.list(page_size=3) as listing:
            assert await read(listing) == [jobs[13], jobs[0]]


async def test_cancelled_between_pages(rig: Rig, jobs: list[Job]) -> None:
    """A listing cancelled while a page was fetched goes on as if it had not been."""
    provider = rig.wrapped()
    scope = anyio.CancelScope()

    async def stop(real: Any, *args: Any, **kwargs: Any) -> Any:
        page = await real(*args, **kwargs)
        if kwargs["after"] is not None and not scope.cancel_called:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        return page

    provider.on["page_jobs"] = stop
    async with Client(provider) as client:
        listing = client.jobs.list(page_size=10)
        seen: list[Job] = []
        with scope:
            while True:
                seen.append(await anext(listing))
        assert seen == jobs[:14:-1]
        assert await read(listing) == jobs[14::-1]


async def test_reading_on_under_a_shield(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Whoever is cancelled while he reads ahead may read the rest under a shield."""
    with anyio.CancelScope() as scope:
        async with client.jobs.list(page_size=4) as listing:
            first = await anext(listing)
            scope.cancel()
            with anyio.CancelScope(shield=True):
                assert [first, *await listing.collect()] == jobs[::-1]


# -- while the jobs come and go (P7) -------------------------------------------------------------------------


@needs("list(newest_first=)", "delete", "list(states=)")
@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("seed", range(scale(2, 50)))
async def test_what_stays_is_listed_once(
    rig: Rig, client: Client[Any], seed: int, *, newest_first: bool
) -> None:
    """While others come, go and change, what matches throughout is listed exactly once, the rest at most."""
    dice = random.Random(seed)
    staying = await rig.make_jobs(20)
    doomed = await rig.make_jobs(20)
    leaving = await rig.make_jobs(20)
    staying += await rig.make_jobs(20)
    newcomers: list[Job] = []
    dice.shuffle(doomed)
    dice.shuffle(leaving)
    seen: list[Job] = []
    listing = client.jobs.list(states={JobState.QUEUED}, newest_first=newest_first, page_size=7)
    async for job in listing:
        seen.append(job)
        if len(seen) % 2:
            newcomers += await rig.make_jobs(1)
            if doomed:
                await rig.vanish(doomed.pop())
            if leaving:
                await rig.start(leaving.pop())
        await rig.hand.jobs.update(dice.choice(staying), description=f"changed {len(seen)}")
        if len(seen) > scale(120, 300):
            break
    ids = [job.id for job in seen]
    assert len(set(ids)) == len(ids)
    assert {job.id for job in staying} <= set(ids)
    if newest_first:
        assert not {job.id for job in newcomers} & set(ids)


@needs("list(newest_first=)")
async def test_newcomers_in_their_turn(rig: Rig, client: Client[Any]) -> None:
    """Oldest first, jobs that come while a listing runs are listed at its end, as long as it has one."""
    jobs = await rig.make_jobs(10)
    seen: list[Job] = []
    async for job in client.jobs.list(newest_first=False, page_size=3):
        seen.append(job)
        if len(seen) == 5:
            jobs += await rig.make_jobs(4)
    assert seen == jobs


async def test_two_listings_at_once(rig: Rig, client: Client[Any], jobs: list[Job]) -> None:
    """Listings of one client do not know of each other."""
    one, other = client.jobs.list(page_size=3), client.jobs.list(page_size=4)
    found = [(job, await anext(other)) async for job in one]
    assert found == [(job, job) for job in jobs[::-1]]


@pytest.mark.parametrize("ahead", [False, True])
async def test_several_tasks_read_one_listing(
    rig: Rig, client: Client[Any], jobs: list[Job], *, ahead: bool
) -> None:
    """Each item, and each page, goes to one of the tasks that read, and none to two of them."""
    for read_pages in (False, True):
        found: list[Job] = []
        listing = client.jobs.list(page_size=4)

        async def take(listing: Listing[Job] = listing, found: list[Job] = found) -> None:
            async for job in listing:
                found.append(job)
                await anyio.lowlevel.checkpoint()

        async def take_pages(listing: Listing[Job] = listing, found: list[Job] = found) -> None:
            async for page in listing.pages():
                found.extend(page.items)
                await anyio.lowlevel.checkpoint()

        async with AsyncExitStack() as stack:
            if ahead:
                await stack.enter_async_context(listing)
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(take_pages if read_pages else take)
        assert sorted(found, key=jobs.index) == jobs


async def test_bad_numbers(rig: Rig, client: Client[Any]) -> None:
    """A limit is a number of items from 0 up, a page size one from 1 up."""
    numbers: list[Any] = [-1, 1.5, "3", True]
    for number in numbers:
        with raises_for(number, InvalidRequest, match="limit"):
            await client.jobs.list().collect(limit=number)
    for number in [0, *numbers]:
        with raises_for(number, InvalidRequest, match="page_size"):
            client.jobs.list(page_size=number)
