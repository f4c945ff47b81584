"""Jobs to be made: what goes along as job metadata, and how a job is known again by its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from callsheet._errors import Conflict, InvalidRequest
from callsheet._files import File
from callsheet._models import NewJob
from callsheet._transfers import as_file
from callsheet.providers.vidispine._server import address
from callsheet.providers.vidispine._shape import pairs_of
from callsheet.providers.vidispine._words import DESCRIPTION, HASH, KEY, NAME, is_servers, priority_word

__all__ = ["Draft", "draft_of"]

LONGEST = 6000
"""Bytes that a job's parameters may have in a URL, where more has to go along with them."""

_RESERVED = {"type", "priority", "jobmetadata"}


@attrs.frozen
class Draft:
    """A job about to be made.

    Attributes:
        new: What is wanted.
        type: Its type; `None` for one that its file decides.
        user: Whom it is made for.
        key: Its idempotency key.
        hash: Of all that was asked for.
        query: What goes along.
    """

    new: NewJob
    type: str | None
    user: str
    key: str
    hash: str
    query: tuple[tuple[str, str], ...]

    def checked(self, row: Mapping[str, Any]) -> str:
        """Return the id of the job that was made under this key.

        Raises:
            Conflict: It was made by another request.
        """
        if pairs_of(row.get("data")).get(HASH) == self.hash:
            id_: str = row["jobId"]
            return id_
        raise Conflict(
            f"the idempotency key {self.key!r} was used with another request, which made {row['jobId']}",
            idempotency_key=self.key,
            provider="vidispine",
        )


def draft_of(new: NewJob, *, user: str, default_type: str | None) -> Draft:
    """Return the job as Vidispine is told of it.

    Raises:
        InvalidRequest: It has no type, or something that job metadata cannot hold; the message names it.
    """
    type_ = _type(new, default_type)
    attributes = _attributes(new.attributes or {})
    options = _options(new.vendor or {})
    request = {
        "name": new.name,
        "type": type_,
        "user": user,
        "description": new.description,
        "priority": new.priority,
        "item": new.item,
        "attributes": attributes,
        "files": [_file_name(file) for file in new.files],
        "vendor": options,
    }
    hash_ = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]
    metadata = {KEY: str(new.idempotency_key), HASH: hash_, NAME: new.name}
    if new.description:
        metadata[DESCRIPTION] = new.description
    if new.item is not None:
        metadata["itemId"] = new.item
    metadata |= attributes
    query = [*options, *(("jobmetadata", f"{key}={value}") for key, value in metadata.items())]
    if new.priority is not None:
        query.append(("priority", priority_word(new.priority)))
    named = [("filename", _file_name(file)) for file in new.files]
    if (size := len(address("job", query=[*query, *named]))) > LONGEST:
        raise InvalidRequest(
            f"name, description and attributes have {size} bytes in a URL, of which Vidispine takes {LONGEST}"
        )
    return Draft(new, type_, user, str(new.idempotency_key), hash_, tuple(query))


def _type(new: NewJob, default: str | None) -> str | None:
    if not new.files:
        if (type_ := new.type or default) is None:
            raise InvalidRequest("type: Vidispine's jobs need one (or files= with one file to import)")
        return type_
    if len(new.files) > 1:
        raise InvalidRequest(f"files: Vidispine takes one file as a job, not {len(new.files)}")
    if not isinstance(as_file(new.files[0]), File):
        raise InvalidRequest("files: Vidispine takes a file as a job: no frame sequence, no component")
    if new.type not in (None, "RAW_IMPORT"):
        raise InvalidRequest(f"type: a job that a file is uploaded as is a 'RAW_IMPORT', not {new.type!r}")
    if new.item is not None:
        raise InvalidRequest("item: a file uploaded as a job makes an item of its own; use import_shape()")
    return None


def _attributes(given: Mapping[str, Any]) -> dict[str, str]:
    for name, value in given.items():
        if not isinstance(value, str):
            raise InvalidRequest(
                f"attributes: {name!r} must be a text on Vidispine, not {type(value).__name__}"
            )
        if "=" in name:
            raise InvalidRequest(f"attributes: the name {name!r} holds '=', which Vidispine cannot take")
        if is_servers(name):
            raise InvalidRequest(f"attributes: {name!r} is a name that Vidispine uses itself")
    return dict(given)


def _options(vendor: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return options for Vidispine as parameters: one a value, and truth values in small letters."""
    if not isinstance(vendor, Mapping):
        raise InvalidRequest(f"vendor must be a mapping, not {type(vendor).__name__}")
    pairs: list[tuple[str, str]] = []
    for name, given in vendor.items():
        if not isinstance(name, str) or name in _RESERVED:
            raise InvalidRequest(f"vendor: {name!r} cannot be given; the other arguments say it")
        for value in given if isinstance(given, list | tuple) else [given]:
            if not isinstance(value, str | int | float):
                raise InvalidRequest(f"vendor: {name!r} must be a text or a number, not {value!r}")
            pairs.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    return pairs


def _file_name(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else Path(str(file)).name
