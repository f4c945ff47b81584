"""A client belongs to the event loop in which it was opened; what is used elsewhere says so at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.from_thread import start_blocking_portal

import callsheet
from callsheet import Client, InvalidRequest, JobState, Outcome


async def first_change(client: Client[Any], job_id: str) -> object:
    """Return the first news of a job."""
    return await anext(client.jobs.watch(job_id))


async def enter_track(client: Client[Any]) -> None:
    """Track nothing."""
    async with client.jobs.track("render"):
        pass


async def test_calls_from_another_loop_are_refused(tmp_path: Path) -> None:
    """A call from a second loop, in a thread of its own, would wait for what only the first one hands out."""
    async with callsheet.connect(f"local:{tmp_path}/jobs") as client:
        job = await client.jobs.create("Publish sh010", idempotency_key="4711")
        janes = client.as_user("jane")
        calls: list[Callable[[], Any]] = [
            lambda: client.jobs.create("Publish sh020"),
            lambda: client.jobs.list().collect(),
            lambda: client.jobs.wait(job, timeout=60),
            lambda: first_change(client, job.id),
            lambda: enter_track(client),
            lambda: janes.as_user("ada").jobs.count(),
        ]

        async def try_all() -> list[str]:
            said = []
            for call in calls:
                with pytest.raises(InvalidRequest) as caught:
                    await call()
                said.append(str(caught.value))
                assert caught.value.outcome is Outcome.NOT_DONE
            return said

        said = await anyio.to_thread.run_sync(lambda: anyio.run(try_all))
        assert said == ["the client was opened in another event loop; open one in each"] * len(calls)
        assert [await client.jobs.get(job)] == await client.jobs.list().collect()


def test_blocking_code_goes_through_a_portal(tmp_path: Path) -> None:
    """A program without a loop tracks its work: the block is made here, and runs in the portal's loop."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(callsheet.connect(f"local:{tmp_path}/jobs")) as client,
    ):
        with portal.wrap_async_context_manager(client.jobs.track("Bake")) as tracked:
            tracked.progress(0.5)
        assert tracked.job == portal.call(client.jobs.get, tracked.job)
        assert tracked.job.state is JobState.DONE
