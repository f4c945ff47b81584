"""Jobs on ftrack: what is asked of the server, what is kept there, and how other programs get on with it."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest

from callsheet import Client, Conflict, InvalidRequest, JobState, NewJob, NotFound, Outcome, Unsupported
from callsheet.abc import CAPABILITIES, JobFilter
from callsheet.providers import ftrack
from callsheet.providers.ftrack import FtrackProvider, _server
from callsheet.sandbox import Sandbox
from support.ftrackclient import actions, batches, data_of


async def foreign(client: Client[FtrackProvider], **values: Any) -> str:
    """Make a job as another program does, and return its id."""
    id_ = str(uuid.uuid4())
    (user,) = await client.provider.query('select id from User where username is "jane"')
    values = {"id": id_, "type": "api_job", "status": "running", "user_id": user["id"], **values}
    await client.provider.call(ftrack.create("Job", values))
    return id_


# -- making --------------------------------------------------------------------------------------------------


async def test_what_an_artist_sees(client: Client[FtrackProvider]) -> None:
    """The jobs menu shows the description of `data`, which follows each change."""
    job = await client.jobs.create("Publish sh010", description="12 files")
    assert (await data_of(client, job.id))["description"] == "Publish sh010: 12 files"
    await client.jobs.update(job, state=JobState.RUNNING, progress=0.4, message="frame 400")
    assert (await data_of(client, job.id))["description"] == "Publish sh010: 12 files (40 %, frame 400)"
    await client.jobs.update(job, name="Publish sh020", description="", progress=None)
    assert (await data_of(client, job.id))["description"] == "Publish sh020 (frame 400)"


async def test_many_jobs_in_one_request(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A thousand jobs are made and read back by one request, after one that looks up who they are for."""
    jobs = await client.jobs.create_many([NewJob(name=f"job {index}") for index in range(1000)])
    assert [job.name for job in jobs] == [f"job {index}" for index in range(1000)]
    looked_up, made = sandbox.requests("/api")
    assert '"action": "query"' in looked_up.body
    assert made.body.startswith('[{"action": "create"')
    assert made.size > 1000 * 200


@pytest.mark.parametrize("word", ["encode", "API_JOB", " api_job"])
async def test_a_type_that_no_program_can_make(
    client: Client[FtrackProvider], sandbox: Sandbox, word: str
) -> None:
    """A type other than `api_job` is refused before any request, also among many and when tracking."""
    for error in (InvalidRequest, ValueError):
        with pytest.raises(error, match="api_job"):
            await client.jobs.create("x", type=word)
        with pytest.raises(error, match="api_job"):
            await client.jobs.create_many([NewJob(name="a"), NewJob(name="b", type=word)])
        with pytest.raises(error, match="api_job"):
            async with client.jobs.track("x", type=word):
                pytest.fail("the block must not begin")
    assert batches(sandbox) == []


async def test_the_one_type_that_can_be_made(client: Client[FtrackProvider]) -> None:
    """`api_job` is what a job is anyway, and may be said."""
    job = await client.jobs.create("x", type="api_job", idempotency_key="k")
    assert job.type == "api_job"
    assert await client.jobs.create("x", idempotency_key="k") == job


async def test_a_user_that_does_not_exist(client: Client[FtrackProvider]) -> None:
    """A job for nobody is not made, and the error names the user."""
    with pytest.raises(NotFound, match="nobody"):
        await client.jobs.create_many([NewJob(name="a"), NewJob(name="b", user="nobody")])
    assert await client.jobs.count() == 0


async def test_users_are_looked_up_once(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Whoever jobs are made for is asked for once."""
    for user in ("jane", "jane", "sandbox"):
        job = await client.jobs.create("x", user=user)
        assert job.user == user
    assert [sum(counts.values()) for counts in actions(sandbox)] == [1, 2, 2, 1, 2]


async def test_users_pushed_out_of_memory(
    client: Client[FtrackProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user whom others push out of what is remembered, while a second is looked up, is still known."""
    monkeypatch.setattr(_server, "MAX_USERS", 1)
    server = client.provider._server
    known = await server.user_ids(["jane"])
    async with anyio.create_task_group() as tasks:
        found: list[dict[str, str]] = []

        async def look_up() -> None:
            found.append(await server.user_ids(["jane", "ada"]))

        tasks.start_soon(look_up)
        tasks.start_soon(server.user_ids, ["sandbox"])
    assert (list(found[0]), found[0]["jane"], len(server._users)) == (["jane", "ada"], known["jane"], 1)


async def test_a_user_made_anew(client: Client[FtrackProvider]) -> None:
    """A user who is another one by now is asked for again, once a job could not be made for the old one."""
    await client.jobs.create("x", user="jane")
    (jane,) = await client.provider.query('select id from User where username is "jane"')
    again = str(uuid.uuid4())
    await client.provider.call(
        ftrack.delete("User", jane["id"]), ftrack.create("User", {"id": again, "username": "jane"})
    )
    with pytest.raises(Conflict, match=jane["id"]) as caught:
        await client.jobs.create("y", user="jane")
    assert caught.value.outcome is Outcome.NOT_DONE
    assert (await client.jobs.create("y", user="jane")).raw["user_id"] == again


async def test_another_user(client: Client[FtrackProvider]) -> None:
    """A client for another user makes that one's jobs, with the same key."""
    janes = client.as_user("jane")
    assert (await janes.jobs.create("x")).user == "jane"
    assert (await client.jobs.create("x")).user == "sandbox"


async def test_ids_follow_from_keys(client: Client[FtrackProvider]) -> None:
    """The id of a job is that of its key on this server, in any process."""
    server = uuid.uuid5(uuid.NAMESPACE_URL, client.provider.tracker)
    job = await client.jobs.create("x", idempotency_key="k-1")
    assert job.id == str(uuid.uuid5(server, "k-1"))


# -- finding -------------------------------------------------------------------------------------------------


async def test_jobs_of_one_second(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Jobs of one second are listed once each, by their ids, both ways and in pages of any size."""
    sandbox.clock.freeze()
    jobs = await client.jobs.create_many([NewJob(name=f"job {index}") for index in range(23)])
    assert len({job.created_at for job in jobs}) == 1
    ids = sorted(job.id for job in jobs)
    for size in (1, 7, 23, 100):
        listed = await client.jobs.list(page_size=size, newest_first=False).collect()
        assert [job.id for job in listed] == ids
        assert [job.id for job in await client.jobs.list(page_size=size).collect()] == ids[::-1]


async def test_what_a_listing_asks_for(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A listing is one query a page, of what is needed and no more, from where the last page ended."""
    await client.jobs.create_many([NewJob(name=f"job {index}") for index in range(3)])
    sandbox.forget_requests()
    after = datetime(2020, 5, 1, 10, 0, 0, 250_000, tzinfo=UTC)
    listing = client.jobs.list(
        page_size=2, states={JobState.FAILED, JobState.QUEUED}, user='ja"ne', created_after=after
    )
    assert await listing.collect() == []
    ((query,),) = batches(sandbox)
    assert query["expression"] == (
        "select id, type, status, data, created_at, finished_at, user_id, user.username from Job"
        ' where status in ("failed", "queued") and user.username is "ja\\"ne"'
        ' and created_at >= "2020-05-01T10:00:00"'
        " order by created_at descending, id descending limit 2"
    )
    sandbox.forget_requests()
    jobs = await client.jobs.list(page_size=2).collect()
    second = batches(sandbox)[1][0]["expression"]
    assert jobs[1].created_at is not None
    moment = jobs[1].created_at.strftime("%Y-%m-%dT%H:%M:%S")
    assert f'created_at < "{moment}" or (created_at <= "{moment}" and id < "{jobs[1].id}")' in second


async def test_states_that_only_a_mark_tells_apart(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """CANCELLED and FAILED are both `failed` to ftrack, and are split here; a page may be short."""
    failed = [await client.jobs.create(f"f{index}", state=JobState.FAILED) for index in range(3)]
    cancelled = [await client.jobs.create(f"c{index}", state=JobState.CANCELLED) for index in range(3)]
    for states, wanted in (({JobState.FAILED}, failed), ({JobState.CANCELLED}, cancelled)):
        listed = await client.jobs.list(states=states, page_size=2).collect()
        assert {job.id for job in listed} == {job.id for job in wanted}
        assert await client.jobs.count(states=states) == 3
    sandbox.forget_requests()
    assert await client.jobs.count(states={JobState.FAILED, JobState.CANCELLED}) == 6
    ((query,),) = batches(sandbox)
    assert (
        query["expression"] == 'select id from Job where status in ("failed") order by id ascending limit 500'
    )


async def test_users_that_only_their_case_tells_apart(
    client: Client[FtrackProvider], sandbox: Sandbox
) -> None:
    """Where a server takes Jane for jane, her jobs are neither listed nor counted as hers."""
    await client.jobs.create("x", user="jane")
    assert await client.jobs.count(user="jane") == 1
    sandbox.faults.add("edit", path="/api", set={"/0/data/0/user/username": "Jane"})
    assert await client.jobs.list(user="jane").collect() == []
    assert await client.jobs.count(user="jane") == 0


async def test_counting_many(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A count is by pages of 500 ids."""
    for _ in range(2):
        await client.jobs.create_many([NewJob(name="x") for _ in range(600)])
    sandbox.forget_requests()
    assert await client.jobs.count() == 1200
    assert len(batches(sandbox)) == 3


async def test_a_sweep_of_many(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A look at n watched jobs is ceil(n / 500) queries, whatever has become of them."""
    jobs = await client.jobs.create_many([NewJob(name="x") for _ in range(600)])
    ids = [job.id for job in jobs]
    sandbox.forget_requests()
    sweep = await client.provider.sweep([*ids, "gone"], [], None)
    assert sweep.jobs == {**{job.id: job for job in jobs}, "gone": None}
    assert actions(sandbox) == [Counter({"query": 1})] * 2


@pytest.mark.parametrize("normalise", [True, False])
async def test_users_of_a_listing(
    client: Client[FtrackProvider], sandbox: Sandbox, *, normalise: bool
) -> None:
    """Each job has its user, though ftrack spells each user out once in an answer."""
    sandbox.configure("ftrack", normalise=normalise)
    await client.jobs.create_many(
        [NewJob(name="x", user=("jane", "sandbox")[index % 2]) for index in range(6)]
    )
    assert Counter(job.user for job in await client.jobs.list().collect()) == {"jane": 3, "sandbox": 3}


# -- other programs ------------------------------------------------------------------------------------------


async def test_a_job_of_another_program(client: Client[FtrackProvider]) -> None:
    """Jobs that others made are shown as ftrack shows them, and keep what others wrote when we change it."""
    id_ = await foreign(client, data=json.dumps({"description": "Bake", "ayon": {"x": [1]}}))
    job = await client.jobs.get(id_)
    assert (job.name, job.description, job.state, job.user) == ("Bake", "", JobState.RUNNING, "jane")
    changed = await client.jobs.update(job, message="tile 7", attributes={"shot": "sh010"})
    assert (changed.name, changed.message, changed.attributes) == ("Bake", "tile 7", {"shot": "sh010"})
    data = await data_of(client, id_)
    assert (data["ayon"], data["description"]) == ({"x": [1]}, "Bake (tile 7)")


async def test_another_programs_word_wins(client: Client[FtrackProvider]) -> None:
    """A job that we cancelled and another program set to done is done."""
    job = await client.jobs.cancel(await client.jobs.create("x"))
    assert (job.state, job.vendor_state, job.ended) == (JobState.CANCELLED, "failed", True)
    await client.provider.call(ftrack.update("Job", job.id, {"status": "done"}))
    assert (await client.jobs.get(job)).state is JobState.DONE
    assert await client.jobs.count(states={JobState.CANCELLED}) == 0


async def test_a_status_that_stays_is_not_sent(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Progress writes `data` alone, so that it cannot undo another program's `done`."""
    job = await client.jobs.create("x", state=JobState.RUNNING)
    sandbox.forget_requests()
    await client.jobs.update(job, progress=0.5)
    await client.jobs.update(job, state=JobState.RUNNING)
    await client.jobs.update(job, state=JobState.DONE)
    updates = [one["entity_data"] for batch in batches(sandbox) for one in batch if one["action"] == "update"]
    assert [sorted(values) for values in updates] == [
        ["__entity_type__", "data"],
        ["__entity_type__", "data"],
        ["__entity_type__", "data", "status"],
    ]


async def test_our_own_changes_at_once(client: Client[FtrackProvider]) -> None:
    """Changes of one client to one job wait for each other, so that none is lost."""
    job = await client.jobs.create("x", attributes={"n": 0})
    changes: dict[str, Any] = {"progress": 0.5, "message": "m", "problem": "p", "priority": 7}
    async with anyio.create_task_group() as tasks:
        for name, value in changes.items():
            tasks.start_soon(partial(client.jobs.update, job, **{name: value}))
    found = await client.jobs.get(job)
    assert (found.progress, found.message, found.problem, found.priority) == (0.5, "m", "p", 7)


async def test_changing_many_is_all_or_nothing(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """If one of many is not there nothing is written; else all are, by one request."""
    jobs = await client.jobs.create_many([NewJob(name="x") for _ in range(3)])
    with pytest.raises(NotFound, match="nope"):
        await client.jobs.update_many([*jobs, "nope"], name="y")
    assert [job.name for job in await client.jobs.list().collect()] == ["x"] * 3
    sandbox.forget_requests()
    assert {job.name for job in await client.jobs.update_many(jobs, name="y")} == {"y"}
    assert actions(sandbox) == [Counter({"query": 1}), Counter({"query": 2, "update Job": 3})]


async def test_a_job_that_ftrack_made_is_not_copied(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A rerun is of what a program made; of the server's own jobs, no copy could be of their type."""
    job = await client.jobs.create("x")
    sandbox.faults.add("edit", path="/api", set={"/0/data/0/type": "encode"})
    with pytest.raises(Unsupported, match="encode") as caught:
        await client.jobs.rerun(job)
    assert (caught.value.call, caught.value.provider) == ("rerun", "ftrack")


# -- times ---------------------------------------------------------------------------------------------------


async def test_a_server_of_local_times(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A server without time zones has that of `server_timezone=`; without it, one warning is logged."""
    sandbox.configure("ftrack", utc_offset=2.0)
    now = datetime.now(UTC)
    warned = FtrackProvider(sandbox.url, user="sandbox", api_key="sandbox-key")
    told = FtrackProvider(sandbox.url, user="sandbox", api_key="sandbox-key", server_timezone="Etc/GMT-2")
    async with Client(warned) as client:
        job = await client.jobs.create("x")
        await client.jobs.get(job)
        assert job.created_at is not None
        assert abs(job.created_at - now - timedelta(hours=2)) < timedelta(minutes=5)
    assert [record.levelname for record in caplog.records if "time zone" in record.message] == ["WARNING"]
    caplog.clear()
    async with Client(told) as client:
        assert (seen := (await client.jobs.get(job.id)).created_at) is not None
        assert abs(seen - now) < timedelta(minutes=5)
        assert job.details.created_at == job.created_at
        assert (
            await client.jobs.list(created_after=seen, created_before=seen + timedelta(seconds=1)).first()
        ) is not None
        assert await client.jobs.list(created_before=seen).first() is None
        assert len(await client.jobs.list(page_size=1).collect()) == 1
    assert caplog.records == []


async def test_the_servers_clock_counts(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """When a job was changed goes by the server's clock, not by ours."""
    sandbox.clock.advance(3600)
    job = await client.jobs.create("x")
    sandbox.clock.advance(100)
    job = await client.jobs.update(job, state=JobState.RUNNING)
    assert job.created_at is not None
    assert job.started_at is not None
    assert timedelta(seconds=99) < job.started_at - job.created_at < timedelta(seconds=160)
    assert job.updated_at == job.started_at


# -- what only ftrack can do ---------------------------------------------------------------------------------


def test_capabilities() -> None:
    """It does everything but what the table says, and each of those has a way out."""
    lacking = CAPABILITIES - FtrackProvider.capabilities
    assert lacking == {
        "create(item=)",
        "create(template=)",
        "create(parameters=)",
        "create(outputs=)",
        "create(vendor=)",
        "list(item=)",
        "list(attributes=)",
        "allows",
    }
    assert set(FtrackProvider.hints) == lacking
    assert all(FtrackProvider.hints.values())


async def test_operations_of_your_own(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Any operations go in one request, all or nothing, and come back in order."""
    id_, moment = str(uuid.uuid4()), datetime(2024, 5, 1, 12, tzinfo=UTC)
    sandbox.forget_requests()
    made, updated, found, removed = await client.provider.call(
        ftrack.create("User", {"id": id_, "username": "amy"}),
        ftrack.update("User", id_, {"first_name": "Amy"}),
        ftrack.query(f'select username, first_name from User where id is "{id_}"'),
        ftrack.delete("User", id_),
    )
    assert (made["action"], updated["data"]["first_name"], removed["data"]) == ("create", "Amy", True)
    assert [(row["username"], row["first_name"]) for row in found["data"]] == [("amy", "Amy")]
    assert len(batches(sandbox)) == 1
    assert await client.provider.call() == []
    await client.provider.call(ftrack.create("Job", {"id": id_, "created_at": moment}))
    assert (await client.jobs.get(id_)).id == id_


async def test_operations_of_which_one_is_wrong(client: Client[FtrackProvider]) -> None:
    """If ftrack refuses one operation, nothing of the batch is done."""
    made = ftrack.create("User", {"id": str(uuid.uuid4()), "username": "amy"})
    with pytest.raises(Exception, match="nope") as caught:
        await client.provider.call(made, {"action": "nope"})
    assert type(caught.value).__name__ == "ResponseError"
    assert await client.provider.query('select id from User where username is "amy"') == []


@pytest.mark.parametrize("limit", [None, 0, 1, 499, 500, 501, 1200])
async def test_queries_of_your_own(
    client: Client[FtrackProvider], sandbox: Sandbox, limit: int | None
) -> None:
    """A query's text goes as it is, page by page, with offset and limit apart from it."""
    await client.jobs.create_many([NewJob(name=f"limit {n}") for n in range(600)])
    await client.jobs.create_many([NewJob(name=f"limit {n}") for n in range(600)])
    text = 'select id from Job where data like "%limit 5%" or data like "%" order by id'
    sandbox.forget_requests()
    found = await client.provider.query(text, limit=limit)
    everything = sorted(job.id for job in await client.jobs.list().collect())
    assert [row["id"] for row in found] == everything[:limit]
    if limit:
        offset = await client.provider.query(text, offset=1, limit=limit)
        assert [row["id"] for row in offset] == everything[1 : limit + 1]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", {}, "text must not be empty"),
        (None, {}, "text must be a text, not NoneType"),
        ("select id from Job limit 3", {}, "text: give limit= as an argument, not as 'limit 3' in the text"),
        ("Job limit 3 offset 2 ", {"limit": 5}, "text: give offset= as an argument, not as 'offset 2 ' in"),
        ("Job", {"limit": -1}, "limit must be a number of rows from 0 up, not -1"),
        ("Job", {"limit": "3"}, "limit must be a number of rows from 0 up, not '3'"),
        ("Job", {"offset": True}, "offset must be a number of rows from 0 up, not True"),
    ],
)
async def test_queries_that_make_no_sense(
    client: Client[FtrackProvider], sandbox: Sandbox, text: Any, options: dict[str, Any], said: str
) -> None:
    """A query that would find something else than it says is refused before it is sent."""
    with pytest.raises(InvalidRequest) as caught:
        await client.provider.query(text, **options)
    assert str(caught.value).startswith(said)
    assert batches(sandbox) == []


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("create", "an operation must be a mapping, not 'create'"),
        (None, "an operation must be a mapping, not None"),
        (ftrack.create("Job", {"data": float("nan")}), "an operation cannot be written as JSON: "),
        ({"action": "create", (1, 2): 3}, "an operation cannot be written as JSON: "),
        (ftrack.create("Job", {"data": {1}}), "an operation cannot hold set"),
    ],
)
async def test_operations_that_make_no_sense(
    client: Client[FtrackProvider], sandbox: Sandbox, operation: Any, said: str
) -> None:
    """What is no operation, or no JSON, is refused before anything is sent."""
    with pytest.raises(InvalidRequest) as caught:
        await client.provider.call(ftrack.query("Job"), operation)
    assert str(caught.value).startswith(said)
    assert batches(sandbox) == []


async def test_a_query_that_does_not_get_on(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A server that gives the same place to go on from, again and again, does not keep us for ever."""
    sandbox.faults.add("edit", path="/api", set={"/0/metadata/next/offset": 0})
    assert len(await client.provider.query("select id from Location")) == 5


async def test_a_listing_that_does_not_get_on(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A server that always says there is more, and gives nothing, has come to its end."""
    await client.jobs.create("x")
    sandbox.faults.add("edit", path="/api", set={"/0/metadata/next/offset": 7})
    assert len(await client.jobs.list().collect()) == 1
    assert await client.jobs.count() == 1
    assert len(await client.locations.list().collect()) == 5


def test_a_filter_without_states() -> None:
    """No state at all finds nothing, and is no mistake."""
    from callsheet.providers.ftrack._filters import pushed

    assert pushed(JobFilter(states=frozenset()), UTC).text == "status in ()"
