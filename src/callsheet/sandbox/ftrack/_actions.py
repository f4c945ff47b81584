"""The operations of ftrack's API: one function an action, one batch a request."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from callsheet.sandbox.ftrack import _language as language
from callsheet.sandbox.ftrack._editing import Editor, key_from
from callsheet.sandbox.ftrack._errors import ValidationError
from callsheet.sandbox.ftrack._selecting import entity_type_named
from callsheet.sandbox.ftrack._store import Document
from callsheet.sandbox.ftrack._types import TYPES, schema_hash, schemas
from callsheet.sandbox.ftrack._writing import Writer

if TYPE_CHECKING:
    from callsheet.sandbox.ftrack import Ftrack

__all__ = ["Batch"]

Operation = dict[str, Any]

VERSION = "25.1.0"


@attrs.define
class Batch:
    """The operations of one request.

    Attributes:
        url: Of the server, as the client sees it.
        user: Who asks.
        afterwards: What is to be done once the batch is kept.
        assemblies: As above, for what may take long: in a thread.
    """

    part: Ftrack
    url: str
    user: Document
    editor: Editor
    writer: Writer
    afterwards: list[Callable[[], None]] = attrs.field(factory=list)
    assemblies: list[Callable[[], None]] = attrs.field(factory=list)

    def do(self, operation: Any) -> Any:
        """Do one operation, and return its answer.

        Raises:
            FtrackError: It cannot be done.
        """
        if not isinstance(operation, dict):
            raise ValidationError(f"An operation is an object, not {operation!r}")
        action = operation.get("action")
        if action not in ACTIONS:
            # The vendor's client looks for these very words.
            raise ValidationError(f"Invalid action u'{action}'")
        return ACTIONS[action](self, operation)


def query_server_information(batch: Batch, operation: Operation) -> Any:
    """Tell about the server, all or the values asked for."""
    information = {
        "version": VERSION,
        "schema_hash": schema_hash(),
        "is_timezone_support_enabled": batch.part.utc_offset is None,
        "storage_scenario": {"scenario": "ftrack.automatic", "data": {}},
        "user_information": {"id": batch.user["id"], "username": batch.user["username"]},
    }
    wanted = operation.get("values") or information
    return {name: information[name] for name in wanted if name in information}


def query_schemas(batch: Batch, operation: Operation) -> Any:
    """Tell every schema."""
    return schemas()


def query(batch: Batch, operation: Operation) -> Any:
    """Answer a query, page by page."""
    wanted = language.parse(needed(operation, "expression"))
    entity_type = entity_type_named(wanted.entity_type)
    selection = batch.part.selector.select(wanted, batch.editor.offset)
    projections = wanted.projections or [(name,) for name in entity_type.default_projections]
    return {
        "action": operation["action"],
        "data": batch.writer.rows(entity_type, projections, selection.documents),
        "metadata": {"next": {"offset": selection.next_offset}},
    }


def create(batch: Batch, operation: Operation) -> Any:
    """Add an entity; what was sent comes back as it was sent, with what the server added."""
    name, data = operation.get("entity_type"), mapping(operation, "entity_data")
    if name == "Job" and data.get("type") not in {None, "api_job"}:
        raise ValidationError(f'Invalid job type "{data["type"]}". Must be "api_job"')
    document = batch.editor.create(name, data)
    present = [name for name, value in document.items() if value is not None and name != "__entity_type__"]
    sent = {name: value for name, value in data.items() if name in present}
    return {"action": "create", "data": batch.writer.changed(document, present) | sent}


def update(batch: Batch, operation: Operation) -> Any:
    """Change an entity; what was changed comes back."""
    name, data = operation.get("entity_type"), mapping(operation, "entity_data")
    key = key_from(name, operation.get("entity_key"))
    before = batch.editor.find(name, key)
    document = batch.editor.update(name, key, data)
    attributes = TYPES[document["__entity_type__"]].attributes
    sent = {name: attributes[name] for name in data if name in attributes}
    own = {each.name for each in sent.values() if each.stored or each.kind == "reference"}
    own |= {each.via for each in sent.values() if each.kind == "reference"}
    own |= {name for name in document if document[name] != before.get(name)}
    # A collection comes back as it was set: its members may yet change in this batch.
    lists = {
        each.name: data[each.name] or [] for each in sent.values() if each.kind in {"collection", "mapping"}
    }
    return {"action": "update", "data": batch.writer.changed(document, sorted(own)) | lists}


def delete(batch: Batch, operation: Operation) -> Any:
    """Remove an entity."""
    name = operation.get("entity_type")
    document = batch.editor.delete(name, key_from(name, operation.get("entity_key")))
    if TYPES[document["__entity_type__"]].table == "Component":
        batch.afterwards.append(lambda: batch.part.files.remove(document["id"]))
    return {"action": "delete", "data": True}


def get_upload_metadata(batch: Batch, operation: Operation) -> Any:
    """Tell where to put a component's bytes, whole or in parts. The component need not exist yet."""
    component_id = needed(operation, "component_id")
    if operation.get("parts"):
        return _upload_in_parts(batch, component_id, operation["parts"])
    name, size = operation.get("file_name"), operation.get("file_size")
    if name is None or size is None:
        stored = batch.editor.find("Component", (component_id,))
        name = name or f"{stored['name']}{stored.get('file_type') or ''}"
        size = stored["size"] if size is None else size
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    words: dict[str, Any] = {"id": component_id, "size": size}
    # Python's client sends an empty file in chunks: a length beside that would be one too many.
    if size:
        headers["Content-Length"] = str(size)
    if checksum := operation.get("checksum"):
        headers["Content-MD5"] = words["md5"] = checksum
    return {"component_id": component_id, "url": _upload_url(batch, words), "headers": headers}


def _upload_in_parts(batch: Batch, component_id: str, parts: Any) -> Any:
    if not isinstance(parts, int) or isinstance(parts, bool) or not 1 <= parts <= 10_000:
        raise ValidationError(f"parts: {parts!r} is not between 1 and 10000")
    upload_id = batch.part.files.begin(component_id, parts)
    urls = [
        {
            "part_number": number,
            "signed_url": _upload_url(batch, {"id": component_id, "upload": upload_id, "part": number}),
        }
        for number in range(1, parts + 1)
    ]
    return {"component_id": component_id, "upload_id": upload_id, "urls": urls}


def _upload_url(batch: Batch, words: dict[str, Any]) -> str:
    return batch.url + batch.part.links.sign("/component/upload", words, batch.part.link_seconds)


def complete_multipart_upload(batch: Batch, operation: Operation) -> Any:
    """Make the parts of an upload the component's bytes, once the whole batch is kept."""
    component_id, upload_id = needed(operation, "component_id"), needed(operation, "upload_id")
    try:
        tags = {int(part["part_number"]): str(part["e_tag"]) for part in operation["parts"]}
    except (KeyError, TypeError, ValueError) as exc:
        raise ValidationError("parts: a list of part_number and e_tag is needed") from exc
    batch.part.files.check(component_id, upload_id, tags)
    batch.assemblies.append(lambda: batch.part.files.complete(upload_id))
    return {
        "action": "complete_multipart_upload",
        "component_id": component_id,
        "url": batch.part.link(batch.url, component_id),
    }


def generate_signed_url(batch: Batch, operation: Operation) -> Any:
    """Tell where a component's bytes can be had for a while."""
    return {"signed_url": batch.part.link(batch.url, needed(operation, "component_id"))}


def delayed_job(batch: Batch, operation: Operation) -> Any:
    """Begin a job of the server's own; it runs on the sandbox's clock."""
    words = {"type": "delayed_job", "data": json.dumps({"job_type": needed(operation, "job_type")})}
    job = batch.editor.create("Job", {**words, "user_id": batch.user["id"]})
    batch.afterwards.append(lambda: batch.part.run_job(job["id"], starts=1, ends=10))
    return {"action": "delayed_job", "data": batch.writer.changed(job, TYPES["Job"].stored)}


def reset_remote(batch: Batch, operation: Operation) -> Any:
    """Give a user another API key."""
    if operation.get("reset_type") != "api_key" or operation.get("entity_type") != "User":
        raise ValidationError(f"Invalid reset_type {operation.get('reset_type')!r}")
    user = batch.editor.find("User", key_from("User", operation.get("entity_key")))
    key = str(uuid.uuid4())
    batch.afterwards.append(lambda: batch.part.api_keys.__setitem__(user["username"], key))
    return {"action": "reset_remote", "data": {"api_key": key}}


def needed(operation: Operation, name: str) -> str:
    """Return a text that an operation cannot do without.

    Raises:
        ValidationError: It is missing, or no text.
    """
    value = operation.get(name)
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{operation['action']} needs {name}")
    return value


def mapping(operation: Operation, name: str) -> dict[str, Any]:
    """Return an object that an operation cannot do without.

    Raises:
        ValidationError: It is missing, or no object.
    """
    value = operation.get(name)
    if not isinstance(value, dict):
        raise ValidationError(f"{operation['action']} needs an object as {name}")
    return value


ACTIONS: dict[Any, Callable[[Batch, Operation], Any]] = {
    "query_server_information": query_server_information,
    "query_schemas": query_schemas,
    "query": query,
    "search": query,
    "create": create,
    "update": update,
    "delete": delete,
    "get_upload_metadata": get_upload_metadata,
    "complete_multipart_upload": complete_multipart_upload,
    "generate_signed_url": generate_signed_url,
    "delayed_job": delayed_job,
    "reset_remote": reset_remote,
}
"""What each action's name does."""
