"""Storages of a Vidispine server, and the methods by which they are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callsheet.sandbox.vidispine._errors import conflict, invalid, not_found
from callsheet.sandbox.vidispine._values import Document, documents, fields, flag, number, read_fields, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["FLAGS", "Storages"]

FLAGS = ("read", "write", "browse")

ORDER = (
    *("id", "state", "type", "capacity", "freeCapacity", "timestamp", "method", "metadata"),
    *("lowWatermark", "highWatermark", "lowWatermarkPercentage", "highWatermarkPercentage"),
    *("autoDetect", "showImportables"),
)
"""How real answers order the members of a storage."""


class Storages:
    """Every storage: its document, as it was given and completed by the server."""

    def __init__(self, part: Vidispine) -> None:
        self.by_id: dict[str, Document] = {}
        self._part = part

    def get(self, identity: str) -> Document:
        """Return a storage.

        Raises:
            VidispineError: There is no such storage.
        """
        if identity not in self.by_id:
            raise not_found("Storage", identity)
        return self.by_id[identity]

    @property
    def default(self) -> str:
        """Where imports go that name no storage."""
        if not self.by_id:
            raise conflict("storage", "There is no storage to import to")
        return next(iter(self.by_id))

    def add(self, wanted: Document) -> Document:
        """Make a storage.

        Raises:
            VidispineError: A value of the document will not do.
        """
        identity = self._part.new_id("storage")
        storage = self._written({"id": identity, "state": "NONE"}, wanted)
        self.by_id[identity] = storage
        return storage

    def change(self, storage: Document, wanted: Document) -> Document:
        """Put other values in a storage.

        Raises:
            VidispineError: A value of the document will not do.
        """
        changed = self._written(storage, wanted)
        self.by_id[storage["id"]] = changed
        return changed

    def _written(self, before: Document, wanted: Document) -> Document:
        capacity = number("capacity", wanted.get("capacity", before.get("capacity", 0)))
        storage: Document = {
            "id": before["id"],
            "state": before["state"],
            "type": wanted.get("type", before.get("type", "LOCAL")),
            "capacity": capacity,
        }
        methods = [self.written_method(each) for each in documents("method", wanted.get("method"))]
        storage["method"] = methods or before.get("method", [])
        if named := read_fields(wanted.get("metadata")) or read_fields(before.get("metadata")):
            storage["metadata"] = fields(named)
        for mark in ("lowWatermark", "highWatermark"):
            percentage = wanted.get(f"{mark}Percentage", before.get(f"{mark}Percentage"))
            if percentage is not None:
                storage[f"{mark}Percentage"] = number(mark, percentage)
                storage[mark] = capacity * storage[f"{mark}Percentage"] // 100
        if "autoDetect" in {**before, **wanted}:
            storage["autoDetect"] = flag(wanted.get("autoDetect", before.get("autoDetect")))
        storage["showImportables"] = flag(wanted.get("showImportables", before.get("showImportables", True)))
        return storage

    def written_method(self, wanted: Document) -> Document:
        """Return the document of a new method."""
        if not wanted.get("uri"):
            raise invalid("storage", "invalid method url")
        return {
            "id": self._part.new_id("method"),
            "uri": wanted["uri"],
            **{name: flag(wanted.get(name, True)) for name in FLAGS},
            "type": wanted.get("type", "NONE"),
        }

    def document(self, storage: Document) -> Document:
        """Write a storage in the order of real answers, with what is free by now."""
        used = sum(file.size for file in self._part.files.by_id.values() if file.storage == storage["id"])
        written = {**storage, "freeCapacity": max(storage["capacity"] - used, 0)}
        return {name: written[name] for name in ORDER if name in written}

    def scan(self, storage: Document) -> None:
        """Look at a storage: it and its methods show when."""
        storage["timestamp"] = stamp(self._part.now())
        for method in storage["method"]:
            method["lastSuccess"] = storage["timestamp"]
