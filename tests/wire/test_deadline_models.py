"""Deadline's records as callsheet reads them, held to the model that AWS's own library comes with."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_type_hints

import attrs
import botocore.session
import pytest

from callsheet import JobState
from callsheet.providers.deadline import (
    BoolListValue,
    BoolValue,
    ChunkIntValue,
    DeadlineJob,
    DeadlineMember,
    DeadlineQueue,
    DeadlineSession,
    DeadlineSessionAction,
    DeadlineStep,
    DeadlineTask,
    FloatListValue,
    FloatValue,
    IntListListValue,
    IntListValue,
    IntValue,
    PathListValue,
    PathValue,
    RangeExprValue,
    StorageProfile,
    StringListValue,
    StringValue,
    UnknownMember,
)
from callsheet.providers.deadline._states import LIFECYCLE, RUN_STATUSES
from callsheet.providers.deadline._values import JOB_PARAMETERS, TASK_PARAMETERS, member
from callsheet.providers.deadline._wire import MISSING, job_of, search_reader
from callsheet.providers.deadline.details import DeadlineFarm, read, read_time

MOMENT = "2026-01-02T03:04:05.678Z"
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture(scope="module")
def model() -> Any:
    """AWS's own model of the service."""
    return botocore.session.get_session().get_service_model("deadline")


def snake(name: str) -> str:
    """Return Deadline's name as callsheet spells it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def sample(shape: Any) -> Any:
    """Return a value of the shape, with every member; of a union, its last."""
    if shape.type_name == "structure":
        members = dict(shape.members)
        if getattr(shape, "is_tagged_union", False):
            members = dict([list(members.items())[-1]])
        return {name: sample(inner) for name, inner in members.items()}
    if shape.type_name == "list":
        return [sample(shape.member)]
    if shape.type_name == "map":
        return {"key": sample(shape.value)}
    plain: Mapping[str, Any] = {
        "timestamp": MOMENT,
        "integer": 7,
        "long": 7,
        "float": 0.5,
        "double": 0.5,
        "boolean": True,
    }
    return plain.get(shape.type_name, "text")


def differing(shape: Any, raw: Any, typed: Any, path: str) -> list[str]:
    """Return the places where a typed record lacks what the raw one has, or has it otherwise."""
    if shape.type_name == "structure" and getattr(shape, "is_tagged_union", False):
        return [f"{path}: unknown"] if isinstance(typed, UnknownMember) else []
    if shape.type_name == "structure" and isinstance(typed, Mapping):
        return [] if typed == raw else [f"{path}: {typed} for {raw}"]
    if shape.type_name == "structure":
        wrong = []
        for name, inner in shape.members.items():
            if not hasattr(typed, snake(name)):
                wrong.append(f"{path}.{name}: no such field")
            else:
                wrong += differing(inner, raw[name], getattr(typed, snake(name)), f"{path}.{name}")
        return wrong
    if shape.type_name == "list":
        return [
            one
            for index, item in enumerate(raw)
            for one in differing(shape.member, item, typed[index], f"{path}[{index}]")
        ]
    if shape.type_name == "map":
        return [one for key in raw for one in differing(shape.value, raw[key], typed[key], f"{path}.{key}")]
    expected = AT if shape.type_name == "timestamp" else raw
    return [] if typed == expected and type(typed) is type(expected) else [f"{path}: {typed!r} for {raw!r}"]


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("GetJob", DeadlineJob),
        ("GetStep", DeadlineStep),
        ("GetTask", DeadlineTask),
        ("GetSession", DeadlineSession),
        ("GetSessionAction", DeadlineSessionAction),
        ("GetQueue", DeadlineQueue),
        ("GetFarm", DeadlineFarm),
        ("GetStorageProfileForQueue", StorageProfile),
        ("BatchGetJob", DeadlineJob),
        ("ListSteps", DeadlineStep),
        ("ListTasks", DeadlineTask),
        ("ListSessions", DeadlineSession),
        ("ListSessionActions", DeadlineSessionAction),
        ("ListQueues", DeadlineQueue),
        ("ListFarms", DeadlineFarm),
        ("ListJobMembers", DeadlineMember),
    ],
)
def test_every_field_is_typed(model: Any, operation: str, kind: type) -> None:
    """Each field of the answer, however deep, is there under its own name, with its value and type."""
    shape = model.operation_model(operation).output_shape
    if not operation.startswith("Get"):
        (items,) = [inner for name, inner in shape.members.items() if name not in {"nextToken", "errors"}]
        shape = items.member
    raw = sample(shape)
    assert differing(shape, raw, read(raw, kind), operation) == []


def test_every_field_of_a_listed_job_is_typed(model: Any) -> None:
    """A job out of a search has all that the search tells, its parameters among it."""
    shape = model.shape_for("JobSearchSummary")
    raw = sample(shape)
    details = search_reader("deadline://f/q")(raw).details
    assert details == read({**raw, "parameters": raw["jobParameters"]}, DeadlineJob)
    assert details.parameters == {"key": IntListListValue((("text",),))}
    del raw["jobParameters"]
    members = {name: inner for name, inner in shape.members.items() if name != "jobParameters"}
    assert {name for name in members if getattr(details, snake(name)) in (None, (), {})} == set()


@pytest.mark.parametrize(
    ("shape", "known"),
    [
        ("TaskRunStatus", RUN_STATUSES),
        ("JobLifecycleStatus", LIFECYCLE),
        ("JobParameter", JOB_PARAMETERS),
        ("TaskParameterValue", TASK_PARAMETERS),
    ],
)
def test_every_word_is_known(model: Any, shape: str, known: Any) -> None:
    """Each status and each kind of parameter of the model has its meaning here."""
    found = model.shape_for(shape)
    assert set(found.enum if shape.endswith("Status") else found.members) == set(known)


def test_parameters_of_every_kind() -> None:
    """A parameter is of its kind's class, with its texts as they came."""
    raw: dict[str, Any] = {
        "a": {"int": "7"},
        "b": {"float": "0.5"},
        "c": {"string": ""},
        "d": {"path": "/x"},
        "e": {"bool": "TRUE"},
        "f": {"rangeExpr": "1-10:2"},
        "g": {"stringList": ["x", "y"]},
        "h": {"pathList": ["/x"]},
        "i": {"intList": ["1", "-2"]},
        "j": {"floatList": ["1e5"]},
        "k": {"boolList": ["yes", "0"]},
        "l": {"intListList": [["1"], []]},
        "m": {"colour": {"r": 1}},
        "n": {"int": "7", "float": None, "__type": "x"},
    }
    details = read({"jobId": "j", "parameters": raw}, DeadlineJob)
    assert details.parameters == {
        "a": IntValue("7"),
        "b": FloatValue("0.5"),
        "c": StringValue(""),
        "d": PathValue("/x"),
        "e": BoolValue("TRUE"),
        "f": RangeExprValue("1-10:2"),
        "g": StringListValue(("x", "y")),
        "h": PathListValue(("/x",)),
        "i": IntListValue(("1", "-2")),
        "j": FloatListValue(("1e5",)),
        "k": BoolListValue(("yes", "0")),
        "l": IntListListValue((("1",), ())),
        "m": UnknownMember("colour", {"r": 1}),
        "n": IntValue("7"),
    }
    assert details.parameters["a"] not in {FloatValue("7"), StringValue("7")}
    chunk = {"taskId": "t", "parameters": {"Frame": {"chunkInt": "1-10"}}}
    assert read(chunk, DeadlineTask).parameters == {"Frame": ChunkIntValue("1-10")}


@pytest.mark.parametrize("union", [{}, {"int": None}, {"int": "1", "float": "2"}])
def test_a_union_has_one_member(union: dict[str, Any]) -> None:
    """None or several members are no union."""
    with pytest.raises(ValueError, match="a union with"):
        member(union)


def test_definitions_of_actions() -> None:
    """What an action does is of its class; a newer kind is kept as it came."""
    for raw, kind in (
        ({"envEnter": {"environmentId": "JOB:x"}}, "EnvEnter"),
        ({"envExit": {"environmentId": "JOB:x"}}, "EnvExit"),
        ({"taskRun": {"stepId": "s"}}, "TaskRun"),
        ({"syncInputJobAttachments": {}}, "SyncInputJobAttachments"),
        ({"teleport": {"to": 1}}, "UnknownMember"),
    ):
        action = read({"sessionActionId": "a", "status": "RUNNING", "definition": raw}, DeadlineSessionAction)
        assert type(action.definition).__name__ == kind


def test_null_and_news_do_no_harm() -> None:
    """`null` is as absent, and what a newer server adds is left in `raw`."""
    raw = {"jobId": "job-1", "attachments": None, "parameters": None, "name": "x", "brandNew": {"a": 1}}
    job = job_of(raw, tracker="deadline://f/q")
    assert job.details == DeadlineJob(job_id="job-1", name="x")
    assert job.raw["brandNew"] == {"a": 1}
    queue = read(
        {"queueId": "q", "jobAttachmentSettings": {"s3BucketName": "", "rootPrefix": ""}}, DeadlineQueue
    )
    assert queue.job_attachment_settings is None


def test_every_field_has_a_type_of_its_own() -> None:
    """No field of a job is `Any`."""
    assert Any not in {
        inner for hint in get_type_hints(DeadlineJob).values() for inner in (hint, *get_args(hint))
    }


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("2026-01-02T03:04:05Z", AT.replace(microsecond=0)),
        (MOMENT, AT),
        ("2026-01-02T03:04:05.678900Z", AT.replace(microsecond=678900)),
        ("2026-01-02T03:04:05.678900123Z", AT.replace(microsecond=678900)),
        ("2026-01-02T04:04:05.678+01:00", AT),
        ("2026-01-02T03:04:05.678", AT),
        (AT.timestamp(), AT),
        (1767323045, datetime.fromtimestamp(1767323045, UTC)),
    ],
)
def test_times_of_every_form(text: Any, moment: datetime | None) -> None:
    """A moment is read with up to nine digits of a second, or as a number, and is in UTC."""
    found = read_time(text)
    assert found == moment or (moment is not None and abs((found or AT) - moment) < timedelta(microseconds=1))
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize("bad", [True, [], "soon", "2026-13-01T00:00:00Z"])
def test_what_is_no_time(bad: Any) -> None:
    """Anything else is no moment."""
    with pytest.raises((TypeError, ValueError)):
        read_time(bad)


# -- states --------------------------------------------------------------------------------------------------

ALL = dict.fromkeys(RUN_STATUSES, 0)


@pytest.mark.parametrize(
    ("lifecycle", "run", "state", "word", "ended"),
    [
        ("CREATE_FAILED", None, JobState.FAILED, "CREATE_FAILED", True),
        ("UPLOAD_FAILED", "PENDING", JobState.FAILED, "UPLOAD_FAILED", True),
        ("CREATE_IN_PROGRESS", None, JobState.QUEUED, "CREATE_IN_PROGRESS", False),
        ("UPLOAD_IN_PROGRESS", "READY", JobState.QUEUED, "UPLOAD_IN_PROGRESS", False),
        ("CREATE_COMPLETE", None, JobState.QUEUED, "CREATE_COMPLETE", False),
        *(
            ("CREATE_COMPLETE", word, JobState.QUEUED, word, False)
            for word in ("PENDING", "READY", "SCHEDULED")
        ),
        *(
            ("UPDATE_SUCCEEDED", word, JobState.RUNNING, word, False)
            for word in ("ASSIGNED", "STARTING", "RUNNING", "INTERRUPTING")
        ),
        ("UPDATE_FAILED", "SUSPENDED", JobState.PAUSED, "SUSPENDED", False),
        ("CREATE_COMPLETE", "SUCCEEDED", JobState.DONE, "SUCCEEDED", True),
        ("CREATE_COMPLETE", "FAILED", JobState.FAILED, "FAILED", True),
        ("CREATE_COMPLETE", "NOT_COMPATIBLE", JobState.FAILED, "NOT_COMPATIBLE", True),
        ("CREATE_COMPLETE", "CANCELED", JobState.CANCELLED, "CANCELED", True),
        ("ARCHIVED", "READY", JobState.CANCELLED, "ARCHIVED", True),
        ("ARCHIVED", "RUNNING", JobState.CANCELLED, "ARCHIVED", True),
        ("ARCHIVED", "SUCCEEDED", JobState.DONE, "SUCCEEDED", True),
        ("ARCHIVED", "NOT_COMPATIBLE", JobState.FAILED, "NOT_COMPATIBLE", True),
        ("CREATE_COMPLETE", "NAPPING", JobState.UNKNOWN, "NAPPING", False),
        ("DREAMING", "RUNNING", JobState.RUNNING, "RUNNING", False),
    ],
)
def test_states(lifecycle: str, run: str | None, state: JobState, word: str, *, ended: bool) -> None:
    """The lifecycle counts first, then the run status; the word that decided is kept."""
    raw = {"jobId": "job-1", "name": "x", "lifecycleStatus": lifecycle, "taskRunStatus": run}
    job = job_of(raw, tracker="deadline://f/q")
    assert (job.state, job.vendor_state, job.ended) == (state, word, ended)
    assert (job.message == "stopping") is (run == "INTERRUPTING")


@pytest.mark.parametrize(
    ("target", "ended"),
    [("PENDING", False), ("READY", False), ("SUSPENDED", False), ("FAILED", True), (None, True)],
)
def test_an_end_that_is_being_undone(target: str | None, *, ended: bool) -> None:
    """A job that was asked to go on has not ended; one that was asked to stay ended has."""
    raw = {"lifecycleStatus": "UPDATE_IN_PROGRESS", "taskRunStatus": "FAILED", "targetTaskRunStatus": target}
    assert job_of({"jobId": "job-1", **raw}, tracker="deadline://f/q").ended is ended


@pytest.mark.parametrize(
    ("counts", "progress"),
    [
        (None, None),
        ({}, None),
        (ALL, None),
        (ALL | {"READY": 4}, 0.0),
        (ALL | {"SUCCEEDED": 1, "RUNNING": 3}, 0.25),
        (ALL | {"SUCCEEDED": 1, "FAILED": 1, "CANCELED": 1, "NOT_COMPATIBLE": 1}, 1.0),
        (ALL | {"SUSPENDED": 1, "INTERRUPTING": 1, "SUCCEEDED": 2}, 0.5),
        ({"SUCCEEDED": 1, "NAPPING": 1}, 0.5),
    ],
)
def test_progress(counts: dict[str, int] | None, progress: float | None) -> None:
    """Progress is the part of the tasks that are over; of no tasks it is unknown."""
    assert (
        job_of({"jobId": "j", "taskRunStatusCounts": counts}, tracker="deadline://f/q").progress == progress
    )


def test_a_whole_job() -> None:
    """Each common field comes from its own of Deadline's, and the job crosses processes whole."""
    raw = {
        "jobId": "job-1",
        "name": "comp",
        "lifecycleStatus": "CREATE_COMPLETE",
        "lifecycleStatusMessage": "Job creation completed successfully",
        "priority": 70,
        "createdAt": MOMENT,
        "createdBy": "jane",
        "updatedAt": "2026-01-02T03:04:06Z",
        "startedAt": "2026-01-02T03:04:07Z",
        "endedAt": "2026-01-02T03:04:08Z",
        "taskRunStatus": "FAILED",
        "taskRunStatusCounts": ALL | {"SUCCEEDED": 3, "FAILED": 1},
        "parameters": {"Frames": {"string": "1-4"}, "Layers": {"stringList": ["a"]}},
        "description": "<script>",
        "sourceJobId": "job-0",
    }
    job = job_of(raw, tracker="deadline://f/q")
    plain = attrs.asdict(job, recurse=False)
    del plain["raw"], plain["_reader"]
    second = AT.replace(microsecond=0)
    assert plain == {
        "id": "job-1",
        "tracker": "deadline://f/q",
        "name": "comp",
        "state": JobState.FAILED,
        "vendor_state": "FAILED",
        "ended": True,
        "type": None,
        "priority": 70,
        "progress": 1.0,
        "message": None,
        "description": "<script>",
        "problem": "1 of 4 tasks failed",
        "user": "jane",
        "item": None,
        "source_id": "job-0",
        "created_at": AT,
        "started_at": second + timedelta(seconds=2),
        "updated_at": second + timedelta(seconds=1),
        "finished_at": second + timedelta(seconds=3),
        "attributes": {"Frames": "1-4", "Layers": ["a"]},
        "missing": frozenset(),
    }
    twin = pickle.loads(pickle.dumps(job))
    assert (twin, twin.details) == (job, job.details)
    listed = search_reader("deadline://f/q")({**raw, "jobParameters": raw["parameters"]})
    assert (listed.missing, listed.attributes) == (MISSING, job.attributes)


def test_every_field_is_filled_in() -> None:
    """A job that was read is made of the same fields, in the same order, as one that was called by name."""
    for raw in ({"jobId": "job-1", "createdAt": MOMENT}, {"jobId": "job-1", "parameters": {"A": {}}}):
        job = job_of(raw, tracker="deadline://f/q")
        assert list(vars(job).items()) == list(vars(attrs.evolve(job)).items())
