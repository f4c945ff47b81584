"""What the server says about changes: one `ftrack.update` event for each batch that was kept."""

from __future__ import annotations

from typing import Any

from callsheet.sandbox.ftrack._editing import Change
from callsheet.sandbox.ftrack._hub import Event, server_event
from callsheet.sandbox.ftrack._store import Document
from callsheet.sandbox.ftrack._types import TYPES

__all__ = ["update_event"]


def update_event(
    changes: list[Change], user: Document, client_token: str | None, push_token: str | None
) -> Event:
    """Return the event that tells of changes, and of who made them by which program."""
    who = {"id": user.get("id"), "username": user.get("username")}
    name = f"{user.get('first_name') or ''} {user.get('last_name') or ''}".strip()
    data = {
        "clientToken": client_token,
        "pushToken": push_token,
        "user": {"userid": user.get("id"), "name": name},
        "parents": [],
        "entities": [_entity(change) for change in changes],
    }
    source = {"id": "sandbox", "user": who, "clientToken": client_token}
    return server_event("ftrack.update", source, data)


def _entity(change: Change) -> dict[str, Any]:
    document = change.document
    entity_type = TYPES[document["__entity_type__"]]
    before, after = change.before or {}, change.after or {}
    # Events speak of columns, by their older names.
    changed = {
        attribute.alias or name: {"old": before.get(name), "new": after.get(name)}
        for name, attribute in entity_type.stored.items()
        if before.get(name) != after.get(name)
    }
    return {
        "entityType": (entity_type.alias or entity_type.name).lower(),
        "entity_type": entity_type.name,
        "entityId": "-".join(entity_type.key_of(document)),
        "action": change.action,
        "keys": list(changed),
        "changes": changed,
        "parents": [],
        "parentId": None,
    }
