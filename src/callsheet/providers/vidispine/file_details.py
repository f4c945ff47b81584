"""Vidispine's own records of files and storages, typed: the `details` of components and locations.

Fields that an answer did not carry are `None` or empty. What a newer server adds stays in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from callsheet._models import Component, Location
from callsheet.providers.vidispine._shape import pairs_of, read_time, values
from callsheet.providers.vidispine.details import readable

__all__ = [
    "VidispineFile",
    "VidispineFileComponent",
    "VidispineFileItem",
    "VidispineFileShape",
    "VidispineStorage",
    "VidispineStorageMethod",
    "metadata_of",
    "moment",
    "read_file",
    "read_storage",
]


@attrs.frozen(kw_only=True)
class VidispineFileComponent:
    """A component of a shape that a file holds, by its id."""

    id: str | None = None


@attrs.frozen(kw_only=True)
class VidispineFileShape:
    """A shape that a file belongs to, and the components in it that the file holds."""

    id: str | None = None
    component: tuple[VidispineFileComponent, ...] = ()


@attrs.frozen(kw_only=True)
class VidispineFileItem:
    """An item that a file belongs to; told only if it was asked for."""

    id: str | None = None
    shape: tuple[VidispineFileShape, ...] = ()


@attrs.frozen(kw_only=True)
class VidispineFile:
    """A file as Vidispine keeps it. Times are in UTC.

    Attributes:
        path: Below the storage.
        uri: Where it is, for programs that can go there; may hold credentials, so it is not shown.
        state: `OPEN` while it is written, `CLOSED` after; `MISSING`, `LOST`, `TO_BE_DELETED` and others.
        size: Bytes.
        hash: In hex, once the server or the uploader has worked it out.
        storage: The id of its storage.
        refresh_flag: Of the server's own.
        metadata: Keys and values that programs have put on it.
    """

    id: str
    path: str | None = None
    uri: tuple[str, ...] = attrs.field(default=(), repr=False)
    state: str | None = None
    size: int | None = None
    hash: str | None = None
    timestamp: datetime | None = None
    refresh_flag: int | None = None
    storage: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    item: tuple[VidispineFileItem, ...] = ()


@attrs.frozen(kw_only=True)
class VidispineStorageMethod:
    """A way to reach a storage.

    Attributes:
        uri: May hold credentials, so it is not shown.
        type: `NONE`, or `AUTO` if it is served by HTTP.
    """

    id: str | None = None
    uri: str | None = attrs.field(default=None, repr=False)
    read: bool | None = None
    write: bool | None = None
    browse: bool | None = None
    type: str | None = None
    last_success: datetime | None = None
    last_failure: datetime | None = None
    bandwidth: int | None = None


@attrs.frozen(kw_only=True)
class VidispineStorage:
    """A storage as Vidispine keeps it. Sizes are in bytes, times in UTC.

    Attributes:
        type: `LOCAL`, `SHARED`, `REMOTE`, `EXTERNAL`, `ARCHIVE`, `EXPORT` or another.
        metadata: Keys and values that programs have put on it, its `name` among them.
    """

    id: str
    state: str | None = None
    type: str | None = None
    capacity: int | None = None
    free_capacity: int | None = None
    timestamp: datetime | None = None
    method: tuple[VidispineStorageMethod, ...] = ()
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    low_watermark: int | None = None
    high_watermark: int | None = None
    low_watermark_percentage: int | None = None
    high_watermark_percentage: int | None = None
    auto_detect: bool | None = None
    show_importables: bool | None = None


def moment(value: Any) -> datetime | None:
    """Return a time of Vidispine's in UTC; `None` if it is none."""
    try:
        return read_time(value)
    except (TypeError, ValueError):
        return None


def metadata_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys and values that programs have put on a file or storage."""
    metadata = record.get("metadata")
    return pairs_of(metadata.get("field")) if isinstance(metadata, Mapping) else {}


_converter = Converter()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _typed(kind: type[attrs.AttrsInstance]) -> None:
    """Let records of a kind be read as Vidispine names their members, a single one of a list among them."""
    overrides: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(kind)):
        hook = _HOOKS.get(field.type, _listed if get_origin(field.type) is tuple else None)
        overrides[field.name] = override(rename=_camel(field.name), struct_hook=hook)
    _converter.register_structure_hook(kind, make_dict_structure_fn(kind, _converter, **overrides))


def _listed(value: Any, kind: Any) -> Any:
    element = get_args(kind)[0]
    return tuple(_converter.structure(one, element) for one in values(value))


_HOOKS: dict[Any, Any] = {
    datetime | None: lambda value, _: moment(value),
    Mapping[str, str]: lambda value, _: metadata_of({"metadata": value}),
}

_KINDS: list[type[attrs.AttrsInstance]] = [
    VidispineFileComponent,
    VidispineFileShape,
    VidispineFileItem,
    VidispineFile,
    VidispineStorageMethod,
    VidispineStorage,
]
for _kind in _KINDS:
    _typed(_kind)


def read_file(component: Component) -> VidispineFile:
    """Return the component's record, typed.

    Raises:
        InvalidResponse: A member of it is nothing that can be read; the message names it.
    """
    with readable():
        return _converter.structure(_said(component.raw), VidispineFile)


def read_storage(location: Location) -> VidispineStorage:
    """Return the location's record, typed.

    Raises:
        InvalidResponse: A member of it is nothing that can be read; the message names it.
    """
    with readable():
        return _converter.structure(_said(location.raw), VidispineStorage)


def _said(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}
