"""What the steps of jobs do, by the method that their task definition names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from callsheet.sandbox.vidispine._files import File
from callsheet.sandbox.vidispine._items import Item

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine
    from callsheet.sandbox.vidispine._jobs import Job

__all__ = ["METHODS", "UNITS", "WorkFailed"]


class WorkFailed(Exception):
    """A step cannot be done; the text is for the job's log."""


def create_item(part: Vidispine, job: Job) -> None:
    """Make the item that an import is for, unless it is there."""
    if "itemId" not in job.data:
        item = part.items.add(job.user, job.inputs.get("metadata"))
        # What names the item comes before all else.
        job.data = {"item": item.id, "itemId": item.id, **job.data}


def transfer(part: Vidispine, job: Job) -> None:
    """Have the bytes of an import on a storage."""
    file = part.files.by_id.get(job.data.get("fileId", ""))
    if file is None and (source := source_of(part, job)) is not None:
        if "sourceFileId" in job.data:
            file = source
        else:
            storage = job.data.get("destinationStorageId") or source.storage
            file = part.files.copy(source, storage, extension=PurePosixPath(source.path).suffix)
    if file is None:
        raise WorkFailed(f"Could not find the source {unquote(job.data.get('sourceUri', '')) or 'file'}")
    part.files.close(file)
    job.data |= {
        "fileId": file.id,
        "filePathMap": f"{file.id}={file.path}",
        "destinationStorageId": file.storage,
        "bytesWritten": str(file.size),
    }


def source_of(part: Vidispine, job: Job) -> File | None:
    """Return the file that a job was told to take."""
    if "sourceFileId" in job.data:
        return part.files.by_id.get(job.data["sourceFileId"])
    return part.files.at_uri(unquote(job.data.get("sourceUri", "")))


def create_shape(part: Vidispine, job: Job) -> None:
    """Tie the bytes of an import to its item: as a new shape, or as a component of the one it is for."""
    item, file = item_of(part, job), file_of(part, job)
    tag = job.inputs.get("tag", "original")
    shape = next(
        (each for each in part.items.shapes_of(item) if job.inputs.get("joins") and tag in each.tags), None
    )
    if shape is None:
        shape = part.items.add_shape(item, [tag] if tag else [])
    part.items.put_file(shape, job.inputs.get("component", "container"), file)
    job.data["shapeIds"] = shape.id


def create_version(part: Vidispine, job: Job) -> None:
    """Make an import the next essence version of its item."""
    create_shape(part, job)
    shape = part.items.shapes[job.data["shapeIds"]]
    shape.version = 1 + max(each.version for each in part.items.shapes_of(item_of(part, job)))


def transcode(part: Vidispine, job: Job) -> None:
    """Make a shape for each tag: here, it has the bytes of the one it is made from."""
    if not job.inputs.get("tags"):
        return
    item = item_of(part, job)
    source = media_of(part, item, job.inputs.get("shape"))
    if source is None:
        raise WorkFailed(f"There is no media to transcode in {item.id}")
    made = []
    for tag in job.inputs["tags"]:
        copy = part.files.copy(source, source.storage, extension=PurePosixPath(source.path).suffix)
        part.files.close(copy)
        shape = part.items.add_shape(item, [tag])
        part.items.put_file(shape, "container", copy)
        made.append(shape.id)
    job.data |= {"shapeIds": ",".join(made), "transcodeProgress": "100.0"}


def media_of(part: Vidispine, item: Item, shape_id: str | None) -> File | None:
    """Return the first file of an item, or of one of its shapes."""
    shapes = [each for each in part.items.shapes_of(item) if shape_id in {None, each.id}]
    files = [part.files.by_id[file] for shape in shapes for file in shape.files if file in part.files.by_id]
    return files[0] if files else None


def item_of(part: Vidispine, job: Job) -> Item:
    """Return the item that a job works on.

    Raises:
        WorkFailed: It was deleted meanwhile.
    """
    item = part.items.by_id.get(job.data.get("itemId", ""))
    if item is None:
        raise WorkFailed(f"The item {job.data.get('itemId')} is gone")
    return item


def copy_file(part: Vidispine, job: Job) -> None:
    """Copy a file to another storage."""
    source = file_of(part, job)
    storage, path = target_of(part, job, source)
    copy = part.files.copy(source, storage, path=path)
    part.files.close(copy)
    for shape in list(part.items.shapes.values()):
        for component in shape.components:
            if source.id in component.files:
                component.files.append(copy.id)
    job.data["filePathMap"] = f"{copy.id}={copy.path}"


def move_file(part: Vidispine, job: Job) -> None:
    """Move a file to another storage; it stays the same file."""
    file = file_of(part, job)
    part.files.move(file, *target_of(part, job, file))
    job.data["filePathMap"] = f"{file.id}={file.path}"


def target_of(part: Vidispine, job: Job, file: File) -> tuple[str, str]:
    """Return the storage and the path where a job is to put a file.

    Raises:
        WorkFailed: Another file is there.
    """
    storage, path = job.data["destinationStorageId"], job.inputs.get("path") or file.path
    there = part.files.at(storage, path)
    if there is not None:
        raise WorkFailed(f"The file {there.id} is at {path} on {storage} already")
    return storage, path


def delete_file(part: Vidispine, job: Job) -> None:
    """Delete a file, its bytes and what it was tied to."""
    part.files.remove(file_of(part, job))


def file_of(part: Vidispine, job: Job) -> File:
    """Return the file that a job works on.

    Raises:
        WorkFailed: It was deleted meanwhile.
    """
    file = part.files.by_id.get(job.data.get("fileId", ""))
    if file is None:
        raise WorkFailed(f"The file {job.data.get('fileId')} is gone")
    return file


def disable_user(part: Vidispine, job: Job) -> None:
    """Let a user not log in any more."""
    part.users.get(job.inputs["disabled"]).enabled = False


METHODS: dict[str, Callable[[Vidispine, Job], None]] = {
    "createItem": create_item,
    "transfer": transfer,
    "createShape": create_shape,
    "createVersion": create_version,
    "transcode": transcode,
    "copyFile": copy_file,
    "moveFile": move_file,
    "deleteFile": delete_file,
    "disableUser": disable_user,
}

UNITS = {"transfer": "bytes", "copyFile": "bytes", "moveFile": "bytes", "transcode": "percent"}
"""Which steps show how far they are, and in what."""
