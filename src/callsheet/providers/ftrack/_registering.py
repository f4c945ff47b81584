"""What is said to ftrack once bytes are stored: the component, where they are, and callsheet's note."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from callsheet._files import FrameSequence
from callsheet.providers.ftrack._frames import number_of, padding_of
from callsheet.providers.ftrack._operations import Operation, create
from callsheet.providers.ftrack._server import Server
from callsheet.providers.ftrack._uploads import Stored
from callsheet.providers.ftrack._wire import SERVER_LOCATION, split_name

__all__ = ["file_operations", "sequence_operations"]


def file_operations(server: Server, stored: Stored) -> list[Operation]:
    """Return what makes the component of one file."""
    name, file_type = split_name(stored.name)
    values = {"name": name, "file_type": file_type, "size": stored.size}
    return _file(server, stored, values, created=_now(server))


def sequence_operations(
    server: Server, sequence: FrameSequence, id_: str, frames: Sequence[Stored]
) -> list[Operation]:
    """Return what makes a component with a member for each frame, named by its number as ftrack does it."""
    name, file_type = split_name(sequence.name)
    values = {
        "name": name,
        "file_type": file_type,
        "size": sum(frame.size for frame in frames),
        "padding": padding_of(sequence),
    }
    note = {"created": _now(server), "pattern": sequence.pattern.name}
    operations = _component(server, "SequenceComponent", id_, values, note)
    for number, frame in enumerate(frames, sequence.first):
        member = {
            "name": number_of(sequence, number),
            "file_type": split_name(frame.name)[1],
            "size": frame.size,
            "container_id": id_,
        }
        operations += _file(server, frame, member)
    return operations


def _file(server: Server, stored: Stored, values: dict[str, Any], **note: Any) -> list[Operation]:
    made = _component(server, "FileComponent", stored.id, values, {"checksum": stored.checksum, **note})
    return [*stored.finish, *made]


def _component(
    server: Server, kind: str, id_: str, values: dict[str, Any], note: dict[str, Any]
) -> list[Operation]:
    place = {
        "id": server.id_of("place", id_),
        "component_id": id_,
        "location_id": SERVER_LOCATION,
        "resource_identifier": id_,
    }
    noted = {
        "parent_id": id_,
        "parent_type": kind,
        "key": "callsheet",
        "value": json.dumps(note, separators=(",", ":")),
    }
    return [
        create(kind, {"id": id_, **values}),
        create("ComponentLocation", place),
        create("Metadata", noted),
    ]


def _now(server: Server) -> str:
    return server.now().isoformat()
