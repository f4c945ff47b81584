"""The calls about shapes, and those that make jobs out of items: transcoding, exporting and their like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._door import Handler
from callsheet.sandbox.vidispine._errors import invalid, not_found
from callsheet.sandbox.vidispine._imports import item_data, received, source, storage_for
from callsheet.sandbox.vidispine._items import COMPONENTS, Component, Shape
from callsheet.sandbox.vidispine._receiving import more_to_come, receive
from callsheet.sandbox.vidispine._values import Document

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]


async def list_shapes(call: Call) -> Reply:
    """List the ids of an item's shapes, or of those with a tag."""
    shapes, tag = call.part.items.shapes_of(call.part.items.get(call.id("item"))), call.text("tag")
    found = [shape.id for shape in shapes if not tag or tag in shape.tags]
    return _answering.lines(found) if call.plain else {"uri": found} if found else {}


async def get_shape(call: Call) -> Reply:
    """Return one shape."""
    return call.part.items.write_shape(shape_of(call))


async def create_shape(call: Call) -> Reply:
    """Make a shape from a document, without a job."""
    item, document = call.part.items.get(call.id("item")), await call.document()
    components = list(described(call, document))
    shape = call.part.items.add_shape(item, call.csv("tag") or list(document.get("tag") or []))
    shape.mime_types = list(document.get("mimeType") or [])
    for kind, files in components:
        call.part.items.add_component(shape, kind).files = files
    return {"id": shape.id, "essenceVersion": shape.version, "tag": shape.tags}


def described(call: Call, document: Document) -> Iterator[tuple[str, list[str]]]:
    """Yield type and files of each component that a shape's document describes.

    Raises:
        VidispineError: There is no such file.
    """
    for kind in COMPONENTS:
        wanted: Any = document.get(f"{kind}Component") or []
        for each in wanted if isinstance(wanted, list) else [wanted]:
            yield kind, [call.part.files.get(file["id"]).id for file in each.get("file") or []]


async def create_placeholder(call: Call) -> Reply:
    """Make a shape whose components will come later; its id is the answer."""
    item = call.part.items.get(call.id("item"))
    shape = call.part.items.add_shape(item, call.csv("tag"))
    for kind in ("container", "video", "audio", "binary"):
        for _ in range(call.number(kind, 0)):
            call.part.items.add_component(shape, kind)
    return _answering.text(shape.id)


async def import_shape(call: Call) -> Reply:
    """Import what a URI or a file's id leads to as another shape of an item."""
    return import_at("SHAPE_IMPORT", call)


async def import_raw_shape(call: Call) -> Reply:
    """Import the bytes of the request as another shape of an item."""
    return await import_bytes("SHAPE_IMPORT", call)


async def import_version(call: Call) -> Reply:
    """Import what a URI or a file's id leads to as the next version of an item."""
    return import_at("ESSENCE_VERSION", call)


async def import_raw_version(call: Call) -> Reply:
    """Import the bytes of the request as the next version of an item."""
    return await import_bytes("ESSENCE_VERSION", call)


def import_at(kind: str, call: Call) -> Document:
    """Make the job that imports a shape from where its file is."""
    item = call.part.items.get(call.id("item"))
    if not call.text("uri") and not call.text("fileId"):
        raise invalid("uri", "Either a URI or a file id is required")
    return call.part.jobs.asked(call, kind, {**item_data(item), **source(call)}, tag=tag_of(call, kind))


async def import_bytes(kind: str, call: Call) -> Reply:
    """Make the job that imports a shape from its bytes."""
    item, tag = call.part.items.get(call.id("item")), tag_of(call, kind)
    transfer = await receive(call, storage_for(call))
    if transfer is None:
        return more_to_come(call)
    return call.part.jobs.asked(call, kind, {**item_data(item), **received(call, transfer)}, tag=tag)


def tag_of(call: Call, kind: str) -> str:
    """Return the tag of the new shape.

    Raises:
        VidispineError: The tag does not exist.
    """
    tag = call.text("tag") or ("original" if kind == "ESSENCE_VERSION" else "")
    if tag:
        call.part.check_tag(tag)
    return tag


async def delete_shape(call: Call) -> Reply:
    """Delete a shape."""
    call.part.items.remove_shape(shape_of(call), keep_files=call.flag("keepFiles"))
    return {}


async def delete_shapes(call: Call) -> Reply:
    """Delete all shapes of an item."""
    for shape in call.part.items.shapes_of(call.part.items.get(call.id("item"))):
        call.part.items.remove_shape(shape, keep_files=call.flag("keepFiles"))
    return _answering.empty(204)


async def list_files(call: Call) -> Reply:
    """List the files of a shape."""
    files = [call.part.files.by_id[file] for file in shape_of(call).files if file in call.part.files.by_id]
    if call.plain:
        return _answering.lines(file.id for file in files)
    documents = [call.part.files.document(file, item=call.flag("includeItem")) for file in files]
    return {"hits": len(files), "file": documents} if files else {"hits": 0}


async def list_components(call: Call) -> Reply:
    """List the components of a shape."""
    found = [call.part.items.write_component(each) for each in shape_of(call).components]
    return {"component": found} if found else {}


async def add_component(call: Call) -> Reply:
    """Add a component without a file."""
    kind = call.text("type", "container")
    if kind not in COMPONENTS:
        raise invalid("type", "There is no such type of component", kind)
    return _answering.text(call.part.items.add_component(shape_of(call), kind).id)


async def put_file(call: Call) -> Reply:
    """Make a file that is there one of a component's."""
    component, file = component_of(call), call.part.files.get(call.id("file"))
    if file.id not in component.files:
        component.files.append(file.id)
    return call.part.items.write_component(component)


async def add_tag(call: Call) -> None:
    """Give a shape one more tag."""
    shape, tag = shape_of(call), call.id("tag")
    call.part.check_tag(tag)
    if tag not in shape.tags:
        shape.tags.append(tag)


async def remove_tag(call: Call) -> None:
    """Take a tag from a shape."""
    shape = shape_of(call)
    shape.tags = [each for each in shape.tags if each != call.id("tag")]


async def list_tags(call: Call) -> Reply:
    """List the tags of a shape."""
    tags = shape_of(call).tags
    return {"uri": tags} if tags else {}


def shape_of(call: Call) -> Shape:
    """Return the shape that the path names."""
    return call.part.items.get_shape(call.id("item"), call.id("shape"))


def component_of(call: Call) -> Component:
    """Return the component that the path names."""
    for component in shape_of(call).components:
        if component.id == call.id("component"):
            return component
    raise not_found("component", call.id("component"))


async def transcode(call: Call) -> Reply:
    """Make other shapes of an item, or of one of its shapes; the job sees whether there is any media."""
    item, tags = call.part.items.get(call.id("item")), call.csv("tag")
    for tag in tags:
        call.part.check_tag(tag)
    if "shape" in call.request.path_params:
        return call.part.jobs.asked(call, "TRANSCODE", item_data(item), tags=tags, shape=shape_of(call).id)
    return call.part.jobs.asked(call, "TRANSCODE", {**item_data(item), "tags": ",".join(tags)}, tags=tags)


def working(kind: str) -> Handler:
    """Return the handler that makes a job of a type whose work is not done here."""

    async def make(call: Call) -> Reply:
        """Make a job out of an item."""
        return call.part.jobs.asked(call, kind, item_data(call.part.items.get(call.id("item"))))

    return make


async def list_shape_tags(call: Call) -> Reply:
    """List the names of the shape tags."""
    return _answering.lines(call.part.tags) if call.plain else {"uri": list(call.part.tags)}


async def get_shape_tag(call: Call) -> Reply:
    """Return one shape tag."""
    call.part.check_tag(call.id("tag"))
    return call.part.tags[call.id("tag")]


async def put_shape_tag(call: Call) -> None:
    """Make or change a shape tag."""
    call.part.tags[call.id("tag")] = {**await call.document(), "name": call.id("tag")}


async def delete_shape_tag(call: Call) -> None:
    """Delete a shape tag."""
    call.part.check_tag(call.id("tag"))
    del call.part.tags[call.id("tag")]


ITEM = "/item/{item:id}"
SHAPE = "/item/{item:id}/shape/{shape:id}"

TABLE: Table = [
    ("GET", f"{ITEM}/shape", list_shapes),
    ("POST", f"{ITEM}/shape", import_shape),
    ("DELETE", f"{ITEM}/shape", delete_shapes),
    ("POST", f"{ITEM}/shape/raw", import_raw_shape),
    ("POST", f"{ITEM}/shape/create", create_shape),
    ("POST", f"{ITEM}/shape/placeholder", create_placeholder),
    ("POST", f"{ITEM}/shape/essence", import_version),
    ("POST", f"{ITEM}/shape/essence/raw", import_raw_version),
    ("GET", SHAPE, get_shape),
    ("DELETE", SHAPE, delete_shape),
    ("GET", f"{SHAPE}/file", list_files),
    ("GET", f"{SHAPE}/component", list_components),
    ("POST", f"{SHAPE}/component/placeholder", add_component),
    ("PUT", f"{SHAPE}/component/{{component:id}}/file/{{file:id}}", put_file),
    ("GET", f"{SHAPE}/tag", list_tags),
    ("PUT", f"{SHAPE}/tag/{{tag}}", add_tag),
    ("DELETE", f"{SHAPE}/tag/{{tag}}", remove_tag),
    ("POST", f"{ITEM}/transcode", transcode),
    ("POST", f"{SHAPE}/transcode", transcode),
    ("POST", f"{SHAPE}/update", working("SHAPE_UPDATE")),
    ("POST", f"{ITEM}/thumbnail", working("THUMBNAIL")),
    ("POST", f"{ITEM}/export", working("EXPORT")),
    ("POST", f"{ITEM}/analyze", working("ANALYZE")),
    ("GET", "/shape-tag", list_shape_tags),
    ("GET", "/shape-tag/{tag}", get_shape_tag),
    ("PUT", "/shape-tag/{tag}", put_shape_tag),
    ("DELETE", "/shape-tag/{tag}", delete_shape_tag),
]
