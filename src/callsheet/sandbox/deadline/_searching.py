"""SearchJobs, SearchSteps and SearchTasks: filters, sorting, and a window of ten thousand."""

from __future__ import annotations

import bisect
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._documents import Document, Job, Queue
from callsheet.sandbox.deadline._errors import NotThere, Validation
from callsheet.sandbox.deadline._signatures import Caller
from callsheet.sandbox.deadline._steps import step_told

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["OPERATIONS"]

Words = dict[str, Any]
Test = Callable[[Document], bool]

WINDOW = 10_000
USUAL = 100

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "EQUAL": operator.eq,
    "NOT_EQUAL": operator.ne,
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_EQUAL_TO": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_EQUAL_TO": operator.le,
}
ORDERS = frozenset(COMPARISONS) - {"NOT_EQUAL"}
MOMENTS = frozenset({"createdAt", "startedAt", "endedAt", "updatedAt"})

FIELDS = {
    "jobs": {
        *("jobId", "queueId", "name", "lifecycleStatus", "taskRunStatus", "targetTaskRunStatus", "priority"),
        *(
            "createdBy",
            "updatedBy",
            "maxFailedTasksCount",
            "maxRetriesPerTask",
            "maxWorkerCount",
            "sourceJobId",
        ),
        *("taskFailureRetryCount", *MOMENTS),
    },
    "steps": {
        *("stepId", "jobId", "queueId", "name", "lifecycleStatus", "taskRunStatus", "targetTaskRunStatus"),
        *("createdBy", "updatedBy", *MOMENTS),
    },
    "tasks": {
        *("taskId", "stepId", "jobId", "queueId", "runStatus", "targetRunStatus", "failureRetryCount"),
        *("createdBy", "updatedBy", *MOMENTS),
    },
}


def search_jobs(part: Deadline, words: Words, caller: Caller) -> Words:
    """Find jobs as the index knows them, which may lag behind."""
    queues = queues_of(part, words)
    oldest = _moment_wanted(words, {"GREATER_THAN", "GREATER_THAN_EQUAL_TO", "EQUAL"})
    newest = _moment_wanted(words, {"LESS_THAN", "LESS_THAN_EQUAL_TO", "EQUAL"})
    jobs = [job for queue in queues for job in _between(queue, oldest, newest)]
    if len(queues) > 1:
        jobs.sort(key=lambda job: job.order)
    page = search("jobs", [job.indexed for job in jobs if job.indexed is not None], words)
    return {**page, "jobs": [_job_summary(part, document) for document in page["jobs"]]}


def _job_summary(part: Deadline, document: Document) -> Document:
    summary = part.model.pick("JobSearchSummary", document)
    if "parameters" in document:
        summary["jobParameters"] = document["parameters"]
    return summary


def _between(queue: Queue, oldest: str | None, newest: str | None) -> Sequence[Job]:
    """Return a queue's jobs from and up to moments, perhaps with more that the filters drop."""

    def key(job: Job) -> str:
        return str(job.document["createdAt"])[:-1]

    start = 0 if oldest is None else bisect.bisect_left(queue.jobs, oldest, key=key)
    stop = len(queue.jobs) if newest is None else bisect.bisect_right(queue.jobs, newest, key=key)
    return queue.jobs[start:stop]


def _moment_wanted(words: Words, operators: set[str]) -> str | None:
    """Return a moment that every job found was made at, after or before."""
    group = words.get("filterExpressions") or {"operator": "AND", "filters": []}
    for each in group["filters"] if group["operator"] == "AND" or len(group["filters"]) == 1 else []:
        wanted = each.get("dateTimeFilter") or {}
        if wanted.get("name") == "CREATED_AT" and wanted["operator"] in operators:
            return _moment(wanted["dateTime"])
    return None


def search_steps(part: Deadline, words: Words, caller: Caller) -> Words:
    """Find steps."""
    documents = [
        {**step_told(step), "jobId": job.id, "queueId": job.queue.id}
        for job in jobs_of(part, words)
        for step in job.steps.values()
    ]
    page = search("steps", documents, words)
    return {**page, "steps": [part.model.pick("StepSearchSummary", each) for each in page["steps"]]}


def search_tasks(part: Deadline, words: Words, caller: Caller) -> Words:
    """Find tasks."""
    documents = [
        {**task.document, "stepId": task.step.id, "jobId": job.id, "queueId": job.queue.id}
        for job in jobs_of(part, words)
        for task in job.tasks()
    ]
    page = search("tasks", documents, words)
    return {**page, "tasks": [part.model.pick("TaskSearchSummary", each) for each in page["tasks"]]}


def queues_of(part: Deadline, words: Words) -> list[Queue]:
    """Return the queues that a search is about."""
    return [part.store.queue({**words, "queueId": queue_id}) for queue_id in words["queueIds"]]


def jobs_of(part: Deadline, words: Words) -> list[Job]:
    """Return the jobs that a search is about: one, or all of its queues."""
    queues = queues_of(part, words)
    if "jobId" not in words:
        return [job for queue in queues for job in queue.jobs]
    job = part.store.jobs.get(words["jobId"])
    if job is None or job.queue not in queues:
        raise NotThere("job", words["jobId"])
    return [job]


def search(name: str, documents: list[Document], words: Words) -> Words:
    """Return a page of the documents that match, oldest first if nothing else is wanted."""
    if group := words.get("filterExpressions"):
        test = _group(group, FIELDS[name], nested=False)
        documents = [document for document in documents if test(document)]
    for wanted in reversed(words.get("sortExpressions") or []):
        documents = _sorted(documents, wanted, FIELDS[name])
    total = min(len(documents), WINDOW)
    start = words["itemOffset"]
    stop = min(start + words.get("pageSize", USUAL), total)
    more = {"nextItemOffset": stop} if start < stop < total else {}
    return {name: documents[start:stop], "totalResults": total, **more}


def _sorted(documents: list[Document], wanted: Words, fields: set[str]) -> list[Document]:
    if user := (wanted.get("userJobsFirst") or {}).get("userIdentityId"):
        return sorted(documents, key=lambda each: each.get("createdBy") != user)
    if words := wanted.get("fieldSort"):
        field = _field(words["name"], fields)
        return _in_order(documents, words, operator.itemgetter(field), lambda each: field in each)
    words = wanted["parameterSort"]
    name = words["name"]
    return _in_order(
        documents,
        words,
        lambda each: _number(_parameter(each, name) or ""),
        lambda each: _parameter(each, name) is not None,
    )


def _in_order(
    documents: list[Document], words: Words, value: Callable[[Document], Any], has: Test
) -> list[Document]:
    """Return documents by a value; those that lack it come last in either order."""
    descending = words["sortOrder"] == "DESCENDING"
    lacking = [each for each in documents if not has(each)]
    rest = [each for each in documents if has(each)] if lacking else documents
    return sorted(rest, key=value, reverse=descending) + lacking


def _group(group: Words, fields: set[str], *, nested: bool) -> Test:
    tests = []
    for words in group["filters"]:
        ((kind, wanted),) = ((name, value) for name, value in words.items() if value is not None)
        if kind == "groupFilter" and nested:
            raise Validation("Groups of filters can be nested only once.")
        tests.append(
            _group(wanted, fields, nested=True) if kind == "groupFilter" else KINDS[kind](wanted, fields)
        )
    if len(tests) == 1:
        return tests[0]
    if group["operator"] == "AND":
        return lambda document: all(test(document) for test in tests)
    return lambda document: any(test(document) for test in tests)


def _by_moment(words: Words, fields: set[str]) -> Test:
    field = _field(words["name"], MOMENTS & fields)
    compare = _operator(words, ORDERS)
    wanted = _moment(words["dateTime"])
    return lambda document: field in document and compare(document[field][:-1], wanted)


def _by_string(words: Words, fields: set[str]) -> Test:
    field, wanted = _field(words["name"], fields - MOMENTS), words["value"]
    compare = _operator(words, {"EQUAL", "NOT_EQUAL"})
    return lambda document: compare(str(document.get(field, "")), wanted)


def _by_strings(words: Words, fields: set[str]) -> Test:
    field, wanted = _field(words["name"], fields - MOMENTS), frozenset(words["values"])
    if words["operator"] not in {"ANY_EQUALS", "ALL_NOT_EQUALS"}:
        raise Validation(f"The operator {words['operator']} is not supported for a list of strings.")
    anyone = words["operator"] == "ANY_EQUALS"
    return lambda document: (str(document.get(field, "")) in wanted) is anyone


def _by_parameter(words: Words, fields: set[str]) -> Test:
    name, wanted = words["name"], words["value"]
    compare = _operator(words, set(COMPARISONS))

    def test(document: Document) -> bool:
        value = _parameter(document, name)
        return value is not None and bool(compare(_number(value), _number(wanted)))

    return test


def _by_term(words: Words, fields: set[str]) -> Test:
    term = words["searchTerm"].casefold()
    parts = [term] if words.get("matchType") == "CONTAINS" else term.split()

    def test(document: Document) -> bool:
        text = str(document.get("name", "")).casefold()
        return all(part in text for part in parts)

    return test


KINDS: dict[str, Callable[[Words, set[str]], Test]] = {
    "dateTimeFilter": _by_moment,
    "stringFilter": _by_string,
    "stringListFilter": _by_strings,
    "parameterFilter": _by_parameter,
    "searchTermFilter": _by_term,
}


def _field(name: str, fields: set[str] | frozenset[str]) -> str:
    """Return the member that a name in capitals means."""
    first, *rest = name.split("_")
    field = first.lower() + "".join(word.capitalize() for word in rest)
    if not re.fullmatch(r"[A-Z_]+", name) or field not in fields:
        raise Validation(f"The field {name} cannot be searched.", fields=[("name", f"{name} is not known")])
    return field


def _operator(words: Words, allowed: set[str] | frozenset[str]) -> Callable[[Any, Any], Any]:
    if words["operator"] not in allowed:
        raise Validation(f"The operator {words['operator']} is not supported for {words['name']}.")
    return COMPARISONS[words["operator"]]


def _moment(words: Any) -> str:
    """Return a time so that it compares with those of documents, which have milliseconds and no zone."""
    moment = datetime.fromisoformat(words) if isinstance(words, str) else datetime.fromtimestamp(words, UTC)
    moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")


def _parameter(document: Mapping[str, Any], name: str) -> str | None:
    tagged = (document.get("parameters") or {}).get(name)
    return None if tagged is None else str(*tagged.values())


def _number(text: str) -> tuple[int, float | str]:
    """Return a value that numbers compare by as such, and texts as texts."""
    try:
        return 0, float(text)
    except ValueError:
        return 1, text


OPERATIONS = {"SearchJobs": search_jobs, "SearchSteps": search_steps, "SearchTasks": search_tasks}
