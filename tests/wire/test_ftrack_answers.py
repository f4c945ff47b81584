"""Answers of ftrack's API: errors at any status, results in their places, entities by all that is said."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from callsheet import (
    Conflict,
    Denied,
    InvalidResponse,
    Outcome,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._http._messages import Answer
from callsheet._http._urls import Url
from callsheet.providers.ftrack._answers import Results, error_of, spelt_out


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """Return an answer of the API with that body: bytes as they are, anything else as JSON."""
    return Answer(
        method="POST",
        url=Url.parse("https://studio.example/api"),
        status=status,
        headers=headers,
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        provider="ftrack",
        outcome=Outcome.UNKNOWN,
    )


def said(exception: str, content: str = "because", code: str | None = None) -> dict[str, Any]:
    """Return ftrack's error object."""
    return {"exception": exception, "content": content, "error_code": code}


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, said("InvalidCredentialsError"), Denied),
        (401, said("InvalidCredentialsError"), Denied),
        (200, said("FTAuthenticationError"), Denied),
        (200, said("ServerError", code="api_credentials_invalid"), Denied),
        (200, said("PermissionError"), Denied),
        (403, said("SomeError"), Denied),
        (200, said("DuplicateEntryError"), Conflict),
        (400, said("IntegrityError"), Conflict),
        (200, said("ValidationError"), ResponseError),
        (400, said("ValidationError"), ResponseError),
        (500, said("ValidationError"), ResponseError),
        (503, said("ServerError"), Unavailable),
        (429, said("TooManyRequests"), RateLimited),
        (507, said("StorageError"), QuotaExceeded),
        (422, {"detail": [{"loc": ["body", 0], "msg": "field required", "type": "missing"}]}, ResponseError),
    ],
)
def test_errors_at_any_status(status: int, body: Any, kind: type[ResponseError]) -> None:
    """An error object is an error with a 200, too; its class follows from ftrack's word for it."""
    error = error_of(answer(body, status))
    assert type(error) is kind
    assert (error.status, error.provider) == (status, "ftrack")
    if "exception" in body:
        assert (error.code, error.message) == (body["exception"], "because")
        # A batch is one transaction: nothing of it was kept.
        assert error.outcome is Outcome.NOT_DONE
    else:
        assert "field required" in error.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"[]"),
        (200, b'[{"exception": "x"}]'),
        (502, b"<html>Bad Gateway</html>"),
        (500, b""),
        (200, b'{"exception": "x"'),
        (200, {"data": []}),
        (200, {"exception": 7}),
        (200, {"detail": "x"}),
        (200, b"{" * 100_000),
    ],
)
def test_what_is_no_error_object(status: int, body: Any) -> None:
    """Anything else is left to its status and to whoever reads it."""
    assert error_of(answer(body, status)) is None


# -- results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"<html>", "$"),
        (b'[{"data": [', "$"),
        ({"data": []}, "$"),
        ([], "$"),
        ([{"data": []}, {"data": []}], "$"),
        ([7], "$[0]"),
        ([{}], "$[0].data"),
        ([{"data": None}], "$[0].data"),
        ([{"data": [7]}], "$[0].data"),
    ],
)
def test_results_that_cannot_be_read(body: Any, path: str) -> None:
    """An answer of another shape is told with its place, never taken for an empty one."""
    with pytest.raises(InvalidResponse) as caught:
        Results(answer(body), 1).rows(0)
    assert (caught.value.path, caught.value.provider, caught.value.status) == (path, "ftrack", 200)


def test_the_place_of_an_unreadable_entity() -> None:
    """The error names which entity it was."""
    results = Results(answer([{"data": []}, {"data": [{"id": "a"}, {"id": "b"}, {}]}]), 2)
    with pytest.raises(InvalidResponse, match="id") as caught:
        results.read(1, lambda row: row["id"])
    assert caught.value.path == "$[1].data[2]"


def test_a_moment_beyond_the_calendar() -> None:
    """What no calendar can hold cannot be read either."""

    def late(_: Any) -> datetime:
        return datetime.max + timedelta(days=1)

    with pytest.raises(InvalidResponse, match="out of range"):
        Results(answer([{"data": [{}]}]), 1).read(0, late)


@pytest.mark.parametrize("entity", [{"__entity_type__": []}, {"__entity_type__": "Job", "id": {}}])
def test_an_entity_without_a_key(entity: Any) -> None:
    """An entity that cannot be told apart from others makes an answer of no use."""
    with pytest.raises(InvalidResponse, match="an entity whose type or key is no text"):
        Results(answer([{"data": [entity]}]), 1)


@pytest.mark.parametrize(
    ("result", "offset"),
    [
        ({"metadata": {"next": {"offset": None}}}, None),
        ({"metadata": {"next": {"offset": 500}}}, 500),
    ],
)
def test_where_a_query_goes_on(result: dict[str, Any], offset: int | None) -> None:
    """The place of the next page is told, or that this was the last."""
    assert Results(answer([result]), 1).next_offset(0) == offset


@pytest.mark.parametrize(
    "result", [{}, {"metadata": None}, {"metadata": {"next": None}}, {"metadata": {"next": {"offset": "5"}}}]
)
def test_a_page_that_does_not_say_whether_there_are_more(result: dict[str, Any]) -> None:
    """Without that, a listing could end too early unseen."""
    with pytest.raises(InvalidResponse) as caught:
        Results(answer([result]), 1).next_offset(0)
    assert caught.value.path.startswith("$[0].metadata.next")


# -- entities ------------------------------------------------------------------------------------------------


def user(**said: Any) -> dict[str, Any]:
    return {"__entity_type__": "User", "id": "u", **said}


def test_a_later_mention_is_spelt_out() -> None:
    """A reference gets what was said before, in the same row, another row or another result."""
    rows = [{"__entity_type__": "Job", "id": str(n), "user": user()} for n in range(3)]
    rows[0]["user"] = user(username="jane", email="j@x")
    results = Results(answer([{"data": rows[:2]}, {"data": rows[2:]}]), 2)
    assert [row["user"] for row in results.rows(0) + results.rows(1)] == [
        user(username="jane", email="j@x")
    ] * 3


def test_what_a_later_mention_says_counts() -> None:
    """A value that was changed in between is the new one from then on, and the old one before."""
    before, change, after = (user(**values) for values in ({"name": "a", "age": 1}, {"name": "b"}, {}))
    assert spelt_out([{"data": [before]}, {"data": change}, {"data": [after]}]) == [
        {"data": [user(name="a", age=1)]},
        {"data": user(name="b", age=1)},
        {"data": [user(name="b", age=1)]},
    ]


def test_entities_without_an_id() -> None:
    """Metadata and job components are told apart by their two keys."""

    def note(parent: str, key: str, **said: str) -> dict[str, str]:
        return {"__entity_type__": "Metadata", "parent_id": parent, "key": key, **said}

    found = spelt_out([note("a", "k", value="1"), note("b", "k"), note("a", "l"), note("a", "k")])
    assert found == [note("a", "k", value="1"), note("b", "k"), note("a", "l"), note("a", "k", value="1")]


def test_types_are_told_apart() -> None:
    """Two entities of the same id and other types have nothing to do with each other."""
    one = {"__entity_type__": "Location", "id": "u", "name": "x"}
    assert spelt_out([one, user()]) == [one, user()]


def test_a_row_that_refers_back_to_itself() -> None:
    """A circle in an answer ends."""
    row = {"__entity_type__": "Job", "id": "j", "status": "done"}
    link = {"__entity_type__": "JobComponent", "component_id": "c", "job_id": "j"}
    row["job_components"] = [link | {"job": {"__entity_type__": "Job", "id": "j"}}]  # type: ignore[assignment]  # any
    (found,) = spelt_out([row])
    assert found["job_components"][0]["job"]["status"] == "done"
