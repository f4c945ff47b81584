"""What Deadline is asked when jobs are looked for, and where a listing goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callsheet import InvalidCursor, Job, JobState
from callsheet.abc import JobFilter, Position
from callsheet.providers.deadline._search import Place, counted, expression, position_after, pushed

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def when(operator: str, moment: datetime) -> dict[str, Any]:
    """Return a filter by creation."""
    text = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"dateTimeFilter": {"name": "CREATED_AT", "operator": operator, "dateTime": text}}


def words(name: str, *values: str, operator: str = "ANY_EQUALS") -> dict[str, Any]:
    """Return a filter by words."""
    return {"stringListFilter": {"name": name, "operator": operator, "values": list(values)}}


def test_no_condition_is_no_filter() -> None:
    """Without a condition Deadline is asked for everything."""
    assert expression(pushed(JobFilter())) is None
    assert counted(JobFilter()) == [[]]


def test_each_condition() -> None:
    """Each condition is asked for in Deadline's words."""
    later = MOMENT + timedelta(microseconds=1)
    cases: list[tuple[JobFilter, list[dict[str, Any]]]] = [
        (JobFilter(created_after=MOMENT), [when("GREATER_THAN_EQUAL_TO", MOMENT)]),
        (JobFilter(created_before=later), [when("LESS_THAN", later)]),
        (
            JobFilter(user="jane"),
            [{"stringFilter": {"name": "CREATED_BY", "operator": "EQUAL", "value": "jane"}}],
        ),
        (
            JobFilter(attributes={"Shot": "sh010"}),
            [{"parameterFilter": {"name": "Shot", "operator": "EQUAL", "value": "sh010"}}],
        ),
        (JobFilter(states=frozenset({JobState.DONE})), [words("TASK_RUN_STATUS", "SUCCEEDED")]),
        (
            JobFilter(states=frozenset({JobState.FAILED})),
            [
                {
                    "groupFilter": {
                        "filters": [
                            words("TASK_RUN_STATUS", "FAILED", "NOT_COMPATIBLE"),
                            words("LIFECYCLE_STATUS", "CREATE_FAILED", "UPLOAD_FAILED"),
                        ],
                        "operator": "OR",
                    }
                }
            ],
        ),
    ]
    for wanted, filters in cases:
        assert pushed(wanted) == filters
        assert expression(filters) == {"filters": filters, "operator": "AND"}


def test_many_conditions_fit_into_three() -> None:
    """Deadline takes three filters side by side, and three in a group: the rest is put into groups."""
    wanted = JobFilter(
        states=frozenset({JobState.FAILED}),
        user="jane",
        attributes={"A": "1", "B": "2", "C": "3", "D": "4"},
        created_after=MOMENT,
        created_before=MOMENT + timedelta(days=1),
    )
    whole = expression(pushed(wanted))
    assert whole is not None
    first, second, third = whole["filters"]
    assert [len(one["groupFilter"]["filters"]) for one in (first, second, third)] == [3, 3, 2]
    assert [one["groupFilter"]["operator"] for one in (first, second, third)] == ["AND", "AND", "OR"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_place_narrows_the_time(*, newest_first: bool) -> None:
    """Behind a place only what was made since is asked for, and no time is asked for twice."""
    place = Place.read(Position(MOMENT.isoformat(), ("job-1",)), newest_first=newest_first)
    wide = JobFilter(created_after=MOMENT - timedelta(1), created_before=MOMENT + timedelta(1))
    if newest_first:
        expected = [
            when("GREATER_THAN_EQUAL_TO", MOMENT - timedelta(1)),
            when("LESS_THAN_EQUAL_TO", MOMENT + timedelta(microseconds=999)),
        ]
    else:
        expected = [when("GREATER_THAN_EQUAL_TO", MOMENT), when("LESS_THAN", MOMENT + timedelta(1))]
    assert pushed(wide, place) == expected


def job(id_: str, seconds: float) -> Job:
    """Return a job that was made then."""
    return Job(
        id=id_,
        tracker="deadline://f/q",
        name="x",
        state=JobState.QUEUED,
        vendor_state="READY",
        ended=False,
        created_at=MOMENT + timedelta(seconds=seconds),
    )


def test_a_place_knows_what_comes_before_it() -> None:
    """Before a place is what was made earlier in the order, and those of its instant that it names."""
    position = Position(MOMENT.isoformat(), ("a", "b"))
    jobs = [job("a", 0), job("b", 0), job("c", 0), job("d", 1), job("e", -1)]
    up = Place.read(position, newest_first=False)
    assert [one.id for one in jobs if up.has_passed(one)] == ["a", "b", "e"]
    down = Place.read(position, newest_first=True)
    assert [one.id for one in jobs if down.has_passed(one)] == ["a", "b", "d"]


def test_positions_gather_the_ids_of_one_instant() -> None:
    """A position names all jobs of its instant that were seen, on this page and before."""
    first = position_after([job("a", 0), job("b", 1), job("c", 1)], None)
    assert first == Position((MOMENT + timedelta(seconds=1)).isoformat(), ("b", "c"))
    second = position_after([job("d", 1), job("e", 1)], first)
    assert second.ids == ("b", "c", "d", "e")
    assert position_after([job("f", 2)], second).ids == ("f",)


@pytest.mark.parametrize(
    "position",
    [
        Position("yesterday", ("a",)),
        Position("2026-01-02T03:04:05", ("a",)),
        Position("9999-12-31T23:59:59.999999+00:00", ("a",)),
        Position("0001-01-01T00:00:00+23:00", ("a",)),
        Position(MOMENT.isoformat(), ()),
        Position(MOMENT.isoformat(), tuple(map(str, range(10_001)))),
    ],
)
def test_positions_that_lead_nowhere(position: Position) -> None:
    """A position without a moment or jobs, or too far inside an instant, is refused."""
    with pytest.raises(InvalidCursor, match="cursor"):
        Place.read(position, newest_first=True)
