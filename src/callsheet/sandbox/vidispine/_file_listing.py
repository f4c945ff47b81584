"""Listing the files of a Vidispine server, by offset or by cursor."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import invalid
from callsheet.sandbox.vidispine._files import File
from callsheet.sandbox.vidispine._values import Document

__all__ = ["list_files", "write_file"]

SORTS: dict[str, Callable[[File], Any]] = {
    "fileId": lambda file: int(file.id.rpartition("-")[2]),
    "filename": lambda file: file.path,
    "path": lambda file: file.path,
    "size": lambda file: file.size,
    "state": lambda file: file.state,
    "timestamp": lambda file: file.timestamp,
}


async def list_files(call: Call) -> Reply:
    """List files: by offset from 0, or by cursor."""
    storage = call.request.path_params.get("storage")
    if storage:
        call.part.storages.get(storage)
    checks = list(filters(call, storage))
    found = ordered(
        call, [each for each in call.part.files.by_id.values() if all(check(each) for check in checks)]
    )
    cursor = call.text("cursor")
    first = call.number("start" if "start" in call.words else "first", 0)
    if cursor:
        first = place_of(cursor)
    number = call.number("number", 10)
    page = found[first : first + number]
    if call.plain:
        return _answering.lines(file.id for file in page)
    document: Document = {"hits": len(found)} if call.flag("count", True) else {}
    if page:
        document["file"] = [write_file(call, file) for file in page]
    if cursor and first + number < len(found):
        document["nextCursor"] = f"{first + number:x}"
    return document


def place_of(cursor: str) -> int:
    """Return where a cursor goes on; `*` begins.

    Raises:
        VidispineError: It is none of this server's.
    """
    try:
        return 0 if cursor == "*" else int(cursor, 16)
    except ValueError:
        raise invalid("cursor", "There is no such cursor", cursor) from None


def filters(call: Call, storage: str | None) -> Iterator[Callable[[File], bool]]:
    """Yield what a file must be."""
    if storages := {storage} if storage else set(call.csv("storage")):
        yield lambda file: file.storage in storages
    for name in ("state", "id", "hash"):
        if wanted := set(call.csv(name)):
            yield one_of(attrgetter(name), wanted)
    path, recursive = call.text("path").strip("/"), call.flag("recursive", True)
    if path and not call.flag("wildcard"):
        yield lambda file: file.path == path or file.path.startswith(f"{path}/")
        if not recursive:
            yield lambda file: "/" not in file.path.removeprefix(f"{path}/")
    elif path:
        yield lambda file: fnmatch.fnmatchcase(file.path, path)
    if prefix := call.text("prefix"):
        yield lambda file: file.path.startswith(prefix)
    if not call.flag("includeOpen", True):
        yield lambda file: file.state != "OPEN"


def one_of(attribute: Callable[[File], str], wanted: set[str]) -> Callable[[File], bool]:
    """Return the test for an attribute of a file."""
    return lambda file: attribute(file) in wanted


def ordered(call: Call, files: list[File]) -> list[File]:
    """Sort files as a request says; by age, unless it says so.

    Raises:
        VidispineError: A field is unknown.
    """
    for clause in reversed(call.csv("sort")):
        name, _, direction = clause.partition(" ")
        if name not in SORTS:
            raise invalid("sort", "files cannot be sorted by that", clause)
        files = sorted(files, key=SORTS[name], reverse=direction.strip().lower() == "desc")
    return files


def write_file(call: Call, file: File) -> Document:
    """Write a file as a request wants it."""
    schemes, types = set(call.csv("scheme")), set(call.csv("methodType"))

    def wanted(method: Mapping[str, str]) -> bool:
        scheme = method["uri"].partition(":")[0]
        return (not schemes or scheme in schemes) and (not types or method["type"] in types)

    return call.part.files.document(file, item=call.flag("includeItem"), wanted=wanted)
