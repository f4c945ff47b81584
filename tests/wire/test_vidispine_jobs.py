"""Vidispine's documents of jobs as callsheet's models and as its own typed ones."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from callsheet import InvalidResponse, Job, JobState
from callsheet.providers.vidispine import (
    VidispineCurrentStep,
    VidispineJob,
    VidispineNote,
    VidispineProblem,
    VidispineProgress,
    VidispineStep,
    VidispineTaskDefinition,
    VidispineWaiting,
)
from callsheet.providers.vidispine._progress import attempts_of, progress_of
from callsheet.providers.vidispine._shape import entries, floored, raised, read_time, values, write_time
from callsheet.providers.vidispine._wire import job_of, problem_text
from callsheet.providers.vidispine._words import ENDED, FILTERED, UNFINISHED, priority_word, state_of
from callsheet.providers.vidispine.details import read_document, read_job

SAMPLES = Path(__file__).parent / "samples" / "vidispine"
TRACKER = "vidispine+https://vidispine.example"


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return found


def jobs(**facts: bool) -> dict[str, Job]:
    made = [job_of(row, tracker=TRACKER, **facts) for row in sample("jobs")["job"]]
    return {job.id: job for job in made}


def ten(minute: int = 0, second: float = 0) -> datetime:
    """Return a moment after ten o'clock on the day of the samples."""
    return datetime(2024, 3, 1, 10, tzinfo=UTC) + timedelta(minutes=minute, seconds=second)


# -- jobs ----------------------------------------------------------------------------------------------------


def test_a_running_job() -> None:
    """A job under way, with all that its steps and metadata tell, and none of the server's own keys."""
    assert jobs()["VX-77"] == Job(
        id="VX-77",
        tracker=TRACKER,
        name="a.mov",
        state=JobState.RUNNING,
        vendor_state="STARTED",
        ended=False,
        type="ESSENCE_VERSION",
        priority=70,
        progress=0.268333,
        message="Transcoding.",
        user="jane",
        item="VX-5",
        created_at=ten(),
        attributes={"shot": "sh010"},
    )


def test_a_failed_job_of_ours() -> None:
    """What callsheet has kept in the metadata is found again; progress stays where it was."""
    assert jobs()["VX-78"] == Job(
        id="VX-78",
        tracker=TRACKER,
        name="Bake sh010",
        state=JobState.FAILED,
        vendor_state="FAILED_TOTAL",
        ended=True,
        type="VX_BAKE",
        priority=10,
        progress=0.34375,  # one step of four, and of the next a half and a whole out of four parts
        description="two\nlines",
        problem="no licence",
        user="admin",
        item="VX-6",
        created_at=ten(second=0.5),
        finished_at=ten(5),
    )


def test_jobs_that_wait_end_or_are_new() -> None:
    """Each state by its word; an ABORT under way has not ended; an unknown word is kept."""
    seen = {
        id_: (job.state, job.ended, job.progress, job.message, job.problem) for id_, job in jobs().items()
    }
    waits = "resourceId: VX-2, resourceType: storage, requirement: 10 GB free"
    assert {id_: seen[id_] for id_ in ("VX-79", "VX-80", "VX-81", "KP-82")} == {
        "VX-79": (JobState.QUEUED, False, 0.0, None, waits),
        "VX-80": (JobState.DONE, True, 1.0, None, None),
        "VX-81": (JobState.CANCELLED, False, 0.00467, None, None),
        "KP-82": (JobState.UNKNOWN, False, None, None, None),
    }
    new = jobs()["KP-82"]
    assert (new.vendor_state, new.priority, new.raw["quantum"]) == ("TELEPORTING", None, {"spin": 1})


def test_what_a_thin_answer_does_not_carry() -> None:
    """Without steps or metadata, what follows from them is `missing`, and nothing else differs."""
    full, thin = jobs(), jobs(steps=False, metadata=False)
    told = {id_: job.missing for id_, job in thin.items()}
    of_metadata = {"name", "description", "attributes"}
    assert told == {
        "VX-77": of_metadata | {"progress", "message"},
        "VX-78": of_metadata | {"progress"},
        "VX-79": of_metadata | {"progress", "message"},
        "VX-80": of_metadata,
        "VX-81": of_metadata | {"progress", "message"},
        "KP-82": of_metadata | {"progress", "message"},
    }
    assert all(job.missing == frozenset() for job in full.values())
    made, ready = sample("job_made"), sample("job_ready")
    assert job_of(made, tracker=TRACKER, steps=False, metadata=False).missing == of_metadata | {
        "progress",
        "message",
    }
    assert job_of(ready, tracker=TRACKER).progress == 0.0


@pytest.mark.parametrize("whole", [True, False])
def test_every_field_is_filled_in(*, whole: bool) -> None:
    """A job that was read is made of the same fields, in the same order, as one that was called by name."""
    for job in jobs(steps=whole, metadata=whole).values():
        assert list(vars(job).items()) == list(vars(attrs.evolve(job)).items())


@pytest.mark.parametrize(
    "change",
    [
        {"jobId": None},
        {"jobId": 7},
        {"status": None},
        {"status": ["STARTED"]},
        {"started": "soon"},
        {"started": 17},
    ],
)
def test_documents_that_are_no_jobs(change: dict[str, Any]) -> None:
    """What lacks an id or a state, or has a time that is none, raises."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        job_of(sample("job_ready") | change, tracker=TRACKER)
    row = sample("job_ready")
    del row["status"]
    with pytest.raises(KeyError):
        job_of(row, tracker=TRACKER)


def test_pickled_jobs_keep_their_details() -> None:
    """A job in another process reads its details there."""
    job = jobs()["VX-77"]
    copy = pickle.loads(pickle.dumps(job))
    assert copy == job
    assert copy.details == job.details
    assert isinstance(copy.details, VidispineJob)


# -- details -------------------------------------------------------------------------------------------------


def test_details() -> None:
    """Every documented member of a job is typed."""
    failed = jobs()["VX-78"].details
    assert failed.steps[2] == VidispineStep(
        step=200,
        attempts=1,
        status="FAILED_FATAL",
        timestamp=ten(2),
        id=3,
        error_message="no licence",
        total_tasks=4,
        tasks=(
            VidispineStep(step=1, status="FINISHED", attempts=0, timestamp=ten(2)),
            VidispineStep(
                step=2,
                status="STARTED",
                attempts=0,
                timestamp=ten(2),
                progress=VidispineProgress(value=1.0, total=2.0, unit="bytes"),
            ),
        ),
    )
    running = jobs()["VX-77"].details
    assert running.current_step == VidispineCurrentStep(
        description="Transcoding.", number=7, status="STARTED"
    )
    assert running.steps[0].notes == (VidispineNote(timestamp=ten(second=1.1), description="note text"),)
    assert (running.id, running.total_steps, running.started) == ("VX-77", 9, ten())
    assert running.data["progress-200-0-0"] == "bytes 3000000/3000000"
    assert jobs()["VX-79"].details.waiting == VidispineWaiting(
        resource_id="VX-2", resource_type="storage", requirement="10 GB free"
    )
    assert [job.id for job in jobs()["KP-82"].details.jobs] == ["KP-83"]


def test_problems_and_task_definitions() -> None:
    """Problems are typed, and told in one text; so are the steps of a type."""
    problems = [read_document(one, VidispineProblem) for one in sample("problems")["problem"]]
    assert problems == [
        VidispineProblem(id=3, type="STORAGE", data={"storage": "VX-2"}, jobs=("VX-40", "VX-41")),
        VidispineProblem(id=4, type="TRANSCODER", jobs=("VX-40",)),
    ]
    assert problem_text(sample("problems")) == "STORAGE (storage: VX-2); TRANSCODER"
    assert problem_text({}) is None
    (task,) = (read_document(one, VidispineTaskDefinition) for one in sample("tasks")["task"])
    assert task == VidispineTaskDefinition(
        id=1201,
        job_type="IMPORT",
        step=200,
        description="Transferring content.",
        bean="transfer",
        method="run",
        plugin=True,
        flags=0,
        extradata="x",
        dependency={"step": 100, "previous": False, "allPrevious": True},
        critical=True,
        cleanup=False,
    )


# -- progress ------------------------------------------------------------------------------------------------


def step(number: int, status: str, attempts: int = 0, **more: Any) -> dict[str, Any]:
    return {"step": number, "status": status, "attempts": attempts, **more}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"status": "FINISHED"}, 1.0),
        ({"status": "READY"}, 0.0),
        ({"status": "STARTED"}, None),
        ({"status": "STARTED", "totalSteps": 0}, None),
        ({"status": "STARTED", "totalSteps": "4"}, None),
        ({"status": "STARTED", "totalSteps": 4}, 0.0),
        ({"status": "STARTED", "totalSteps": 4, "currentStep": {"number": 3}}, 0.5),
        ({"status": "STARTED", "totalSteps": 9, "currentStep": {"number": 10}}, 0.888889),
        ({"status": "FAILED_TOTAL", "totalSteps": 2, "currentStep": {"number": 99}}, 0.999),
        ({"status": "STARTED", "totalSteps": 2, "steps": [step(1, "FINISHED"), step(2, "FINISHED")]}, 0.5),
        ({"status": "ABORTED", "totalSteps": 2, "steps": [step(1, "FINISHED"), step(2, "FINISHED")]}, 0.999),
        (
            {
                "status": "STARTED",
                "totalSteps": 2,
                "steps": [
                    step(1, "FAILED_RETRY", 0, progress={"value": 99, "unit": "percent"}),
                    step(1, "STARTED", 1, progress={"value": 50, "unit": "percent"}),
                ],
            },
            0.25,
        ),
        (
            {
                "status": "STARTED",
                "totalSteps": 1,
                "steps": [step(1, "STARTED", progress={"value": 99.9998, "total": 99, "unit": "percent"})],
            },
            0.999,
        ),
        (
            {
                "status": "STARTED",
                "totalSteps": 2,
                "steps": [step(n, "STARTED", progress={"value": 9, "total": 10}) for n in (1, 2)],
            },
            0.5,
        ),
        ({"status": "STARTED", "totalSteps": 2, "steps": [step(1, "STARTED", progress="half")]}, 0.0),
        (
            {"status": "STARTED", "totalSteps": 2, "steps": [step(1, "STARTED", progress={"value": "x"})]},
            0.0,
        ),
        ({"status": "STARTED", "totalSteps": 2, "log": "none"}, 0.0),
    ],
)
def test_progress(row: dict[str, Any], expected: float | None) -> None:
    """Each step counts alike; a later attempt at one replaces the earlier; only a finished job reaches 1."""
    if "steps" in row:
        row = row | {"log": {"task": row["steps"]}}
    assert progress_of(row, {}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("41.5", 0.415),
        ("4.67E-2", 0.000467),
        ("250", 0.999),
        ("-3", 0.0),
        ("nan", None),
        ("soon", None),
        (None, None),
    ],
)
def test_progress_of_a_transcoding_alone(text: str | None, expected: float | None) -> None:
    """Without a number of steps, the step's own progress counts, if it is a number."""
    data = {} if text is None else {"transcodeProgress": text}
    found = progress_of({"status": "STARTED"}, data)
    assert found == expected


def test_attempts() -> None:
    """Failed attempts are counted, over all steps."""
    log = {"task": [step(1, "FINISHED", 2), step(1, "FAILED_RETRY", 1), step(2, "STARTED", 1)]}
    assert attempts_of({"log": log}) == 3
    assert attempts_of({}) == 0


# -- words ---------------------------------------------------------------------------------------------------


def test_states() -> None:
    """Every state of Vidispine's has its common one, and the filters ask for each exactly once."""
    told = {word: state_of(word) for words in FILTERED.values() for word in words}
    assert {state: tuple(word for word in told if told[word] is state) for state in FILTERED} == FILTERED
    assert {*UNFINISHED, *ENDED} == told.keys()
    assert not ENDED.intersection(UNFINISHED)
    assert state_of("STARTED_SUBTASKS") is JobState.RUNNING
    assert state_of("started") is JobState.UNKNOWN


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (0, "LOWEST"),
        (20, "LOWEST"),
        (21, "LOW"),
        (40, "LOW"),
        (50, "MEDIUM"),
        (70, "HIGH"),
        (80, "HIGH"),
        (90, "HIGHEST"),
        (99, "HIGHEST"),
        (100, "IMMEDIATE"),
        (None, "MEDIUM"),
    ],
)
def test_priorities(number: int | None, word: str) -> None:
    """The nearest priority, of two the lower; IMMEDIATE for just 100."""
    assert priority_word(number) == word


@pytest.mark.parametrize("member", ["jobId", "status", "type", "user"])
@pytest.mark.parametrize("value", [7, True, ["x"], {"x": "y"}])
def test_words_that_are_none(member: str, value: Any) -> None:
    """What should be a word, and is none, is no job's."""
    with pytest.raises(TypeError):
        job_of(sample("jobs")["job"][0] | {member: value}, tracker=TRACKER)


@pytest.mark.parametrize(
    ("member", "value"), [("totalSteps", "many"), ("currentStep", "first"), ("waiting", 7)]
)
def test_details_that_cannot_be_read(member: str, value: Any) -> None:
    """A member of another kind than is documented does not hide the job; only its details cannot be read."""
    job = job_of(sample("jobs")["job"][0] | {member: value}, tracker=TRACKER)
    with pytest.raises(InvalidResponse, match=rf"\$\.({member}|total_steps|current_step)"):
        read_job(job)


# -- shapes --------------------------------------------------------------------------------------------------


def test_single_members_are_lists() -> None:
    """Where a server leaves the list around a single member out, it is there again."""
    assert values(None) == []
    assert values("VX-1") == ["VX-1"]
    assert values(["VX-1"]) == ["VX-1"]
    assert entries({"a": 1}) == [{"a": 1}]
    assert entries([{"a": 1}, None, "x"]) == [{"a": 1}]
    alone = sample("jobs")["job"][0]
    alone["data"], alone["log"]["task"] = alone["data"][0], alone["log"]["task"][0]
    job = job_of(alone, tracker=TRACKER)
    assert (job.item, [one.step for one in job.details.steps]) == ("VX-5", [100])


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01T10:00:00.5+0000",
        "2024-03-01T11:00:00.500+01:00",
        "2024-03-01T10:00:00.500Z",
        "2024-03-01T10:00:00.500",
    ],
)
def test_times(text: str) -> None:
    """However a time names its zone, it is read; and written in milliseconds of UTC."""
    moment = read_time(text)
    assert moment == ten(second=0.5)
    assert moment is not None
    assert moment.tzinfo is UTC
    assert write_time(moment) == "2024-03-01T10:00:00.500Z"


def test_rounding() -> None:
    """A moment between two milliseconds lies between those that enclose it; a whole one stays."""
    moment = ten() + timedelta(microseconds=1500)
    assert (floored(moment), raised(moment)) == (ten(second=0.001), ten(second=0.002))
    assert floored(ten()) == raised(ten()) == ten()
