"""Uploads one file in a process of its own, and tells how much memory that took, in bytes.

python worker.py SERVER FILE
"""

from __future__ import annotations

import resource
import sys

import anyio

from callsheet import Client
from callsheet.providers.ftrack import FtrackProvider


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main(server: str, path: str) -> None:
    async with Client(FtrackProvider(server, user="sandbox", api_key="sandbox-key")) as client:
        await client.components.upload(path.replace(".mov", ".small"))
        before = peak()
        part = await client.components.upload(path)
        print(part.id, peak() - before)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
