"""Bare calls to an ftrack server, for tests of the sandbox itself."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import attrs
import httpx

__all__ = ["Refused", "Studio", "create", "delete", "update"]


class Refused(Exception):
    """The server answered with an error object, which is this exception's only argument."""


@attrs.frozen
class Studio:
    """Calls one server as one user.

    Attributes:
        http: Sends the user's credentials, to paths of the server.
        bare: Sends none, to any URL.
    """

    http: httpx.Client
    bare: httpx.Client

    def post(self, *operations: Any, **headers: str) -> httpx.Response:
        """Send operations, with more headers: `ftrack_strict_api="true"`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/api", json=list(operations), headers=named)

    def call(self, *operations: Any, **headers: str) -> list[Any]:
        """Send operations and return their answers.

        Raises:
            Refused: The server answered with an error.
        """
        answers = self.post(*operations, **headers).json()
        if isinstance(answers, dict):
            raise Refused(answers)
        assert isinstance(answers, list)
        return answers

    def query(self, expression: str, **headers: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        (answer,) = self.call({"action": "query", "expression": expression}, **headers)
        rows: list[dict[str, Any]] = answer["data"]
        return rows

    def values(self, expression: str, name: str = "id") -> list[Any]:
        """Return one attribute of the rows of a query."""
        return [row[name] for row in self.query(expression)]

    def create(self, entity_type: str, **data: Any) -> dict[str, Any]:
        """Create one entity; return the answer's entity."""
        (answer,) = self.call(create(entity_type, **data))
        entity: dict[str, Any] = answer["data"]
        return entity

    def update(self, entity_type: str, key: str | list[str], **data: Any) -> dict[str, Any]:
        """Change one entity; return the answer's entity."""
        (answer,) = self.call(update(entity_type, key, **data))
        entity: dict[str, Any] = answer["data"]
        return entity

    def delete(self, entity_type: str, key: str | list[str]) -> None:
        """Delete one entity."""
        assert self.call(delete(entity_type, key)) == [{"action": "delete", "data": True}]

    def upload(self, component_id: str, data: bytes) -> httpx.Response:
        """Put a component's bytes where the server wants them."""
        (told,) = self.call(
            {
                "action": "get_upload_metadata",
                "component_id": component_id,
                "file_name": "plate.mov",
                "file_size": len(data),
                "checksum": b64encode(hashlib.md5(data).digest()).decode(),
            }
        )
        return self.bare.put(told["url"], content=data, headers=told["headers"])


def create(entity_type: str, **data: Any) -> dict[str, Any]:
    """Return the operation that creates an entity."""
    words = {"__entity_type__": entity_type, **data}
    return {"action": "create", "entity_type": entity_type, "entity_data": words}


def update(entity_type: str, key: str | list[str], **data: Any) -> dict[str, Any]:
    """Return the operation that changes an entity."""
    return {"action": "update", "entity_type": entity_type, "entity_key": key, "entity_data": data}


def delete(entity_type: str, key: str | list[str]) -> dict[str, Any]:
    """Return the operation that deletes an entity."""
    return {"action": "delete", "entity_type": entity_type, "entity_key": key}
