"""Vidispine's files, storages and items in callsheet's words. Pure: no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import attrs

from callsheet._models import Component, Location
from callsheet._names import safe_name
from callsheet.providers.vidispine._shape import entries, pairs_of, values
from callsheet.providers.vidispine.file_details import metadata_of, moment, read_file, read_storage

__all__ = [
    "NAME",
    "OwnFiles",
    "checksum_of",
    "component_of",
    "fields",
    "file_name_of",
    "files_of_item",
    "is_gone",
    "is_whole",
    "item_metadata",
    "link_of",
    "location_of",
    "number_of",
    "own_files",
    "size_of",
]

Row = Mapping[str, Any]

NAME = "callsheet_name"
"""The key on a file under which its name stands where no path can hold it."""

_GONE = {"TO_BE_DELETED", "LOST"}
_NOT_YET = {"OPEN", "TO_APPEAR"}
_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_IN_A_MAP = re.compile(r"(?:^|,)([A-Za-z_][\w-]*[-*]\d+)=")
"""An id in `VX-1=path,VX-2=path`, whose paths may hold commas."""
_COMPONENTS = (
    "containerComponent",
    "videoComponent",
    "audioComponent",
    "binaryComponent",
    "descriptorComponent",
    "subtitleComponent",
)


# -- files ---------------------------------------------------------------------------------------------------


def component_of(
    row: Row, *, job_id: str | None = None, role: str | None = None, name: str | None = None
) -> Component:
    """Return the component of a file.

    Args:
        row: The FileDocument.
        job_id: The job it belongs to.
        role: Its role there.
        name: What it was called before it came; by default what its path says.
    """
    metadata = metadata_of(row)
    storage = row.get("storage")
    return Component(
        id=row["id"],
        raw=row,
        reader=read_file,
        name=metadata.get(NAME) or name or _last(row.get("path")) or row["id"],
        size=size_of(row),
        checksum=checksum_of(row.get("hash")),
        role=role,
        job_id=job_id,
        location_id=storage if isinstance(storage, str) else None,
        created_at=moment(metadata.get("created")) or moment(row.get("timestamp")),
    )


def size_of(row: Row) -> int | None:
    """Return the size of a file, if it is told."""
    size = str(row.get("size"))
    return int(size) if re.fullmatch(r"[0-9]{1,19}", size) else None


def _last(path: Any) -> str:
    return path.rstrip("/").rpartition("/")[2] if isinstance(path, str) else ""


def checksum_of(value: Any) -> str | None:
    """Return a hash as `algorithm:hex`: which algorithm a server uses, only the length tells."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]+", value):
        return None
    algorithm = _HASHES.get(len(value))
    return f"{algorithm}:{value.lower()}" if algorithm else None


def is_gone(row: Row) -> bool:
    """Tell whether the file is as good as deleted."""
    return row.get("state") in _GONE


def is_whole(row: Row) -> bool:
    """Tell whether all the file's bytes are there, as far as its state tells."""
    return row.get("state") not in _GONE | _NOT_YET


def number_of(id_: str) -> float:
    """Return the number in an id: it grows from one file to the next. Last comes what has none."""
    digits = re.search(r"(\d+)$", id_)
    return int(digits[1]) if digits else math.inf


def file_name_of(name: str) -> tuple[str, dict[str, str]]:
    """Return what a file is called on a storage, and what to note on it if that is not its name."""
    safe = safe_name(name)
    return safe, {} if safe == name else {NAME: name}


def fields(values: Mapping[str, str]) -> dict[str, Any]:
    """Return keys and values as a SimpleMetadataDocument."""
    return {"field": [{"key": key, "value": value} for key, value in values.items()]}


def item_metadata(values: Mapping[str, str]) -> dict[str, Any]:
    """Return fields of an item as a MetadataDocument; without any, an empty one."""
    named = [{"name": name, "value": [{"value": value}]} for name, value in values.items()]
    return {"timespan": [{"start": "-INF", "end": "+INF", "field": named}]} if named else {}


def link_of(uris: Any) -> str | None:
    """Return the first of the addresses that leads anybody there by HTTP and holds no credentials."""
    for uri in values(uris):
        if isinstance(uri, str):
            parts = urlsplit(uri)
            if parts.scheme in {"http", "https"} and parts.username is None and parts.password is None:
                return uri
    return None


# -- files of jobs and items ---------------------------------------------------------------------------------


@attrs.frozen
class OwnFiles:
    """The files that a job itself names.

    Attributes:
        inputs: Ids of those it works on.
        outputs: Ids of those it has made.
        item: The item it works on, whose other files may be told as well.
        name: What the file was called that it imports.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    item: str | None = None
    name: str | None = None

    def role_of(self, file_id: str) -> str:
        """Return a file's role: what the job does not name was there before, or came of it later."""
        return "input" if file_id in self.inputs else "output"

    def name_of(self, file_id: str) -> str | None:
        """Return what an imported file was called."""
        return self.name if file_id in self.inputs[:1] else None


def own_files(job: Row) -> OwnFiles:
    """Return the files that a job's metadata names."""
    data = pairs_of(job.get("data"))
    inputs = list(dict.fromkeys(filter(None, (data.get("fileId"), data.get("sourceFileId")))))
    made = _IN_A_MAP.findall(data.get("filePathMap", ""))
    return OwnFiles(
        inputs=tuple(inputs),
        outputs=tuple(id_ for id_ in dict.fromkeys(made) if id_ not in inputs),
        item=data.get("itemId") or data.get("item") or None,
        name=data.get("originalFilename") or data.get("bestEffortFilename") or None,
    )


def files_of_item(item: Row) -> list[Row]:
    """Return the files of all shapes of an ItemDocument, each once."""
    found: dict[str, Row] = {}
    for shape in entries(item.get("shape")):
        for component in chain.from_iterable(entries(shape.get(kind)) for kind in _COMPONENTS):
            for file in entries(component.get("file")):
                if isinstance(file.get("id"), str):
                    found.setdefault(file["id"], file)
    return list(found.values())


# -- storages ------------------------------------------------------------------------------------------------


def location_of(row: Row) -> Location:
    """Return the location of a storage: named as in its metadata, its kind the storage's type."""
    return Location(
        id=row["id"],
        raw=row,
        reader=read_storage,
        name=metadata_of(row).get("name") or row["id"],
        kind=row.get("type") or "storage",
    )
