"""Uploads one file as a job in a process of its own, and tells how much memory that took, in bytes.

python worker.py SERVER FILE
"""

from __future__ import annotations

import resource
import sys

import anyio

from callsheet import Client, File
from callsheet.providers.vidispine import VidispineProvider


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main(server: str, path: str) -> None:
    async with Client(VidispineProvider(server, user="admin", password="admin")) as client:
        await client.jobs.create("small", files=[File(b"small", name="small.mov")])
        before = peak()
        job = await client.jobs.create("large", files=[path])
        print(job.id, peak() - before)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
