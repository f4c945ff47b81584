"""The entity types of an ftrack server, as far as jobs and their files need them, and their schemas.

Names, keys, defaults and aliases are those a real server answers to `query_schemas`; attributes that lead to
types outside this set are left out, as the vendor's client fails on a reference to a type it does not know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any, Literal

import attrs

__all__ = ["TYPES", "Attribute", "EntityType", "schema_hash", "schemas", "subtypes"]

Kind = Literal[
    "string", "integer", "number", "boolean", "datetime", "object", "reference", "collection", "mapping"
]


@attrs.frozen(kw_only=True)
class Attribute:
    """One attribute of an entity type.

    Attributes:
        kind: What it holds.
        target: The type at the other end of a reference, collection or mapping.
        via: The foreign key behind it: here for a reference, at the target for the others.
        alias: The name of its column, by which events call it.
        default: What the vendor's client sets, and the server if nobody did; `{uid}` is a new id.
        preset: What only the server sets.
        on_delete: For a foreign key: what happens when the entity it points to is deleted.
    """

    name: str
    kind: Kind
    target: str | None = None
    via: str = ""
    alias: str | None = None
    default: Any = None
    preset: Any = None
    immutable: bool = False
    computed: bool = False
    enum: tuple[str, ...] = ()
    format: str | None = None
    on_delete: Literal["clear", "cascade", "refuse"] = "clear"

    @property
    def stored(self) -> bool:
        """Whether it is part of the entity's own document."""
        return self.kind not in {"reference", "collection", "mapping"} and not self.computed

    def schema(self) -> dict[str, Any]:
        """Return the attribute's part of a schema."""
        if self.kind == "reference":
            return {"$ref": self.target}
        if self.kind in {"collection", "mapping"}:
            name = "array" if self.kind == "collection" else "mapped_array"
            return {"type": name, "items": {"$ref": self.target}}
        known: dict[str, Any] = {"type": "string" if self.kind == "datetime" else self.kind}
        optional = {
            "format": "date-time" if self.kind == "datetime" else self.format,
            "default": self.default,
            "enum": list(self.enum) or None,
            "alias_for": self.alias,
        }
        return known | {name: value for name, value in optional.items() if value is not None}


@attrs.frozen(kw_only=True)
class EntityType:
    """One entity type. Types that share a `table` can be found under each other's base type."""

    name: str
    attributes: dict[str, Attribute]
    primary_key: tuple[str, ...] = ("id",)
    default_projections: tuple[str, ...] = ("id",)
    system_projections: tuple[str, ...] = ()
    required: tuple[str, ...] = ("id",)
    table: str = ""
    alias: str | None = None

    @cached_property
    def stored(self) -> dict[str, Attribute]:
        """The attributes of its own document."""
        return {name: attribute for name, attribute in self.attributes.items() if attribute.stored}

    def key_of(self, document: dict[str, Any]) -> tuple[str, ...]:
        """Return the primary key's values, in their order."""
        return tuple([document[name] for name in self.primary_key])

    def schema(self) -> dict[str, Any]:
        """Return the schema as a server answers it."""
        listed = self.attributes.values()
        schema = {
            "id": self.name,
            "type": "object",
            "properties": {each.name: each.schema() for each in listed},
            "primary_key": list(self.primary_key),
            "default_projections": list(self.default_projections),
            "system_projections": list(self.system_projections),
            "immutable": [each.name for each in listed if each.immutable],
            "computed": [each.name for each in listed if each.computed],
            "required": list(self.required),
        }
        return schema | ({"alias_for": self.alias} if self.alias else {})


def _type(name: str, *attributes: Attribute, table: str = "", **facts: Any) -> EntityType:
    by_name = {attribute.name: attribute for attribute in attributes}
    return EntityType(name=name, attributes=by_name, table=table or name, **facts)


def _id(alias: str | None = None) -> Attribute:
    return Attribute(name="id", kind="string", default="{uid}", immutable=True, alias=alias)


def _text(name: str, **facts: Any) -> Attribute:
    return Attribute(name=name, kind="string", **facts)


def _plain(name: str, kind: Kind, **facts: Any) -> Attribute:
    return Attribute(name=name, kind=kind, **facts)


def _link(name: str, target: str, **facts: Any) -> Iterator[Attribute]:
    key = f"{name}_id"
    yield Attribute(name=key, kind="string", format="foreign_key", **facts)
    yield Attribute(name=name, kind="reference", target=target, via=key)


def _many(name: str, target: str, via: str) -> Attribute:
    return Attribute(name=name, kind="collection", target=target, via=via)


def _metadata() -> Attribute:
    return Attribute(name="metadata", kind="mapping", target="Metadata", via="parent_id")


def _url() -> Attribute:
    return Attribute(name="url", kind="object", computed=True, immutable=True)


def _component(name: str, system_type: str, *more: Attribute) -> EntityType:
    return _type(
        name,
        _id(),
        _text("name", default="main"),
        _text("file_type", alias="filetype"),
        _plain("size", "integer", default=0),
        _text("system_type", preset=system_type),
        *_link("container", "ContainerComponent"),
        _text("version_id", format="foreign_key"),
        _many("component_locations", "ComponentLocation", "component_id"),
        _metadata(),
        *more,
        table="Component",
        default_projections=("id", "system_type"),
        system_projections=("system_type", "version_id"),
    )


_MEMBERS = _many("members", "Component", "container_id")

_ALL = [
    _type(
        "Job",
        _id(alias="jobid"),
        _text("type", default="api_job", immutable=True),
        _text("status", default="queued", enum=("queued", "running", "done", "failed")),
        _text("data", format="json"),
        _plain("created_at", "datetime"),
        _plain("finished_at", "datetime"),
        *_link("user", "User", alias="userid"),
        _many("job_components", "JobComponent", "job_id"),
        required=("id", "status", "type"),
    ),
    _type(
        "JobComponent",
        *_link("component", "Component", immutable=True, on_delete="cascade"),
        *_link("job", "Job", immutable=True, on_delete="cascade"),
        _url(),
        primary_key=("component_id", "job_id"),
        default_projections=("component_id", "job_id"),
        required=("component_id", "job_id"),
    ),
    _type(
        "Resource",
        _id(),
        _text("resource_type"),
        system_projections=("resource_type",),
        table="Resource",
    ),
    _type(
        "User",
        _id(),
        _text("username"),
        _text("first_name", alias="firstname"),
        _text("last_name", alias="lastname"),
        _text("email"),
        _plain("is_active", "boolean", alias="isactive", preset=True),
        _text("resource_type", default="user", immutable=True),
        _metadata(),
        system_projections=("resource_type",),
        table="Resource",
    ),
    _type(
        "Location",
        _id(),
        _text("name"),
        _text("label"),
        _text("description"),
        _many("location_components", "ComponentLocation", "location_id"),
    ),
    _type(
        "ComponentLocation",
        _id(),
        *_link("component", "Component", on_delete="cascade"),
        *_link("location", "Location", on_delete="refuse"),
        _text("resource_identifier", alias="resourceIdentifier"),
        _url(),
        system_projections=("location_id", "component_id"),
    ),
    _component("Component", "component"),
    _component("FileComponent", "file"),
    _component("ContainerComponent", "container", _MEMBERS),
    _component("SequenceComponent", "sequence", _MEMBERS, _plain("padding", "integer", default=0)),
    _type(
        "Metadata",
        _text("parent_id", immutable=True, alias="meta_id"),
        _text("parent_type", alias="meta_type"),
        _text("key", immutable=True, alias="variable"),
        _text("value"),
        primary_key=("parent_id", "key"),
        default_projections=("parent_id", "key", "value", "parent_type"),
        required=("parent_id", "key"),
        alias="Meta",
    ),
]

TYPES: dict[str, EntityType] = {each.name: each for each in _ALL}
"""Every entity type by its name."""

_SUBTYPES = {
    "Resource": ("User",),
    "Component": ("Component", "FileComponent", "ContainerComponent", "SequenceComponent"),
    "ContainerComponent": ("ContainerComponent", "SequenceComponent"),
}


def subtypes(name: str) -> tuple[str, ...]:
    """Return the concrete types that an entity asked for under this type may have."""
    return _SUBTYPES.get(name, (name,))


@cache
def schemas() -> list[dict[str, Any]]:
    """Return every schema."""
    return [each.schema() for each in _ALL]


@cache
def schema_hash() -> str:
    """Return the hash by which a client finds out whether its cached schemas are still right."""
    # The vendor's own recipe: MD5 over Python's default JSON with sorted keys.
    text = json.dumps(schemas(), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
