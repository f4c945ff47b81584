"""aiobotocore sending the files that are measured; run where that is installed.

    python -m bench.attachments_aiobotocore WORK FOLDER URL

Prints wall time and CPU in seconds, and how much the highest memory grew in MB, as JSON. It has no transfers
of its own, so that each file is read whole and put in one request; it knows no hashes.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from bench.attachments_beside import KEYS
from bench.meter import Meter

__all__: list[str] = []

AT_ONCE = 10
"""Requests at a time: as many as its pool of connections holds."""


async def send(client: Any, paths: list[Path]) -> None:
    """Put each file into the bucket."""
    queue = iter(paths)

    async def work() -> None:
        for path in queue:
            await client.put_object(
                Bucket="bucket", Key=path.name, Body=await asyncio.to_thread(path.read_bytes)
            )

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def main(paths: list[Path]) -> None:
    """Do the work once and print what it took."""
    session = importlib.import_module("aiobotocore.session").get_session()
    async with session.create_client("s3") as client:
        meter = Meter()
        await send(client, paths)
        print(meter.stop())


if __name__ == "__main__":
    _, where, url = sys.argv[1:]
    os.environ.update(KEYS, AWS_ENDPOINT_URL=url)
    asyncio.run(main(sorted(Path(where).iterdir())))
