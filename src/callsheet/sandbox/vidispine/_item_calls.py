"""The calls about items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._items import Item, spans
from callsheet.sandbox.vidispine._values import Document

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]


async def list_items(call: Call) -> Reply:
    """List the items, newest first."""
    items = list(call.part.items.by_id.values())[::-1]
    first, number = max(call.number("first", 1), 1), call.number("number", 100)
    page = items[first - 1 : first - 1 + number]
    if call.plain:
        return _answering.lines(item.id for item in page)
    return {"hits": len(items), "item": [{"id": item.id} for item in page]}


async def get_item(call: Call) -> Reply:
    """Return one item, with the content that is asked for."""
    content = call.csv("content")
    item = call.part.items.get(call.id("item"), "item" if "metadata" in content else "Item")
    document: Document = {"id": item.id}
    if "metadata" in content:
        document["metadata"] = call.part.items.write_metadata(item)
    shapes = call.part.items.shapes_of(item)
    if "shape" in content and shapes:
        document["shape"] = [call.part.items.write_shape(shape) for shape in shapes]
    if "uri" in content and (uris := uris_of(call, item)):
        document["files"] = {"uri": uris}
    return document


async def list_uris(call: Call) -> Reply:
    """Tell where an item's files are."""
    uris = uris_of(call, call.part.items.get(call.id("item")))
    return _answering.lines(uris) if call.plain else {"uri": uris} if uris else {}


def uris_of(call: Call, item: Item) -> list[str]:
    """Return where an item's files are; as links without a login, if that is asked for."""
    files = call.part.files
    shapes = call.part.items.shapes_of(item)
    found = [files.by_id[file_id] for shape in shapes for file_id in shape.files if file_id in files.by_id]
    if call.flag("noauth-url"):
        return [call.base + call.part.links.make(file, minutes=15) for file in found]
    return [uri for file in found for uri in files.uris(file)]


async def delete_item(call: Call) -> Reply:
    """Delete an item, at once; there is no document in the answer, whatever its type says."""
    call.part.items.remove(call.part.items.get(call.id("item")))
    response = _answering.empty()
    response.headers["content-type"] = "application/json"
    return response


async def get_metadata(call: Call) -> Reply:
    """Return an item's metadata."""
    item = call.part.items.get(call.id("item"), "item")
    return {"item": [{"id": item.id, "metadata": call.part.items.write_metadata(item)}]}


async def put_metadata(call: Call) -> Reply:
    """Change an item's metadata: fields that are named get new values."""
    item = call.part.items.get(call.id("item"), "item")
    for span in spans(await call.document()):
        key = (span.get("start"), span.get("end"))
        there = next((each for each in item.metadata if (each.get("start"), each.get("end")) == key), None)
        if there is None:
            item.metadata.append(span)
            continue
        named: dict[str, Any] = {field["name"]: field for field in span["field"]}
        kept = [field for field in there["field"] if field["name"] not in named]
        there["field"] = [*kept, *named.values()]
    return {"item": [{"id": item.id, "metadata": call.part.items.write_metadata(item)}]}


TABLE: Table = [
    ("GET", "/item", list_items),
    ("GET", "/item/{item:id}", get_item),
    ("DELETE", "/item/{item:id}", delete_item),
    ("GET", "/item/{item:id}/uri", list_uris),
    ("GET", "/item/{item:id}/metadata", get_metadata),
    ("PUT", "/item/{item:id}/metadata", put_metadata),
]
