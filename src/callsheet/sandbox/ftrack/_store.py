"""The documents of an ftrack sandbox: tables in memory, whole transactions, links found from both ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from callsheet.sandbox.ftrack._types import TYPES, EntityType, subtypes

__all__ = ["Document", "Key", "Store"]

Document = dict[str, Any]
Key = tuple[str, ...]

TYPE = "__entity_type__"
"""Where a document says what it is."""


class Store:
    """Every entity, in order of creation.

    Documents are never changed in place: a change puts a new one in its stead, so that a transaction can be
    undone and a reader keeps what it has.
    """

    def __init__(self) -> None:
        self._tables: dict[str, dict[Key, Document]] = {each.table: {} for each in TYPES.values()}
        self._links: dict[tuple[str, str], dict[str, dict[Key, None]]] = {
            (entity_type.table, name): {}
            for entity_type in TYPES.values()
            for name in _linking(entity_type.name)
        }
        self._undo: list[Callable[[], None]] = []
        self._versions = dict.fromkeys(self._tables, 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all or nothing of what is done inside."""
        self._undo.clear()
        try:
            yield
        except BaseException:
            for step in reversed(self._undo):
                step()
            raise
        finally:
            self._undo.clear()

    def get(self, name: str, key: Key) -> Document | None:
        """Return the entity of this type, or of a subtype, with this key."""
        document = self._tables[TYPES[name].table].get(key)
        return document if document is not None and document[TYPE] in subtypes(name) else None

    def all(self, name: str) -> Iterator[Document]:
        """Yield the entities of this type and its subtypes in order of creation."""
        wanted = subtypes(name)
        return (each for each in self._tables[TYPES[name].table].values() if each[TYPE] in wanted)

    def linked(self, name: str, via: str, value: str) -> list[Document]:
        """Return the entities of this type whose foreign key has this value."""
        entity_type, wanted = TYPES[name], subtypes(name)
        table = self._tables[entity_type.table]
        keys = self._links[entity_type.table, via].get(value, {})
        return [document for key in keys if (document := table[key])[TYPE] in wanted]

    def version(self, name: str) -> int:
        """Return a number that changes with every change to entities of this type."""
        return self._versions[TYPES[name].table]

    def put(self, document: Document) -> None:
        """Add an entity, or put it in place of the one with its key."""
        entity_type = TYPES[document[TYPE]]
        key = entity_type.key_of(document)
        before = self._tables[entity_type.table].get(key)
        self._undo.append(lambda: self._place(entity_type, key, before))
        self._place(entity_type, key, document)

    def remove(self, document: Document) -> None:
        """Take an entity out."""
        entity_type = TYPES[document[TYPE]]
        key = entity_type.key_of(document)
        self._undo.append(lambda: self._place(entity_type, key, document))
        self._place(entity_type, key, None)

    def _place(self, entity_type: EntityType, key: Key, document: Document | None) -> None:
        table = self._tables[entity_type.table]
        before = table.get(key)
        for name in _linking(entity_type.name):
            links = self._links[entity_type.table, name]
            if before is not None and (value := before.get(name)) in links:
                links[value].pop(key, None)
            if document is not None and (value := document.get(name)) is not None:
                links.setdefault(value, {})[key] = None
        if document is None:
            table.pop(key, None)
        else:
            table[key] = document
        self._versions[entity_type.table] += 1


@cache
def _linking(name: str) -> tuple[str, ...]:
    """Return the attributes by which entities of this type are found from the other end."""
    stored = TYPES[name].stored.values()
    return tuple(each.name for each in stored if each.format == "foreign_key" or each.name == "parent_id")
