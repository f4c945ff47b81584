"""Operations as ftrack's API takes them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest

from callsheet import InvalidRequest
from callsheet.providers.ftrack import create, delete, query, reference, update
from callsheet.providers.ftrack._operations import encode


def test_the_shapes() -> None:
    """Each operation is what ftrack's own clients send; a key is always a list."""
    user = reference("User", "u")
    assert [
        create("Job", {"id": "j", "user": user}),
        update("Job", "j", {"status": "done"}),
        delete("JobComponent", ["c", "j"]),
        query("Job where id is x"),
    ] == [
        {
            "action": "create",
            "entity_type": "Job",
            "entity_data": {
                "__entity_type__": "Job",
                "id": "j",
                "user": {"__entity_type__": "User", "id": "u"},
            },
        },
        {
            "action": "update",
            "entity_type": "Job",
            "entity_key": ["j"],
            "entity_data": {"__entity_type__": "Job", "status": "done"},
        },
        {"action": "delete", "entity_type": "JobComponent", "entity_key": ["c", "j"]},
        {"action": "query", "expression": "Job where id is x"},
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2024, 5, 1, 12, tzinfo=UTC), "2024-05-01T12:00:00+00:00"),
        (datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2024-05-01T10:00:00+00:00"),
        (date(2024, 5, 1), "2024-05-01"),
    ],
)
def test_moments(value: Any, written: str) -> None:
    """Moments and days are marked as such, moments in UTC."""
    encoded = json.loads(json.dumps({"at": value}, default=encode))
    assert encoded == {"at": {"__type__": "datetime", "value": written}}


def test_mappings_of_any_kind() -> None:
    """Whatever is a mapping will do."""
    operation = MappingProxyType({"action": "x", "entity_data": MappingProxyType({"a": 1})})
    assert json.loads(json.dumps([operation], default=encode)) == [{"action": "x", "entity_data": {"a": 1}}]


@pytest.mark.parametrize("value", [datetime(2024, 5, 1), {1, 2}, b"bytes", object()])
def test_values_that_cannot_be_sent(value: Any) -> None:
    """A moment without a zone, and what JSON has no form for, are refused."""
    with pytest.raises(InvalidRequest):
        json.dumps([value], default=encode)
