"""Tests of a call run where the tracker has it; elsewhere they assert that it is refused."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from callsheet import Client, FrameSequence, Job, NewJob, Unsupported
from callsheet.abc import CAPABILITIES
from rig import Rig

__all__ = ["ATTEMPTS", "assert_refused", "attempt", "needs"]

Attempt: TypeAlias = Callable[[Client[Any], Job], Awaitable[object]]
Test: TypeAlias = Callable[..., Awaitable[None]]

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

VALUES: dict[str, Any] = {
    "user": "bob",
    "type": "comp",
    "types": {"comp"},
    "state": "running",
    "states": {"running"},
    "description": "more",
    "priority": 70,
    "item": "VX-1",
    "attributes": {"shot": "sh010"},
    "files": ["missing.exr"],
    "idempotency_key": "k-1",
    "template": {"steps": []},
    "parameters": {"frames": "1-10"},
    "outputs": ["/renders"],
    "vendor": {"tags": {}},
    "progress": 0.5,
    "message": "half way",
    "problem": "no licence",
    "name": "other",
    "created_after": MOMENT,
    "created_before": MOMENT,
    "newest_first": False,
}
"""A value for each argument that a tracker may lack."""


async def _track(client: Client[Any], job: Job) -> None:
    async with client.jobs.track("tracked"):
        pytest.fail("the block must not begin")


async def _watch(client: Client[Any], job: Job) -> None:
    client.jobs.watch(job)


async def _list(client: Client[Any], **arguments: Any) -> None:
    await client.jobs.list(**arguments).first()


async def _open(client: Client[Any], job: Job) -> None:
    async with client.components.open("c-1"):
        pytest.fail("there is nothing to open")


ATTEMPTS: dict[str, Attempt] = {
    "create": lambda client, job: client.jobs.create("new"),
    "create_many": lambda client, job: client.jobs.create_many([NewJob(name="new")]),
    "update": lambda client, job: client.jobs.update(job, name="other"),
    "cancel": lambda client, job: client.jobs.cancel(job),
    "delete": lambda client, job: client.jobs.delete(job),
    "rerun": lambda client, job: client.jobs.rerun(job),
    "rerun(idempotency_key=)": lambda client, job: client.jobs.rerun(job, idempotency_key="k-1"),
    "list": lambda client, job: _list(client),
    "count": lambda client, job: client.jobs.count(),
    "wait": lambda client, job: client.jobs.wait(job, timeout=0.01),
    "watch": _watch,
    "track": _track,
    "mirror": lambda client, job: client.jobs.mirror(job, into=client),
    "mirror(into=)": lambda client, job: client.jobs.mirror(job, into=client),
    "problem": lambda client, job: client.jobs.problem(job),
    "allows": lambda client, job: client.jobs.allows(job, "view"),
    "attach": lambda client, job: client.jobs.attach(job, ["missing.exr"]),
    "upload": lambda client, job: client.components.upload("missing.exr"),
    "upload(frames=)": lambda client, job: client.components.upload(FrameSequence("missing.%d.exr", 1, 2)),
    "download": lambda client, job: client.components.download("c-1", to="/nowhere"),
    "open": _open,
    "components.list": lambda client, job: client.components.list().first(),
    "components.get": lambda client, job: client.components.get("c-1"),
    "components.delete": lambda client, job: client.components.delete("c-1"),
    "components.url": lambda client, job: client.components.url("c-1"),
    "locations.list": lambda client, job: client.locations.list().first(),
    "locations.get": lambda client, job: client.locations.get("loc-1"),
}
"""The smallest call that needs each word of `CAPABILITIES`; those with an argument are made by `attempt`."""


def attempt(word: str) -> Attempt:
    """Return the smallest call that needs the word."""
    if word in ATTEMPTS:
        return ATTEMPTS[word]
    call, _, argument = word.removesuffix("=)").partition("(")
    value = {argument: VALUES[argument]}
    if call == "create":
        return lambda client, job: client.jobs.create("new", **value)
    if call == "update":
        return lambda client, job: client.jobs.update(job, **value)
    return lambda client, job: _list(client, **value)


async def assert_refused(rig: Rig, word: str) -> None:
    """Assert that a call the tracker lacks is refused before it begins, with a way out; nothing changes."""
    job = await rig.make_job()
    before = await rig.snapshot()
    async with rig.another_client() as client:
        with pytest.raises(Unsupported) as caught:
            await attempt(word)(client, job)
    error, hints, call = caught.value, rig.kind.hints, word.partition("(")[0]
    # Of a call that is lacking itself, no argument is looked at.
    lacking = call if call in CAPABILITIES - rig.capabilities else word
    assert (error.provider, error.call) == (rig.name, lacking)
    assert error.hint == hints.get(lacking, hints.get(call, ""))
    assert await rig.snapshot() == before


def needs(*words: str) -> Callable[[Test], Test]:
    """Run the test where the tracker has all these calls; elsewhere, assert that each it lacks is refused."""
    assert CAPABILITIES.issuperset(words), words

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        async def run(*, rig: Rig, **fixtures: Any) -> None:
            lacking = [word for word in words if not rig.supports(word)]
            for word in lacking:
                await assert_refused(rig, word)
            if not lacking:
                await test(rig=rig, **fixtures)

        return run

    return decorate
