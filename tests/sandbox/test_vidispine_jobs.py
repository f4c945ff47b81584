"""The sandbox's Vidispine jobs, held to the protocol."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.vidispinecalls import Archive

MADE = ["jobId", "user", "started", "status", "type", "priority"]


def test_a_new_job_has_six_members(archive: Archive) -> None:
    """A creating call answers with six members in order; reading adds data and an empty log, nothing else."""
    made = archive.post("/job?type=STUDIO_RENDER&jobmetadata=item%3DVX-1&priority=HIGH")
    assert list(made) == MADE
    read = archive.get(f"/job/{made['jobId']}")
    assert read == {**made, "data": [{"key": "item", "value": "VX-1"}], "log": {"task": []}}


def test_the_body_counts_more_than_the_query(archive: Archive) -> None:
    """What a body says about a new job's metadata stands in place of what the query says."""
    body = {"field": [{"key": "shot", "value": "sh020"}, {"key": "take", "value": "2"}]}
    job_id = archive.make(query="jobmetadata=shot%3Dsh010&jobmetadata=show%3Da%3Db", json=body)
    data = archive.job(job_id)["data"]
    assert data == {"username": "admin", "shot": "sh020", "show": "a=b", "take": "2"}


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("type=NOTHING", ("type", "NOTHING")),
        ("type=IMPORT&priority=URGENT", ("priority", "URGENT")),
        ("type=IMPORT&jobmetadata=shot", ("jobmetadata", "shot")),
    ],
)
def test_wrong_words_make_no_job(archive: Archive, query: str, facts: tuple[str, str]) -> None:
    """A type, a priority or metadata that will not do is named, and no job is made."""
    status, told = archive.refused("POST", f"/job?{query}")
    assert (status, told["invalidInput"]["context"], told["invalidInput"]["value"]) == (400, *facts)
    assert archive.ids() == []


def test_jobs_go_on_by_the_clock(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A job is ready, does one step after the other, and has finished; each step shows in its log."""
    job_id, clock = archive.make(), callsheet_sandbox.clock
    seen: list[Any] = []
    for _ in range(5):
        job = archive.job(job_id)
        current = job.get("currentStep", {})
        steps = [(task["step"], task["status"]) for task in job["log"]["task"]]
        seen.append((job["status"], current.get("number"), job.get("totalSteps"), steps))
        clock.advance(0.5)
    first, second, third = ((step, "FINISHED") for step in (100, 200, 5000))
    assert seen == [
        ("READY", None, None, []),
        ("STARTED", 1, 3, [(100, "STARTED")]),
        ("STARTED", 2, 3, [first, (200, "STARTED")]),
        ("STARTED", 3, 3, [first, second, (5000, "STARTED")]),
        ("FINISHED", 3, 3, [first, second, third]),
    ]
    started, finished = (
        datetime.fromisoformat(archive.job(job_id)[name]) for name in ("started", "finished")
    )
    assert finished - started == timedelta(seconds=2)


def test_transfers_show_how_far_they_are(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A step that moves bytes tells how many of them are there, and its last word stays in the data."""
    callsheet_sandbox.configure("vidispine", step_seconds=10)
    job_id = archive.upload(b"b" * 1000)["jobId"]
    callsheet_sandbox.clock.advance(22.5)
    *_, task = archive.job(job_id)["log"]["task"]
    assert (task["step"], task["progress"]) == (200, {"value": 250, "total": 1000, "unit": "bytes"})
    callsheet_sandbox.clock.advance(60)
    assert archive.job(job_id)["data"]["progress-200-0-0"] == "bytes 1000/1000"


def test_steps_may_be_left_out(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A placeholder import has more steps than its log will ever show."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    file_id = archive.post("/storage/VX-1/file/data?path=a.mov", content=b"abc")["id"]
    job_id = archive.post(f"/import/placeholder/{item}/container?fileId={file_id}")["jobId"]
    callsheet_sandbox.clock.advance(60)
    job = archive.job(job_id)
    assert (job["status"], job["totalSteps"]) == ("FINISHED", 15)
    assert [task["step"] for task in job["log"]["task"]] == [100, 200, 300, 400, 500, 800, 5000]


def test_listings_are_of_the_callers_own_jobs(archive: Archive) -> None:
    """Without `user=false` a listing holds only what the caller made, or whom it acts for; newest first."""
    own = [archive.make() for _ in range(2)]
    other = archive.make(headers={"RunAs": "jane"})
    assert archive.get("/job")["hits"] == 2
    assert [job["jobId"] for job in archive.get("/job")["job"]] == own[::-1]
    assert [job["jobId"] for job in archive.get("/job", headers={"runas": "jane"})["job"]] == [other]
    assert archive.ids() == [other, *own[::-1]]


def test_parameters_stand_in_the_path_and_in_the_query(archive: Archive) -> None:
    """Matrix parameters and the query are one; the last word counts, spaces are encoded in either way."""
    ids = [archive.make(query="jobmetadata=shot%3Dsh010") for _ in range(3)]
    expected = {
        "hits": 3,
        "job": [{"jobId": ids[1], "status": "READY", "type": "STUDIO_RENDER", "priority": "MEDIUM"}],
    }
    for path in (
        "/job;user=False;first=2;number=1;sort=jobId%20desc?idonly=True",
        "/job/;user=false;number=1?sort=jobId+desc&first=2&idonly=true",
        "/job;first=1;user=true?first=2&number=1&idonly=1&idonly=TRUE&user=false&unknown=word",
    ):
        assert archive.get(path) == expected, path
    assert archive.get("/job;user=false?jobmetadata=shot%3Dsh020") == {"hits": 0}


@pytest.mark.parametrize(("where", "hits"), [("both", (1, 1)), ("matrix", (1, 3)), ("query", (3, 1))])
def test_a_server_may_look_in_one_place(
    archive: Archive, callsheet_sandbox: Sandbox, where: str, hits: tuple[int, int]
) -> None:
    """A server may know some of a listing's parameters only where its version has them."""
    callsheet_sandbox.configure("vidispine", parameters=where)
    for kind in ("STUDIO_RENDER", "STUDIO_COMP", "STUDIO_PUBLISH"):
        archive.make(kind)
    found = archive.get("/job;type=STUDIO_COMP")["hits"], archive.get("/job?type=STUDIO_COMP")["hits"]
    assert found == hits


def test_filters(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Jobs are found by type, state and metadata, each of several words, all at once; `*` is any text."""
    one = archive.make(query="jobmetadata=shot%3Dsh010&jobmetadata=itemId%3DVX-7")
    two = archive.make("STUDIO_COMP", "jobmetadata=shot%3Dsh0[1]&jobmetadata=take%3D2")
    three = archive.make("CONFORM", "jobmetadata=item%3DVX-7")
    callsheet_sandbox.act("vidispine", "jobs", ids=[three], status="HOLD")
    assert archive.ids("type=STUDIO_RENDER,STUDIO_COMP&sort=jobId asc") == [one, two]
    assert archive.ids("state=READY&state=HOLD&sort=jobId asc") == [one, two, three]
    assert archive.ids("state=HOLD") == [three]
    assert archive.ids("jobmetadata=shot%3Dsh0*&sort=jobId asc") == [one, two]
    assert archive.ids("jobmetadata=shot%3Dsh0%5B1%5D") == [two]
    assert archive.ids("jobmetadata=shot%3Dsh0*&jobmetadata=take%3D2") == [two]
    assert archive.ids("jobmetadata=itemId%3DVX-7") == [one]
    # The server makes this key up when it answers.
    assert archive.ids("jobmetadata=item%3DVX-7") == []


def test_filters_of_time_have_both_ends(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Ranges hold what lies at their ends, zones in every spelling; servers before 4.10 do not know them."""
    callsheet_sandbox.configure("vidispine", runs=False)
    ids, times = [], []
    for _ in range(3):
        ids.append(archive.make())
        times.append(datetime.fromisoformat(archive.job(ids[-1])["started"]))
        callsheet_sandbox.clock.advance(10)
    second = times[1].isoformat(timespec="milliseconds")
    for spelled in (second.replace("+", "%2B"), second, second.replace("+00:00", "Z")):
        assert archive.ids(f"starttime-from={spelled}") == [ids[2], ids[1]]
        assert archive.ids(f"starttime-to={spelled}") == [ids[1], ids[0]]
    just_after = (times[1] + timedelta(milliseconds=1)).isoformat(timespec="milliseconds").replace("+", "%2B")
    assert archive.ids(f"starttime-from={just_after}") == [ids[2]]
    callsheet_sandbox.act("vidispine", "jobs", ids=ids[:1], status="FINISHED")
    assert archive.ids("finishtime-from=2020-01-01") == [ids[0]]
    callsheet_sandbox.configure("vidispine", version="4.9.3")
    assert archive.ids(f"starttime-from={just_after}") == ids[::-1]


def test_sorting(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Ids sort as numbers, priorities by weight, and what is equal by the next word."""
    made = callsheet_sandbox.act("vidispine", "new", number=11, type="STUDIO_RENDER")
    assert archive.ids("sort=jobId") == made
    archive.ask("PUT", f"/job/{made[4]}?priority=IMMEDIATE")
    archive.ask("PUT", f"/job/{made[9]}?priority=LOWEST")
    by_priority = archive.ids("sort=priority desc,startTime desc,jobId asc")
    assert by_priority == [made[4], *made[:4], *made[5:9], made[10], made[9]]
    status, told = archive.refused("GET", "/job?sort=colour")
    assert (status, told["invalidInput"]["value"]) == (400, "colour")


def test_pages_begin_at_one(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """`first` counts from 1, 0 is taken for it, and `hits` is the number of all."""
    made = callsheet_sandbox.act("vidispine", "new", number=105, type="STUDIO_RENDER")[::-1]
    assert archive.ids() == made[:100]
    assert archive.ids("first=0&number=2") == archive.ids("first=1&number=2") == made[:2]
    assert archive.ids("first=101") == made[100:]
    assert archive.get("/job?number=0") == {"hits": 105}
    assert archive.get("/job?first=106") == {"hits": 105}


def test_listings_tell_what_is_asked_for(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Without more words a listing has no log and little data; `step`, `metadata` and `field` bring more."""
    job_id = archive.make(query="jobmetadata=item%3DVX-7&jobmetadata=shot%3Dsh010")
    callsheet_sandbox.act("vidispine", "jobs", ids=[job_id], status="STARTED")

    def told(query: str) -> tuple[list[str], list[str]]:
        (job,) = archive.get(f"/job?{query}")["job"]
        return [name for name in job if name not in MADE], [each["key"] for each in job["data"]]

    assert told("") == (["data"], ["item"])
    assert told("step=true") == (["currentStep", "data", "totalSteps", "log"], ["item"])
    assert told("metadata=True") == (["data"], ["username", "item", "shot"])
    assert told("field=shot,username") == (["data"], ["username", "shot"])


def test_changes_of_priority_are_answered_with_nothing(archive: Archive) -> None:
    """An update has an empty answer without a type, and takes effect."""
    job_id = archive.make()
    answer = archive.ask("PUT", f"/job/{job_id}?priority=LOWEST")
    assert (answer.status_code, answer.content, "content-type" in answer.headers) == (200, b"", False)
    assert archive.job(job_id)["priority"] == "LOWEST"


@pytest.mark.parametrize("word", ["ABORTED_PENDING", "ABORT_PENDING"])
def test_aborting_takes_time(archive: Archive, callsheet_sandbox: Sandbox, word: str) -> None:
    """A job that is aborted is first about to be, under one of two words, and found by both of them."""
    callsheet_sandbox.configure("vidispine", abort_state=word)
    job_id = archive.make()
    callsheet_sandbox.clock.advance(0.5)
    assert archive.ask("DELETE", f"/job/{job_id}?reason=changed").content == b""
    assert archive.job(job_id)["status"] == word
    assert archive.ids("state=ABORTED_PENDING") == archive.ids("state=ABORT_PENDING") == [job_id]
    callsheet_sandbox.clock.advance(0.5)
    ended = archive.job(job_id)
    assert (ended["status"], "finished" in ended) == ("ABORTED", True)
    archive.call("DELETE", f"/job/{job_id}")
    assert archive.job(job_id) == ended


def test_a_ready_job_without_cleanup_is_aborted_at_once(archive: Archive) -> None:
    """Without clean-up there is nothing to wait for; a server may answer with the job."""
    job_id = archive.make()
    archive.call("DELETE", f"/job/{job_id}?cleanup=False")
    assert archive.job(job_id)["status"] == "ABORTED"


def test_only_ended_jobs_are_deleted(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Deleting is for all jobs or none, refuses one that runs, and leaves a 404 behind."""
    done, running = archive.make(), archive.make()
    callsheet_sandbox.act("vidispine", "jobs", ids=[done], status="FINISHED")
    assert archive.refused("DELETE", f"/job?id={done},{running}")[0] == 409
    assert archive.ids() == [running, done]
    assert archive.call("DELETE", f"/job?id={done}") is None
    missing = (404, {"notFound": {"type": "Job", "id": done, "context": None}})
    assert archive.refused("GET", f"/job/{done}") == missing
    assert archive.refused("DELETE", f"/job?id={done}") == missing


def test_jobs_run_again_as_other_jobs(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A repetition is a new job with the old one's metadata and, unless told otherwise, its priority."""
    first = archive.make(query="jobmetadata=shot%3Dsh010&priority=LOW")
    callsheet_sandbox.act("vidispine", "jobs", ids=[first], status="FAILED_TOTAL", errorMessage="no licence")
    again = archive.post(f"/job/{first}/re-run")
    assert (list(again), again["status"], again["priority"]) == (MADE, "READY", "LOW")
    assert archive.job(again["jobId"])["data"] == {"username": "admin", "shot": "sh010"}
    assert archive.post(f"/job/{first}/re-run?priority=HIGH")["priority"] == "HIGH"
    assert archive.job(first)["data"]["errorMessage"] == "no licence"


def test_imports_run_again_with_what_they_had(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """An import that is repeated has its file still."""
    first = archive.upload(b"abc")["jobId"]
    callsheet_sandbox.clock.advance(60)
    again = archive.post(f"/job/{first}/re-run")["jobId"]
    callsheet_sandbox.clock.advance(60)
    old, new = archive.job(first), archive.job(again)
    assert (old["status"], new["status"], new["data"]["fileId"]) == (
        "FINISHED",
        "FINISHED",
        old["data"]["fileId"],
    )


def test_problems_are_what_jobs_wait_for(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Jobs that wait for the same thing share a problem, which goes when they go on."""
    one, two = archive.make(), archive.make()
    problem = {"type": "STORAGE", "data": {"storage": "VX-2"}}
    assert archive.get("/job/problem") == {}
    callsheet_sandbox.act("vidispine", "jobs", ids=[one, two], status="WAITING", problem=problem)
    shared = {"id": 1, "type": "STORAGE", "data": [{"key": "storage", "value": "VX-2"}], "job": [one, two]}
    assert archive.get("/job/problem") == archive.get(f"/job/{two}/problem") == {"problem": [shared]}
    assert archive.job(one)["waiting"] == {"resourceType": "TRANSCODER", "requirement": "Any"}
    callsheet_sandbox.act("vidispine", "jobs", ids=[one], status="STARTED")
    assert archive.get(f"/job/{one}/problem") == {}
    assert archive.get("/job/problem") == {"problem": [{**shared, "job": [two]}]}
    callsheet_sandbox.act("vidispine", "jobs", ids=[two], vanish=True)
    assert archive.get("/job/problem") == {}


def test_other_programs_steer_jobs(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Whatever a server could say about a job can be made so, words of the future among it."""
    (job_id,) = callsheet_sandbox.act(
        "vidispine", "new", type="STUDIO_RENDER", user="jane", data={"shot": "sh010"}
    )
    step = {"step": 200, "status": "FAILED_RETRY", "attempts": 1, "progress": {"value": 1, "unit": "percent"}}
    (told,) = callsheet_sandbox.act(
        "vidispine",
        "jobs",
        ids=[job_id],
        status="DREAMING",
        data={"mood": "calm"},
        steps=[step],
        totalSteps=9,
        currentStep={"description": "Dreaming.", "number": 10, "status": "STARTED"},
    )
    job = archive.get(f"/job/{job_id}?metadata=true")
    assert job == told
    assert (job["status"], job["user"], job["totalSteps"], job["currentStep"]["number"]) == (
        "DREAMING",
        "jane",
        9,
        10,
    )
    assert [{name: task[name] for name in step} for task in job["log"]["task"]] == [step]
    callsheet_sandbox.act("vidispine", "jobs", ids=[job_id], step={**step, "status": "FINISHED"})
    assert [task["status"] for task in archive.job(job_id)["log"]["task"]] == ["FINISHED"]
    assert archive.job(job_id)["data"] == {"username": "jane", "shot": "sh010", "mood": "calm"}
    callsheet_sandbox.clock.advance(3600)
    assert archive.job(job_id)["status"] == "DREAMING"


def test_what_others_say_of_a_step_stays(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Progress that was set by hand does not go on by the clock, and a job that fails fails at its step."""
    job_id = archive.upload(b"b" * 1000)["jobId"]
    callsheet_sandbox.clock.advance(1.1)
    progress = {"value": 900, "total": 1000, "unit": "bytes"}
    callsheet_sandbox.act("vidispine", "jobs", ids=[job_id], step={"step": 200, "progress": progress})
    callsheet_sandbox.clock.advance(0.1)
    *_, task = archive.job(job_id)["log"]["task"]
    assert (task["step"], task["status"], task["progress"]) == (200, "STARTED", progress)
    callsheet_sandbox.act("vidispine", "jobs", ids=[job_id], status="FAILED_TOTAL", errorMessage="disk full")
    *_, task = archive.job(job_id)["log"]["task"]
    assert (task["status"], task["errorMessage"]) == ("FAILED_FATAL", "disk full")


def test_a_job_that_waited_goes_on_where_it_was(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A job that waits and works again has begun no step anew, and ends with all of them."""
    (job_id,) = callsheet_sandbox.act("vidispine", "new", type="STUDIO_RENDER", status="STARTED")
    before = archive.job(job_id)
    for status in ("WAITING", "STARTED"):
        callsheet_sandbox.act("vidispine", "jobs", ids=[job_id], status=status)
    assert archive.job(job_id) == before
    callsheet_sandbox.act("vidispine", "jobs", ids=[job_id], status="FINISHED")
    assert [task["status"] for task in archive.job(job_id)["log"]["task"]] == ["FINISHED"] * 3


def test_priorities_of_the_future_can_be_sorted(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A priority that nobody knows is told as it is, and comes before all others."""
    known = archive.make(query="priority=IMMEDIATE")
    (ultra,) = callsheet_sandbox.act("vidispine", "new", priority="ULTRA")
    assert archive.ids("sort=priority desc") == [ultra, known]
    assert archive.job(ultra)["priority"] == "ULTRA"


@pytest.mark.parametrize(
    ("action", "words", "named"),
    [
        ("dream", {}, "dream"),
        ("new", {"number": 0}, "number"),
        ("new", {"type": "NOTHING"}, "NOTHING"),
        ("new", {"user": "nobody"}, "nobody"),
        ("new", {"colour": "red"}, "colour"),
        ("jobs", {"status": "FINISHED"}, "ids"),
        ("jobs", {"ids": ["VX-9999"]}, "VX-9999"),
        ("jobs", {"ids": ["VX-1"], "status": "HOLD", "step": {"status": "STARTED"}}, "step"),
        ("jobs", {"ids": ["VX-1"], "status": "WAITING", "problem": {}}, "problem"),
    ],
)
def test_mistakes_in_steering_are_named(
    archive: Archive, callsheet_sandbox: Sandbox, action: str, words: dict[str, Any], named: str
) -> None:
    """What cannot be steered is refused by name, and nothing has changed."""
    before = archive.job(archive.make())
    with pytest.raises(ValueError, match=named):
        callsheet_sandbox.act("vidispine", action, **words)
    assert archive.job(before["jobId"]) == before


def test_unknown_states_are_refused_where_the_server_is_strict(
    archive: Archive, callsheet_sandbox: Sandbox
) -> None:
    """A filter for a state that nobody knows is an error, or finds nothing."""
    status, told = archive.refused("GET", "/job?state=READY,DREAMING")
    assert (status, told["invalidInput"]["value"]) == (400, "DREAMING")
    callsheet_sandbox.configure("vidispine", strict_states=False)
    assert archive.get("/job?state=DREAMING") == {"hits": 0}


def test_jobs_wait_for_a_place(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """With a limit, a job is ready until another has ended; one that is IMMEDIATE waits for nobody."""
    archive.call("PUT", "/configuration/job-pool", json={"concurrentJobs": 1})
    first, second = archive.make(), archive.make()
    hurried = archive.make(query="priority=IMMEDIATE")
    callsheet_sandbox.clock.advance(0.6)
    assert [archive.job(each)["status"] for each in (first, second, hurried)] == [
        "STARTED",
        "READY",
        "STARTED",
    ]
    callsheet_sandbox.clock.advance(60)
    assert [archive.job(each)["status"] for each in (first, second, hurried)] == ["FINISHED"] * 3


def test_pools_are_taken_away_by_priority(archive: Archive) -> None:
    """A pool is named by its priority; one that is not there is not found, and the limit stays."""
    pools = [{"priorityThreshold": word, "size": 2} for word in ("HIGH", "LOW")]
    archive.call("PUT", "/configuration/job-pool", json={"concurrentJobs": 3, "pool": pools})
    archive.call("DELETE", "/configuration/job-pool/HIGH")
    assert archive.get("/configuration/job-pool") == {"concurrentJobs": 3, "pool": pools[1:]}
    assert archive.refused("DELETE", "/configuration/job-pool/HIGH")[1]["notFound"]["type"] == "job-pool"
    assert archive.refused("PUT", "/configuration/job-pool", json={"pool": "HIGH"})[0] == 400
    archive.call("DELETE", "/configuration/job-pool")
    assert archive.get("/configuration/job-pool") == {}


def test_only_some_types_may_go_on_by_themselves(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Which jobs move by themselves can be chosen by type."""
    callsheet_sandbox.configure("vidispine", runs=["STUDIO_COMP"])
    still, moving = archive.make(), archive.make("STUDIO_COMP")
    callsheet_sandbox.clock.advance(60)
    assert [archive.job(each)["status"] for each in (still, moving)] == ["READY", "FINISHED"]


def test_other_ids_lead_to_a_job(archive: Archive) -> None:
    """A job is also found by an id that somebody else gave it, until that is taken back."""
    job_id, other = archive.make(), archive.make()
    archive.call("PUT", f"/job/{job_id}/external-id/render-17")
    assert archive.get("/job/render-17") == archive.get(f"/job/{job_id}")
    assert archive.get(f"/job/{job_id}/external-id") == {"id": ["render-17"]}
    assert archive.refused("PUT", f"/job/{other}/external-id/render-17")[0] == 409
    archive.call("DELETE", f"/job/{job_id}/external-id/render-17")
    assert archive.refused("GET", "/job/render-17")[0] == 404


def test_task_definitions_are_the_steps_of_jobs(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Jobs take the steps that their type has then: a definition can be deleted, and a type be made."""
    path = "/task-definition/jobtype/STUDIO_COMP"
    setting_up, working, _ = archive.get(path)["task"]
    assert {**working, "id": 0} == {
        "id": 0,
        "jobType": "STUDIO_COMP",
        "step": 200,
        "description": "Working.",
        "bean": "JobStepBean",
        "method": "work",
        "plugin": True,
        "flags": 0,
        "dependency": {"step": 100, "previous": False, "allPrevious": True},
        "critical": True,
        "cleanup": False,
    }
    assert archive.call("DELETE", f"/task-definition/{setting_up['id']}") is None
    assert archive.refused("GET", f"/task-definition/{setting_up['id']}")[0] == 404
    job_id = archive.make("STUDIO_COMP")
    callsheet_sandbox.clock.advance(60)
    assert [task["step"] for task in archive.job(job_id)["log"]["task"]] == [200, 5000]
    assert archive.refused("POST", "/task-definition/jobtype/studio_bake?id=20001")[0] == 400
    archive.post("/task-definition/jobtype/STUDIO_BAKE?id=20001")
    assert "STUDIO_BAKE" in archive.get("/jobtype")["uri"]
    archive.make("STUDIO_BAKE")


def test_task_definitions_are_changed_one_by_one(archive: Archive) -> None:
    """A definition is added, found by its type, step or number, changed, and given a script that is kept."""
    wanted = {"task": [{"jobType": "STUDIO_COMP", "step": "300", "description": "Denoising."}]}
    (made,) = archive.post("/task-definition", json=wanted)["task"]
    path = f"/task-definition/{made['id']}"
    assert archive.get("/task-definition/jobtype/STUDIO_COMP/step/300") == archive.get(path) == made
    assert made in archive.get("/task-definition?type=STUDIO_COMP")["task"]
    changed = archive.call("PUT", path, json={"description": "Grading.", "jobType": "OTHER"})
    assert changed == {**made, "description": "Grading."}
    archive.call("PUT", f"{path}/script", content=b"job.log()")
    assert archive.ask("GET", f"{path}/script").text == "job.log()"
    (url,) = archive.post(
        "/task-definition?url=true", json={"task": [{"jobType": "STUDIO_BAKE", "step": 1}]}
    )["uri"]
    assert re.fullmatch(rf"{archive.http.base_url}/API/task-definition/\d+", url)
    archive.make("STUDIO_BAKE")
    assert archive.refused("POST", "/task-definition", json={"task": [{"step": 1}]})[0] == 400
    assert archive.refused("GET", "/task-definition/jobtype/STUDIO_COMP/step/7")[0] == 404
    archive.call("DELETE", "/task-definition/jobtype/STUDIO_BAKE")
    assert archive.refused("GET", "/task-definition/jobtype/STUDIO_BAKE")[0] == 404
    assert archive.refused("POST", "/task-definition/jobtype/STUDIO_COMP?id=20001")[0] == 409


@pytest.mark.callsheet_sandbox(jobs=8, seed=1)
def test_ready_made_jobs_are_in_every_state(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """What has not ended goes on and ends by the clock; the same seed makes the same jobs."""
    jobs = archive.get("/job?user=false&metadata=true&sort=startTime desc")["job"]
    assert sorted({job["status"] for job in jobs}) == ["FAILED_TOTAL", "FINISHED", "READY", "STARTED"]
    with Sandbox(jobs=8, seed=1) as other:
        archive.http.base_url = other.url
        again = archive.get("/job?user=false&metadata=true&sort=startTime desc")["job"]
    assert [(job["type"], job["user"], job["data"]) for job in jobs] == [
        (job["type"], job["user"], job["data"]) for job in again
    ]
    archive.http.base_url = callsheet_sandbox.url
    callsheet_sandbox.clock.advance(600)
    assert archive.ids("state=READY,STARTED") == []
