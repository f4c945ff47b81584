"""Items of a Vidispine server, their shapes and components."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from callsheet.sandbox.vidispine._errors import invalid, not_found
from callsheet.sandbox.vidispine._values import Document, pairs, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine
    from callsheet.sandbox.vidispine._files import File

__all__ = ["COMPONENTS", "Component", "Item", "Items", "Shape", "spans"]

COMPONENTS = ("container", "video", "audio", "binary", "descriptor", "subtitle")


@attrs.define(eq=False)
class Component:
    """One part of a shape; `files` are ids of copies of the same bytes."""

    id: str
    type: str
    files: list[str] = attrs.field(factory=list)


@attrs.define(eq=False, kw_only=True)
class Shape:
    """One format version of an item."""

    id: str
    item: str
    created: datetime
    tags: list[str]
    version: int = 0
    mime_types: list[str] = attrs.field(factory=list)
    components: list[Component] = attrs.field(factory=list)

    @property
    def files(self) -> list[str]:
        """Ids of all files, the container's first."""
        ordered = sorted(self.components, key=lambda each: COMPONENTS.index(each.type))
        return list(dict.fromkeys(file for component in ordered for file in component.files))


@attrs.define(eq=False, kw_only=True)
class Item:
    """One item.

    Attributes:
        owner: Who made it.
        metadata: Time spans, as they were given.
        slots: How many components of each type are still to be imported.
        access: Documents of who may do what besides the owner.
        passkey: By which its components come without a login; empty until somebody has asked for it.
    """

    id: str
    owner: str
    created: datetime
    metadata: list[Document]
    slots: dict[str, int] = attrs.field(factory=dict)
    access: list[Document] = attrs.field(factory=list)
    passkey: str = ""


class Items:
    """Every item and every shape, in order of creation."""

    def __init__(self, part: Vidispine) -> None:
        self.by_id: dict[str, Item] = {}
        self.shapes: dict[str, Shape] = {}
        self._part = part

    def get(self, identity: str, kind: str = "Item") -> Item:
        """Return an item.

        Raises:
            VidispineError: There is no such item; `kind` is what the server calls it then.
        """
        if identity not in self.by_id:
            raise not_found(kind, identity)
        return self.by_id[identity]

    def get_shape(self, item_id: str, identity: str) -> Shape:
        """Return a shape of an item.

        Raises:
            VidispineError: There is no such item, or no such shape of it.
        """
        item, shape = self.get(item_id), self.shapes.get(identity)
        if shape is None or shape.item != item.id:
            raise not_found("shape", identity)
        return shape

    def add(self, owner: str, metadata: Document | None = None, slots: dict[str, int] | None = None) -> Item:
        """Make an item."""
        identity, now = self._part.new_id("item"), self._part.now()
        item = Item(id=identity, owner=owner, created=now, metadata=[], slots=slots or {})
        item.metadata = spans(metadata or {}) or [{"start": "-INF", "end": "+INF", "field": []}]
        self.by_id[identity] = item
        return item

    def remove(self, item: Item) -> None:
        """Forget an item with its shapes and files."""
        for shape in self.shapes_of(item):
            self.remove_shape(shape)
        del self.by_id[item.id]

    def shapes_of(self, item: Item) -> list[Shape]:
        """Return an item's shapes."""
        return [shape for shape in self.shapes.values() if shape.item == item.id]

    def add_shape(self, item: Item, tags: list[str]) -> Shape:
        """Make a shape without components."""
        identity = self._part.new_id("shape")
        shape = Shape(id=identity, item=item.id, created=self._part.now(), tags=tags)
        self.shapes[identity] = shape
        return shape

    def remove_shape(self, shape: Shape, *, keep_files: bool = False) -> None:
        """Forget a shape, and its files too unless another shape has them."""
        del self.shapes[shape.id]
        others = {file for each in self.shapes.values() for file in each.files}
        for file_id in shape.files:
            if not keep_files and file_id not in others and file_id in self._part.files.by_id:
                self._part.files.remove(self._part.files.by_id[file_id])

    def add_component(self, shape: Shape, kind: str) -> Component:
        """Make a component without files."""
        component = Component(self._part.new_id("component"), kind)
        shape.components.append(component)
        return component

    def put_file(self, shape: Shape, kind: str, file: File) -> Component:
        """Make a file a component of a shape: the one that waits for it, or a new one."""
        waiting = (each for each in shape.components if each.type == kind and not each.files)
        component = next(waiting, None) or self.add_component(shape, kind)
        component.files.append(file.id)
        return component

    def forget_file(self, file: File) -> None:
        """Take a file out of every component."""
        for shape in self.shapes.values():
            for component in shape.components:
                if file.id in component.files:
                    component.files.remove(file.id)

    def tied_to(self, file: File) -> list[Document]:
        """Return the items, shapes and components that a file belongs to."""
        found: dict[str, Document] = {}
        for shape in self.shapes.values():
            if components := [each for each in shape.components if file.id in each.files]:
                item = found.setdefault(shape.item, {"id": shape.item, "shape": []})
                item["shape"].append({"id": shape.id, "component": [{"id": each.id} for each in components]})
        return list(found.values())

    def write_metadata(self, item: Item) -> Document:
        """Write an item's metadata."""
        return {"revision": f"{item.id}-1", "timespan": item.metadata}

    def write_shape(self, shape: Shape) -> Document:
        """Write a shape: its container is one object, all other components are in lists."""
        document: Document = {
            "id": shape.id,
            "created": stamp(shape.created),
            "essenceVersion": shape.version,
            "tag": shape.tags,
        }
        if shape.mime_types:
            document["mimeType"] = shape.mime_types
        for component in shape.components:
            if component.type == "container":
                document["containerComponent"] = self.write_component(component)
            else:
                document.setdefault(f"{component.type}Component", []).append(self.write_component(component))
        return document

    def write_component(self, component: Component) -> Document:
        """Write a component."""
        files = [self._part.files.by_id[each] for each in component.files]
        document: Document = {"id": component.id}
        if files:
            document["file"] = [self._part.files.document(file) for file in files]
        return {**document, "metadata": pairs({"componentType": component.type})}


def spans(metadata: Document) -> list[Document]:
    """Read the time spans of a metadata document.

    Raises:
        VidispineError: It has another shape.
    """
    found = metadata.get("timespan") or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise invalid("metadata", "timespan is not a list")
    for span in found:
        for field in span.get("field") or []:
            if not isinstance(field, dict) or not field.get("name"):
                raise invalid("metadata", "a field has no name", str(field))
    return [
        {**span, "group": span.get("group") or [], "field": span.get("field") or []}
        for span in found
        if span.get("field") or span.get("group")
    ]
