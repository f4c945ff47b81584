"""Searches in the Deadline Cloud sandbox: filters, order, the window, and an index that lags."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support import scale
from support.deadlinecalls import FARM, QUEUE, Farm, template

OTHER_QUEUE = f"queue-{2:032x}"
OLDEST = [{"fieldSort": {"name": "CREATED_AT", "sortOrder": "ASCENDING"}}]


def search(farm: Farm, *filters: dict[str, Any], either: bool = False, **words: Any) -> list[str]:
    """Return the names of the jobs found, in their order."""
    if filters:
        words["filterExpressions"] = {"filters": list(filters), "operator": "OR" if either else "AND"}
    found = farm.call("SearchJobs", **{"itemOffset": 0, "sortExpressions": OLDEST, **words})
    return [job["name"] for job in found["jobs"]]


def text(name: str, operator: str, value: str) -> dict[str, Any]:
    """Return a filter by a text."""
    return {"stringFilter": {"name": name, "operator": operator, "value": value}}


def moment(operator: str, value: str, name: str = "CREATED_AT") -> dict[str, Any]:
    """Return a filter by a time."""
    return {"dateTimeFilter": {"name": name, "operator": operator, "dateTime": value}}


@pytest.fixture
def three_jobs(callsheet_sandbox: Sandbox, still_farm: Farm) -> list[dict[str, Any]]:
    """Jobs `Ash`, `Birch` and `Ash tree`, a second apart, as SearchJobs tells them."""
    callsheet_sandbox.clock.freeze()
    definitions = [{"name": "Frames", "type": "INT"}]
    for name, priority, frames in (("Ash", 10, "9"), ("Birch", 90, "10"), ("Ash tree", 50, "100")):
        words = template(name=name, parameterDefinitions=definitions)
        still_farm.job(template=words, priority=priority, parameters={"Frames": {"int": frames}})
        callsheet_sandbox.clock.advance(1)
    jobs: list[dict[str, Any]] = still_farm.call("SearchJobs", itemOffset=0)["jobs"]
    return jobs


def test_a_summary_has_what_the_service_says(still_farm: Farm, three_jobs: list[dict[str, Any]]) -> None:
    """A job found is told as GetJob does, without what searches leave out, and with its queue."""
    for job in three_jobs:
        whole = still_farm.call("GetJob", jobId=job["jobId"])
        expected = {**whole, "jobParameters": whole.pop("parameters"), "queueId": QUEUE}
        assert job == {name: value for name, value in expected.items() if name != "parameters"}


def test_filters_by_text_and_number(
    callsheet_sandbox: Sandbox, still_farm: Farm, three_jobs: list[Any]
) -> None:
    """Texts are equal or not, alone or of a list; parameters compare as numbers where they are."""
    callsheet_sandbox.act("deadline", "start", job=three_jobs[1]["jobId"])
    assert search(still_farm, text("NAME", "EQUAL", "Ash")) == ["Ash"]
    assert search(still_farm, text("NAME", "NOT_EQUAL", "Ash")) == ["Birch", "Ash tree"]
    assert search(still_farm, text("PRIORITY", "EQUAL", "90")) == ["Birch"]
    states = {"name": "TASK_RUN_STATUS", "operator": "ANY_EQUALS", "values": ["READY", "FAILED"]}
    assert search(still_farm, {"stringListFilter": states}) == ["Ash", "Ash tree"]
    assert search(still_farm, {"stringListFilter": {**states, "operator": "ALL_NOT_EQUALS"}}) == ["Birch"]
    frames = {"name": "Frames", "operator": "GREATER_THAN", "value": "9"}
    assert search(still_farm, {"parameterFilter": frames}) == ["Birch", "Ash tree"]
    assert search(still_farm, {"parameterFilter": {**frames, "name": "Shot"}}) == []
    assert search(still_farm, {"searchTermFilter": {"searchTerm": "TREE ash"}}) == ["Ash tree"]
    exact = {"searchTerm": "ash t", "matchType": "CONTAINS"}
    assert search(still_farm, {"searchTermFilter": exact}) == ["Ash tree"]


def test_filters_by_time(callsheet_sandbox: Sandbox, still_farm: Farm, three_jobs: list[Any]) -> None:
    """Every comparison holds to the millisecond, whatever precision and zone the question has."""
    middle = three_jobs[1]["createdAt"]
    finer = middle.replace("Z", "001Z")
    elsewhere = datetime.fromisoformat(middle).astimezone(timezone(timedelta(hours=1))).isoformat()
    for value in (middle, elsewhere):
        assert search(still_farm, moment("GREATER_THAN_EQUAL_TO", value)) == ["Birch", "Ash tree"]
    assert search(still_farm, moment("GREATER_THAN_EQUAL_TO", finer)) == ["Ash tree"]
    assert search(still_farm, moment("GREATER_THAN", middle)) == ["Ash tree"]
    assert search(still_farm, moment("EQUAL", middle)) == ["Birch"]
    assert search(still_farm, moment("EQUAL", finer)) == []
    assert search(still_farm, moment("LESS_THAN_EQUAL_TO", finer)) == ["Ash", "Birch"]
    assert search(still_farm, moment("LESS_THAN", middle)) == ["Ash"]
    callsheet_sandbox.act("deadline", "finish", job=three_jobs[2]["jobId"])
    assert search(still_farm, moment("GREATER_THAN", middle, "ENDED_AT")) == ["Ash tree"]


def test_times_are_texts_or_numbers(still_farm: Farm, three_jobs: list[Any]) -> None:
    """A question may have seconds since 1970; what is no time at all is refused."""
    found = []
    for value in ("0", "1e10", '"2026-01-01T00:00:00"', '"soon"', "1e30", "NaN"):
        each = (
            f'{{"dateTimeFilter": {{"name": "CREATED_AT", "operator": "GREATER_THAN", "dateTime": {value}}}}}'
        )
        words = f'{{"operator": "AND", "filters": [{each}]}}'
        body = f'{{"queueIds": ["{QUEUE}"], "itemOffset": 0, "filterExpressions": {words}}}'
        answer = still_farm.ask("POST", f"/2023-10-12/farms/{FARM}/search/jobs", body.encode())
        found.append(answer.json().get("totalResults", answer.headers.get("x-amzn-errortype")))
    assert found == [3, 0, *["ValidationException"] * 4]


def test_filters_join(still_farm: Farm, three_jobs: list[Any]) -> None:
    """All or any of the filters hold, and a group may be one of them, once."""
    ash, birch = text("NAME", "EQUAL", "Ash"), text("NAME", "EQUAL", "Birch")
    late = moment("GREATER_THAN", three_jobs[0]["createdAt"])
    assert search(still_farm, ash, birch) == []
    assert search(still_farm, ash, birch, either=True) == ["Ash", "Birch"]
    assert search(still_farm, late, ash, either=True) == ["Ash", "Birch", "Ash tree"]
    group = {"groupFilter": {"filters": [ash, birch], "operator": "OR"}}
    assert search(still_farm, late, group) == ["Birch"]
    deeper = {"groupFilter": {"filters": [group], "operator": "AND"}}
    code, _, _ = still_farm.refusal(
        "SearchJobs", itemOffset=0, filterExpressions={"filters": [deeper], "operator": "AND"}
    )
    assert code == "ValidationException"


def test_order_is_as_asked_for(still_farm: Farm, three_jobs: list[Any]) -> None:
    """Jobs are sorted by one value after another, by parameters too; else the oldest come first."""
    ash, birch, tree = "Ash", "Birch", "Ash tree"
    urgent = {"fieldSort": {"name": "PRIORITY", "sortOrder": "DESCENDING"}}
    by_name = {"fieldSort": {"name": "NAME", "sortOrder": "ASCENDING"}}
    by_frames = {"parameterSort": {"name": "Frames", "sortOrder": "ASCENDING"}}
    by_start = {"fieldSort": {"name": "STARTED_AT", "sortOrder": "DESCENDING"}}
    janes = {"userJobsFirst": {"userIdentityId": "arn:aws:iam::123456789012:user/jane"}}
    whole = still_farm.call("SearchJobs", itemOffset=0)["jobs"]
    assert [job["name"] for job in whole] == [ash, birch, tree]
    assert search(still_farm, sortExpressions=[urgent]) == [birch, tree, ash]
    assert search(still_farm, sortExpressions=[by_frames]) == [ash, birch, tree]
    assert search(still_farm, sortExpressions=[by_start]) == [ash, birch, tree]
    still_farm.call("UpdateJob", jobId=three_jobs[0]["jobId"], priority=90)
    assert search(still_farm, sortExpressions=[urgent, by_name]) == [ash, birch, tree]
    Farm(still_farm.http, ("jane", "sandbox-secret")).job(nameOverride="Jane's")
    assert search(still_farm, sortExpressions=[janes, *OLDEST]) == ["Jane's", ash, birch, tree]


@pytest.mark.parametrize(
    "filter_words",
    [
        text("NONSENSE", "EQUAL", "x"),
        text("name", "EQUAL", "x"),
        text("NAME", "GREATER_THAN", "x"),
        text("CREATED_AT", "EQUAL", "x"),
        moment("NOT_EQUAL", "2026-01-01T00:00:00Z"),
        moment("EQUAL", "2026-01-01T00:00:00Z", "NAME"),
        {"stringListFilter": {"name": "NAME", "operator": "EQUAL", "values": ["x"]}},
    ],
)
def test_what_cannot_be_searched_is_refused(still_farm: Farm, filter_words: dict[str, Any]) -> None:
    """Fields and operators that a filter does not know are refused."""
    words = {"filters": [filter_words], "operator": "AND"}
    code, status, _ = still_farm.refusal("SearchJobs", itemOffset=0, filterExpressions=words)
    assert (code, status) == ("ValidationException", 400)


def test_pages_end_with_the_window(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Offsets lead through all pages; what is beyond ten thousand is neither counted nor shown."""
    number = scale(250, 10_150)
    callsheet_sandbox.act("deadline", "make", number=number)
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = still_farm.call("SearchJobs", itemOffset=offset, sortExpressions=OLDEST)
        assert page["totalResults"] == min(number, 10_000)
        seen += [job["jobId"] for job in page["jobs"]]
        offset = page.get("nextItemOffset")
    assert len(seen) == len(set(seen)) == min(number, 10_000)
    assert still_farm.call("SearchJobs", itemOffset=10_000) == {
        "jobs": [],
        "totalResults": min(number, 10_000),
    }


def test_searches_lag_behind(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """A search sees jobs as they were some time ago; GetJob sees them as they are."""
    callsheet_sandbox.clock.freeze()
    callsheet_sandbox.configure("deadline", search_lag_seconds=5)
    job_id = still_farm.job(nameOverride="old")
    assert search(still_farm) == []
    callsheet_sandbox.clock.advance(5)
    still_farm.call("UpdateJob", jobId=job_id, name="new")
    callsheet_sandbox.act("deadline", "finish", job=job_id)
    (seen,) = still_farm.call("SearchJobs", itemOffset=0)["jobs"]
    assert (seen["name"], seen["taskRunStatusCounts"]["READY"]) == ("old", 1)
    assert still_farm.status(job_id) == "SUCCEEDED"
    callsheet_sandbox.clock.advance(5)
    (seen,) = still_farm.call("SearchJobs", itemOffset=0)["jobs"]
    assert (seen["name"], seen["taskRunStatus"]) == ("new", "SUCCEEDED")


def test_queues_are_searched_together(still_farm: Farm) -> None:
    """Jobs of several queues come in one order; a queue that is not there is told."""
    for number, queue in enumerate((QUEUE, OTHER_QUEUE, QUEUE)):
        still_farm.job(queueId=queue, nameOverride=f"{number}")
    assert sorted(search(still_farm, queueIds=[OTHER_QUEUE, QUEUE])) == ["0", "1", "2"]
    assert search(still_farm, queueIds=[OTHER_QUEUE]) == ["1"]
    assert still_farm.refusal("SearchJobs", itemOffset=0, queueIds=[f"queue-{9:032x}"])[1] == 404


def test_steps_and_tasks_are_searched(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Steps and tasks are found by their own words, in one job or in all."""
    frames = {"taskParameterDefinitions": [{"name": "F", "type": "INT", "range": "1-2"}]}
    one, other = (
        still_farm.job(template=template({"name": name, "parameterSpace": frames})) for name in ("A", "B")
    )
    callsheet_sandbox.act("deadline", "fail", job=one, message="no")
    failed = {"filters": [text("RUN_STATUS", "EQUAL", "FAILED")], "operator": "AND"}
    (task,) = still_farm.call("SearchTasks", itemOffset=0, filterExpressions=failed)["tasks"]
    assert (task["jobId"], task["parameters"]) == (one, {"F": {"int": "1"}})
    assert still_farm.call("SearchTasks", itemOffset=0)["totalResults"] == 4
    assert still_farm.call("SearchTasks", itemOffset=0, jobId=other)["totalResults"] == 2
    ended = {"filters": [text("TASK_RUN_STATUS", "EQUAL", "FAILED")], "operator": "AND"}
    (step,) = still_farm.call("SearchSteps", itemOffset=0, filterExpressions=ended)["steps"]
    assert (step["name"], step["jobId"], step["queueId"]) == ("A", one, QUEUE)
    assert still_farm.refusal("SearchSteps", itemOffset=0, jobId=f"job-{0:032x}")[1] == 404
