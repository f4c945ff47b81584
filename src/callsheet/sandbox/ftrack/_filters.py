"""Conditions of a query as functions of a document: small closures, as they see every document."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial, reduce
from typing import Any as Value

import attrs

from callsheet.sandbox.ftrack import _language as language
from callsheet.sandbox.ftrack import _values
from callsheet.sandbox.ftrack._errors import ValidationError
from callsheet.sandbox.ftrack._store import Document, Store
from callsheet.sandbox.ftrack._types import TYPES, Attribute, EntityType

__all__ = ["Filters", "attribute_of", "values_at"]

Test = Callable[[Value], Value]
Predicate = Callable[[Document], Value]

ORDERED: dict[str, Callable[[Value, Value], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


@attrs.frozen
class Filters:
    """Makes predicates for one store.

    Attributes:
        select: Answers a query inside a query: the values of its only projection.
        offset: What the server's naive times are ahead of UTC.
    """

    store: Store
    select: Callable[[language.Query], set[Value]]
    offset: timedelta

    def predicate(self, entity_type: EntityType, condition: language.Condition) -> Predicate:
        """Return what tells whether the condition holds for a document of the type."""
        match condition:
            case language.All(conditions):
                return reduce(_both, [self.predicate(entity_type, each) for each in conditions])
            case language.Any(conditions):
                return reduce(_either, [self.predicate(entity_type, each) for each in conditions])
            case language.Not(inner):
                denied = self.predicate(entity_type, inner)
                return lambda document: not denied(document)
            case language.Related(path, inner):
                return self._related(entity_type, path, inner)
            case language.In(path, among, negated):
                return self._at(
                    entity_type, path, self._among(attribute_of(entity_type, path), among, negated)
                )
            case language.Compare(path, op, value):
                return self._at(entity_type, path, self._compare(attribute_of(entity_type, path), op, value))

    def _at(self, entity_type: EntityType, path: language.Path, test: Test) -> Predicate:
        """Return what tells whether a value at the end of the path passes the test."""
        first = attribute_of(entity_type, path[:1])
        if len(path) == 1 and (first.stored or first.kind == "reference"):
            name = first.via or first.name
            return lambda document: test(document.get(name))
        return lambda document: any(test(each) for each in values_at(self.store, entity_type, document, path))

    def _related(
        self, entity_type: EntityType, path: language.Path, condition: language.Condition | None
    ) -> Predicate:
        target = attribute_of(entity_type, path).target
        if target is None:
            raise ValidationError(f"{'.'.join(path)} leads to no entity")
        inner = self.predicate(TYPES[target], condition) if condition else bool
        follow = partial(_entities_at, self.store, entity_type)
        return lambda document: any(inner(each) for each in follow(document, path))

    def _compare(self, attribute: Attribute, op: str, value: language.Literal) -> Test:
        if op in {"like", "not_like"}:
            like = _values.pattern(value)
            wanted = op == "like"
            return lambda found: found is not None and (like(str(found)) is not None) is wanted
        against = _values.literal(attribute, value, self.offset)
        if op == "=":
            return lambda found: found == against
        if op == "!=":
            return lambda found: found != against
        if against is None:
            raise ValidationError(f"{attribute.name}: nothing is {op} {value.text}")
        compare = ORDERED[op]
        return lambda found: found is not None and compare(found, against)

    def _among(
        self, attribute: Attribute, among: tuple[language.Literal, ...] | language.Query, negated: bool
    ) -> Test:
        if isinstance(among, language.Query):
            values = self.select(among)
        else:
            values = {_values.literal(attribute, value, self.offset) for value in among}
        if negated:
            return lambda found: found not in values
        return lambda found: found in values


def attribute_of(entity_type: EntityType, path: language.Path) -> Attribute:
    """Return the attribute at the end of a path.

    Raises:
        ValidationError: There is none; names it.
    """
    for name in path[:-1]:
        target = _attribute(entity_type, name).target
        if target is None:
            raise ValidationError(f"{name} of {entity_type.name} leads to no entity, in {'.'.join(path)!r}")
        entity_type = TYPES[target]
    return _attribute(entity_type, path[-1])


def _attribute(entity_type: EntityType, name: str) -> Attribute:
    try:
        return entity_type.attributes[name]
    except KeyError:
        raise ValidationError(f"{entity_type.name} has no attribute {name!r}") from None


def values_at(
    store: Store, entity_type: EntityType, document: Document, path: language.Path
) -> Iterator[Value]:
    """Yield what stands at the end of a path: one value, or one for each member of a collection on the way.

    Where a reference on the way is empty, the value is None.
    """
    attribute = attribute_of(entity_type, path)
    if attribute.target and attribute.kind != "reference":
        path = (*path, "id" if "id" in TYPES[attribute.target].attributes else "key")
    name = attribute.via if attribute.kind == "reference" else path[-1]
    if len(path) == 1:
        yield document.get(name)
        return
    holders = list(_entities_at(store, entity_type, document, path[:-1]))
    yield from (holder.get(name) for holder in holders)
    if not holders and _only_references(entity_type, path[:-1]):
        yield None


def _only_references(entity_type: EntityType, path: language.Path) -> bool:
    return all(attribute_of(entity_type, path[: end + 1]).kind == "reference" for end in range(len(path)))


def _entities_at(
    store: Store, entity_type: EntityType, document: Document, path: language.Path
) -> Iterator[Document]:
    """Yield the entities that a path leads to."""
    documents: Iterable[Document] = [document]
    for name in path:
        attribute = _attribute(entity_type, name)
        documents = [target for each in documents for target in related(store, attribute, each)]
        entity_type = TYPES[attribute.target or ""]
    yield from documents


def related(store: Store, attribute: Attribute, document: Document) -> list[Document]:
    """Return the entities that one attribute of a document leads to, in order of creation."""
    target = attribute.target or ""
    if attribute.kind == "reference":
        key = document.get(attribute.via)
        found = None if key is None else store.get(target, (key,))
        return [] if found is None else [found]
    return store.linked(target, attribute.via, document["id"])


def _both(one: Predicate, other: Predicate) -> Predicate:
    return lambda document: one(document) and other(document)


def _either(one: Predicate, other: Predicate) -> Predicate:
    return lambda document: one(document) or other(document)
