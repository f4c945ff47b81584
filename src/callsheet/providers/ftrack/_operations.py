"""ftrack's operations: what `FtrackProvider.call` takes, many in one request, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

from callsheet._errors import InvalidRequest
from callsheet.providers.ftrack._query import Query

__all__ = ["Operation", "create", "delete", "encode", "query", "reference", "update"]

Operation: TypeAlias = Mapping[str, Any]
"""One operation, as ftrack's API names it: `{"action": "create", ...}`."""


def create(entity_type: str, data: Mapping[str, Any]) -> Operation:
    """Return the operation that makes an entity; with an `id` of your own, a repeat is found out."""
    return {
        "action": "create",
        "entity_type": entity_type,
        "entity_data": {"__entity_type__": entity_type, **data},
    }


def update(entity_type: str, key: str | Sequence[str], data: Mapping[str, Any]) -> Operation:
    """Return the operation that changes some attributes of an entity."""
    return {
        "action": "update",
        "entity_type": entity_type,
        "entity_key": _key(key),
        "entity_data": {"__entity_type__": entity_type, **data},
    }


def delete(entity_type: str, key: str | Sequence[str]) -> Operation:
    """Return the operation that removes an entity."""
    return {"action": "delete", "entity_type": entity_type, "entity_key": _key(key)}


def query(expression: Query | str) -> Operation:
    """Return the operation that finds entities."""
    return {"action": "query", "expression": str(expression)}


def reference(entity_type: str, id_: str) -> dict[str, str]:
    """Return what stands for an entity as the value of another one's attribute."""
    return {"__entity_type__": entity_type, "id": id_}


def encode(value: Any) -> Any:
    """Return the value as JSON can carry it, moments as ftrack writes them; for `json.dumps(default=)`.

    Raises:
        InvalidRequest: A moment without a time zone, or a type that ftrack does not know.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidRequest(f"{value!r} must carry a time zone")
        return {"__type__": "datetime", "value": value.astimezone(UTC).isoformat()}
    if isinstance(value, date):
        return {"__type__": "datetime", "value": value.isoformat()}
    if isinstance(value, Mapping):
        return dict(value)
    raise InvalidRequest(f"an operation cannot hold {type(value).__name__}")


def _key(key: str | Sequence[str]) -> list[str]:
    return [key] if isinstance(key, str) else list(key)
