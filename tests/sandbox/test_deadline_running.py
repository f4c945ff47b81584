"""What happens to tasks in the Deadline Cloud sandbox: by the clock, by updates, by another hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.deadlinecalls import QUEUE, Farm, model, template

NO_TASKS = dict.fromkeys(model().shape_for("TaskRunStatus").enum, 0)
SPACE = {"taskParameterDefinitions": [{"name": "F", "type": "INT", "range": "1-3"}]}
FRAMES = {"name": "Frames", "parameterSpace": SPACE}


@pytest.fixture
def farm(callsheet_sandbox: Sandbox, still_farm: Farm) -> Farm:
    """A farm of two workers, at a clock that stands still."""
    callsheet_sandbox.clock.freeze()
    callsheet_sandbox.configure("deadline", workers=2, pick_up_seconds=1, start_seconds=2, task_seconds=10)
    return still_farm


def counts(farm: Farm, job_id: str) -> dict[str, int]:
    """Return how many tasks are how."""
    told = farm.call("GetJob", jobId=job_id)["taskRunStatusCounts"]
    return {status: number for status, number in told.items() if number}


def actions(farm: Farm, job_id: str) -> list[list[dict[str, Any]]]:
    """Return the actions of each session, as GetSessionAction tells them."""
    sessions = farm.call("ListSessions", jobId=job_id)["sessions"]
    found = []
    for session in sessions:
        listed = farm.call("ListSessionActions", jobId=job_id, sessionId=session["sessionId"])[
            "sessionActions"
        ]
        ids = [action["sessionActionId"] for action in listed]
        whole = [farm.call("GetSessionAction", jobId=job_id, sessionActionId=each) for each in ids]
        assert [[one[name] for name in each] for each, one in zip(listed, whole, strict=True)] == [
            list(each.values()) for each in listed
        ]
        found.append(whole)
    return found


def test_tasks_run_by_the_clock(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """Workers take up tasks, start and end them; a session goes on with the tasks of its step."""
    job_id = farm.job(template=template(FRAMES))
    seen = [counts(farm, job_id)]
    for seconds in (1, 1, 1, 10, 12):
        callsheet_sandbox.clock.advance(seconds)
        seen.append(counts(farm, job_id))
    assert seen == [
        {"READY": 3},
        {"ASSIGNED": 2, "READY": 1},
        {"STARTING": 2, "READY": 1},
        {"RUNNING": 2, "READY": 1},
        {"SUCCEEDED": 2, "ASSIGNED": 1},
        {"SUCCEEDED": 3},
    ]
    one, other = farm.call("ListSessions", jobId=job_id)["sessions"]
    assert (one["lifecycleStatus"], other["lifecycleStatus"]) == ("ENDED", "ENDED")
    runs = [
        [action["definition"]["taskRun"]["parameters"] for action in session]
        for session in actions(farm, job_id)
    ]
    assert sorted(map(len, runs)) == [1, 2]
    job = farm.call("GetJob", jobId=job_id)
    assert job["startedAt"] < job["endedAt"] == max(one["endedAt"], other["endedAt"])


def test_progress_grows_by_itself(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """A running task's action tells its percent, and in whole a word about it, until it has ended."""
    job_id = farm.job()
    callsheet_sandbox.clock.advance(3)
    callsheet_sandbox.clock.advance(4)
    ((running,),) = actions(farm, job_id)
    assert (running["status"], running["progressPercent"], running["progressMessage"]) == (
        "RUNNING",
        40.0,
        "40 %",
    )
    callsheet_sandbox.clock.advance(6)
    ((ended,),) = actions(farm, job_id)
    assert (ended["status"], ended["progressPercent"], ended["processExitCode"]) == ("SUCCEEDED", 100.0, 0)


def test_urgent_jobs_come_first(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """Priority decides who is taken up, then age; a job may have only so many workers."""
    late, early = (
        farm.job(template=template(FRAMES), priority=10),
        farm.job(template=template(FRAMES), priority=1),
    )
    callsheet_sandbox.clock.advance(0.5)
    farm.call("UpdateJob", jobId=early, priority=90, maxWorkerCount=1)
    callsheet_sandbox.clock.advance(0.5)
    assert counts(farm, early) == {"ASSIGNED": 1, "READY": 2}
    assert counts(farm, late) == {"ASSIGNED": 1, "READY": 2}
    callsheet_sandbox.clock.advance(100)
    assert counts(farm, early) == counts(farm, late) == {"SUCCEEDED": 3}


def test_steps_wait_for_each_other(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """A step begins when those it depends on have succeeded, and environments are entered and left."""
    comp = {"name": "Comp", "dependencies": [{"dependsOn": "Frames"}], "stepEnvironments": [{"name": "Nuke"}]}
    job_id = farm.job(template=template(comp, FRAMES, jobEnvironments=[{"name": "Show"}]))
    assert counts(farm, job_id) == {"PENDING": 1, "READY": 3}
    callsheet_sandbox.clock.advance(100)
    assert counts(farm, job_id) == {"SUCCEEDED": 4}
    step_id = farm.call("ListSteps", jobId=job_id)["steps"][0]["stepId"]
    show, nuke = f"JOB:{job_id}:Show", f"STEP:{step_id}:Nuke"
    session = actions(farm, job_id)[-1]
    assert [action["definition"] for action in session if "taskRun" not in action["definition"]] == [
        {"envEnter": {"environmentId": show}},
        {"envEnter": {"environmentId": nuke}},
        {"envExit": {"environmentId": nuke}},
        {"envExit": {"environmentId": show}},
    ]
    farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus="PENDING")
    assert counts(farm, job_id) == {"PENDING": 1, "READY": 3}
    assert "endedAt" not in farm.call("GetJob", jobId=job_id)


def test_running_tasks_take_a_while_to_stop(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """A cancelled task is interrupted first; those that do not run end at once, and one that ended stays."""
    callsheet_sandbox.configure("deadline", interrupt_seconds=3)
    job_id = farm.job(template=template(FRAMES))
    callsheet_sandbox.clock.advance(13)
    callsheet_sandbox.clock.advance(2)
    assert counts(farm, job_id) == {"SUCCEEDED": 2, "RUNNING": 1}
    farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus="CANCELED")
    assert counts(farm, job_id) == {"SUCCEEDED": 2, "INTERRUPTING": 1}
    callsheet_sandbox.clock.advance(3)
    assert counts(farm, job_id) == {"SUCCEEDED": 2, "CANCELED": 1}
    assert farm.status(job_id) == "CANCELED"
    assert sorted(action["status"] for session in actions(farm, job_id) for action in session) == [
        "CANCELED",
        "SUCCEEDED",
        "SUCCEEDED",
    ]
    callsheet_sandbox.clock.advance(100)
    assert farm.status(job_id) == "CANCELED"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("CANCELED", {"FAILED": 1, "CANCELED": 2}),
        ("SUSPENDED", {"FAILED": 1, "SUSPENDED": 2}),
        ("FAILED", {"FAILED": 3}),
        ("SUCCEEDED", {"SUCCEEDED": 3}),
        ("PENDING", {"READY": 3}),
        ("READY", {"READY": 3}),
    ],
)
def test_targets_reach_tasks(still_farm: Farm, target: str, expected: dict[str, int]) -> None:
    """Each target brings a job's tasks where it says, as far as they had not got there by themselves."""
    job_id = still_farm.job(template=template(FRAMES))
    (step,) = still_farm.call("ListSteps", jobId=job_id)["steps"]
    first = still_farm.call("ListTasks", jobId=job_id, stepId=step["stepId"])["tasks"][0]["taskId"]
    named = {"jobId": job_id, "stepId": step["stepId"]}
    still_farm.call("UpdateTask", **named, taskId=first, targetRunStatus="FAILED")
    assert counts(still_farm, job_id) == {"FAILED": 1, "READY": 2}
    still_farm.call("UpdateStep", **named, targetTaskRunStatus=target)
    assert counts(still_farm, job_id) == expected
    told = still_farm.call("GetStep", **named)
    assert (told["targetTaskRunStatus"], told["taskRunStatusCounts"]) == (target, {**NO_TASKS, **expected})


def test_resuming_keeps_what_is_done(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """READY lets only those tasks run again that have not succeeded; PENDING lets all."""
    job_id = still_farm.job()
    callsheet_sandbox.act("deadline", "finish", job=job_id)
    for target, expected in (("READY", "SUCCEEDED"), ("PENDING", "READY")):
        still_farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus=target)
        assert still_farm.status(job_id) == expected


def test_a_job_can_begin_suspended(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """A job made suspended waits until it is resumed."""
    job_id = farm.job(targetTaskRunStatus="SUSPENDED")
    callsheet_sandbox.clock.advance(100)
    assert farm.status(job_id) == "SUSPENDED"
    farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus="READY")
    callsheet_sandbox.clock.advance(100)
    assert farm.status(job_id) == "SUCCEEDED"


def test_a_session_can_be_ended(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """What ran in it goes on in another one; what is not there cannot be ended."""
    job_id = farm.job()
    callsheet_sandbox.clock.advance(5)
    (session,) = farm.call("ListSessions", jobId=job_id)["sessions"]
    named = {"jobId": job_id, "sessionId": session["sessionId"]}
    farm.call("UpdateSession", **named, targetLifecycleStatus="ENDED")
    told = farm.call("GetSession", **named)
    assert (told["lifecycleStatus"], told["targetLifecycleStatus"]) == ("ENDED", "ENDED")
    assert farm.status(job_id) == "READY"
    callsheet_sandbox.clock.advance(100)
    first, second = actions(farm, job_id)
    assert [action["status"] for action in (*first, *second)] == ["INTERRUPTED", "SUCCEEDED"]
    absent = {"jobId": job_id, "sessionId": f"session-{0:032x}"}
    assert farm.refusal("GetSession", **absent)[1] == 404
    assert farm.refusal("ListSessionActions", jobId=job_id)[0] == "ValidationException"
    gone = f"sessionaction-{session['sessionId'].removeprefix('session-')}-9"
    assert farm.refusal("GetSessionAction", jobId=job_id, sessionActionId=gone)[1] == 404


def test_a_hand_starts_and_ends_jobs(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Jobs start, tell their progress and finish when the test says so."""
    hand = callsheet_sandbox.act
    made = hand("deadline", "make", number=3, name="shot", user="jane")["jobs"]
    assert [job["name"] for job in still_farm.call("ListJobs")["jobs"] if job["jobId"] in made]
    told = still_farm.call("GetJob", jobId=made[1])
    assert (told["name"], told["createdBy"]) == ("shot 1", "arn:aws:iam::123456789012:user/jane")
    hand("deadline", "start", jobs=made)
    hand("deadline", "progress", job=made[0], percent=30, message="frame 3")
    ((action,),) = actions(still_farm, made[0])
    assert (action["progressPercent"], action["progressMessage"]) == (30, "frame 3")
    assert [still_farm.status(job_id) for job_id in made] == ["RUNNING"] * 3
    hand("deadline", "finish", jobs=made[:2])
    assert [still_farm.status(job_id) for job_id in made] == ["SUCCEEDED", "SUCCEEDED", "RUNNING"]
    hand("deadline", "vanish", job=made[2])
    assert still_farm.refusal("GetJob", jobId=made[2])[0] == "ResourceNotFoundException"
    found = still_farm.call("SearchJobs", itemOffset=0)["jobs"]
    assert sorted(job["jobId"] for job in found) == sorted(made[:2])


def test_a_hand_takes_over_from_the_clock(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """A task that a worker had begun does what it is told from then on, and nothing by itself."""
    job_id = farm.job()
    for seconds, status in ((1, "ASSIGNED"), (3, "RUNNING")):
        farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus="PENDING")
        callsheet_sandbox.clock.advance(seconds)
        assert farm.status(job_id) == status
        callsheet_sandbox.act("deadline", "start", job=job_id)
        callsheet_sandbox.clock.advance(100)
        assert farm.status(job_id) == "RUNNING"
    callsheet_sandbox.act("deadline", "finish", job=job_id)
    assert farm.status(job_id) == "SUCCEEDED"


def test_nothing_runs_of_a_job_that_is_put_away(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """What runs of an archived job stops, and its workers are free for others."""
    archived, vanished = farm.job(), farm.job()
    callsheet_sandbox.clock.advance(3)
    assert farm.status(archived) == farm.status(vanished) == "RUNNING"
    farm.call("UpdateJob", jobId=archived, lifecycleStatus="ARCHIVED")
    callsheet_sandbox.act("deadline", "vanish", job=vanished)
    others = [farm.job(), farm.job()]
    callsheet_sandbox.clock.advance(100)
    assert [farm.status(job_id) for job_id in others] == ["SUCCEEDED"] * 2
    told = farm.call("GetJob", jobId=archived)
    assert (told["lifecycleStatus"], told["taskRunStatus"]) == ("ARCHIVED", "READY")


def test_a_hand_lets_a_job_fail(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """One task fails after its attempts, with exit code and words; what else would run is cancelled."""
    job_id = still_farm.job(template=template(FRAMES))
    callsheet_sandbox.act("deadline", "fail", job=job_id, message="no licence", exit_code=3, attempts=2)
    assert counts(still_farm, job_id) == {"FAILED": 1, "CANCELED": 2}
    told = still_farm.call("GetJob", jobId=job_id)
    assert (told["taskRunStatus"], told["taskFailureRetryCount"]) == ("FAILED", 1)
    (step,) = still_farm.call("ListSteps", jobId=job_id)["steps"]
    task = still_farm.call("ListTasks", jobId=job_id, stepId=step["stepId"])["tasks"][0]
    assert (task["runStatus"], task["failureRetryCount"]) == ("FAILED", 1)
    last = still_farm.call("GetSessionAction", jobId=job_id, sessionActionId=task["latestSessionActionId"])
    assert (last["status"], last["processExitCode"], last["progressMessage"]) == ("FAILED", 3, "no licence")
    assert len(actions(still_farm, job_id)) == 2


def test_a_hand_tells_unknown_words(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Members can be told otherwise than they are, everywhere, until they are updated or taken back."""
    job_id = still_farm.job()
    members = {"taskRunStatus": "NAPPING", "lifecycleStatus": "UPLOAD_FAILED", "mood": {"a": 1}}
    callsheet_sandbox.act("deadline", "change", job=job_id, members=members)
    named = {"farmId": still_farm.call("ListFarms")["farms"][0]["farmId"], "queueId": QUEUE, "jobId": job_id}
    seen = [
        still_farm.send("GetJob", jobId=job_id).json(),
        still_farm.send("BatchGetJob", identifiers=[named]).json()["jobs"][0],
    ]
    for told in seen:
        assert {name: told[name] for name in members} == members
    for told in (still_farm.send("ListJobs").json(), still_farm.send("SearchJobs", itemOffset=0).json()):
        assert told["jobs"][0]["taskRunStatus"] == "NAPPING"
    callsheet_sandbox.act("deadline", "change", job=job_id, members={"lifecycleStatus": None, "mood": None})
    still_farm.call("UpdateJob", jobId=job_id, targetTaskRunStatus="SUCCEEDED")
    assert still_farm.status(job_id) == "SUCCEEDED"


def test_a_hand_refuses_calls(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """The next calls about a job fail as told, and those after them do not."""
    job_id = still_farm.job()
    codes = ["InternalServerErrorException", "AccessDeniedException", "ThrottlingException"]
    for code in codes:
        callsheet_sandbox.act("deadline", "refuse", job=job_id, code=code)
    callsheet_sandbox.act("deadline", "refuse", job=job_id, code="ValidationException", times=2)
    told = [still_farm.refusal("GetJob", jobId=job_id)[:2] for _ in range(5)]
    assert told == [*zip(codes, (500, 403, 429), strict=True), *[("ValidationException", 400)] * 2]
    assert still_farm.status(job_id) == "READY"


@pytest.mark.callsheet_sandbox(jobs=40, seed=3)
def test_ready_made_jobs_go_on(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """Jobs of every kind are there from the start, of several users; those unfinished end by the clock."""
    before = farm.call("SearchJobs", itemOffset=0)["jobs"]
    assert len(before) == 40
    assert {job["taskRunStatus"] for job in before} == {"READY", "SUCCEEDED", "FAILED"}
    assert len({job["createdBy"] for job in before}) > 1
    callsheet_sandbox.clock.advance(3600)
    after = farm.call("SearchJobs", itemOffset=0)["jobs"]
    ended = [job["taskRunStatus"] for job in after]
    assert set(ended) == {"SUCCEEDED", "FAILED"}
    assert ended.count("FAILED") > [job["taskRunStatus"] for job in before].count("FAILED")


def test_a_failing_task_is_tried_again(callsheet_sandbox: Sandbox, farm: Farm) -> None:
    """A task that fails by itself is run as often as its job allows, and too many failures end the job."""
    job_id = farm.job(template=template(FRAMES), maxRetriesPerTask=2, maxFailedTasksCount=0)
    callsheet_sandbox.act("deadline", "doom", job=job_id, message="no memory", exit_code=137)
    callsheet_sandbox.clock.advance(14)
    assert farm.call("GetJob", jobId=job_id)["taskFailureRetryCount"] == 1
    callsheet_sandbox.clock.advance(25)
    told = farm.call("GetJob", jobId=job_id)
    assert (told["taskRunStatus"], told["taskFailureRetryCount"]) == ("FAILED", 2)
    failed = [each for each in itertools.chain(*actions(farm, job_id)) if each["status"] == "FAILED"]
    assert [(each["processExitCode"], each["progressMessage"]) for each in failed] == [(137, "no memory")] * 3


def test_a_hand_comes_after_what_is_due(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """What a hand finds is what time has made of a job by then; tasks that are not made yet are told so."""
    callsheet_sandbox.configure("deadline", create_seconds=1e-6)
    made = still_farm.job(template=template(FRAMES))
    callsheet_sandbox.act("deadline", "finish", job=made)
    assert counts(still_farm, made) == {"SUCCEEDED": 3}
    callsheet_sandbox.configure("deadline", create_seconds=60)
    coming = still_farm.job(template=template(FRAMES))
    for action in ("start", "finish", "fail", "doom"):
        with pytest.raises(ValueError, match="has no tasks, it is CREATE_IN_PROGRESS"):
            callsheet_sandbox.act("deadline", action, job=coming)
