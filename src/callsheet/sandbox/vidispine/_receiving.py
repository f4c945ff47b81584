"""Bytes that arrive, whole or in chunks: `transferId`, and the request headers `size` and `index`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import anyio.to_thread
import attrs

from callsheet.sandbox._arriving import PIECE, keep_body
from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import invalid, not_found
from callsheet.sandbox.vidispine._files import File
from callsheet.sandbox.vidispine._jobs import check_words
from callsheet.sandbox.vidispine._values import Document, number

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE", "Transfer", "Transfers", "more_to_come", "receive"]


@attrs.define(eq=False, kw_only=True)
class Transfer:
    """Bytes on their way to a file.

    Attributes:
        size: How many there will be; None until somebody says so.
        ranges: Which are here: sorted, apart from each other, as first and one past the last.
    """

    name: str
    file: File
    priority: str
    size: int | None = None
    ranges: list[tuple[int, int]] = attrs.field(factory=list)
    state: str = "TRANSFERRING"

    @property
    def transferred(self) -> int:
        """How many bytes are here."""
        return sum(end - start for start, end in self.ranges)

    @property
    def complete(self) -> bool:
        """Whether all bytes are here."""
        return self.transferred == self.size

    def arrived(self, start: int, end: int) -> None:
        """Note that bytes are here; they may have been here before."""
        together: list[tuple[int, int]] = []
        for first, last in sorted([*self.ranges, (start, end)]):
            if together and first <= together[-1][1]:
                together[-1] = (together[-1][0], max(last, together[-1][1]))
            else:
                together.append((first, last))
        self.ranges = together

    def document(self) -> Document:
        """Return the transfer as JSON has it."""
        return {
            "name": self.name,
            "state": self.state,
            "priority": self.priority,
            "transferred": self.transferred,
            "fileId": self.file.id,
        }


class Transfers:
    """Every transfer, by the name that its client chose."""

    def __init__(self, part: Vidispine) -> None:
        self.by_name: dict[str, Transfer] = {}
        self._part = part

    def get(self, name: str) -> Transfer:
        """Return a transfer.

        Raises:
            VidispineError: There is none of that name.
        """
        if name not in self.by_name:
            raise not_found("Transfer", name)
        return self.by_name[name]

    def under_way(self, name: str, priority: str, storage: str, filename: str, path: str | None) -> Transfer:
        """Return the transfer of that name, or begin one: also if the last one of the name is finished.

        Raises:
            VidispineError: Meanwhile another file has the path.
        """
        transfer = self.by_name.get(name)
        if (
            transfer is None
            or transfer.state != "TRANSFERRING"
            or transfer.file.id not in self._part.files.by_id
        ):
            self._part.files.check_free(storage, path)
            file = self._part.files.add(storage, path, extension=PurePosixPath(filename).suffix)
            transfer = Transfer(name=name, file=file, priority=priority)
            self.by_name[name] = transfer
        return transfer

    def over(self, name: str, file: File) -> Transfer:
        """Return the transfer of that name which brings other bytes for a file, or begin it."""
        transfer = self.by_name.get(name)
        if transfer is None or transfer.state != "TRANSFERRING":
            self.by_name[name] = transfer = Transfer(name=name, file=file, priority="500")
        return transfer


@attrs.frozen
class Head:
    """What a request says about its bytes: where they begin, and how many there are in all."""

    index: int
    size: int | None

    @classmethod
    def read(cls, call: Call) -> Head:
        """Read it from the request's headers.

        Raises:
            VidispineError: They are no numbers, or below zero.
        """
        size = call.request.headers.get("size")
        head = cls(
            number("index", call.request.headers.get("index", 0)),
            None if size is None else number("size", size),
        )
        if head.index < 0 or (head.size is not None and head.size < head.index):
            raise invalid("index", "outside of the file", str(head.index))
        return head


async def receive(
    call: Call, storage: str, *, path: str | None = None, file: File | None = None
) -> Transfer | None:
    """Take the bytes of a request: a whole file, or a chunk of one.

    Args:
        call: The request.
        storage: Where a new file is to be.
        path: Its path there; None lets the server name it.
        file: The file whose bytes these shall be, instead of a new one.

    Returns:
        The transfer that is complete by this, whose file has its bytes; None if more is to come.

    Raises:
        VidispineError: The chunk will not do.
    """
    files, head = call.part.files, Head.read(call)
    check_words(call)
    name, filename = call.text("transferId") or secrets.token_hex(8), call.text("filename")
    arriving = files.scratch(secrets.token_hex(8))
    try:
        count = await keep_body(call.request, arriving)
        if head.size is not None and head.index + count > head.size:
            raise invalid("size", "there are more bytes than that", str(head.size))
        if file is not None:
            transfer = call.part.transfers.over(name, file)
        else:
            priority = call.text("transferPriority", "500")
            transfer = call.part.transfers.under_way(name, priority, storage, filename, path)
        return await joined(call, transfer, head, arriving, count)
    finally:
        arriving.unlink(missing_ok=True)


async def joined(call: Call, transfer: Transfer, head: Head, arrived: Path, count: int) -> Transfer | None:
    """Put a chunk that is here in its place, and the whole in the file's once it is complete."""
    files = call.part.files
    whole = files.scratch(f"transfer-{transfer.file.id}")
    transfer.size = head.index + count if head.size is None else head.size
    if count == transfer.size:
        await anyio.to_thread.run_sync(arrived.replace, whole)
    else:
        await anyio.to_thread.run_sync(place, arrived, whole, head.index)
    transfer.arrived(head.index, head.index + count)
    transfer.file.size = transfer.transferred
    if not transfer.complete or transfer.state != "TRANSFERRING":
        return None
    transfer.state = "FINISHED"
    files.fill(transfer.file, whole, await anyio.to_thread.run_sync(files.hashed, whole))
    return transfer


def place(source: Path, target: Path, offset: int) -> None:
    """Write a file's bytes into another one, from an offset on."""
    with (
        source.open("rb") as reader,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as writer,
    ):
        writer.seek(offset)
        while piece := reader.read(PIECE):
            writer.write(piece)


def more_to_come(call: Call) -> Reply:
    """Return the answer to a chunk after which others are to come."""
    return _answering.empty(call.part.chunk_status)


async def list_transfers(call: Call) -> Reply:
    """List the transfers in a state."""
    state = call.text("state", "TRANSFERRING")
    found = [each for each in call.part.transfers.by_name.values() if each.state == state]
    if call.plain:
        return _answering.lines(each.name for each in found)
    return {"transfer": [each.document() for each in found]} if found else {}


async def get_transfer(call: Call) -> Reply:
    """Return one transfer."""
    return call.part.transfers.get(call.id("transfer")).document()


async def put_transfer(call: Call) -> None:
    """Change a transfer's priority."""
    transfer = call.part.transfers.get(call.id("transfer"))
    transfer.priority = str(call.number("transferPriority", 500))


TABLE: Table = [
    ("GET", "/transfer", list_transfers),
    ("GET", "/transfer/{transfer}", get_transfer),
    ("PUT", "/transfer/{transfer}", put_transfer),
]
