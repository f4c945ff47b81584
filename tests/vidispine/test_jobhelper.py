"""Every method of Cantemo Portal's JobHelper, under its own name, as it is done here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callsheet import Client, InvalidRequest, Job, JobState, NotFound
from callsheet.providers.vidispine import IMPORT_TYPES, VidispineNotification, VidispineProvider
from callsheet.sandbox import Sandbox

Vidispine = Client[VidispineProvider]

STEP = {"step": 100, "attempts": 0, "description": "Rendering.", "status": "STARTED"}


@pytest.fixture(autouse=True)
def still(sandbox: Sandbox) -> None:
    """Let jobs go on only as the test says."""
    sandbox.configure("vidispine", runs=False)


def make(sandbox: Sandbox, number: int = 1, **facts: Any) -> list[str]:
    """Let there be jobs, and return their ids."""
    ids: list[str] = sandbox.act("vidispine", "new", **({"type": "STUDIO_RENDER"} | facts), number=number)
    return ids


def ids_of(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_getAllJobs(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - JobHelper's own name
    """Types, states, first, number, sort, metadata, user, include_steps and jobmetadata, all at once."""
    first = make(sandbox, 5, user="jane", status="STARTED", data={"shot": "sh010"})
    make(sandbox, 5, user="jane", type="EXPORT", status="STARTED", data={"shot": "sh010"})
    make(sandbox, 5, user="jane", data={"shot": "sh010"})
    make(sandbox, 5, user="ada", status="STARTED", data={"shot": "sh010"})
    make(sandbox, 5, user="jane", status="STARTED", data={"shot": "sh020"})
    wanted: dict[str, Any] = {"types": {"STUDIO_RENDER"}, "states": {JobState.RUNNING}, "user": "jane"}
    assert ids_of(await client.jobs.list(**wanted, attributes={"shot": "sh010"}).collect()) == first[::-1]
    sandbox.act("vidispine", "jobs", ids=first, step=STEP, totalSteps=4, currentStep={"number": 1})
    listing = client.provider.jobs(
        first=2,
        number=3,
        sort="jobId asc",
        include_steps=True,
        metadata=True,
        jobmetadata={"shot": "sh01*"},
        page_size=2,
        **wanted,
    )
    jobs = await listing.collect()
    assert ids_of(jobs) == first[1:4]
    assert [(job.progress, job.attributes, job.missing) for job in jobs] == [
        (0.0, {"shot": "sh010"}, frozenset())
    ] * 3
    asked = [request.target for request in sandbox.requests("/API/job*")][-2:]
    begin = "/API/job;user=true;type=STUDIO_RENDER;state=STARTED%2CVIDINET_JOB;sort=jobId%20asc"
    paths = [target.partition("?")[0] for target in asked]
    assert paths == [f"{begin};first=2;number=2", f"{begin};first=4;number=1"]


async def test_getAllJobs_of_everybody(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """Without `user`, all users' jobs come; what follows from metadata and steps is missing without them."""
    made = make(sandbox, 2, user="jane") + make(sandbox, 2)
    listed = await client.provider.jobs().collect()
    assert ids_of(listed) == made[::-1]
    assert {job.missing for job in listed} == {
        frozenset({"name", "description", "attributes", "progress", "message"})
    }
    assert [job.user for job in await client.jobs.list().collect()] == ["admin", "admin", "jane", "jane"]


async def test_getAllImportJobs_and_getAllIngestJobs(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """Those that are running, of the types that bring media in."""
    running = [id_ for type_ in sorted(IMPORT_TYPES) for id_ in make(sandbox, type=type_, status="STARTED")]
    make(sandbox, type="IMPORT", status="READY")
    make(sandbox, type="EXPORT", status="STARTED")
    found = await client.jobs.list(types=IMPORT_TYPES, states={JobState.RUNNING}).collect()
    assert ids_of(found) == running[::-1]
    assert len(running) == 7


async def test_getAllJobsForItem(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """The jobs of one item, the newest first, at most so many."""
    made = make(sandbox, 3, data={"itemId": "VX-5"})
    make(sandbox, 3, data={"itemId": "VX-50"})
    assert ids_of(await client.jobs.list(item="VX-5").collect(limit=100)) == made[::-1]
    assert ids_of(await client.jobs.list(item="VX-5").collect(limit=2)) == made[:0:-1]


async def test_getAllTranscodeJobsForItem(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """The transcodings of one item."""
    made = make(sandbox, 2, type="TRANSCODE", data={"itemId": "VX-5"})
    make(sandbox, 2, type="EXPORT", data={"itemId": "VX-5"})
    assert ids_of(await client.jobs.list(item="VX-5", types={"TRANSCODE"}).collect()) == made[::-1]


async def test_getAllNotifications(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """Who is called, one by one; made, replaced and deleted too."""
    assert await client.provider.notifications() == []
    url = "http://jane:canary@127.0.0.1:9/jobs/secret"
    one = await client.provider.create_notification(
        url, event="stop", types={"TRANSCODE", "IMPORT"}, timeout=9, retry=1
    )
    http = {"url": url, "method": "POST", "contentType": "application/json", "synchronous": False}
    assert json.loads(sandbox.requests(method="POST")[-1].body) == {
        "action": {"http": http | {"timeout": "9", "retry": 1}},
        "trigger": {"job": {"stop": "", "filter": {"type": "IMPORT,TRANSCODE"}}},
    }
    other = await client.provider.create_notification(url)
    assert one == VidispineNotification(
        id=one.id, url=url, event="stop", types=frozenset({"TRANSCODE", "IMPORT"})
    )
    assert (other.event, other.types) == ("update", frozenset())
    assert await client.provider.notifications() == [one, other]
    assert await client.provider.notification(one.id) == one
    assert "canary" not in repr(one)
    changed = await client.provider.replace_notification(one, f"{url}/2", event="fail", types={"EXPORT"})
    assert changed == VidispineNotification(
        id=one.id, url=f"{url}/2", event="fail", types=frozenset({"EXPORT"})
    )
    assert await client.provider.notifications() == [changed, other]
    sandbox.faults.add("status", path=f"/API/job/notification/{one.id}", status=404, times=1)
    assert await client.provider.notifications() == [other]  # the first has gone since it was listed
    with pytest.raises(NotFound):
        await client.provider.replace_notification("VX-999", url)
    await client.provider.delete_notification(one)
    await client.provider.delete_notification(other.id)
    assert await client.provider.notifications() == []
    with pytest.raises(NotFound):
        await client.provider.delete_notification(one)
    odd: Any = client.provider
    for call in (odd.delete_notification(7), odd.notification(7), odd.replace_notification(7, url)):
        with pytest.raises(InvalidRequest, match="notification"):
            await call


async def test_getJob(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """One job with its steps and all its metadata."""
    (id_,) = make(sandbox, data={"shot": "sh010", "itemId": "VX-5"}, user="jane", priority="HIGH")
    job = await client.jobs.get(id_)
    assert (job.user, job.item, job.priority, job.attributes) == ("jane", "VX-5", 70, {"shot": "sh010"})
    assert client.provider.details(job).data["itemId"] == "VX-5"


async def test_getJobProblem(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """Why a job waits or failed, in a text; nothing for others."""
    waiting, failed, fine, held, other = make(sandbox, 5)
    problem = {"type": "STORAGE", "data": {"storage": "VX-2"}}
    sandbox.act("vidispine", "jobs", ids=[waiting], status="WAITING", problem=problem)
    sandbox.act("vidispine", "jobs", ids=[held], status="HOLD", problem={"type": "LICENCE"})
    sandbox.act("vidispine", "jobs", ids=[other], status="WAITING")
    sandbox.act("vidispine", "jobs", ids=[failed], status="FAILED_TOTAL", errorMessage="no licence")
    assert await client.jobs.problem(waiting) == "STORAGE (storage: VX-2)"
    assert await client.jobs.problem(failed) == "no licence"
    assert await client.jobs.problem(fine) is None
    assert await client.jobs.problem(held) == "LICENCE"
    assert await client.jobs.problem(other) == "resourceType: TRANSCODER, requirement: Any"
    told, _ = await client.provider.problems()
    assert (told.type, told.data, told.jobs) == ("STORAGE", {"storage": "VX-2"}, (waiting,))
    with pytest.raises(NotFound):
        await client.jobs.problem("VX-999")


async def test_getProgress(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """From the steps: half of the second of four."""
    (id_,) = make(sandbox, status="STARTED")
    told = {"value": 1, "total": 2, "unit": "bytes"}
    steps = [STEP | {"status": "FINISHED"}, STEP | {"step": 200, "progress": told}]
    sandbox.act("vidispine", "jobs", ids=[id_], steps=steps, totalSteps=4)
    job = await client.jobs.get(id_)
    assert job.progress == 0.375
    assert [step.status for step in client.provider.details(job).steps] == ["FINISHED", "STARTED"]


async def test_getTaskDefinition(client: Vidispine) -> None:  # noqa: N802 - as above
    """The steps that jobs of a type have."""
    tasks = await client.provider.task_definitions("TRANSCODE")
    assert {task.job_type for task in tasks} == {"TRANSCODE"}
    assert [task.step for task in tasks] == sorted(task.step or 0 for task in tasks)


async def test_removeTaskDefinition(client: Vidispine) -> None:  # noqa: N802 - as above
    """A step that is removed is gone; removing it again is not found."""
    (first, *others) = await client.provider.task_definitions("TRANSCODE")
    await client.provider.remove_task_definition(first.id)
    assert await client.provider.task_definitions("TRANSCODE") == others
    with pytest.raises(NotFound):
        await client.provider.remove_task_definition(first.id)
    odd: Any = client.provider
    with pytest.raises(InvalidRequest, match="id must be a whole number"):
        await odd.remove_task_definition(others[0].id + 0.5)


async def test_getTotalJobCount(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """The number is told by one small answer, and kept for as long as wanted."""
    make(sandbox, 30, status="STARTED")
    make(sandbox, 5)
    assert await client.jobs.count(states={JobState.RUNNING}, max_age=60) == 30
    make(sandbox, 5, status="STARTED")
    assert await client.jobs.count(states={JobState.RUNNING}, max_age=60) == 30
    (request,) = sandbox.requests("/API/job*")
    assert "number=1&idonly=true&metadata=false" in request.target
    assert await client.jobs.count(states={JobState.RUNNING}) == 35


async def test_reRun(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """A new job like the old one."""
    (id_,) = make(sandbox, status="FAILED_TOTAL", data={"shot": "sh010"}, priority="HIGH")
    new = await client.jobs.rerun(id_)
    assert new.id != id_
    assert (new.source_id, new.state, new.priority) == (id_, JobState.QUEUED, 70)
    with pytest.raises(NotFound):
        await client.jobs.rerun("VX-999")


async def test_updateJobPriority(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """The nearest of Vidispine's priorities; the answer is the job as it is then."""
    (id_,) = make(sandbox)
    assert (await client.jobs.update(id_, priority=72)).priority == 70
    assert (await client.jobs.get(id_)).details.priority == "HIGH"
    assert (await client.jobs.update(id_, priority=None)).priority == 50


@pytest.mark.parametrize("word", ["ABORTED_PENDING", "ABORT_PENDING"])
async def test_abort(client: Vidispine, sandbox: Sandbox, word: str) -> None:
    """An abort is accepted at once and done in its time, however the server spells the time between."""
    sandbox.configure("vidispine", abort_state=word, abort_seconds=10)
    one, other = make(sandbox, 2, status="STARTED")
    job = await client.jobs.cancel(one)
    assert (job.state, job.vendor_state, job.ended) == (JobState.CANCELLED, word, False)
    told = await client.provider.abort(other, reason="wrong take", cleanup=False)
    assert told.state is JobState.CANCELLED
    assert "reason=wrong%20take&cleanup=false" in sandbox.requests(method="DELETE")[-1].target
    assert ids_of(await client.jobs.list(states={JobState.CANCELLED}).collect()) == [other, one]
    sandbox.clock.advance(11)
    ended = await client.jobs.get(one)
    assert (ended.vendor_state, ended.ended) == ("ABORTED", True)
    assert await client.jobs.cancel(one) == ended


async def test_userHasAccessToJob(client: Vidispine, sandbox: Sandbox) -> None:  # noqa: N802 - as above
    """Administrators and the job's own user may do all; others what its item lets them."""
    (janes,) = make(sandbox, user="jane")
    assert await client.jobs.allows(janes, "abort") is True  # the administrator
    assert await client.jobs.allows(janes, "abort", "jane") is True
    assert await client.jobs.allows(janes, "view", "ada") is False
    assert await client.jobs.allows(janes, "view", "nobody at all") is False


async def test_runas(client: Vidispine, sandbox: Sandbox) -> None:
    """Acting for somebody else makes jobs for them, over the same login."""
    jane = client.as_user("jane")
    job = await jane.jobs.create("render", type="STUDIO_RENDER")
    assert (job.user, jane.provider.user) == ("jane", "jane")
    assert [request.headers["runas"] for request in sandbox.requests(method="POST")] == ["jane"]
    assert await client.jobs.list(user="jane").collect() != []
    assert await jane.jobs.list(user="admin").collect() == []
    assert "runas" not in sandbox.requests()[-1].headers
