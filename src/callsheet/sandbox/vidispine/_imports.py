"""The calls that bring files in: by their bytes, by a URI, into a placeholder, as a sidecar."""

from __future__ import annotations

import secrets
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import invalid, not_found, not_implemented
from callsheet.sandbox.vidispine._items import Item
from callsheet.sandbox.vidispine._jobs import write_job
from callsheet.sandbox.vidispine._receiving import Transfer, more_to_come, receive
from callsheet.sandbox.vidispine._values import Document

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["OPEN_TABLE", "TABLE", "item_data", "received", "source", "storage_for", "tags_of"]

SLOTS = ("container", "video", "audio", "binary")


async def import_raw(call: Call) -> Reply:
    """Import the bytes of the request, or a chunk of them, as a new item."""
    tags, transfer = tags_of(call), await receive(call, storage_for(call))
    if transfer is None:
        return more_to_come(call)
    return call.part.jobs.asked(call, "RAW_IMPORT", received(call, transfer), **tags)


async def ask_passkey(call: Call) -> Reply:
    """Make an import whose bytes will come without a login."""
    if not call.text("transferId"):
        raise invalid("transferId", "A transfer id is required")
    document = await call.document()
    inputs = {"metadata": document, **tags_of(call)}
    job = call.part.jobs.add(
        "RAW_IMPORT",
        call.user,
        {"passkey": secrets.token_hex(16)},
        given=call.metadata(),
        inputs=inputs,
        held=True,
    )
    return write_job(job, names=("passkey",))


async def import_by_passkey(call: Call) -> Reply:
    """Take the bytes of an import that was asked for."""
    jobs = call.part.jobs.by_id.values()
    job = next(
        (each for each in jobs if each.held and each.data.get("passkey") == call.text("passkey")), None
    )
    if job is None:
        raise not_found("passkey", call.text("passkey"))
    transfer = await receive(call, storage_for(call))
    if transfer is None:
        return more_to_come(call)
    job.data |= received(call, transfer)
    call.part.engine.release(job)
    return write_job(job)


async def ask_placeholder_passkey(call: Call) -> Reply:
    """Tell where a placeholder's components may be brought without a login."""
    item = call.part.items.get(call.id("item"))
    item.passkey = secrets.token_hex(16)
    base = f"{call.base}/APInoauth/import/placeholder/{item.id}"
    free = [component for component, count in item.slots.items() if count]
    return {"uri": [f"{base}/{component}/raw?passkey={item.passkey}" for component in free]} if free else {}


async def import_to_placeholder_by_passkey(call: Call) -> Reply:
    """Take the bytes of a placeholder's component."""
    item = call.part.items.by_id.get(call.id("item"))
    if item is None or not item.passkey or item.passkey != call.text("passkey"):
        raise not_found("passkey", call.text("passkey"))
    return await import_raw_to_placeholder(call)


async def import_uri(call: Call) -> Reply:
    """Import what a URI leads to as a new item; whether it leads anywhere is seen by the job."""
    if not call.text("uri") and not call.text("URL"):
        raise invalid("uri", "A URI is required")
    metadata = await call.document()
    return call.part.jobs.asked(call, "IMPORT", source(call), metadata=metadata, **tags_of(call))


async def create_placeholder(call: Call) -> Reply:
    """Make an item whose components will be imported later."""
    slots = {name: call.number(name, 0) for name in SLOTS}
    item = call.part.items.add(call.user, await call.document(), slots)
    return {"id": item.id}


async def import_to_placeholder(call: Call) -> Reply:
    """Import a component of a placeholder by a URI or a file's id."""
    item, component = slot_of(call)
    if not call.text("uri") and not call.text("fileId"):
        raise invalid("uri", "Either a URI or a file id is required")
    return fill_slot(call, item, component, source(call))


async def import_raw_to_placeholder(call: Call) -> Reply:
    """Import a component of a placeholder by its bytes."""
    item, component = slot_of(call)
    tags_of(call)
    transfer = await receive(call, storage_for(call))
    if transfer is None:
        return more_to_come(call)
    return fill_slot(call, item, component, received(call, transfer))


async def import_placeholder_bulk(call: Call) -> Reply:
    """Import a placeholder's container by a document; the other components it may name are not done here."""
    item, document = call.part.items.get(call.id("item")), await call.document()
    uri = document.get("container")
    if not isinstance(uri, str) or len(document) > 1:
        raise not_implemented()
    check_slot(item, "container")
    return fill_slot(call, item, "container", {"sourceUri": encoded(uri)})


async def adopt_file(call: Call) -> None:
    """Make a file that is there a placeholder's component, without a job."""
    item, component = slot_of(call)
    file = call.part.files.get(call.id("file"))
    item.slots[component] -= 1
    shape = next(iter(call.part.items.shapes_of(item)), None) or call.part.items.add_shape(item, ["original"])
    call.part.items.put_file(shape, component, file)


async def import_sidecar(call: Call) -> Reply:
    """Import a sidecar that a URI or a file's id leads to."""
    item, sidecar = call.part.items.get(call.id("item")), call.text("sidecar")
    if not sidecar:
        raise invalid("sidecar", "A URI or a file id is required")
    known = sidecar in call.part.files.by_id
    told = {"sourceFileId": sidecar} if known else {"sourceUri": encoded(sidecar)}
    return call.part.jobs.asked(call, "SIDECAR_IMPORT", {**item_data(item), **told})


async def import_raw_sidecar(call: Call) -> Reply:
    """Import a sidecar by its bytes."""
    item = call.part.items.get(call.id("item"))
    transfer = await receive(call, storage_for(call))
    if transfer is None:
        return more_to_come(call)
    data = {**item_data(item), **received(call, transfer)}
    return call.part.jobs.asked(call, "SIDECAR_IMPORT", data)


def storage_for(call: Call) -> str:
    """Return where the bytes of a request are to go.

    Raises:
        VidispineError: There is no such storage.
    """
    name: str = call.part.storages.get(call.text("storageId") or call.part.storages.default)["id"]
    return name


def received(call: Call, transfer: Transfer) -> dict[str, str]:
    """Return what a job knows of bytes that arrived."""
    filename = call.text("filename")
    named = {"originalFilename": filename, "bestEffortFilename": filename} if filename else {}
    return {"fileId": transfer.file.id, "destinationStorageId": transfer.file.storage, **named}


def source(call: Call) -> dict[str, str]:
    """Return what a job knows of where its file is.

    Raises:
        VidispineError: The storage that is named is unknown.
    """
    data: dict[str, str] = {}
    if call.text("storageId"):
        data["destinationStorageId"] = storage_for(call)
    if call.text("fileId"):
        return {**data, "sourceFileId": call.text("fileId")}
    uri = encoded(call.text("uri") or call.text("URL"))
    name = PurePosixPath(unquote(uri)).name
    return {**data, "sourceUri": uri, "originalFilename": name, "bestEffortFilename": name}


def encoded(uri: str) -> str:
    """Return a URI as one: clients encode what has to be, or do not."""
    return quote(uri, safe="%:/?&=#+@,;")


def tags_of(call: Call) -> dict[str, Any]:
    """Return which shapes an import makes: the imported one, and those it is transcoded to.

    Raises:
        VidispineError: A shape tag does not exist.
    """
    tags = [] if call.flag("no-transcode") else call.csv("tag")
    for tag in [*tags, *call.csv("importTag")]:
        call.part.check_tag(tag)
    return {"tag": call.text("importTag") or "original", "tags": tags}


def slot_of(call: Call) -> tuple[Item, str]:
    """Return the item and the type of component that the path names.

    Raises:
        VidispineError: There is no such item, or no component of that type is wanted any more.
    """
    item, component = call.part.items.get(call.id("item")), call.id("component")
    check_slot(item, component)
    return item, component


def check_slot(item: Item, component: str) -> None:
    """See that an item waits for a component of a type.

    Raises:
        VidispineError: It does not.
    """
    if not item.slots.get(component):
        word = f"{component.upper()}_COMPONENT"
        raise invalid("job", "No more components of that type is accepted", word)


def fill_slot(call: Call, item: Item, component: str, told: dict[str, str]) -> Document:
    """Make the job that imports a component of a placeholder."""
    inputs = {**tags_of(call), "component": component, "joins": True}
    document = call.part.jobs.asked(call, "PLACEHOLDER_IMPORT", {**item_data(item), **told}, **inputs)
    item.slots[component] -= 1
    return document


def item_data(item: Item) -> dict[str, str]:
    """Return what a job knows of the item it works on."""
    return {"item": item.id, "itemId": item.id}


PLACEHOLDER = "/import/placeholder/{item:id}"

TABLE: Table = [
    ("POST", "/import", import_uri),
    ("POST", "/import/raw", import_raw),
    ("POST", "/import/raw-passkey", ask_passkey),
    ("POST", "/import/placeholder", create_placeholder),
    ("POST", PLACEHOLDER, import_placeholder_bulk),
    ("POST", f"{PLACEHOLDER}/raw-passkey", ask_placeholder_passkey),
    ("POST", f"{PLACEHOLDER}/{{component}}", import_to_placeholder),
    ("POST", f"{PLACEHOLDER}/{{component}}/raw", import_raw_to_placeholder),
    ("POST", f"{PLACEHOLDER}/{{component}}/adopt/{{file:id}}", adopt_file),
    ("POST", "/import/sidecar/{item:id}", import_sidecar),
    ("POST", "/import/sidecar/{item:id}/raw", import_raw_sidecar),
]

OPEN_TABLE: Table = [
    ("POST", "/import/raw", import_by_passkey),
    ("POST", f"{PLACEHOLDER}/{{component}}/raw", import_to_placeholder_by_passkey),
]
"""What is answered without a login."""
