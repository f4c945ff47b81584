"""Components and locations: listing, finding and removing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callsheet import (
    Client,
    Component,
    File,
    InvalidCursor,
    InvalidRequest,
    Job,
    Listing,
    Location,
    NotFound,
    Outcome,
)
from rig import Rig
from support.needs import needs
from support.tables import raises_for


async def several(rig: Rig, client: Client[Any], number: int) -> tuple[Job, list[Component]]:
    """Attach so many files to a job, one after the other."""
    job = await rig.make_job()
    parts: list[Component] = []
    for index in range(number):
        await rig.tick()
        parts += await client.jobs.attach(job, [File(b"%d" % index, name=f"part {index}")])
    return job, parts


@needs("components.list", "attach", "upload")
async def test_listing_components(rig: Rig, client: Client[Any]) -> None:
    """Components are listed in the order of their creation: of a job, of a location, or all."""
    job, parts = await several(rig, client, 5)
    other = await rig.make_job()
    await rig.tick()
    (others,) = await client.jobs.attach(other, [File(b"o", name="other's")])
    await rig.tick()
    loose = await client.components.upload(File(b"l", name="loose"))
    assert await client.components.list(job).collect() == parts
    assert await client.components.list(job.id, page_size=2).collect() == parts
    assert await client.components.list(job=other).collect() == [others]
    everything = [part.id for part in [*parts, others, loose]]
    assert [part.id for part in await client.components.list().collect()] == everything
    assert [part.id async for part in client.components.list(location=loose.location_id)] == everything
    both = await client.components.list(job, loose.location_id).collect()
    assert [part.id for part in both] == [part.id for part in parts]


@needs("components.list", "attach")
async def test_paging_components(rig: Rig, client: Client[Any]) -> None:
    """Pages of any size make the whole; a cursor goes on, read ahead or not, and fits only its listing."""
    job, parts = await several(rig, client, 7)
    for size in (1, 3, 7, 100, None):
        assert await client.components.list(job, page_size=size).collect() == parts
        pages = [page async for page in client.components.list(job, page_size=size).pages()]
        assert [part for page in pages for part in page.items] == parts
    listing = client.components.list(job, page_size=2)
    assert await listing.collect(limit=3) == parts[:3]
    async with rig.another_client() as other:
        assert await other.components.list(job, cursor=listing.cursor).collect() == parts[3:]
    async with client.components.list(job, page_size=2, cursor=listing.cursor) as ahead:
        assert await ahead.collect() == parts[3:]
    misfits: list[Callable[[], Listing[Any]]] = [
        lambda: client.components.list(cursor=listing.cursor),
        lambda: client.jobs.list(cursor=listing.cursor),
        lambda: client.components.list("other", cursor=listing.cursor),
        lambda: client.components.list(job, cursor="damaged"),
    ]
    for misfit in misfits:
        with pytest.raises(InvalidCursor):
            misfit()


@needs("components.list")
async def test_listing_components_of_nothing(rig: Rig, client: Client[Any]) -> None:
    """A job without files has none; a job or location that is not there is `NotFound`."""
    job = await rig.make_job()
    assert await client.components.list(job).collect() == []
    for arguments in ({"job": "nope"}, {"location": "nope"}, {"job": job, "location": "nope"}):
        with raises_for(arguments, NotFound, match="nope"):
            await client.components.list(**arguments).collect()


@needs("components.delete", "components.get", "attach", "components.list")
async def test_deleting_components(rig: Rig, client: Client[Any]) -> None:
    """A deleted component is gone from the tracker and from every job that had it; the others stay."""
    job, (one, two, three) = await several(rig, client, 3)
    other = await rig.make_job()
    await client.jobs.attach(other, [one, two])
    await client.components.delete(one)
    await client.components.delete(three.id)
    assert await client.components.list(job).collect() == [two]
    assert [part.id for part in await client.components.list(other).collect()] == [two.id]
    assert [part.id for part in await client.components.list().collect()] == [two.id]
    before = await rig.snapshot()
    for gone in (one, three.id, "nope"):
        for call in (client.components.get, client.components.delete):
            with raises_for((call, gone), NotFound) as caught:
                await call(gone)
            assert isinstance(caught.value, NotFound)
            assert (caught.value.provider, caught.value.outcome) == (rig.name, Outcome.NOT_DONE)
    assert await rig.snapshot() == before


@needs("components.delete", "attach", "open")
async def test_equal_bytes_are_not_deleted_together(rig: Rig, client: Client[Any]) -> None:
    """Two components of the same bytes are independent: one deleted, the other still has them."""
    job = await rig.make_job()
    one, other = await client.jobs.attach(job, [File(b"same", name="one"), File(b"same", name="other")])
    await client.components.delete(one)
    async with client.components.open(other) as chunks:
        assert [chunk async for chunk in chunks] == [b"same"]


@needs("locations.list", "locations.get", "upload")
async def test_locations(rig: Rig, client: Client[Any]) -> None:
    """Every location is found by its id and, where only it has that, by its name."""
    locations = await client.locations.list().collect()
    assert {type(location) for location in locations} == {Location}
    for location in locations:
        assert await client.locations.get(location.id) == location
        assert location.name
        assert location.kind
    assert [location.name for location in locations] == sorted(location.name for location in locations)
    (home,) = [one for one in locations if one.id == (await loose(client)).location_id]
    assert await client.locations.get(home.name) == home
    assert home.details is not None
    with pytest.raises(NotFound, match="nowhere") as caught:
        await client.locations.get("nowhere")
    assert (caught.value.provider, caught.value.outcome) == (rig.name, Outcome.NOT_DONE)


async def loose(client: Client[Any]) -> Component:
    """Upload a file."""
    part: Component = await client.components.upload(File(b"a", name="a"))
    return part


@needs("components.list", "components.get", "components.delete", "locations.get")
async def test_what_makes_no_sense(rig: Rig, client: Client[Any]) -> None:
    """What can be no component, job or location is refused by name, and nothing changes."""
    before = await rig.snapshot()
    bad: list[Any] = [7, None, "", b"x", "a\0b", ["c-1"]]
    for given in bad:
        for call in (client.components.get, client.components.delete):
            with raises_for(given, InvalidRequest, match="component"):
                await call(given)
        with raises_for(given, InvalidRequest, match="location"):
            await client.locations.get(given)
        if given is not None:
            with raises_for(given, InvalidRequest, match="job"):
                client.components.list(given)
            with raises_for(given, InvalidRequest, match="location"):
                client.components.list(location=given)
    assert await rig.snapshot() == before
