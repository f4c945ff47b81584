"""The error tree: its shape, its facts, and that it survives pickling whole."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from callsheet import _errors as errors
from callsheet._errors import CallsheetError, Outcome
from callsheet._models import Component, Job, JobState

JOB = Job(id="7", tracker="t", name="render", state=JobState.RUNNING, vendor_state="running", ended=False)
DONE = Job(id="8", tracker="t", name="render", state=JobState.DONE, vendor_state="done", ended=True)
COMPONENT = Component(id="7", name="a.exr")

FACTS: dict[str, Any] = {"outcome": Outcome.UNKNOWN, "idempotency_key": "k", "provider": "local"}
ANSWER: dict[str, Any] = FACTS | {"request_id": "r-1", "status": 404, "code": "gone"}

EXAMPLES: list[CallsheetError] = [
    errors.CallsheetError("went wrong", request_id="r-1", **FACTS),
    errors.ConfigError("user is missing"),
    errors.InvalidRequest("name must not be empty"),
    errors.Unsupported("attach", hint="provider.import_shape(job, file, tag=)", provider="vidispine"),
    errors.InvalidCursor("cursor: it is damaged"),
    errors.TransportError("reset", **FACTS),
    errors.Timeout("no answer", **FACTS),
    errors.ResponseError("no", **ANSWER),
    errors.Denied("no", **ANSWER),
    errors.NotFound("no", **ANSWER),
    errors.Conflict("no", **ANSWER),
    errors.QuotaExceeded("no", **ANSWER),
    errors.RateLimited("slow down", retry_after=2.5, **ANSWER),
    errors.Unavailable("no", **ANSWER),
    errors.InvalidResponse("no", path="$.data[3].status", **ANSWER),
    errors.WaitTimeout("still running", jobs=[DONE, JOB], job=JOB, provider="local"),
    errors.JobCancelled("cancelled"),
    errors.LeaseLost("lost"),
    errors.IntegrityError("short"),
    errors.AttachError(
        "2 of 3", attached=[COMPONENT], failed={"b.exr": FileNotFoundError("b.exr")}, provider="local"
    ),
    errors.BulkError("1 of 2", done=[JOB], failed={1: errors.NotFound("no")}, provider="local"),
]


def name_of(error: CallsheetError) -> str:
    """Return what a parametrised test shows."""
    return type(error).__name__


def drawn() -> Iterator[tuple[str, str]]:
    """Yield each class and its base, as the module's docstring draws them."""
    bases = ["CallsheetError"]
    for line in (errors.__doc__ or "").splitlines():
        mark, *words = line.split() or [""]
        if mark not in {"+", "-"}:
            continue
        bases[1 if mark == "+" else 2 :] = [words[0]]
        yield words[0], bases[-2]


def test_the_tree_is_as_drawn() -> None:
    """Each class has the base that the drawing gives it, and none is left out of the drawing."""
    real = {
        name: getattr(errors, name).__bases__[0].__name__
        for name in errors.__all__
        if name not in {"CallsheetError", "Outcome"}
    }
    assert dict(drawn()) == real
    assert {type(example).__name__ for example in EXAMPLES} == {*real, "CallsheetError"}


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.InvalidRequest, ValueError),
        (errors.Timeout, TimeoutError),
        (errors.NotFound, LookupError),
        (errors.WaitTimeout, TimeoutError),
    ],
)
def test_standard_bases(error: type[Exception], standard: type[Exception]) -> None:
    """Code that knows only Python's own errors catches ours."""
    assert issubclass(error, standard)


@pytest.mark.parametrize("error", EXAMPLES, ids=name_of)
@pytest.mark.parametrize("twin_of", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_errors_pickle_whole(error: CallsheetError, twin_of: Any) -> None:
    """An error that crossed a process has its class, message and every fact."""
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.args == error.args
    assert comparable(twin) == comparable(error)


def comparable(error: CallsheetError) -> dict[str, Any]:
    """Return the facts, with inner errors by their repr, as exceptions compare by identity."""
    return {
        name: {key: repr(inner) for key, inner in value.items()} if isinstance(value, dict) else value
        for name, value in vars(error).items()
    }


def test_notes_survive_pickling() -> None:
    """A note that was added to an error goes along."""
    error = errors.NotFound("no such job")
    error.add_note("while attaching")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while attaching"]


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (
            errors.NotFound("no such job"),
            {"status": None, "code": None, "message": "no such job", "outcome": Outcome.NOT_DONE}
            | {"idempotency_key": None, "request_id": None, "provider": None},
        ),
        (
            errors.RateLimited("slow down", retry_after=2.5, status=429),
            {"status": 429, "code": None, "message": "slow down", "outcome": Outcome.NOT_DONE}
            | {"idempotency_key": None, "request_id": None, "provider": None, "retry_after": 2.5},
        ),
        (
            errors.InvalidResponse("no JSON"),
            {"status": None, "code": None, "message": "no JSON", "outcome": Outcome.NOT_DONE}
            | {"idempotency_key": None, "request_id": None, "provider": None, "path": "$"},
        ),
        (
            errors.AttachError("none", attached=(), failed={}),
            {"attached": [], "failed": {}, "outcome": Outcome.DONE}
            | {"idempotency_key": None, "request_id": None, "provider": None},
        ),
        (
            errors.BulkError("none", done=(), failed={}),
            {"done": [], "failed": {}, "outcome": Outcome.DONE}
            | {"idempotency_key": None, "request_id": None, "provider": None},
        ),
        (
            errors.WaitTimeout("late", jobs=(JOB,), job=JOB),
            {"jobs": [JOB], "job": JOB, "outcome": Outcome.NOT_DONE}
            | {"idempotency_key": None, "request_id": None, "provider": None},
        ),
    ],
    ids=lambda value: name_of(value) if isinstance(value, CallsheetError) else "",
)
def test_facts_that_were_not_given(error: CallsheetError, facts: dict[str, Any]) -> None:
    """Facts have sound defaults: nothing was done, unless some of many was."""
    assert vars(error) == facts


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            errors.Unsupported("attach", hint="create(files=)", provider="deadline"),
            "deadline does not support attach; instead: create(files=)",
        ),
        (errors.Unsupported("count"), "this tracker does not support count"),
    ],
)
def test_unsupported_says_what_to_do(error: errors.Unsupported, text: str) -> None:
    """The message names the tracker, the call and the way out."""
    assert str(error) == text
