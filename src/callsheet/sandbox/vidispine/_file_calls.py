"""The calls about files: listing, reading, writing, copying and deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import FileResponse, RedirectResponse, Response

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import forbidden, invalid, not_found
from callsheet.sandbox.vidispine._file_listing import list_files, write_file
from callsheet.sandbox.vidispine._files import STATES, File
from callsheet.sandbox.vidispine._imports import storage_for, tags_of
from callsheet.sandbox.vidispine._receiving import more_to_come, receive
from callsheet.sandbox.vidispine._values import fields, read_fields

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["OPEN_TABLE", "TABLE"]

LINK_MINUTES = 15
LONGEST_LINK = 720


class Bytes(FileResponse):
    """Sends a file in larger pieces than usual."""

    chunk_size = 1024 * 1024


async def get_file(call: Call) -> Reply:
    """Return one file."""
    file = file_of(call)
    return _answering.text(file.id) if call.plain else write_file(call, file)


async def get_by_path(call: Call) -> Reply:
    """Return the file that has a path on a storage."""
    file = call.part.files.at(call.part.storages.get(call.id("storage"))["id"], call.id("path"))
    if file is None:
        raise not_found("File", call.id("path"))
    return write_file(call, file)


async def get_by_uri(call: Call) -> Reply:
    """Return the file of a storage that a URI leads to."""
    storage, file = call.part.storages.get(call.id("storage")), call.part.files.at_uri(call.id("uri"))
    if file is None or file.storage != storage["id"]:
        raise not_found("File", call.id("uri"))
    return write_file(call, file)


async def read_file(call: Call) -> Reply:
    """Send a file's bytes, or say where they are."""
    file = file_of(call)
    if call.part.redirect_data:
        return RedirectResponse(call.base + call.part.links.make(file, minutes=LINK_MINUTES), 303)
    return content(call, file)


async def read_link(call: Call) -> Reply:
    """Send a file's bytes to whoever has a good link."""
    file = call.part.links.file(call.text("token"))
    if file is None:
        raise forbidden("file", "The link has expired, or never was good", identity=call.id("file"))
    return content(call, file)


def content(call: Call, file: File) -> Response:
    """Return a file's bytes as an answer."""
    path = call.part.files.bytes_of(file)
    if not path.exists():
        raise not_found("File", file.id)
    if not call.part.ranges:
        scope = call.request.scope
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
    return Bytes(path, media_type="application/octet-stream")


async def create_file(call: Call) -> Reply:
    """Make a record of a file that is on a storage already."""
    document = await call.document()
    storage = call.request.path_params.get("storage") or document.get("storage") or call.part.storages.default
    path = document.get("path") or None
    if not isinstance(path, str | None):
        raise invalid("path", "must be a text")
    call.part.files.check_free(call.part.storages.get(storage)["id"], path)
    file = call.part.files.add(storage, path, state=state_of(document.get("state", "CLOSED")))
    return _answering.text(file.id) if call.plain else write_file(call, file)


async def upload_file(call: Call) -> Reply:
    """Take the bytes of a new file."""
    wanted = call.request.path_params.get("storage")
    storage = call.part.storages.get(wanted)["id"] if wanted else storage_for(call)
    path = call.text("path") or None
    transfer = call.part.transfers.by_name.get(call.text("transferId"))
    if transfer is None or transfer.state != "TRANSFERRING" or transfer.file.path != path:
        call.part.files.check_free(storage, path)
    done = await receive(call, storage, path=path)
    if done is None:
        return more_to_come(call)
    done.file.state = state_of(call.text("state", "CLOSED"))
    return _answering.text(done.file.id) if call.plain else write_file(call, done.file)


async def overwrite_file(call: Call) -> Reply:
    """Take other bytes for a file."""
    file = file_of(call)
    done = await receive(call, file.storage, file=file)
    if done is None:
        return more_to_come(call)
    return write_file(call, file)


async def change_state(call: Call) -> Reply:
    """Put a file in another state."""
    file = file_of(call)
    file.state = state_of(call.id("state"))
    return write_file(call, file)


def state_of(state: str) -> str:
    """Return the state of a file.

    Raises:
        VidispineError: There is no such state.
    """
    if state not in STATES:
        raise invalid("state", "There is no such file state", state)
    return state


async def change_hash(call: Call) -> None:
    """Give a file another hash."""
    file_of(call).hash = call.id("hash")


async def register_path(call: Call) -> Reply:
    """Note that a file was moved."""
    file = file_of(call)
    storage = call.text("storage") or file.storage
    path = call.text("path") or file.path
    call.part.files.check_free(call.part.storages.get(storage)["id"], path)
    call.part.files.move(file, storage, path)
    return write_file(call, file)


async def transfer_file(call: Call) -> Reply:
    """Copy or move a file to another storage, by a job."""
    file, target = file_of(call), call.part.storages.get(call.id("target"))["id"]
    kind = "MOVE_FILE" if call.flag("move") else "COPY_FILE"
    data = {"fileId": file.id, "sourceFileId": file.id, "destinationStorageId": target}
    return call.part.jobs.asked(call, kind, data, path=call.text("filename") or None)


async def import_file(call: Call) -> Reply:
    """Import a file that is on a storage as a new item."""
    file = file_of(call)
    metadata = await call.document()
    return call.part.jobs.asked(call, "IMPORT", {"sourceFileId": file.id}, metadata=metadata, **tags_of(call))


async def delete_file(call: Call) -> Reply:
    """Delete a file, by a job."""
    return call.part.jobs.asked(call, "DELETE_FILE", {"fileId": file_of(call).id})


async def delete_entity(call: Call) -> None:
    """Forget a file at once."""
    call.part.files.remove(file_of(call))


async def abandon_file(call: Call) -> None:
    """Take a file from its items."""
    call.part.items.forget_file(file_of(call))


async def make_link(call: Call) -> Reply:
    """Give out a URL that works without a login for some minutes."""
    file, minutes = file_of(call), call.number("duration", LINK_MINUTES)
    if not 1 <= minutes <= LONGEST_LINK:
        raise invalid("duration", f"from 1 to {LONGEST_LINK} minutes", str(minutes))
    return {"uri": [call.base + call.part.links.make(file, minutes=minutes)]}


async def get_metadata(call: Call) -> Reply:
    """Return what others noted about a file."""
    return fields(file_of(call).metadata)


async def put_metadata(call: Call) -> None:
    """Note more about a file."""
    file_of(call).metadata |= read_fields(await call.document())


async def delete_metadata(call: Call) -> None:
    """Forget what was noted about a file."""
    file_of(call).metadata.clear()


async def get_key(call: Call) -> Reply:
    """Return one note about a file, as text."""
    return _answering.text(noted(call)[call.id("key")])


async def put_key(call: Call) -> None:
    """Make one note about a file."""
    file_of(call).metadata[call.id("key")] = (await call.request.body()).decode(errors="replace")


async def delete_key(call: Call) -> None:
    """Forget one note about a file."""
    del noted(call)[call.id("key")]


def noted(call: Call) -> dict[str, str]:
    """Return the notes about a file, among them the one that the path names."""
    notes = file_of(call).metadata
    if call.id("key") not in notes:
        raise not_found("metadata", call.id("key"))
    return notes


def file_of(call: Call) -> File:
    """Return the file that the path names."""
    return call.part.files.get(call.id("file"), call.request.path_params.get("storage"))


FILES = ("/file/{file:id}", "/storage/file/{file:id}", "/storage/{storage:id}/file/{file:id}")

TABLE: Table = [
    ("GET", "/storage/file", list_files),
    ("GET", "/storage/{storage:id}/file", list_files),
    ("POST", "/storage/file", create_file),
    ("POST", "/storage/{storage:id}/file", create_file),
    ("POST", "/storage/file/data", upload_file),
    ("POST", "/storage/{storage:id}/file/data", upload_file),
    ("GET", "/storage/{storage:id}/file/path/{path:path}", get_by_path),
    ("GET", "/storage/{storage:id}/file/uri/{uri:path}", get_by_uri),
    *(("GET", path, get_file) for path in FILES),
    *(("DELETE", path, delete_file) for path in FILES),
    *(("GET", f"{path}/data", read_file) for path in FILES),
    *(("POST", f"{path}/data", overwrite_file) for path in FILES),
    ("PUT", "/file/{file:id}/state/{state}", change_state),
    ("PUT", "/file/{file:id}/hash/{hash}", change_hash),
    ("POST", "/file/{file:id}/path", register_path),
    ("POST", "/file/{file:id}/storage/{target:id}", transfer_file),
    ("POST", "/file/{file:id}/import", import_file),
    ("DELETE", "/file/{file:id}/entity", delete_entity),
    ("PUT", "/file/{file:id}/abandon", abandon_file),
    ("POST", "/file/{file:id}/uri", make_link),
    ("GET", "/file/{file:id}/metadata", get_metadata),
    ("PUT", "/file/{file:id}/metadata", put_metadata),
    ("DELETE", "/file/{file:id}/metadata", delete_metadata),
    ("GET", "/file/{file:id}/metadata/{key}", get_key),
    ("PUT", "/file/{file:id}/metadata/{key}", put_key),
    ("DELETE", "/file/{file:id}/metadata/{key}", delete_key),
]

OPEN_TABLE: Table = [("GET", "/storage/file/{file:id}/data", read_link)]
"""What is answered without a login."""
