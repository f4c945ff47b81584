"""A job's `data`: what callsheet keeps there, what it leaves alone, and what an artist sees."""

from __future__ import annotations

from typing import Any

import pytest

from callsheet import JobState
from callsheet.providers.ftrack._record import changed, decoded, encoded, part, rendered, state_of


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"name": "Publish"}, "Publish"),
        ({"name": "Publish", "description": "12 files"}, "Publish: 12 files"),
        ({"name": "Publish", "progress": 0.4}, "Publish (40 %)"),
        ({"name": "Publish", "message": "frame 7"}, "Publish (frame 7)"),
        (
            {"name": "Publish", "description": "12 files", "progress": 0.4, "message": "frame 7"},
            "Publish: 12 files (40 %, frame 7)",
        ),
        ({"name": "Publish", "progress": 0.0}, "Publish (0 %)"),
        ({"name": "Publish", "progress": 0.29}, "Publish (29 %)"),
        ({"name": "Publish", "progress": 1.0, "message": ""}, "Publish (100 %)"),
    ],
)
def test_what_an_artist_sees(record: dict[str, Any], shown: str) -> None:
    """The description is `name: description (40 %, message)`, without what is not known."""
    assert rendered(record) == shown


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.UNKNOWN])
def test_every_state_comes_back(state: JobState) -> None:
    """A state that is written is read again, with ftrack's own word for it."""
    status, data = changed("running", {}, {"state": state}, seconds=5, name="x")
    assert (
        status
        == {
            JobState.QUEUED: "queued",
            JobState.PAUSED: "queued",
            JobState.RUNNING: "running",
            JobState.DONE: "done",
            JobState.FAILED: "failed",
            JobState.CANCELLED: "failed",
        }[state]
    )
    assert state_of(status, part(data)) is state


@pytest.mark.parametrize(
    ("marked", "others", "seen"),
    [
        (JobState.CANCELLED, "done", JobState.DONE),
        (JobState.CANCELLED, "running", JobState.RUNNING),
        (JobState.PAUSED, "running", JobState.RUNNING),
        (JobState.PAUSED, "failed", JobState.FAILED),
        (JobState.CANCELLED, "archived", JobState.UNKNOWN),
    ],
)
def test_another_programs_word_wins_over_a_mark(marked: JobState, others: str, seen: JobState) -> None:
    """A mark counts only while the status stands that it was written with."""
    _, data = changed("running", {}, {"state": marked}, seconds=0, name="x")
    assert state_of(others, part(data)) is seen


def test_a_state_without_a_mark_takes_the_mark_away() -> None:
    """A job that failed after it was cancelled and started again has failed."""
    status, data = changed("running", {}, {"state": JobState.CANCELLED}, seconds=0, name="x")
    for state in (JobState.RUNNING, JobState.FAILED):
        status, data = changed(status, data, {"state": state}, seconds=0, name="x")
    assert (status, state_of(status, part(data))) == ("failed", JobState.FAILED)
    assert "mark" not in part(data)


@pytest.mark.parametrize(
    "mark", [7, "cancelled", [], {"status": "failed"}, {"status": "failed", "state": ["x"]}]
)
def test_a_mark_that_makes_no_sense(mark: Any) -> None:
    """What another program wrote over a mark is no mark."""
    assert state_of("failed", {"mark": mark}) is JobState.FAILED


def test_changes_leave_the_rest_alone() -> None:
    """Other programs' keys, and those fields of ours that did not change, stay; `data` itself, too."""
    before = {
        "description": "Bake",
        "ayon": {"action": "bake", "state": [1, 2]},
        "callsheet": {"name": "Bake", "attributes": {"shot": "sh010"}, "request": "r", "new field": 1},
    }
    kept = decoded(encoded(before))
    status, after = changed(
        "running", before, {"progress": 0.5, "message": "half"}, seconds=7.5, name="unused"
    )
    assert (status, after) == (
        "running",
        {
            "description": "Bake (50 %, half)",
            "ayon": {"action": "bake", "state": [1, 2]},
            "callsheet": {
                "name": "Bake",
                "attributes": {"shot": "sh010"},
                "request": "r",
                "new field": 1,
                "progress": 0.5,
                "message": "half",
                "updated": 7.5,
            },
        },
    )
    assert before == kept


def test_a_job_of_another_program_gets_a_part_of_ours() -> None:
    """The first change to a job that callsheet did not make keeps its name."""
    status, after = changed("queued", {"description": "Bake"}, {"message": "go"}, seconds=1, name="Bake")
    assert (status, after) == (
        "queued",
        {"description": "Bake (go)", "callsheet": {"name": "Bake", "message": "go", "updated": 1}},
    )


def test_times_follow_the_states() -> None:
    """A job has started when it first ran, and has finished for as long as it has ended."""
    status, data = "queued", dict[str, Any]()
    seen = []
    for seconds, state in enumerate(
        [
            JobState.RUNNING,
            JobState.PAUSED,
            JobState.RUNNING,
            JobState.DONE,
            JobState.FAILED,
            JobState.RUNNING,
        ]
    ):
        status, data = changed(status, data, {"state": state}, seconds=seconds, name="x")
        seen.append((part(data)["started"], part(data).get("finished")))
    assert seen == [(0, None), (0, None), (0, None), (0, 3), (0, 3), (0, None)]


def test_an_end_gives_the_lease_back_and_keeps_its_token() -> None:
    """Who ended the job may still say so; nobody holds it any more."""
    data = {"callsheet": {"beat": {"token": "t", "at": 1.0, "for": 75.0}}}
    _, running = changed("running", data, {"state": JobState.RUNNING}, seconds=0, name="x")
    _, done = changed("running", data, {"state": JobState.DONE}, seconds=0, name="x")
    assert (part(running)["beat"], part(done)["beat"]) == (
        {"token": "t", "at": 1.0, "for": 75.0},
        {"token": "t"},
    )


@pytest.mark.parametrize("text", [None, ""])
def test_no_data(text: str | None) -> None:
    """A job without `data` has none."""
    assert decoded(text) == {}


@pytest.mark.parametrize("text", ["plain words", "[1, 2]", "7", "{", '"text"', "null", "[" * 100_000])
def test_data_that_is_no_object(text: str) -> None:
    """What no JSON object is, is kept as it was beside what is written next."""
    _, data = changed("queued", decoded(text), {"message": "go"}, seconds=0, name="x")
    assert part(data)["was"] == text
    assert decoded(encoded(data)) == data


@pytest.mark.parametrize("spoilt", [None, 7, "text", [1]])
def test_a_part_that_was_spoilt(spoilt: Any) -> None:
    """A part of ours that another program replaced is none."""
    assert part({"callsheet": spoilt}) == {}
