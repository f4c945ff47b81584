"""Locks by id, which keep our own writes to one job apart."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from callsheet.providers.ftrack._locks import Locks


async def test_who_wants_one_id_waits_for_their_turn() -> None:
    """An id is held by one at a time, in the order they came; other ids are free meanwhile."""
    locks, told = Locks(), list[str]()

    async def work(name: str, ids: list[str]) -> None:
        async with locks.holding(ids):
            told.append(f"{name} begins")
            await anyio.wait_all_tasks_blocked()
            told.append(f"{name} ends")

    async with anyio.create_task_group() as tasks:
        for name, ids in [("one", ["a", "b", "a"]), ("two", ["b", "c"]), ("three", ["b"]), ("four", ["d"])]:
            tasks.start_soon(work, name, ids)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
    assert [line for line in told if not line.startswith("four")] == [
        *("one begins", "one ends", "two begins", "two ends", "three begins", "three ends"),
    ]
    assert told.index("four begins") < told.index("one ends")
    assert locks._turns == {}


@pytest.mark.parametrize("handed", [False, True])
async def test_who_stops_waiting_leaves_no_lock_held(*, handed: bool) -> None:
    """Cancelled while waiting, or as the lock is handed over, nobody keeps it, and the next one gets it."""
    locks, told = Locks(), list[str]()

    async def wait(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with locks.holding(["a", "b"]):
                await anyio.lowlevel.checkpoint()
                told.append(name)

    leaving, staying = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        async with locks.holding(["b"]):
            tasks.start_soon(wait, "leaving", leaving)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(wait, "staying", staying)
            await anyio.wait_all_tasks_blocked()
            if not handed:
                leaving.cancel()
                await anyio.wait_all_tasks_blocked()
        leaving.cancel()
    assert told == ["staying"]
    assert locks._turns == {}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_cancels_as_the_lock_is_handed_over() -> None:
    """asyncio raises in a task that had only to be woken: it lets go of what it was given."""
    locks = Locks()

    async def wait() -> None:
        async with locks.holding(["a"]):
            raise AssertionError("it went on")

    async with locks.holding(["a"]):
        task = asyncio.ensure_future(wait())
        await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert locks._turns == {}


async def test_thousands_are_held_at_once() -> None:
    """Ten thousand jobs are locked and let go in a step or two, none of which holds the loop for long."""
    locks = Locks()
    ids = [f"job {number}" for number in range(10_000)]
    async with locks.holding(ids):
        await anyio.lowlevel.checkpoint()
        assert locks._turns.keys() == set(ids)
        await anyio.lowlevel.checkpoint()
    assert locks._turns == {}
