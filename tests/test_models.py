"""The values: equality, hashes, pickles, filters by hand, and what changed between two looks."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import callsheet._models as models
from callsheet._errors import InvalidRequest
from callsheet._models import (
    UNSET,
    Component,
    FieldChange,
    Job,
    JobChanges,
    JobFilter,
    JobState,
    Location,
    Record,
    changes,
    same_json,
)

MOMENT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def shouted(record: Record) -> str:
    """Stand in for a vendor's reader: a module-level function, pickled by its name."""
    return str(record.raw["name"]).upper()


JOB = Job(
    id="7",
    tracker="local:/shows",
    name="render",
    state=JobState.RUNNING,
    vendor_state="running",
    ended=False,
    type="comp",
    progress=0.25,
    user="jane",
    created_at=MOMENT,
    attributes={"frames": [1, 2]},
    raw={"name": "render"},
    reader=shouted,
)
COMPONENT = Component(id="7", name="a.exr", size=3, checksum="sha256:00", raw={"name": "a"}, reader=shouted)
LOCATION = Location(id="7", name="local", kind="directory", raw={"name": "b"}, reader=shouted)
RECORDS = [JOB, COMPONENT, LOCATION]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_raw_and_details_are_no_part_of_the_value(record: Record) -> None:
    """Two answers are equal if all common fields are, whatever else the tracker sent."""
    assert attrs.evolve(record, raw={"name": "other"}, reader=None) == record
    assert attrs.evolve(record, id="8") != record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_details_are_read_once_from_raw(record: Record) -> None:
    """`details` is the reader's answer, made on first use and kept; without a reader it is `None`."""
    details = record.details
    assert details == shouted(record)
    assert record.details is details
    assert attrs.evolve(record, reader=None).details is None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_pickle_and_copy(record: Record) -> None:
    """A pickled or copied record is the same value and still reads its details, read before or not."""
    for original in (attrs.evolve(record), record):
        for twin in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original), copy.copy(original)):
            assert twin == original
            assert hash(twin) == hash(original)
            assert (twin.raw, twin.details) == (original.raw, original.details)


def test_details_are_not_pickled() -> None:
    """What was read from `raw` is left out of the pickle: it is made anew."""
    read = attrs.evolve(JOB)
    size = len(pickle.dumps(read))
    assert read.details == "RENDER"
    assert len(pickle.dumps(read)) == size


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_frozen(record: Record) -> None:
    """No field can be set on a record."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        record.id = "8"  # type: ignore[misc]  # the test is about this


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_repr_shows_no_raw_record(record: Record) -> None:
    """A repr is about the common fields; the raw record may hold anything."""
    assert "raw" not in repr(record)
    assert "reader" not in repr(record)
    assert "id='7'" in repr(record)


def test_a_job_hashes_by_tracker_and_id() -> None:
    """A job found again in another state has the same hash; one of another tracker is another job."""
    done = attrs.evolve(JOB, state=JobState.DONE, ended=True, attributes={})
    assert hash(done) == hash(JOB)
    assert done != JOB
    assert {done: "seen"}.get(attrs.evolve(done)) == "seen"
    assert hash(attrs.evolve(JOB, tracker="local:/other")) != hash(JOB)


def test_changes_in_the_order_of_the_fields() -> None:
    """Each field that differs is named with both values, in the order in which `Job` has them."""
    later = attrs.evolve(
        JOB,
        state=JobState.DONE,
        vendor_state="done",
        ended=True,
        progress=1.0,
        finished_at=MOMENT,
        attributes={"frames": [1, 2, 3]},
        raw={},
    )
    assert changes(JOB, later) == [
        FieldChange("state", JobState.RUNNING, JobState.DONE),
        FieldChange("vendor_state", "running", "done"),
        FieldChange("ended", False, True),
        FieldChange("progress", 0.25, 1.0),
        FieldChange("finished_at", None, MOMENT),
        FieldChange("attributes", {"frames": [1, 2]}, {"frames": [1, 2, 3]}),
    ]


def test_changes_of_the_same_answer() -> None:
    """The same answer twice has no changes, whatever its raw record."""
    assert changes(JOB, attrs.evolve(JOB, raw={"more": 1}, reader=None)) == []


@pytest.mark.parametrize("thin", ["old", "new"])
def test_changes_skip_what_an_answer_did_not_carry(thin: str) -> None:
    """A field missing from either answer is no change, nor is `missing` itself."""
    whole = attrs.evolve(JOB, name="new name")
    listed = attrs.evolve(JOB, attributes={}, progress=None, missing=frozenset({"attributes", "progress"}))
    old, new = (listed, whole) if thin == "old" else (whole, listed)
    assert changes(old, new) == [FieldChange("name", old.name, new.name)]


@pytest.mark.parametrize("other", [{"id": "8"}, {"tracker": "local:/other"}])
def test_changes_of_two_jobs(other: dict[str, Any]) -> None:
    """Two different jobs cannot be compared."""
    with pytest.raises(InvalidRequest, match="old and new are different jobs"):
        changes(JOB, attrs.evolve(JOB, **other))


def test_given_tells_none_from_not_given() -> None:
    """`None` is a change; `UNSET` is none."""
    assert JobChanges().given() == {}
    assert JobChanges(progress=None, state=JobState.DONE).given() == {
        "progress": None,
        "state": JobState.DONE,
    }
    assert repr(UNSET) == "UNSET"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (JobFilter(), True),
        (JobFilter(states=frozenset({JobState.RUNNING, JobState.DONE})), True),
        (JobFilter(states=frozenset({JobState.DONE})), False),
        (JobFilter(states=frozenset()), False),
        (JobFilter(types=frozenset({"comp"})), True),
        (JobFilter(types=frozenset({"render"})), False),
        (JobFilter(user="jane"), True),
        (JobFilter(user="bob"), False),
        (JobFilter(item="VX-1"), False),
        (JobFilter(attributes={"frames": [1, 2]}), True),
        (JobFilter(attributes={"frames": [1]}), False),
        (JobFilter(attributes={"takes": None}), False),
        (JobFilter(created_after=MOMENT), True),
        (JobFilter(created_after=MOMENT + timedelta(microseconds=1)), False),
        (JobFilter(created_before=MOMENT), False),
        (JobFilter(created_before=MOMENT + timedelta(microseconds=1)), True),
        (JobFilter(states=frozenset({JobState.RUNNING}), user="bob"), False),
    ],
)
def test_filter_matches_by_hand(wanted: JobFilter, *, found: bool) -> None:
    """Each condition alone decides; created_after is inclusive, created_before exclusive."""
    assert wanted.matches(JOB) is found


def test_filter_on_a_job_without_times() -> None:
    """A job whose creation time is unknown was created after nothing."""
    timeless = attrs.evolve(JOB, created_at=None)
    assert not JobFilter(created_after=MOMENT).matches(timeless)
    assert JobFilter(created_before=MOMENT).matches(timeless)


FILTERS: list[dict[str, Any]] = [
    {},
    {"states": frozenset({JobState.RUNNING})},
    {"states": frozenset()},
    {"types": frozenset({"running"})},
    {"types": frozenset({"run", "ning"})},
    {"user": "jane"},
    {"item": "jane"},
    {"attributes": {"user": "jane"}},
    {"attributes": {"user": True}},
    {"attributes": {"user": 1}},
    {"created_after": MOMENT},
    {"created_before": MOMENT},
    {"newest_first": False},
]


def test_fingerprints_tell_filters_apart() -> None:
    """Every different filter, and the other direction, has another fingerprint."""
    assert len({JobFilter(**wanted).fingerprint() for wanted in FILTERS}) == len(FILTERS)


def test_fingerprint_is_the_same_in_any_process() -> None:
    """The order of sets and mappings, and the process's hash seed, change nothing."""
    wanted = JobFilter(
        types=frozenset(map(str, range(20))), attributes={"b": 1, "a": 2}, states=frozenset(JobState)
    )
    code = (
        "from callsheet._models import *; print(JobFilter(types=frozenset(map(str, reversed(range(20)))),"
        "attributes={'a': 2, 'b': 1}, states=frozenset(reversed(JobState))).fingerprint())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == wanted.fingerprint()


def test_conditions_by_name() -> None:
    """Only conditions that are set count, and the direction is none."""
    wanted = JobFilter(user="jane", attributes={}, newest_first=False)
    assert wanted.conditions() == {"user": "jane", "attributes": {}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (True, 1, False),
        (False, 0, False),
        (True, True, True),
        (1, 1.0, True),
        (None, None, True),
        (None, False, False),
        ("1", 1, False),
        ([1, [True]], [1, [True]], True),
        ([1, [True]], [1, [1]], False),
        ([1], [1, 2], False),
        ((1, 2), [1, 2], True),
        ({"a": {"b": True}}, {"a": {"b": True}}, True),
        ({"a": {"b": True}}, {"a": {"b": 1}}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({}, [], False),
        ("", [], False),
    ],
)
def test_json_values_compare_as_in_json(one: Any, other: Any, *, same: bool) -> None:
    """`true` is not `1`, at any depth, and it does not matter which comes first."""
    assert same_json(one, other) is same
    assert same_json(other, one) is same


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def spelled(value: Any) -> Any:
    """Spell a JSON value so that plain equality is JSON's."""
    if isinstance(value, Mapping):
        return {key: spelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [spelled(inner) for inner in value]
    return (type(value).__name__, value)


@given(JSON_VALUES, JSON_VALUES)
def test_json_equality_is_that_of_the_texts(one: Any, other: Any) -> None:
    """Two values are the same exactly if their types and contents are, all the way down."""
    assert same_json(one, other) is (spelled(one) == spelled(other))
    assert same_json(one, copy.deepcopy(one))


def test_every_public_name_is_there() -> None:
    """`__all__` names what the module has, in order."""
    assert all(hasattr(models, name) for name in models.__all__)
    assert models.__all__ == sorted(models.__all__, key=lambda name: (not name.isupper(), name))
