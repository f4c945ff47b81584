"""The calls about storages, and about the methods by which they are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import conflict, invalid, not_found
from callsheet.sandbox.vidispine._storages import FLAGS
from callsheet.sandbox.vidispine._values import Document

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]


async def list_storages(call: Call) -> Reply:
    """List the storages."""
    storages = call.part.storages
    if call.plain:
        return _answering.lines(storages.by_id)
    found = [storages.document(each) for each in storages.by_id.values()]
    return {"storage": found} if found else {}


async def create_storage(call: Call) -> Reply:
    """Make a storage."""
    storage = call.part.storages.add(await call.document())
    return _answering.text(storage["id"]) if call.plain else call.part.storages.document(storage)


async def get_storage(call: Call) -> Reply:
    """Return one storage."""
    return call.part.storages.document(storage_of(call))


async def update_storage(call: Call) -> Reply:
    """Change a storage."""
    storage = call.part.storages.change(storage_of(call), await call.document())
    return call.part.storages.document(storage)


async def delete_storage(call: Call) -> Reply:
    """Delete a storage, with what is known of its files; `safe` only if there are none."""
    storage = storage_of(call)
    files = [file for file in call.part.files.by_id.values() if file.storage == storage["id"]]
    if files and call.flag("safe"):
        raise conflict("storage", "There are files on the storage", identity=storage["id"])
    for file in files:
        call.part.files.remove(file)
    del call.part.storages.by_id[storage["id"]]
    return _answering.empty(204)


async def rescan(call: Call) -> None:
    """Scan a storage."""
    call.part.storages.scan(storage_of(call))


async def evacuate(call: Call) -> None:
    """Begin to empty a storage; here, it only says so."""
    storage_of(call)["state"] = "EVACUATING"


async def stop_evacuation(call: Call) -> None:
    """Stop emptying a storage."""
    storage_of(call)["state"] = "NONE"


async def free_space(call: Call) -> Reply:
    """Tell how many bytes are free."""
    return _answering.text(str(call.part.storages.document(storage_of(call))["freeCapacity"]))


async def status(call: Call) -> Reply:
    """Tell a storage's state."""
    return _answering.text(storage_of(call)["state"])


async def list_methods(call: Call) -> Reply:
    """List the methods of a storage."""
    methods = [{**each, "bandwidth": 0} for each in storage_of(call)["method"]]
    return {"method": methods} if methods else {}


async def get_method(call: Call) -> Reply:
    """Return one method of a storage, in a list; of an unknown one, an empty document."""
    found = [each for each in storage_of(call)["method"] if each["id"] == call.id("method")]
    return {"method": [{**each, "bandwidth": 0} for each in found]} if found else {}


async def put_method(call: Call) -> Reply:
    """Change a method of a storage."""
    storage = storage_of(call)
    url = url_of(call, storage)
    for method in storage["method"]:
        if method["id"] == call.id("method"):
            return changed_method(call, method, url)
    raise not_found("storage-method", call.id("method"))


async def put_any_method(call: Call) -> Reply:
    """Change the method of a storage that has the URL, or make one."""
    storage = storage_of(call)
    url = url_of(call, storage)
    method = next((each for each in storage["method"] if each["uri"] == url), None)
    if method is None:
        method = call.part.storages.written_method({"uri": url})
        storage["method"].append(method)
    return changed_method(call, method, url)


async def delete_method(call: Call) -> None:
    """Take a method from a storage."""
    storage = storage_of(call)
    storage["method"] = [each for each in storage["method"] if each["id"] != call.id("method")]


def storage_of(call: Call) -> Document:
    """Return the storage that the path names."""
    return call.part.storages.get(call.id("storage"))


def url_of(call: Call, storage: Document) -> str:
    """Return the URL that is wanted for a method."""
    if ":" not in call.text("url"):
        raise invalid("storage", "invalid method url", identity=storage["id"])
    return call.text("url")


def changed_method(call: Call, method: Document, url: str) -> Reply:
    """Change a method, and tell it as one line."""
    chosen: dict[str, Any] = {name: call.flag(name) for name in FLAGS if name in call.words}
    method.update({"uri": url, **chosen, "type": call.text("type", method["type"])})
    return _answering.lines([f"{method['id']}\t{url}\t{method['type']}"])


async def import_storage(call: Call) -> Reply:
    """Tell where an import would go to."""
    return call.part.storages.document(call.part.storages.get(call.part.storages.default))


TABLE: Table = [
    ("GET", "/storage", list_storages),
    ("POST", "/storage", create_storage),
    ("GET", "/storage/{storage:id}", get_storage),
    ("PUT", "/storage/{storage:id}", update_storage),
    ("DELETE", "/storage/{storage:id}", delete_storage),
    ("POST", "/storage/{storage:id}/rescan", rescan),
    ("PUT", "/storage/{storage:id}/evacuate", evacuate),
    ("DELETE", "/storage/{storage:id}/evacuate", stop_evacuation),
    ("GET", "/storage/{storage:id}/freespace", free_space),
    ("GET", "/storage/{storage:id}/status", status),
    ("GET", "/storage/{storage:id}/method", list_methods),
    ("PUT", "/storage/{storage:id}/method", put_any_method),
    ("GET", "/storage/{storage:id}/method/{method:id}", get_method),
    ("PUT", "/storage/{storage:id}/method/{method:id}", put_method),
    ("DELETE", "/storage/{storage:id}/method/{method:id}", delete_method),
    ("GET", "/import/storage", import_storage),
]
