"""Idempotency keys: what was asked for under each, and what it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from callsheet._errors import Conflict
from callsheet.providers.local._queries import in_chunks, insert_all
from callsheet.providers.local._schema import keys

__all__ = ["Keys", "request_hash", "targets", "used"]


# Made once: `json.dumps` makes one at each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


def request_hash(*request: Any) -> str:
    """Return what tells this request from others under the same key; the order of names does not."""
    return hashlib.sha256(_ENCODER.encode(request).encode()).hexdigest()


def used(db: Connection, wanted: Iterable[str]) -> set[str]:
    """Return those of the keys that were used before."""
    return {
        key
        for chunk in in_chunks(wanted)
        for key in db.execute(select(keys.c.key).where(keys.c.key.in_(chunk))).scalars()
    }


def targets(db: Connection, wanted: Iterable[str]) -> dict[str, str]:
    """Return the id of what was made under each of the keys that were used before."""
    return {
        key: target
        for chunk in in_chunks(wanted)
        for key, target in db.execute(select(keys.c.key, keys.c.target_id).where(keys.c.key.in_(chunk)))
    }


class Keys:
    """The keys that a write is about: those used before, and those that it uses."""

    def __init__(self, db: Connection, wanted: Iterable[str]) -> None:
        self._db = db
        self._used: dict[str, tuple[str, str]] = {}
        self._new: list[dict[str, str]] = []
        for chunk in in_chunks(wanted):
            for key, request, target in db.execute(select(keys).where(keys.c.key.in_(chunk))):
                self._used[key] = request, target

    def targets(self) -> list[str]:
        """Return the ids of all that was made under these keys before."""
        return [target for _, target in self._used.values()]

    def target(self, key: str, request: str) -> str | None:
        """Return the id of what was made under the key, or `None` if nothing was.

        Raises:
            Conflict: It was another request.
        """
        used, target = self._used.get(key, (request, None))
        if used != request:
            raise Conflict(f"the idempotency key {key!r} was used with another request", provider="local")
        return target

    def use(self, key: str, request: str, target: str) -> None:
        """Note that the key now stands for this request."""
        self._used[key] = request, target
        self._new.append({"key": key, "request": request, "target_id": target})

    def save(self) -> None:
        """Write the new ones."""
        insert_all(self._db, keys, self._new)
