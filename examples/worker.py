"""An async worker that tracks each task of a queue.

    python examples/worker.py [local:DIR]

Several tasks run at a time; each shows as a job from the moment it starts to its end, whatever that end is.
Swap `Queue` for your broker's consumer: the body of `work` stays the same. The broker's own task id is the
idempotency key, so a task that is delivered twice finds its job instead of making another.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream

import callsheet
from callsheet import Client, JobState

WORKERS = 4


@attrs.frozen
class Task:
    """What a broker delivers: its id, and what to do."""

    id: str
    path: Path


async def work(client: Client[Any], queue: MemoryObjectReceiveStream[Task]) -> None:
    """Take tasks until there are none, and track each."""
    async for task in queue:
        try:
            async with client.jobs.track(f"Checksum {task.path.name}", idempotency_key=task.id) as tracked:
                digest = hashlib.sha256()
                size = max(task.path.stat().st_size, 1)
                with task.path.open("rb") as file:
                    while chunk := await anyio.to_thread.run_sync(file.read, 1 << 20):
                        await anyio.to_thread.run_sync(digest.update, chunk)
                        tracked.progress(file.tell() / size)
                await tracked.update(attributes={"sha256": digest.hexdigest(), "path": str(task.path)})
        except OSError as error:
            # The job shows as failed, with the traceback's end; the worker goes on with the next task.
            logging.warning("task %s failed: %s", task.id, error)


async def main(url: str) -> None:
    """Fill a queue, let the workers empty it, and show what the tracker knows of it."""
    sending, receiving = anyio.create_memory_object_stream[Task](max_buffer_size=100)
    here = Path(__file__).parent
    async with callsheet.connect(url) as client:
        async with anyio.create_task_group() as workers:
            for _ in range(WORKERS):
                workers.start_soon(work, client, receiving)
            with sending:
                for path in [*sorted(here.glob("*.py")), here / "missing.mov"]:
                    await sending.send(Task(id=f"checksum:{path}", path=path))
        async for job in client.jobs.list(states={JobState.DONE, JobState.FAILED}):
            print(f"{job.state:8} {job.name:30} {job.attributes.get('sha256') or job.problem}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "local:quickstart-jobs")
