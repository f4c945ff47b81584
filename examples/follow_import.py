"""Import files into Vidispine, and follow their jobs to the end: step by step, and then what came of them.

    export VIDISPINE_URL=https://vidispine.example.com VIDISPINE_USER=admin VIDISPINE_PASSWORD=...
    python examples/follow_import.py A001.mov A002.mov [--every SECONDS]

To try it without Vidispine, run `callsheet sandbox` beside it, and set the variables that it prints.
Interrupting it leaves the jobs running; a large file that was cut off on the way goes on when the same
command is run again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio

from callsheet import BulkError, CallsheetError, Client, Job, JobState, NewJob
from callsheet.providers.vidispine import VidispineProvider


async def main(paths: list[Path], every: float) -> int:
    """Import the files and follow them; return how many did not make it."""
    async with Client(VidispineProvider(watch_interval=every)) as client:
        jobs = await bring_in(client, paths)
        ended: dict[str, Job] = {}
        if jobs:
            # However many jobs there are, they are looked at together.
            async for change in client.jobs.watch(*jobs):
                if change.current is None:
                    print(f"{change.previous and change.previous.id}: removed by somebody else")
                    continue
                await show(client, change.current)
                if change.current.ended:
                    ended[change.current.id] = change.current
        for job in ended.values():
            await report(client, job)
    return len(paths) - sum(job.state is JobState.DONE for job in ended.values())


async def bring_in(client: Client[VidispineProvider], paths: list[Path]) -> list[Job]:
    """Upload each file as a job of its own, some at once, and return the jobs that came of it."""
    source = f"from {Path.cwd()}"
    try:
        return await client.jobs.create_many(
            NewJob(name=path.name, description=source, files=[path]) for path in paths
        )
    except BulkError as error:
        for index, why in error.failed.items():
            print(f"{paths[index]}: {why}", file=sys.stderr)
        return error.done
    except (CallsheetError, OSError) as error:  # a single file's error is its own
        print(f"{paths[0]}: {error}", file=sys.stderr)
        return []


async def show(client: Client[VidispineProvider], job: Job) -> None:
    """Print where a job has come to, and what it waits for if it does."""
    share = "" if job.progress is None else f" {job.progress:.0%}"
    line = f"{job.name}: {job.state}{share} {job.message or ''}".rstrip()
    if job.vendor_state in {"WAITING", "HOLD"}:
        line += f", waits for {await client.jobs.problem(job)}"
    print(line, flush=True)


async def report(client: Client[VidispineProvider], job: Job) -> None:
    """Print what came of a job: the files of its item, or the step that went wrong."""
    if job.state is JobState.DONE:
        async for file in client.components.list(job):
            print(f"{job.name} is item {job.item}: {file.name}, {file.size} bytes, {file.checksum}")
        return
    job = await client.jobs.get(job)  # with all its steps
    steps = client.provider.details(job).steps
    where = f" at {steps[-1].description!r}" if steps else ""
    print(f"{job.name}: {job.state}{where}: {job.problem or job.vendor_state}", file=sys.stderr)


if __name__ == "__main__":
    about, _, usage = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="+", type=Path, help="a file to import")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks at the server")
    given = parser.parse_args()
    sys.exit(min(anyio.run(main, given.path, given.every), 100))
