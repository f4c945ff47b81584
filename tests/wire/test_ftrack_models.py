"""ftrack's rows as callsheet's models and as its own typed ones."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import Component, InvalidResponse, Job, JobState, Location
from callsheet._http._messages import Answer
from callsheet._http._urls import Url
from callsheet.providers.ftrack import (
    FtrackComponent,
    FtrackComponentLocation,
    FtrackJob,
    FtrackLocation,
    FtrackUser,
)
from callsheet.providers.ftrack._answers import Results, spelt_out
from callsheet.providers.ftrack._wire import (
    SERVER_LOCATION,
    component_of,
    job_of,
    location_of,
    member_of,
    split_name,
    write_time,
)
from callsheet.providers.ftrack.details import read_job, read_time

SAMPLES = Path(__file__).parent / "samples" / "ftrack"
TRACKER = "ftrack+https://studio.example"


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of the sample's first result."""
    found: list[dict[str, Any]] = spelt_out(json.loads((SAMPLES / f"{name}.json").read_text()))[0]["data"]
    return found


def job(row: dict[str, Any], zone: Any = UTC) -> Job:
    return job_of(row, tracker=TRACKER, zone=zone, reader=partial(read_job, zone=zone))


def day(hour: int, minute: int = 0, second: float = 0) -> datetime:
    return datetime(2024, 5, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=minute, seconds=second)


# -- jobs ----------------------------------------------------------------------------------------------------


def test_jobs() -> None:
    """Jobs of callsheet, of the server and of other programs, each by what is known of it."""
    ours, encode, bake = (job(row) for row in rows("jobs"))
    assert ours == Job(
        tracker=TRACKER,
        id="11111111-1111-4111-8111-111111111111",
        name="Publish sh010",
        state=JobState.CANCELLED,
        vendor_state="failed",
        ended=True,
        type="api_job",
        priority=70,
        progress=0.4,
        message="frame 400",
        description="12 files",
        problem="no licence",
        user="jane",
        source_id="22222222-2222-4222-8222-222222222222",
        created_at=day(10),
        started_at=day(10, second=2.5),
        updated_at=day(10, 1),
        finished_at=day(10, 1),
        attributes={"shot": "sh010", "take": [1, None]},
    )
    assert encode == Job(
        tracker=TRACKER,
        id="22222222-2222-4222-8222-222222222222",
        name="encode",
        state=JobState.RUNNING,
        vendor_state="running",
        ended=False,
        type="encode",
        user="jane",
        created_at=day(9),
    )
    assert bake == Job(
        tracker=TRACKER,
        id="33333333-3333-4333-8333-333333333333",
        name="Bake",
        state=JobState.UNKNOWN,
        vendor_state="archived",
        ended=False,
        type="api_job",
        created_at=day(8),
    )


@pytest.mark.parametrize("field", ["name", "description", "message", "problem", "source"])
@pytest.mark.parametrize("spoilt", [7, None, ["x"], {"x": 1}])
def test_a_text_that_is_none(field: str, spoilt: Any) -> None:
    """What another program wrote over a text of ours counts as unknown."""
    row = {
        "id": "j",
        "type": "api_job",
        "status": "queued",
        "data": json.dumps({"callsheet": {field: spoilt}}),
    }
    empty = {"id": "j", "type": "api_job", "status": "queued", "data": "{}"}
    assert job(row) == job(empty)


@pytest.mark.parametrize("field", ["progress", "priority", "started", "updated"])
@pytest.mark.parametrize("spoilt", ["0.5", None, True, -1, 1e11, [1], float("nan"), float("inf")])
def test_a_number_that_is_none(field: str, spoilt: Any) -> None:
    """A number that makes no sense counts as unknown."""
    row = {
        "id": "j",
        "type": "api_job",
        "status": "queued",
        "data": json.dumps({"callsheet": {field: spoilt}}),
    }
    row["created_at"] = {"value": "2024-05-01T10:00:00"}  # type: ignore[assignment]  # any
    assert job(row) == job(row | {"data": "{}"})


def test_a_job_that_ended_without_a_time_of_the_servers() -> None:
    """Where ftrack does not say when a job finished, callsheet's note does; while it runs, neither counts."""
    row = {"id": "j", "type": "api_job", "created_at": {"value": "2024-05-01T10:00:00"}}
    row |= {"data": json.dumps({"callsheet": {"finished": 90}})}
    assert job(row | {"status": "done"}).finished_at == day(10, 1, 30)
    assert job(row | {"status": "running"}).finished_at is None
    late = row | {"finished_at": {"value": "2024-05-01T11:00:00"}}
    assert job(late | {"status": "done"}).finished_at == day(11)
    assert job(late | {"status": "running"}).finished_at is None


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ({"__type__": "datetime", "value": "2024-05-01T10:00:00"}, day(8)),
        ({"__type__": "datetime", "value": "2024-05-01T10:00:00.5"}, day(8, second=0.5)),
        ({"__type__": "datetime", "value": "2024-05-01T10:00:00Z"}, day(10)),
        ({"__type__": "datetime", "value": "2024-05-01T10:00:00-02:00"}, day(12)),
        ({"__type__": "date", "value": "2024-05-01"}, day(-2)),
        ("2024-05-01T10:00:00", day(8)),
        (None, None),
    ],
)
def test_times(value: Any, moment: datetime | None) -> None:
    """A time that names no zone is in the server's; each comes out in UTC."""
    assert read_time(value, ZoneInfo("Europe/Paris")) == moment


@pytest.mark.parametrize(
    ("moment", "down", "up"),
    [
        (day(10), "2024-05-01T12:00:00", "2024-05-01T12:00:00"),
        (day(10, second=0.25), "2024-05-01T12:00:00", "2024-05-01T12:00:01"),
        (day(10).astimezone(timezone(timedelta(hours=-7))), "2024-05-01T12:00:00", "2024-05-01T12:00:00"),
    ],
)
def test_times_in_queries(moment: datetime, down: str, up: str) -> None:
    """A query has whole seconds of the server's zone, rounded so that nothing is missed."""
    paris = ZoneInfo("Europe/Paris")
    assert (write_time(moment, paris), write_time(moment, paris, up=True)) == (down, up)


def test_the_ends_of_time() -> None:
    """Moments that the server's zone, or the next second, pushes off the calendar are its ends."""
    first, last = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))
    assert write_time(first, ZoneInfo("America/New_York")) == "0001-01-01T00:00:00"
    assert write_time(last, ZoneInfo("Europe/Paris")) == "9999-12-31T23:59:59"
    assert write_time(last, UTC, up=True) == "9999-12-31T23:59:59"


# -- components ----------------------------------------------------------------------------------------------


def test_components() -> None:
    """Components of callsheet's making know their checksum and time; all have their file's whole name."""
    ours, sequence, others = (component_of(row) for row in rows("components"))
    assert ours == Component(
        id="aaaaaaaa-0000-4000-8000-000000000001",
        name="beauty.exr",
        size=1000,
        checksum="md5:5d41402abc4b2a76b9719d911017c592",
        location_id=SERVER_LOCATION,
        created_at=day(10, second=0.25),
    )
    assert sequence == Component(id="aaaaaaaa-0000-4000-8000-000000000002", name="plate.%04d.dpx", size=3)
    assert others == Component(id="aaaaaaaa-0000-4000-8000-000000000003", name="main")


def test_where_a_component_is_besides_the_server() -> None:
    """A component that the server itself does not keep is at the first location that has it."""
    row = rows("components")[0]
    row["component_locations"].pop()
    assert component_of(row).location_id == "cb268ecc-8809-11e3-a7e2-20c9d081909b"


@pytest.mark.parametrize(
    "note",
    [
        *("", "text", "[]", "{", None, '{"checksum": 7, "created": 7}'),
        *('{"created": "soon"}', '{"created": "2024-05-01T10:00:00"}'),
    ],
)
def test_a_note_that_makes_no_sense(note: str | None) -> None:
    """A note that another program spoilt counts as none."""
    row = {"id": "c", "metadata": [{"key": "callsheet", "value": note}]}
    assert component_of(row) == Component(id="c", name="c")


@pytest.mark.parametrize(
    ("sequence", "member", "name"),
    [
        ({}, {"name": "7"}, "plate.0007.dpx"),
        ({}, {"name": "0007"}, "plate.0007.dpx"),
        ({"metadata": []}, {"name": "0007"}, "plate.%04d.0007.dpx"),
        ({"metadata": [], "name": "plate"}, {"name": "0007"}, "plate.0007.dpx"),
        (
            {"metadata": [{"key": "callsheet", "value": '{"pattern": "%s"}'}]},
            {"name": "7"},
            "plate.%04d.7.dpx",
        ),
        (
            {"metadata": [{"key": "callsheet", "value": '{"pattern": "%d%d"}'}]},
            {"name": "7"},
            "plate.%04d.7.dpx",
        ),
        ({}, {"name": "left"}, "left.dpx"),
        ({"__entity_type__": "ContainerComponent"}, {"name": "7"}, "7.dpx"),
    ],
)
def test_the_names_of_members(sequence: dict[str, Any], member: dict[str, Any], name: str) -> None:
    """A frame has its file's name again: by the pattern that was uploaded, else as ftrack's tools do it."""
    whole = rows("components")[1] | sequence
    assert member_of({"id": "m", "file_type": ".dpx", **member}, whole).name == name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("beauty.exr", ("beauty", ".exr")),
        ("a.tar.gz", ("a.tar", ".gz")),
        ("beauty", ("beauty", "")),
        (".bashrc", (".bashrc", "")),
        ("a.", ("a", ".")),
        (".", (".", "")),
        ("..x", (".", ".x")),
    ],
)
def test_names_are_kept_in_two_parts(name: str, parts: tuple[str, str]) -> None:
    """A name is split as ftrack wants it, and is the same when put together again."""
    assert split_name(name) == parts
    assert "".join(parts) == name


# -- locations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "name", "kind"),
    [
        ({"name": "ftrack.server"}, "ftrack.server", "server"),
        ({"name": "studio.disk", "label": "Disk"}, "studio.disk", "custom"),
        ({"name": None, "label": "Disk"}, "Disk", "custom"),
        ({}, "l", "custom"),
    ],
)
def test_locations(row: dict[str, Any], name: str, kind: str) -> None:
    """A location has a name whatever ftrack knows of it, and the kind that it is to ftrack."""
    assert location_of({"id": "l", **row}) == Location(id="l", name=name, kind=kind)


# -- details -------------------------------------------------------------------------------------------------


def test_the_details_of_a_job() -> None:
    """Every documented field of ftrack's, typed; its data decoded; what it did not send is none."""
    ours, encode, _ = (job(row) for row in rows("jobs"))
    jane = FtrackUser(id="44444444-4444-4444-8444-444444444444", username="jane", resource_type="user")
    assert ours.details.status == "failed"
    assert ours.details.data["ayon"] == {"id": 7}
    assert ours.details.data["callsheet"]["name"] == "Publish sh010"
    assert encode.details == FtrackJob(
        id="22222222-2222-4222-8222-222222222222",
        type="encode",
        status="running",
        data={"source_component_id": "c", "keep_original": True},
        created_at=day(9),
        user_id=jane.id,
        user=jane,
    )


@pytest.mark.parametrize("text", ["plain words", "[1]", None])
def test_details_of_data_that_is_no_object(text: str | None) -> None:
    """Data that is no JSON object is shown as the text that it is."""
    row = rows("jobs")[1] | {"data": text}
    assert job(row).details.data == text


def test_the_details_of_components_and_a_location() -> None:
    """Components and locations have their vendor models, too."""
    ours, sequence, others = (component_of(row).details for row in rows("components"))
    assert ours.component_locations == (
        FtrackComponentLocation(
            id="bbbbbbbb-0000-4000-8000-000000000001",
            component_id="aaaaaaaa-0000-4000-8000-000000000001",
            location_id="cb268ecc-8809-11e3-a7e2-20c9d081909b",
            resource_identifier="shots/sh010/beauty.exr",
        ),
        FtrackComponentLocation(
            id="bbbbbbbb-0000-4000-8000-000000000002",
            component_id="aaaaaaaa-0000-4000-8000-000000000001",
            location_id=SERVER_LOCATION,
            resource_identifier="aaaaaaaa-0000-4000-8000-000000000001",
        ),
    )
    assert ours.metadata["fps"] == "24"
    assert (sequence.entity_type, sequence.padding, sequence.system_type) == (
        "SequenceComponent",
        4,
        "sequence",
    )
    assert others == FtrackComponent(
        id="aaaaaaaa-0000-4000-8000-000000000003",
        entity_type="FileComponent",
        name="main",
        system_type="file",
    )
    location = location_of({"id": "l", "name": "studio.disk", "label": "Disk", "description": "the old one"})
    assert location.details == FtrackLocation(
        id="l", name="studio.disk", label="Disk", description="the old one"
    )


def test_records_travel() -> None:
    """A pickled job or component comes back equal, with its record and its details."""
    for record in (job(rows("jobs")[0], ZoneInfo("Europe/Paris")), component_of(rows("components")[0])):
        copy = pickle.loads(pickle.dumps(record))
        assert (copy, copy.raw, copy.details) == (record, record.raw, record.details)


# -- anything at all -----------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
READERS: dict[str, Callable[[dict[str, Any]], Any]] = {"jobs": job, "components": component_of}


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a document: what holds it, and its key or index there."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


@st.composite
def spoilt(draw: st.DrawFn, sample: str) -> bytes:
    """Make of a sample what a broken, or a much newer, server might send."""
    body = json.loads((SAMPLES / f"{sample}.json").read_text())
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(places(body))))
        what = draw(st.sampled_from(["drop", "put", "put in data"]))
        if what == "drop":
            del holder[key]
        elif what == "put":
            holder[key] = draw(ANYTHING)
        else:
            holder[key] = json.dumps({"callsheet": draw(ANYTHING), "description": draw(ANYTHING)})
        if not body:
            break
    return json.dumps(body).encode()


@pytest.mark.parametrize("sample", READERS)
@given(data=st.data())
def test_whatever_comes_is_read_or_refused(sample: str, data: st.DataObject) -> None:
    """From any answer come models whose fields are what they say, or an `InvalidResponse`: nothing else."""
    url = Url.parse("https://studio.example/api")
    body = data.draw(spoilt(sample))
    answer = Answer(method="POST", url=url, status=200, headers={}, body=body, provider="ftrack")
    with suppress(InvalidResponse):
        found = Results(answer, 1).read(0, READERS[sample])
        for one in found:
            assert isinstance(one.id, str)
            assert isinstance(one.name, str)
            assert isinstance(getattr(one, "vendor_state", ""), str)
            assert isinstance(getattr(one, "user", None), str | None)
            assert isinstance(one.details, FtrackJob | FtrackComponent)
