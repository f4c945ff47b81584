"""Arguments at the door: what is let in, what is refused, and that the refusal names the culprit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import _checks as checks
from callsheet._errors import InvalidRequest
from callsheet._models import Job, JobChanges, JobFilter, JobState, NewJob

HALF_PAST_NINE = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(CHARACTERS, min_size=1).filter(str.strip)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def refused(complaint: str) -> AbstractContextManager[object]:
    """Expect an `InvalidRequest` that begins with the complaint."""
    return pytest.raises(InvalidRequest, match=f"^{re.escape(complaint)}")


@given(TEXTS)
def test_any_text_passes_unchanged(value: str) -> None:
    """Whatever is not blank, has no NUL and is Unicode is let in as it is."""
    assert checks.text(value, "name") == value


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "name must be a text, not NoneType"),
        (b"sh010", "name must be a text, not bytes"),
        (10, "name must be a text, not int"),
        ("", "name must not be empty"),
        (" \t\n", "name must not be empty"),
        ("sh\x0010", "name holds a NUL character"),
        ("sh\ud800", "name holds a character that is not Unicode"),
        pytest.param("ä" * (checks.MAX_TEXT // 2) + "a", f"name has {checks.MAX_TEXT + 1} bytes", id="long"),
    ],
)
def test_bad_text_is_named(value: Any, complaint: str) -> None:
    """A text that some tracker could not store is refused with the field's name and the reason."""
    with refused(complaint):
        checks.text(value, "name")


def test_empty_text_passes_where_allowed() -> None:
    """A description may be empty, and a text may be exactly as long as the limit."""
    assert checks.text("", "description", empty=True) == ""
    assert checks.text("a" * checks.MAX_TEXT, "description") == "a" * checks.MAX_TEXT


@pytest.mark.parametrize("known", list(JobState))
def test_states_by_word(known: JobState) -> None:
    """A state may be given as the enum or as its word."""
    assert checks.state(known) is known
    assert checks.state(known.value) is known


@pytest.mark.parametrize("value", ["finished", "DONE", "", None, 1, ["done"]])
def test_unknown_state_is_named(value: Any) -> None:
    """A word that is no state is refused, and the refusal lists the words there are."""
    with refused(f"state: {value!r} is not a state; there are queued,"):
        checks.state(value)


def test_unknown_is_read_not_set() -> None:
    """UNKNOWN can be asked for in a filter, but no job can be given it."""
    assert checks.state_set({"unknown"}) == frozenset({JobState.UNKNOWN})
    with refused("state: 'unknown' can be read, not set"):
        checks.settable_state(JobState.UNKNOWN)


@given(st.floats(0, 1) | st.sampled_from([0, 1]))
def test_progress_within_bounds(value: float) -> None:
    """Progress from 0 to 1 passes as a float."""
    checked = checks.progress(value)
    assert checked == value
    assert isinstance(checked, float)


@given(st.floats().filter(lambda value: not 0 <= value <= 1))
def test_progress_out_of_bounds(value: float) -> None:
    """Progress outside, infinite or NaN is refused."""
    with refused("progress must be from 0 to 1, not"):
        checks.progress(value)


@pytest.mark.parametrize("value", [True, "0.5", [0.5], 1j])
def test_progress_that_is_no_number(value: Any) -> None:
    """Progress of another type is refused; `True` is no number here."""
    with refused("progress must be a number, not"):
        checks.progress(value)


@pytest.mark.parametrize("value", [0, 50, 100, 70.0])
def test_priority_within_bounds(value: float) -> None:
    """A whole priority from 0 to 100 passes as an int."""
    checked = checks.priority(value)
    assert checked == value
    assert isinstance(checked, int)


@pytest.mark.parametrize("value", [-1, 101, 0.5, math.nan, math.inf, 10**400, True, "50"])
def test_bad_priority_is_named(value: Any) -> None:
    """A priority out of range, broken or of another type is refused."""
    with refused("priority must be"):
        checks.priority(value)


def test_unknown_progress_and_priority() -> None:
    """`None` means unknown for both."""
    assert (checks.progress(None), checks.priority(None)) == (None, None)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, 10**400, True, "1", None])
def test_bad_seconds_are_named(value: Any) -> None:
    """A length of time is a finite number from its lower limit up."""
    with refused(f"timeout must be a number of seconds from 0 up, not {value!r}"):
        checks.seconds(value, "timeout")


def test_seconds_at_their_limit() -> None:
    """The lower limit itself passes, as a float."""
    assert checks.seconds(0, "timeout") == 0.0
    assert checks.seconds(0.5, "beat", low=0.5) == 0.5
    with refused("beat must be a number of seconds from 0.5 up"):
        checks.seconds(0.4, "beat", low=0.5)
    assert checks.seconds(9, "lease", high=9) == 9.0
    with refused("lease must be a number of seconds from 0 to 9, not 9.1"):
        checks.seconds(9.1, "lease", high=9)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_moments_become_utc(naive: datetime, zone: timezone) -> None:
    """An aware moment of any zone is the same moment in UTC."""
    aware = naive.replace(tzinfo=zone)
    moment = checks.moment(aware, "created_after")
    assert moment == aware
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (datetime(2026, 3, 1), "created_after must carry a time zone: datetime.datetime(2026, 3, 1"),
        (HALF_PAST_NINE.date(), "created_after must be a datetime, not datetime.date(2026,"),
        ("2026-03-01", "created_after must be a datetime, not '2026-03-01'"),
    ],
)
def test_bad_moments_are_named(value: Any, complaint: str) -> None:
    """A naive time, a date or a text is refused."""
    with refused(complaint):
        checks.moment(value, "created_after")


@pytest.mark.parametrize("offset", [-14, 14])
@pytest.mark.parametrize("edge", [datetime.min, datetime.max])
def test_moments_at_the_end_of_time(edge: datetime, offset: int) -> None:
    """A moment that has no UTC form is refused like any other bad argument; one that has passes."""
    aware = edge.replace(tzinfo=timezone(timedelta(hours=offset)))
    if (edge is datetime.min) is (offset > 0):
        with refused("created_after"):
            checks.moment(aware, "created_after")
    else:
        assert checks.moment(aware, "created_after") == aware


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=4))
def test_attributes_come_back_as_from_json(value: dict[str, Any]) -> None:
    """Attributes are copied to what JSON would return."""
    checked = checks.json_mapping(value)
    assert checked == json.loads(json.dumps(value))
    assert checked is not value


def test_attributes_are_copied_deeply() -> None:
    """A later change to what was given changes nothing of what was taken."""
    given_ = {"takes": [1, 2]}
    checked = checks.json_mapping(given_)
    given_["takes"].append(3)
    assert checked == {"takes": [1, 2]}


def nested(depth: int) -> dict[str, Any]:
    """Return lists in lists, `depth` deep."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"deep": value}


def circle() -> dict[str, Any]:
    """Return a mapping that holds itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([("shot", 1)], "attributes must be a mapping, not list"),
        ({1: "shot"}, "attributes: the name 1 must be a text, not int"),
        ({"": "shot"}, "attributes: the name '' must not be empty"),
        ({"shot": math.nan}, "attributes cannot be written as JSON"),
        ({"shot": math.inf}, "attributes cannot be written as JSON"),
        ({"shot": {1, 2}}, "attributes cannot be written as JSON"),
        ({"shot": b"x"}, "attributes cannot be written as JSON"),
        ({"shot": "a\0b"}, "attributes hold a NUL character"),
        ({"shot": {"deep": ["\0"]}}, "attributes hold a NUL character"),
        ({"shot": "\ud800"}, "attributes cannot be written as JSON"),
        pytest.param(
            {"shot": "x" * (10 << 20)},
            "attributes have more than the 1048576 bytes of JSON that are allowed",
            id="10 MB",
        ),
        pytest.param({"a": [1.5] * 300_000}, "attributes have more than the 1048576 bytes", id="numbers"),
        pytest.param({"a": [["x" * 1000] * 1000] * 2}, "attributes have more than the 1048576", id="lists"),
        pytest.param(
            {"x" * 600_000: {"y" * 600_000: 1}}, "attributes have more than the 1048576", id="names"
        ),
        (nested(checks.MAX_LEVELS), "attributes have more than 100 levels"),
        (nested(100_000), "attributes have more than 100 levels"),
        (circle(), "attributes have more than 100 levels"),
    ],
)
def test_bad_attributes_are_named(value: Any, complaint: str) -> None:
    """Attributes that JSON or a database cannot hold, or that are too large, are refused."""
    with refused(complaint):
        checks.json_mapping(value)


def test_attributes_of_many_levels() -> None:
    """Mappings and lists may be as deep in each other as allowed."""
    deep = nested(checks.MAX_LEVELS - 1)
    assert checks.json_mapping(deep) == deep


@pytest.mark.parametrize("room", [0, 1])
def test_attributes_at_their_limit(room: int) -> None:
    """Attributes may have exactly as many bytes as allowed."""
    fits = {"shot": "ä" * ((checks.MAX_TEXT - len('{"shot": ""}')) // 2)}
    assert len(json.dumps(fits, ensure_ascii=False).encode()) == checks.MAX_TEXT
    if room:
        assert checks.json_mapping(fits) == fits
    else:
        with refused("attributes have more than"):
            checks.json_mapping({"shot": fits["shot"] + "a"})


def test_a_backslash_is_no_nul() -> None:
    """A text that spells out the escape of NUL holds none."""
    assert checks.json_mapping({"pattern": "\\u0000"}) == {"pattern": "\\u0000"}


JOB = Job(
    id="7", tracker="local:/shows", name="render", state=JobState.QUEUED, vendor_state="queued", ended=False
)


def test_job_or_its_id() -> None:
    """A job of this tracker stands for its id, and an id for itself."""
    assert checks.job_id(JOB, "local:/shows") == "7"
    assert checks.job_id("8", "local:/shows") == "8"


async def forgotten() -> None:
    """What a call returns that is not awaited."""


def test_an_await_that_is_missing_is_named() -> None:
    """Who forgets to await the call that finds the job is told so."""
    coroutine = forgotten()
    with refused("component must be a Component or its id, not coroutine; await it first"):
        checks.identity(coroutine, "component")
    coroutine.close()


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        (JOB, "job 7 belongs to local:/shows, not to local:/other"),
        ("", "job must not be empty"),
        (7, "job must be a Job or its id, not int"),
        (None, "job must be a Job or its id, not NoneType"),
    ],
)
def test_bad_jobs_are_named(job: Any, complaint: str) -> None:
    """A job of another tracker, or what is no job at all, is refused."""
    with refused(complaint):
        checks.job_id(job, "local:/other")


def test_new_job_is_normalised() -> None:
    """Words become states, numbers their proper types, attributes a copy; the rest stays."""
    new: Any = NewJob(
        name="render",
        user="jane",
        type="api_job",
        state="paused",  # type: ignore[arg-type]  # a word is taken too
        description="",
        priority=70.0,  # type: ignore[arg-type]  # a whole float is taken too
        item="VX-1",
        attributes={"frames": (1, 2)},
        files=iter(["a.exr"]),  # type: ignore[arg-type]  # anything that can be gone through is taken too
        idempotency_key="k",
        vendor={"tags": {}},
    )
    assert checks.new_job(new) == NewJob(
        name="render",
        user="jane",
        type="api_job",
        state=JobState.PAUSED,
        priority=70,
        item="VX-1",
        attributes={"frames": [1, 2]},
        files=("a.exr",),
        idempotency_key="k",
        vendor={"tags": {}},
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("user", ""),
        ("type", 5),
        ("state", "unknown"),
        ("description", None),
        ("priority", 101),
        ("item", "\0"),
        ("attributes", []),
        ("idempotency_key", " "),
        ("files", "a.exr"),
        ("files", 7),
    ],
)
def test_bad_new_job_is_named(field: str, value: Any) -> None:
    """Each bad field of a new job is refused by its name."""
    with refused(field):
        checks.new_job(NewJob(**{"name": "render", field: value}))


def test_new_job_of_another_type() -> None:
    """`create_many` says what it takes."""
    with refused("create_many takes NewJob, not str"):
        checks.new_job("render")


def test_changes_are_normalised() -> None:
    """Only what was given is set; `None` is a value where a field may be unknown."""
    changed = checks.job_changes({"state": "done", "progress": 1, "message": None, "priority": None})
    assert changed == JobChanges(state=JobState.DONE, progress=1.0, message=None, priority=None)
    assert changed.given() == {"state": JobState.DONE, "progress": 1.0, "message": None, "priority": None}


@pytest.mark.parametrize(
    ("given_", "complaint"),
    [
        ({}, "nothing to change: give at least one of state, progress, message"),
        ({"user": "bob"}, "a job has no field 'user' that can be changed"),
        ({"state": "unknown"}, "state: 'unknown' can be read, not set"),
        ({"state": None}, "state: None is not a state"),
        ({"progress": 1.5}, "progress must be from 0 to 1, not 1.5"),
        ({"message": 5}, "message must be a text, not int"),
        ({"problem": b""}, "problem must be a text, not bytes"),
        ({"description": None}, "description must be a text, not NoneType"),
        ({"priority": 1.5}, "priority must be a whole number, not 1.5"),
        ({"name": ""}, "name must not be empty"),
        ({"attributes": None}, "attributes must be a mapping, not NoneType"),
    ],
)
def test_bad_changes_are_named(given_: dict[str, Any], complaint: str) -> None:
    """Each bad change is refused by its name, and so is none at all."""
    with refused(complaint):
        checks.job_changes(given_)


def test_filter_is_normalised() -> None:
    """Words become states, any collection a set, any zone UTC."""
    wanted = checks.job_filter(
        states=["running", JobState.QUEUED],
        types=["render"],
        user="jane",
        item="VX-1",
        attributes={"frames": (1,)},
        created_after=HALF_PAST_NINE.astimezone(timezone(timedelta(hours=2))),
        created_before=HALF_PAST_NINE + timedelta(days=1),
        newest_first=False,
    )
    assert wanted == JobFilter(
        states=frozenset({JobState.RUNNING, JobState.QUEUED}),
        types=frozenset({"render"}),
        user="jane",
        item="VX-1",
        attributes={"frames": [1]},
        created_after=HALF_PAST_NINE,
        created_before=HALF_PAST_NINE + timedelta(days=1),
        newest_first=False,
    )


@pytest.mark.parametrize(
    ("given_", "complaint"),
    [
        ({"states": "running"}, "states must be a set, not 'running'"),
        ({"states": JobState.RUNNING}, "states must be a set, not"),
        ({"states": ["running", "asleep"]}, "states: 'asleep' is not a state"),
        ({"states": 5}, "states must be a set, not 5"),
        ({"types": "render"}, "types must be a set, not 'render'"),
        ({"types": [5]}, "types must be a text, not int"),
        ({"user": ""}, "user must not be empty"),
        ({"item": 5}, "item must be a text, not int"),
        ({"attributes": "frames"}, "attributes must be a mapping, not str"),
        ({"created_after": datetime(2026, 1, 1)}, "created_after must carry a time zone"),
        ({"created_before": 0}, "created_before must be a datetime, not 0"),
    ],
)
def test_bad_filters_are_named(given_: dict[str, Any], complaint: str) -> None:
    """Each bad condition is refused by its name."""
    with refused(complaint):
        checks.job_filter(**given_)


@pytest.mark.parametrize(
    "check",
    [
        checks.state,
        checks.progress,
        checks.priority,
        checks.json_mapping,
        lambda value: checks.text(value, "name"),
        lambda value: checks.optional_text(value, "name"),
        lambda value: checks.seconds(value, "timeout"),
        lambda value: checks.moment(value, "created_after"),
        lambda value: checks.words(value, "types"),
        lambda value: checks.state_set(value),
        lambda value: checks.new_job(NewJob(name=value, priority=value, attributes=value)),
        lambda value: checks.job_changes({"progress": value}),
        lambda value: checks.job_filter(states=value),
        lambda value: checks.job_id(value, "local:/shows"),
    ],
)
@given(
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.complex_numbers()
    | st.lists(st.integers() | st.text() | st.none(), max_size=3)
    | st.dictionaries(st.text() | st.integers() | st.none(), st.text() | st.floats(), max_size=3)
    | st.builds(object)
)
def test_nothing_but_invalid_request(check: Callable[[Any], object], value: Any) -> None:
    """Whatever is given, a check returns or raises `InvalidRequest`, never anything else."""
    with suppress(InvalidRequest):
        check(value)
