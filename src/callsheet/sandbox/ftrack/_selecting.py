"""Answering queries: which documents, in which order, and which part of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import attrs

from callsheet.sandbox.ftrack import _language as language
from callsheet.sandbox.ftrack._errors import ValidationError
from callsheet.sandbox.ftrack._filters import Filters, attribute_of, values_at
from callsheet.sandbox.ftrack._store import Document, Store
from callsheet.sandbox.ftrack._types import TYPES, EntityType

__all__ = ["Selection", "Selector", "entity_type_named"]


@attrs.frozen
class Selection:
    """One page: its documents, and the offset of the next page, if one follows."""

    documents: list[Document]
    next_offset: int | None


class Selector:
    """Finds documents of one store, and remembers orders until the documents change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._orders: dict[tuple[str, tuple[language.Order, ...]], tuple[int, list[Document]]] = {}

    def select(self, query: language.Query, offset: timedelta) -> Selection:
        """Return the page that a query asks for; naive times in it are `offset` ahead of UTC."""
        found = self._found(query, offset)
        if query.limit is None:
            return Selection(list(islice(found, query.offset, None)), None)
        end = query.offset + query.limit
        page = list(islice(found, query.offset, end))
        follows = query.limit > 0 and next(found, None) is not None
        return Selection(page, end if follows else None)

    def _found(self, query: language.Query, offset: timedelta) -> Iterator[Document]:
        entity_type = entity_type_named(query.entity_type)
        named = self._named(entity_type, query.condition)
        if named is None:
            documents = self._ordered(entity_type, query.order)
        else:
            documents = self._sorted(entity_type, named, query.order)
        if query.condition is None:
            return iter(documents)
        filters = Filters(self._store, lambda inner: self._values(inner, offset), offset)
        holds = filters.predicate(entity_type, query.condition)
        return (document for document in documents if holds(document))

    def _named(self, entity_type: EntityType, condition: language.Condition | None) -> list[Document] | None:
        """Return the only documents that can match where a condition names them, else None."""
        for part in condition.conditions if isinstance(condition, language.All) else (condition,):
            match part:
                case language.Compare((name,), "=", value):
                    texts = [value.text]
                case language.In((name,), tuple(values), False):
                    texts = [value.text for value in values]
                case _:
                    continue
            if entity_type.primary_key == (name,):
                found = (self._store.get(entity_type.name, (text,)) for text in dict.fromkeys(texts))
                return [document for document in found if document is not None]
            attribute = attribute_of(entity_type, (name,))
            if attribute.format == "foreign_key" and "None" not in texts:
                linked = (self._store.linked(entity_type.name, name, text) for text in dict.fromkeys(texts))
                return [document for documents in linked for document in documents]
        return None

    def _ordered(self, entity_type: EntityType, order: tuple[language.Order, ...]) -> Iterable[Document]:
        if not order or any(len(key.path) > 1 for key in order):
            return self._sorted(entity_type, list(self._store.all(entity_type.name)), order)
        version = self._store.version(entity_type.name)
        kept = self._orders.get((entity_type.name, order))
        if kept is None or kept[0] != version:
            kept = version, self._sorted(entity_type, list(self._store.all(entity_type.name)), order)
            self._orders[entity_type.name, order] = kept
        return kept[1]

    def _sorted(
        self, entity_type: EntityType, documents: list[Document], order: tuple[language.Order, ...]
    ) -> list[Document]:
        for key in reversed(order):
            attribute_of(entity_type, key.path)
            path = key.path

            def rank(document: Document, path: language.Path = path) -> tuple[bool, Any]:
                value = next(values_at(self._store, entity_type, document, path), None)
                return value is not None, value

            documents = sorted(documents, key=rank, reverse=key.descending)
        return documents

    def _values(self, query: language.Query, offset: timedelta) -> set[Any]:
        if len(query.projections) != 1:
            raise ValidationError("A query inside in (...) selects one attribute")
        entity_type = entity_type_named(query.entity_type)
        return {
            value
            for document in self.select(query, offset).documents
            for value in values_at(self._store, entity_type, document, query.projections[0])
        }


def entity_type_named(name: Any) -> EntityType:
    """Return the entity type of this name.

    Raises:
        ValidationError: There is none.
    """
    try:
        return TYPES[name]
    except (KeyError, TypeError):
        raise ValidationError(f"Unknown entity type {name!r}") from None
