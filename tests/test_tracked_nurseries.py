"""Tracked blocks in which trio's own nurseries stand, which wrap what goes through them in groups."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
import trio

import callsheet
from callsheet import JobState
from support.tables import ends_with

pytestmark = pytest.mark.parametrize("anyio_backend", ["trio"])


async def test_a_block_cancelled_inside_a_nursery(tmp_path: Path) -> None:
    """A cancellation that comes out of a nursery ends the job cancelled, as any other does."""
    async with callsheet.connect(f"local:{tmp_path}/jobs") as client:
        with anyio.CancelScope() as scope:
            async with client.jobs.track("render") as tracked, trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                scope.cancel()
        assert scope.cancelled_caught
        assert (await client.jobs.get(tracked.job)).state is JobState.CANCELLED


async def test_a_block_that_fails_inside_a_nursery(tmp_path: Path) -> None:
    """A failure among what was cancelled with it is a failure."""

    async def fail() -> None:
        raise ZeroDivisionError

    async with callsheet.connect(f"local:{tmp_path}/jobs") as client:
        with ends_with(ExceptionGroup):
            async with client.jobs.track("render") as tracked, trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(fail)
        assert (await client.jobs.get(tracked.job)).state is JobState.FAILED


async def test_a_block_that_fails_while_it_is_cancelled(tmp_path: Path) -> None:
    """A failure that comes out in one group with the cancellation that caused it is a failure."""

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    async with callsheet.connect(f"local:{tmp_path}/jobs") as client:
        with ends_with(ExceptionGroup), anyio.CancelScope() as scope:
            async with client.jobs.track("render") as tracked, trio.open_nursery() as nursery:
                nursery.start_soon(fail_when_cancelled)
                nursery.start_soon(trio.sleep_forever)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        assert (await client.jobs.get(tracked.job)).state is JobState.FAILED
