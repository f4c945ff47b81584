"""Documents to JSON: rows with what was asked for, each entity spelled out once in an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import attrs

from callsheet.sandbox.ftrack import _values
from callsheet.sandbox.ftrack._filters import attribute_of, related
from callsheet.sandbox.ftrack._language import Path
from callsheet.sandbox.ftrack._store import Document, Key, Store
from callsheet.sandbox.ftrack._types import TYPES, Attribute, EntityType

__all__ = ["Writer"]

Tree = dict[str, "Tree"]
"""Projections by name; those below a name are of the related entity."""


class Writer:
    """Writes one whole answer.

    Args:
        link: Returns the signed link of a component's bytes.
        offset: What the server's naive times are ahead of UTC.
        normalise: Whether an entity that was spelled out before shrinks to a reference.
    """

    def __init__(
        self, store: Store, link: Callable[[str], str], *, offset: timedelta, normalise: bool
    ) -> None:
        self._store = store
        self._link = link
        self._offset = offset
        self._normalise = normalise
        self._told: dict[tuple[str, Key], frozenset[Path]] = {}

    def rows(
        self, entity_type: EntityType, projections: Iterable[Path], documents: list[Document]
    ) -> list[dict[str, Any]]:
        """Write the documents of a query with its projections.

        Raises:
            ValidationError: A projection names no attribute.
        """
        tree: Tree = {}
        for path in projections:
            attribute_of(entity_type, path)
            branch = tree
            for name in path:
                branch = branch.setdefault(name, {})
        view = _View.of(entity_type, tree)
        return [self._row(view, document) for document in documents]

    def changed(self, document: Document, names: Iterable[str]) -> dict[str, Any]:
        """Write some attributes of a document's own, besides its identity."""
        view = _View.of(TYPES[document["__entity_type__"]], {name: {} for name in names})
        return self._row(view, document)

    def _row(self, view: _View, document: Document) -> dict[str, Any]:
        self._tell(view, document)
        row = {"__entity_type__": document["__entity_type__"]}
        for name in view.own:
            row[name] = document.get(name)
        for attribute in view.dated:
            row[attribute.name] = _values.encode(attribute, document.get(attribute.name), self._offset)
        for attribute, inner in view.related:
            row[attribute.name] = self._related(attribute, inner, document)
        for attribute in view.computed:
            row[attribute.name] = {"value": self._link(document["component_id"])}
        return row

    def _related(self, attribute: Attribute, view: _View, document: Document) -> Any:
        entities = [self._nested(view, each) for each in related(self._store, attribute, document)]
        if attribute.kind == "reference":
            return entities[0] if entities else None
        return entities

    def _nested(self, view: _View, document: Document) -> dict[str, Any]:
        if self._normalise and view.names <= self._told.get(_identity(document), frozenset()):
            entity_type = TYPES[document["__entity_type__"]]
            return {
                "__entity_type__": entity_type.name,
                **{name: document[name] for name in entity_type.primary_key},
            }
        return self._row(view, document)

    def _tell(self, view: _View, document: Document) -> None:
        if self._normalise:
            identity = _identity(document)
            told = self._told.get(identity)
            self._told[identity] = view.names if told is None else told | view.names


def _identity(document: Document) -> tuple[str, Key]:
    name = document["__entity_type__"]
    return name, TYPES[name].key_of(document)


@attrs.frozen
class _View:
    """What is shown of an entity.

    Attributes:
        own: Names of its own values, dates among them.
        dated: Its dates, which JSON writes otherwise.
        related: What leads to other entities, and what is shown of those.
        computed: What is no part of its document.
        names: The paths to all of that.
    """

    own: list[str]
    dated: list[Attribute]
    related: list[tuple[Attribute, _View]]
    computed: list[Attribute]
    names: frozenset[Path]

    @classmethod
    def of(cls, entity_type: EntityType, tree: Tree) -> _View:
        wanted = dict.fromkeys((*entity_type.primary_key, *entity_type.system_projections, *tree))
        listed = [entity_type.attributes[name] for name in wanted]
        inner = [
            (each, cls.of(TYPES[each.target], _below(each, tree.get(each.name, {}))))
            for each in listed
            if each.target
        ]
        names: set[Path] = {(name,) for name in wanted}
        names |= {(attribute.name, *path) for attribute, view in inner for path in view.names}
        return cls(
            own=[each.name for each in listed if each.stored],
            dated=[each for each in listed if each.kind == "datetime"],
            related=inner,
            computed=[each for each in listed if each.computed],
            names=frozenset(names),
        )


def _below(attribute: Attribute, tree: Tree) -> Tree:
    """Return what is shown of a related entity: of metadata always its key and value."""
    if attribute.kind != "mapping":
        return tree
    return {name: {} for name in TYPES[attribute.target or ""].default_projections} | tree
