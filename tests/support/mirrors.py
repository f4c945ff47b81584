"""What a job puts out, and what is found of it on its mirror."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from callsheet import Client, File, Job

__all__ = ["OUTPUTS", "contents", "files"]

CONTENT = os.urandom(1_500_000)
"""More than one chunk."""

OUTPUTS: Mapping[str, bytes] = {
    "beauty.exr": CONTENT,
    "empty.txt": b"",
    "depth.exr": CONTENT[:1000],
    "normal.exr": CONTENT[1000:2000],
}
"""Content by name; two of them have the same size."""


async def contents(client: Client[Any], job: Job) -> dict[str, bytes]:
    """Return what is attached to a job, each name once, with its bytes or those of its frames."""
    found: dict[str, bytes] = {}
    for component in await client.components.list(job).collect():
        frames = await client.provider.members(component)
        parts = [component] if frames is None else frames
        for part in parts:
            name = part.name if frames is None else f"{component.name}/{part.name}"
            assert name not in found
            async with client.components.open(part) as chunks:
                found[name] = b"".join([chunk async for chunk in chunks])
    return found


def files(outputs: Mapping[str, bytes]) -> list[File]:
    """Return what a job puts out."""
    return [File(content, name=name) for name, content in outputs.items()]
