"""The client: opened and closed, acting for others, what it refuses, and what may leave the process."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from callsheet import (
    CallsheetError,
    Client,
    Conflict,
    File,
    InvalidRequest,
    Job,
    JobState,
    NewJob,
    NotFound,
    Outcome,
    Unsupported,
    changes,
)
from callsheet.abc import CAPABILITIES, Provider
from rig import Rig
from support.needs import ATTEMPTS, assert_refused, attempt, needs
from support.tables import raises_for
from support.wrapping import Wrapping

Call = Callable[[Client[Any]], Awaitable[object]]


# -- opened and closed ---------------------------------------------------------------------------------------

ANY_CALL: dict[str, Call] = {
    "create": lambda client: client.jobs.create("render"),
    "create_many": lambda client: client.jobs.create_many([NewJob(name="render")]),
    "get": lambda client: client.jobs.get("j-1"),
    "list": lambda client: client.jobs.list().first(),
    "count": lambda client: client.jobs.count(),
    "wait": lambda client: client.jobs.wait("j-1"),
    "watch": lambda client: anext(client.jobs.watch("j-1")),
    "components.list": lambda client: client.components.list().first(),
    "locations.list": lambda client: client.locations.list().first(),
    "locations.get": lambda client: client.locations.get("loc-1"),
}


async def test_a_client_that_is_not_open(rig: Rig) -> None:
    """Before it is opened, and after it was closed, every call is refused, and asks the tracker nothing."""
    provider = rig.wrapped()
    client = Client(provider)
    for name, call in ANY_CALL.items():
        with raises_for(name, InvalidRequest, match="not open"):
            await call(client)
    assert provider.calls == []
    async with client:
        made = await client.jobs.create("render")
    asked = len(provider.calls)
    for name, call in ANY_CALL.items():
        with raises_for(name, InvalidRequest, match="not open"):
            await call(client)
    assert len(provider.calls) == asked
    assert await rig.hand.jobs.list().collect() == [made]


async def test_closing_twice(rig: Rig) -> None:
    """A client may be closed twice, by hand or by `async with`, and closing one that never opened is fine."""
    client = rig.another_client()
    await client.aclose()
    async with client:
        await client.aclose()
        with pytest.raises(InvalidRequest, match="not open"):
            await client.jobs.count()
    await client.aclose()


async def test_opening_twice(rig: Rig, client: Client[Any]) -> None:
    """An open client cannot be opened again; it stays open."""
    with pytest.raises(InvalidRequest, match="open already"):
        await client.__aenter__()
    assert await client.jobs.count() == 0


async def test_opening_again(rig: Rig) -> None:
    """A closed client may be opened again, and works as before."""
    client = rig.another_client()
    async with client:
        job = await client.jobs.create("render")
    async with client:
        assert await client.jobs.get(job) == job
        await rig.finish(job)
        assert (await client.jobs.wait(job)).state is JobState.DONE


def test_two_loops_one_after_the_other(request: pytest.FixtureRequest, tmp_path: Any) -> None:
    """One process may use a tracker from one event loop, then from another, of either kind."""
    from rig import RIGS  # the fixture would tie the tracker to one loop

    for kind in RIGS:
        folder = tmp_path / kind.__name__
        folder.mkdir()
        for number, backend in enumerate(["asyncio", "trio", "asyncio"]):
            anyio.run(_use, kind, folder, number, backend=backend)


async def _use(kind: type[Rig], folder: Any, number: int) -> None:
    async with kind(folder) as rig, rig.another_client() as client:
        job = await client.jobs.create(f"job {number}")
        await rig.finish(job)
        assert (await client.jobs.wait(job)).state is JobState.DONE
        newest = await client.jobs.list().first()
        assert newest is not None
        assert newest.name == f"job {number}"


async def test_closing_while_others_wait(rig: Rig) -> None:
    """Whoever still waits, watches or lists when the client is closed is told so; nobody hangs."""
    provider = rig.wrapped()
    client = Client(provider)
    job = await rig.make_job()
    told: list[str] = []
    looked = anyio.Event()

    async def look(real: Any, *args: Any) -> Any:
        found = await real(*args)
        if provider.made["sweep"] == 2:
            provider.watch_interval = 3600  # nobody would look again for long
            looked.set()
        return found

    provider.on["sweep"] = look

    async def call(name: str, wait: Callable[[], Awaitable[object]]) -> None:
        try:
            await wait()
        except CallsheetError:
            told.append(name)

    async def watch() -> None:
        async for _ in client.jobs.watch(job):
            pass

    async with anyio.create_task_group() as tasks:
        async with client:
            tasks.start_soon(call, "wait", lambda: client.jobs.wait(job))
            tasks.start_soon(call, "wait_all", lambda: client.jobs.wait_all([job, job]))
            tasks.start_soon(call, "watch", watch)
            await looked.wait()
    assert sorted(told) == ["wait", "wait_all", "watch"]
    assert provider.made["sweep"] == 2


async def test_closing_while_calls_are_under_way(rig: Rig) -> None:
    """A call under way when its client is closed ends, well or with an error of ours that is true."""
    client = rig.another_client()
    ended: list[Job | CallsheetError] = []

    async def create(number: int) -> None:
        try:
            ended.append(await client.jobs.create(f"job {number}"))
        except CallsheetError as error:
            ended.append(error)

    async with anyio.create_task_group() as tasks:
        async with client:
            for number in range(50):
                tasks.start_soon(create, number)
            await anyio.lowlevel.checkpoint()
    assert len(ended) == 50
    there = {job.name for job in await rig.hand.jobs.list().collect()}
    made = {job.name for job in ended if isinstance(job, Job)}
    unknown = [
        error for error in ended if isinstance(error, CallsheetError) and error.outcome is Outcome.UNKNOWN
    ]
    assert made <= there
    assert len(there - made) <= len(unknown)


@needs("attach", "download", "upload")
async def test_closing_while_transfers_are_under_way(rig: Rig, tmp_path: Path) -> None:
    """Transfers under way when their client is closed end, and what is at a final name is whole."""
    content = os.urandom(3_000_000)
    job = await rig.make_job()
    part = await rig.hand.components.upload(File(content, name="plate"))
    client = rig.another_client()
    begun, ended = anyio.Event(), 0

    async def transfer(call: Callable[..., Awaitable[object]], *args: Any) -> None:
        nonlocal ended
        with suppress(CallsheetError, OSError):
            await call(*args, on_progress=lambda _: begun.set())
        ended += 1

    async with anyio.create_task_group() as tasks:
        async with client:
            for number in range(4):
                tasks.start_soon(transfer, client.components.download, part, tmp_path / f"file {number}")
                tasks.start_soon(transfer, client.jobs.attach, job, [File(content, name=f"part {number}")])
            await begun.wait()
    assert ended == 8
    for path in tmp_path.glob("file *"):
        assert path.read_bytes() == content
    for component in await rig.hand.components.list(job).collect():
        assert await rig.fetch(await rig.hand.components.url(component)) == content


async def test_a_provider_is_needed() -> None:
    """A client is made of a provider; an address is for `connect`."""
    bad: list[Any] = ["local:./jobs", None, Provider]
    for given in bad:
        with raises_for(given, InvalidRequest, match=r"provider.*connect\(\)"):
            Client(given)


async def test_the_provider_is_at_hand(rig: Rig) -> None:
    """The provider is reachable, as what it was given as."""
    provider = rig.provider()
    client = Client(provider)
    assert client.provider is provider
    assert provider.tracker in repr(client)


# -- acting for others ---------------------------------------------------------------------------------------


@needs("create(user=)")
async def test_acting_for_another_user(rig: Rig, client: Client[Any]) -> None:
    """A client made for another user makes jobs for that user, over the same tracker."""
    if rig.name == "narrow":
        with pytest.raises(Unsupported):
            client.as_user("bob")
        return
    bob = client.as_user("bob")
    async with bob:
        job = await bob.jobs.create("render")
        assert job.user == "bob"
        assert bob.provider.user == "bob"
        if rig.supports("allows"):
            assert await bob.jobs.allows(job, "delete") is True
            assert await client.jobs.allows(job, "delete") is rig.is_admin
        assert await client.jobs.get(job) == job
        assert (await client.jobs.create("mine")).user == rig.user
    assert (await client.jobs.create("still open")).user == rig.user
    with pytest.raises(InvalidRequest, match="not open"):
        await bob.jobs.count()
    for bad in ("", 7, None):
        with raises_for(bad, InvalidRequest, match="user"):
            client.as_user(bad)  # type: ignore[arg-type]  # the test is about this


async def test_acting_for_another_user_of_a_closed_client(rig: Rig) -> None:
    """A client made for another user is open for as long as its parent is."""
    async with rig.another_client() as client:
        if not rig.acts_for_others:
            with pytest.raises(Unsupported, match="as_user"):
                client.as_user("bob")
            return
        bob = client.as_user("bob")
        assert await bob.jobs.count() == 0
    with pytest.raises(InvalidRequest, match="not open"):
        await bob.jobs.count()


# -- what a tracker cannot do --------------------------------------------------------------------------------


async def test_the_table_of_what_each_tracker_does(rig: Rig) -> None:
    """What a provider says it can do is what the table of trackers says, and only words that there are."""
    assert rig.provider().capabilities == rig.capabilities
    assert rig.capabilities <= CAPABILITIES
    assert set(rig.kind.hints) <= CAPABILITIES - rig.capabilities


async def test_every_call_can_be_refused(rig: Rig) -> None:
    """A tracker that can do nothing refuses every word that there is, by that word, before it is asked."""
    job = await rig.make_job()
    before = await rig.snapshot()
    hints = {"attach": "create(files=)", "create(item=)": "attributes=", "list": "a look"}
    for word in sorted(CAPABILITIES):
        call = word.partition("(")[0]
        able = CAPABILITIES - {word}
        provider = rig.wrapped(capabilities=able, hints=hints)
        async with Client(provider) as client:
            asked = len(provider.calls)
            with raises_for(word, Unsupported) as caught:
                await attempt(word)(client, job)
            error = caught.value
            assert isinstance(error, Unsupported)
            assert (error.provider, error.call) == (rig.name, word)
            assert error.hint == hints.get(word, hints.get(call, ""))
            assert error.outcome is Outcome.NOT_DONE
            assert len(provider.calls) == asked, word
    assert await rig.snapshot() == before


async def test_what_this_tracker_lacks(rig: Rig) -> None:
    """Each word that this tracker lacks is refused, and the tracker is as before."""
    for word in sorted(CAPABILITIES - rig.capabilities):
        await assert_refused(rig, word)


def test_there_is_an_attempt_for_each_word() -> None:
    """The table of smallest calls has every word, so that none goes untried."""
    plain = {word for word in CAPABILITIES if "(" not in word}
    assert plain <= set(ATTEMPTS)


@needs("list(user=)")
async def test_filters_that_count_and_watch_lack(rig: Rig) -> None:
    """A filter that listings lack is refused by counts and watches too, under the listing's name."""
    provider = rig.wrapped(capabilities=CAPABILITIES - {"list(user=)"})
    async with Client(provider) as client:
        for call in (lambda: client.jobs.count(user="bob"), lambda: anext(client.jobs.watch(user="bob"))):
            with raises_for(call, Unsupported) as caught:
                await call()
            assert isinstance(caught.value, Unsupported)
            assert caught.value.call == "list(user=)"


# -- bad input -----------------------------------------------------------------------------------------------

BAD_CREATES: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name must not be empty"),
    ({"name": " \n"}, "name must not be empty"),
    ({"name": 7}, "name must be a text"),
    ({"name": "a\0b"}, "name holds a NUL"),
    ({"name": "x" * 2_000_000}, "name has 2000000 bytes"),
    ({"state": "finished"}, "'finished' is not a state"),
    ({"state": JobState.UNKNOWN}, "'unknown' can be read, not set"),
    ({"priority": -1}, "priority must be from 0 to 100"),
    ({"priority": 101}, "priority must be from 0 to 100"),
    ({"priority": 0.5}, "priority must be a whole number"),
    ({"priority": True}, "priority must be a number"),
    ({"user": ""}, "user must not be empty"),
    ({"type": 7}, "type must be a text"),
    ({"description": None}, "description must be a text"),
    ({"attributes": [1]}, "attributes must be a mapping"),
    ({"attributes": {"a": float("nan")}}, "attributes cannot be written as JSON"),
    ({"attributes": {"a": "x" * (10 << 20)}}, "attributes have"),
    ({"attributes": {1: 2}}, "attributes: the name 1"),
    ({"attributes": {"a": {2, 3}}}, "attributes cannot be written as JSON"),
    ({"idempotency_key": ""}, "idempotency_key must not be empty"),
    ({"idempotency_key": 7}, "idempotency_key must be a text"),
    ({"files": "plate.exr"}, "files: give a list, not str"),
    ({"files": File(b"x", name="x")}, "files: give a list, not File"),
]


@needs("create_many")
async def test_bad_jobs_are_not_made(rig: Rig, client: Client[Any]) -> None:
    """Each bad field is refused by name, alone or among many, before anything is written."""
    before = await rig.snapshot()
    for bad, complaint in BAD_CREATES:
        with raises_for(complaint, InvalidRequest, match=complaint) as caught:
            await client.jobs.create(**({"name": "render"} | bad))
        assert isinstance(caught.value, ValueError)
        with raises_for(complaint, InvalidRequest, match=complaint):
            await client.jobs.create_many([NewJob(name="good"), NewJob(**({"name": "render"} | bad))])
    for key in ("", 7):
        with raises_for(key, InvalidRequest, match="idempotency_key"):
            await client.jobs.create_many([NewJob(name="render")], idempotency_key=key)  # type: ignore[arg-type]  # the test is about this
    with pytest.raises(InvalidRequest, match="create_many takes NewJob, not str"):
        await client.jobs.create_many(["render"])  # type: ignore[list-item]  # the test is about this
    assert await rig.snapshot() == before


async def test_bad_changes_are_not_made(rig: Rig, client: Client[Any]) -> None:
    """Each bad change is refused by name before anything is written, and so is none at all."""
    job = await rig.make_job()
    before = await rig.snapshot()
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "nothing to change"),
        ({"state": "asleep"}, "'asleep' is not a state"),
        ({"state": JobState.UNKNOWN}, "can be read, not set"),
        ({"state": None}, "None is not a state"),
        ({"progress": 1.01}, "progress must be from 0 to 1"),
        ({"progress": -0.01}, "progress must be from 0 to 1"),
        ({"progress": float("nan")}, "progress must be from 0 to 1"),
        ({"progress": "half"}, "progress must be a number"),
        ({"priority": 1000}, "priority must be from 0 to 100"),
        ({"name": ""}, "name must not be empty"),
        ({"message": 7}, "message must be a text"),
        ({"attributes": None}, "attributes must be a mapping"),
        ({"attributes": {"a": "x" * (10 << 20)}}, "attributes have"),
    ]
    for given, complaint in bad:
        with raises_for(complaint, InvalidRequest, match=complaint):
            await client.jobs.update(job, **given)
        with raises_for(complaint, InvalidRequest, match=complaint):
            await client.jobs.update_many([job], **given)
    with pytest.raises(InvalidRequest, match="no field 'user'"):
        await client.jobs.update_many([job], user="bob")  # type: ignore[call-arg]  # the test is about this
    assert await rig.snapshot() == before


async def test_bad_filters_are_refused(rig: Rig, client: Client[Any]) -> None:
    """Each bad condition is refused by name before the tracker is asked."""
    bad: list[tuple[dict[str, Any], str]] = [
        ({"states": {"asleep"}}, "'asleep' is not a state"),
        ({"states": "running"}, "states must be a set"),
        ({"types": "comp"}, "types must be a set"),
        ({"user": ""}, "user must not be empty"),
        ({"item": 7}, "item must be a text"),
        ({"attributes": "a"}, "attributes must be a mapping"),
        ({"created_after": datetime(2026, 1, 1)}, "created_after must carry a time zone"),
        ({"created_before": "2026-01-01"}, "created_before must be a datetime"),
    ]
    for given, complaint in bad:
        with raises_for(complaint, InvalidRequest, match=complaint):
            client.jobs.list(**given)
        with raises_for(complaint, InvalidRequest, match=complaint):
            await client.jobs.count(**given)
    for max_age in (-1, float("nan"), "1"):
        with raises_for(max_age, InvalidRequest, match="max_age"):
            await client.jobs.count(max_age=max_age)  # type: ignore[arg-type]  # the test is about this
    with pytest.raises(InvalidRequest, match="there is no filter 'status'; there are states, types, user, "):
        await client.jobs.count(status="running")  # type: ignore[call-arg]  # the test is about this


@needs("update(name=)", "cancel", "rerun", "delete", "problem", "allows", "attach", "track")
async def test_a_job_of_another_tracker(rig: Rig, client: Client[Any]) -> None:
    """A job of another tracker is refused by every call, which names both, and nothing changes."""
    ours = await rig.make_job()
    stranger = attrs.evolve(ours, tracker="elsewhere:42")
    before = await rig.snapshot()

    async def track() -> None:
        async with client.jobs.track(job=stranger):
            pytest.fail("the block must not begin")

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: client.jobs.get(stranger),
        "get_many": lambda: client.jobs.get_many([ours, stranger]),
        "update": lambda: client.jobs.update(stranger, name="other"),
        "update_many": lambda: client.jobs.update_many([ours, stranger], name="other"),
        "cancel": lambda: client.jobs.cancel(stranger),
        "rerun": lambda: client.jobs.rerun(stranger),
        "delete": lambda: client.jobs.delete(stranger),
        "problem": lambda: client.jobs.problem(stranger),
        "allows": lambda: client.jobs.allows(stranger, "view"),
        "attach": lambda: client.jobs.attach(stranger, [File(b"x", name="x")]),
        "wait": lambda: client.jobs.wait(stranger),
        "wait_all": lambda: client.jobs.wait_all([ours, stranger]),
        "watch": lambda: anext(client.jobs.watch(stranger)),
        "track": track,
        "components.list": lambda: client.components.list(stranger).first(),
    }
    for name, call in calls.items():
        with raises_for(name, InvalidRequest, match="belongs to elsewhere:42, not to"):
            await call()
    assert await rig.snapshot() == before


async def test_lists_where_lists_belong(rig: Rig, client: Client[Any]) -> None:
    """A single job where several belong is a slip that is named, not a job for each letter."""
    job = await rig.make_job()
    bad: list[Any] = [job, job.id, 7, None]
    for given in bad:
        with raises_for(given, InvalidRequest, match="jobs: give a list, not"):
            await client.jobs.get_many(given)
        with raises_for(given, InvalidRequest, match="jobs: give a list, not"):
            await client.jobs.update_many(given, name="other")
        with raises_for(given, InvalidRequest, match="jobs: give a list, not"):
            await client.jobs.wait_all(given)
        with raises_for(given, InvalidRequest, match="new: give a list, not"):
            await client.jobs.create_many(given)
    with pytest.raises(InvalidRequest, match="new: give a list, not NewJob"):
        await client.jobs.create_many(NewJob(name="render"))  # type: ignore[arg-type]  # the test is about this
    assert await client.jobs.get(job) == job


@needs("allows")
async def test_bad_actions(rig: Rig, client: Client[Any]) -> None:
    """An action that is none is refused, and the actions there are are named."""
    job = await rig.make_job()
    for action in ("paint", "", None, "VIEW"):
        with raises_for(action, InvalidRequest, match="action must be one of view, abort, rerun"):
            await client.jobs.allows(job, action)  # type: ignore[arg-type]  # the test is about this
    with pytest.raises(InvalidRequest, match="user must not be empty"):
        await client.jobs.allows(job, "view", "")


# -- what may leave the process ------------------------------------------------------------------------------

UNPICKLE = """
import pickle, sys
things = pickle.load(sys.stdin.buffer)
print([(type(thing).__name__, repr(thing.details) if hasattr(thing, "details") else "") for thing in things])
"""


@needs("attach", "locations.list")
async def test_answers_pickle(rig: Rig, client: Client[Any]) -> None:
    """Jobs, components and locations cross into another process whole, details included."""
    job = await rig.fail(await rig.make_job(attributes={"shot": [1]}), "no licence")
    (part,) = await client.jobs.attach(job, [File(b"x", name="x")])
    location = await client.locations.list().first()
    things: list[Any] = [job, part, location, *await client.jobs.list().collect()]
    for thing in things:
        twin = pickle.loads(pickle.dumps(thing))
        assert twin == thing
        assert (twin.raw, twin.details) == (thing.raw, thing.details)
        assert hash(twin) == hash(thing)
        assert thing.details is not None
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = await anyio.run_process([sys.executable, "-c", UNPICKLE], input=pickle.dumps(things), env=paths)
    assert run.stdout.decode().strip() == repr(
        [(type(thing).__name__, repr(thing.details)) for thing in things]
    )


@needs("create(idempotency_key=)")
async def test_errors_pickle(rig: Rig, client: Client[Any]) -> None:
    """Errors that a tracker raised cross processes with their facts."""
    await client.jobs.create("render", idempotency_key="k-1")
    caught: list[CallsheetError] = []
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.jobs.get("nope"),
        lambda: client.jobs.create("other", idempotency_key="k-1"),
        lambda: client.jobs.wait("nope", timeout=5),
    ]
    for call in calls:
        with pytest.raises(CallsheetError) as error:
            await call()
        caught.append(error.value)
    assert [type(error) for error in caught] == [NotFound, rig.reused, NotFound]
    for error_ in caught:
        twin = pickle.loads(pickle.dumps(error_))
        assert (type(twin), str(twin), twin.args) == (type(error_), str(error_), error_.args)
        assert {k: repr(v) for k, v in vars(twin).items()} == {k: repr(v) for k, v in vars(error_).items()}


async def test_details_are_the_vendors_own(rig: Rig, client: Client[Any]) -> None:
    """`details` is read from `raw` without asking the tracker, and the provider gives the same, typed."""
    provider = rig.wrapped()
    async with Client(provider) as watched:
        job = await watched.jobs.create("render")
        listed = (await watched.jobs.list().collect())[0]
        asked = len(provider.calls)
        typed: Any = provider.inner
        for one in (job, listed):
            if one.details is not None:
                assert typed.details(one) == one.details
            assert one.raw
        assert len(provider.calls) == asked


# -- changes between two looks -------------------------------------------------------------------------------


@needs("update(message=)")
async def test_changes_between_two_looks(rig: Rig, client: Client[Any]) -> None:
    """What has changed between two answers is told field by field, whoever changed it."""
    old = await client.jobs.create("render")
    assert changes(old, await client.jobs.get(old)) == []
    async with rig.another_client() as other:
        await other.jobs.update(old, message="frame 1", state=JobState.RUNNING)
    new = await client.jobs.get(old)
    told = {change.name: (change.old, change.new) for change in changes(old, new)}
    assert told["message"] == (None, "frame 1")
    assert told["state"] == (JobState.QUEUED, JobState.RUNNING)
    assert told.keys() <= {"message", "state", "vendor_state", "started_at", "updated_at"}
    assert changes(new, new) == []


async def test_an_error_without_a_provider_gets_one(rig: Rig) -> None:
    """Whatever error a provider raises, it says which tracker it came from."""
    provider: Wrapping = rig.wrapped()

    async def refuse(real: Any, *args: Any, **kwargs: Any) -> Any:
        raise Conflict("somebody was faster")

    async with Client(provider) as client:
        for name in ("create_jobs", "get_jobs", "page_jobs", "count_jobs", "update_jobs", "get_location"):
            provider.on[name] = refuse
        change: dict[str, Any] = {"name": "other"} if rig.supports("update(name=)") else {"priority": 1}
        calls: list[Call] = [
            lambda client: client.jobs.create("render"),
            lambda client: client.jobs.get("j-1"),
            lambda client: client.jobs.list().first(),
            lambda client: client.jobs.count(),
            lambda client: client.jobs.update("j-1", **change),
            lambda client: client.locations.get("loc-1"),
        ]
        for number, call in enumerate(calls):
            with raises_for(number, Conflict, match="faster") as caught:
                await call(client)
            assert isinstance(caught.value, Conflict)
            assert caught.value.provider == rig.name


@needs("create(idempotency_key=)")
async def test_a_cancelled_create_logs_its_key(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A create that is cancelled half way leaves its key in the log, so that it can be repeated safely."""
    provider = rig.wrapped()

    async def create(real: Any, *args: Any) -> Any:
        made = await real(*args)
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        return made

    provider.on["create_jobs"] = create
    async with Client(provider) as client:
        with anyio.CancelScope() as scope:
            await client.jobs.create("render", idempotency_key="k-1")
        assert scope.cancelled_caught
        lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any("k-1" in line for line in lines)
        del provider.on["create_jobs"]
        job = await client.jobs.create("render", idempotency_key="k-1")
        assert await client.jobs.list().collect() == [job]
