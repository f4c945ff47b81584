"""Frame sequences on their way into ftrack: each frame a file, several at once."""

from __future__ import annotations

import re
from collections import deque
from contextlib import AsyncExitStack
from functools import partial

from callsheet._files import FrameSequence
from callsheet._together import together
from callsheet.abc import Progress
from callsheet.providers.ftrack._server import Server
from callsheet.providers.ftrack._uploads import WHOLE, Stored, Uploads

__all__ = ["number_of", "padding_of", "store_frames"]

AT_ONCE = 8
"""Frames in flight, if memory allows: together they hold no more than one large file may."""


async def store_frames(
    server: Server, sequence: FrameSequence, key: str, stack: AsyncExitStack, progress: Progress
) -> list[Stored]:
    """Send the bytes of all frames to the storage, and return them in order."""
    uploads = Uploads(server)
    files = sequence.files()
    largest = max([await file.measure(server.threads) for file in files])
    waiting = deque(enumerate(files))
    done: dict[int, int] = {}
    stored: dict[int, Stored] = {}

    async def report(index: int, count: int) -> None:
        done[index] = count
        await progress(sum(done.values()))

    async def work() -> None:
        while waiting:
            index, file = waiting.popleft()
            id_ = server.id_of("file", key, str(index))
            stored[index] = await uploads.store(file, id_, stack, partial(report, index))

    workers = max(1, min(AT_ONCE, len(files), WHOLE // max(largest, 1)))
    await together([work] * workers)
    return [stored[index] for index in range(len(files))]


def padding_of(sequence: FrameSequence) -> int:
    """Return how many digits the frames' numbers have, filled up with zeros; 0 if they are not."""
    found = re.search(r"%0(\d+)d", sequence.pattern.name.replace("%%", ""))
    return int(found[1]) if found else 0


def number_of(sequence: FrameSequence, frame: int) -> str:
    """Return a frame's number as ftrack names the member by it."""
    return f"{frame:0{padding_of(sequence)}d}"
