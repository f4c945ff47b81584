"""Creating, updating and deleting entities: one editor a batch, whose changes stay or go together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import attrs

from callsheet.sandbox.ftrack import _values
from callsheet.sandbox.ftrack._errors import IntegrityError, NoResultFound, ValidationError
from callsheet.sandbox.ftrack._selecting import entity_type_named
from callsheet.sandbox.ftrack._store import Document, Key, Store
from callsheet.sandbox.ftrack._types import TYPES, Attribute, EntityType

__all__ = ["Change", "Editor", "key_from"]


@attrs.frozen
class Change:
    """What happened to one entity: `add`, `update` or `remove`, with its document before and after."""

    action: str
    before: Document | None
    after: Document | None

    @property
    def document(self) -> Document:
        """The document that tells what it is."""
        return self.after or self.before or {}


@attrs.define
class Editor:
    """Changes entities, and remembers what it did.

    Attributes:
        now: When it is, for what the server dates.
        offset: What the server's naive times are ahead of UTC.
        changes: What was done so far, in order.
    """

    store: Store
    now: datetime
    offset: timedelta
    changes: list[Change] = attrs.field(factory=list)

    def create(self, name: Any, data: dict[str, Any]) -> Document:
        """Add an entity.

        Raises:
            ValidationError: The data makes no sense for the type.
            IntegrityError: There is one with this key.
        """
        entity_type = entity_type_named(name)
        values, collections = self._read(entity_type, data)
        document: Document = {"__entity_type__": entity_type.name} | self._presets(entity_type)
        document |= {name: value for name, value in values.items() if value is not None}
        if missing := [name for name in entity_type.primary_key if document.get(name) is None]:
            raise ValidationError(f"{entity_type.name} needs {missing[0]}")
        key = entity_type.key_of(document)
        if self.store.get(entity_type.name, key) or self._is_taken(entity_type, key):
            raise IntegrityError(f"Duplicate entry '{'-'.join(key)}' for {entity_type.name}")
        document = self._finished(document)
        self._put(document, None)
        self._collect(entity_type, document, collections)
        return document

    def update(self, name: Any, key: Key, data: dict[str, Any]) -> Document:
        """Change an entity.

        Raises:
            NoResultFound: There is none with this key.
            ValidationError: The data makes no sense for the type.
        """
        before = self.find(name, key)
        entity_type = TYPES[before["__entity_type__"]]
        values, collections = self._read(entity_type, data)
        for name, value in values.items():
            if entity_type.attributes[name].immutable and before.get(name) not in {None, value}:
                raise ValidationError(f"{name} of {entity_type.name} cannot be changed")
        document = self._finished({**before, **values})
        if document != before:
            self._put(document, before)
        self._collect(entity_type, document, collections)
        return document

    def delete(self, name: Any, key: Key) -> Document:
        """Remove an entity, and what cannot be without it.

        Raises:
            NoResultFound: There is none with this key.
            IntegrityError: Something else needs it.
        """
        document = self.find(name, key)
        self._delete(document)
        return document

    def find(self, name: Any, key: Key) -> Document:
        """Return an entity.

        Raises:
            NoResultFound: There is none with this key.
        """
        entity_type = entity_type_named(name)
        document = self.store.get(entity_type.name, key)
        if document is None:
            raise NoResultFound(f"There is no {entity_type.name} {'-'.join(key)!r}")
        return document

    def check_links(self) -> None:
        """See that all that was changed leads to what is there.

        Raises:
            IntegrityError: A foreign key leads nowhere.
        """
        for document in [change.after for change in self.changes if change.after]:
            entity_type = TYPES[document["__entity_type__"]]
            current = self.store.get(entity_type.name, entity_type.key_of(document)) or {}
            for each in _references(entity_type):
                value = current.get(each.via)
                if value is not None and self.store.get(each.target or "", (value,)) is None:
                    raise IntegrityError(
                        f"{each.via} of {entity_type.name}: there is no {each.target} {value!r}"
                    )

    def _read(
        self, entity_type: EntityType, data: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, list[Key]]]:
        """Return the values of an entity's own document, and the keys of its collections."""
        values: dict[str, Any] = {}
        collections: dict[str, list[Key]] = {}
        for name, value in data.items():
            attribute = entity_type.attributes.get(name)
            if name == "__entity_type__" or (attribute and attribute.computed):
                continue
            if attribute is None:
                raise ValidationError(f"{entity_type.name} has no attribute {name!r}")
            if attribute.kind == "reference":
                values[attribute.via] = None if value is None else _reference(attribute, value)[0]
            elif attribute.target:
                collections[name] = [_reference(attribute, each) for each in value or ()]
            else:
                values[name] = _values.decode(attribute, value, self.offset)
        return values, collections

    def _presets(self, entity_type: EntityType) -> dict[str, Any]:
        presets = {}
        for name, attribute in entity_type.stored.items():
            preset = attribute.preset if attribute.default is None else attribute.default
            if preset == "{uid}":
                preset = str(uuid.uuid4())
            if name == "created_at":
                preset = _values.stamp(self.now)
            presets[name] = preset
        if entity_type.name == "User":
            presets["username"] = f"user-{uuid.uuid4().hex[:8]}"
        return presets

    def _is_taken(self, entity_type: EntityType, key: Key) -> bool:
        tables = {each.name for each in TYPES.values() if each.table == entity_type.table}
        return any(self.store.get(name, key) for name in tables)

    def _finished(self, document: Document) -> Document:
        if document["__entity_type__"] != "Job":
            return document
        ended = document["status"] in {"done", "failed"}
        moment = document.get("finished_at") or _values.stamp(self.now)
        return {**document, "finished_at": moment if ended else None}

    def _put(self, document: Document, before: Document | None) -> None:
        self.store.put(document)
        self.changes.append(Change("update" if before else "add", before, document))

    def _collect(
        self, entity_type: EntityType, document: Document, collections: dict[str, list[Key]]
    ) -> None:
        """Make collections hold exactly these entities. Metadata come and go by operations of their own."""
        for name, keys in collections.items():
            attribute = entity_type.attributes[name]
            if attribute.kind == "mapping":
                continue
            wanted = [self.find(attribute.target, key) for key in keys]
            for member in self.store.linked(attribute.target or "", attribute.via, document["id"]):
                if member not in wanted:
                    self._let_go(member, attribute.via)
            for member in wanted:
                if member.get(attribute.via) != document["id"]:
                    self._put({**member, attribute.via: document["id"]}, member)

    def _delete(self, document: Document) -> None:
        entity_type = TYPES[document["__entity_type__"]]
        for other, attribute in _pointing_at(entity_type):
            for each in self.store.linked(other.name, attribute.name, document["id"]):
                if attribute.on_delete == "refuse":
                    raise IntegrityError(f"{entity_type.name} {document['id']!r} still has {other.name} rows")
                if each is not document:
                    self._let_go(each, attribute.name)
        for each in self.store.linked("Metadata", "parent_id", document.get("id", "")):
            self._delete(each)
        self.store.remove(document)
        self.changes.append(Change("remove", document, None))

    def _let_go(self, document: Document, via: str) -> None:
        """Part a document from what its foreign key points to: without the link, or altogether."""
        entity_type = TYPES[document["__entity_type__"]]
        if entity_type.attributes[via].on_delete == "cascade" or via in entity_type.primary_key:
            self._delete(document)
        else:
            self._put({**document, via: None}, document)


def key_from(entity_type: Any, key: Any) -> Key:
    """Return a primary key from JSON: one text, or a list of texts.

    Raises:
        ValidationError: It does not fit the type.
    """
    parts = [key] if isinstance(key, str) else key
    size = len(entity_type_named(entity_type).primary_key)
    if not isinstance(parts, list) or len(parts) != size or not all(isinstance(each, str) for each in parts):
        raise ValidationError(f"{key!r} is no key of {entity_type}")
    return tuple(parts)


def _reference(attribute: Attribute, value: Any) -> Key:
    entity_type = TYPES[attribute.target or ""]
    try:
        return tuple(str(value[name]) for name in entity_type.primary_key)
    except (TypeError, KeyError):
        raise ValidationError(f"{attribute.name}: {value!r} is no reference to {entity_type.name}") from None


def _references(entity_type: EntityType) -> Iterator[Attribute]:
    return (each for each in entity_type.attributes.values() if each.kind == "reference")


def _pointing_at(target: EntityType) -> Iterator[tuple[EntityType, Attribute]]:
    """Yield the foreign keys that may hold an id of this type, once a table."""
    seen = set()
    for entity_type in TYPES.values():
        for each in _references(entity_type):
            place = entity_type.table, each.via
            if TYPES[each.target or ""].table == target.table and place not in seen:
                seen.add(place)
                base = "Component" if entity_type.table == "Component" else entity_type.name
                yield (
                    entity_type if base == entity_type.name else TYPES[base],
                    entity_type.attributes[each.via],
                )
