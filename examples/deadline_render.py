"""Submit a job bundle to AWS Deadline Cloud with its files, follow it, and bring back what it rendered.

    export CALLSHEET_URL='deadline://FARM/QUEUE?region=us-west-2'
    python examples/deadline_render.py BUNDLE [--to FOLDER] [--set NAME=VALUE]... [--input FILE]...

To try it without a farm, see `callsheet sandbox`. Interrupting it leaves the job running; `--job JOB` goes on
with it, and fetches what is not there yet.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import anyio

import callsheet
from callsheet import AttachError, Client, Job, JobState, Transfer


async def main(given: argparse.Namespace) -> int:
    """Render a bundle, or go on with a job; return 1 if it did not end well."""
    async with callsheet.connect() as farm:
        try:
            job = await farm.jobs.get(given.job) if given.job else await submit(farm, given)
        except AttachError as error:  # a file is missing, say; then there is no job
            for file, why in error.failed.items():
                print(f"{file}: {why}", file=sys.stderr)
            return 1
        print(f"job {job.id}", flush=True)
        job = await follow(farm, job)
        if job.state is not JobState.DONE:
            print(await farm.jobs.problem(job) or job.vendor_state, file=sys.stderr)
            return 1
        for path in await farm.provider.download_outputs(job, given.to, on_progress=show):
            print(path)
    return 0


async def submit(farm: Client[Any], given: argparse.Namespace) -> Job:
    """Send the files that the queue does not have yet, and make the job."""
    parameters = dict(pair.split("=", 1) for pair in given.set)
    return await farm.jobs.create(
        given.bundle.name, template=given.bundle, parameters=parameters, files=given.input
    )


async def follow(farm: Client[Any], job: Job) -> Job:
    """Print how the job gets on until it has ended, and return it."""
    async for change in farm.jobs.watch(job):
        if change.current is None:
            sys.exit(f"{job.id}: it is gone")
        job = change.current
        share = "" if job.progress is None else f" {job.progress:.0%}"
        print(f"{job.name}: {job.state}{share}", flush=True)
    return job


def show(transfer: Transfer) -> None:
    """Print how far a download is, where somebody looks."""
    if sys.stderr.isatty():
        print(f"{transfer.name}: {transfer.done} of {transfer.total} bytes", file=sys.stderr, end="\r")


if __name__ == "__main__":
    about, _, usage = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="the folder of a job bundle")
    parser.add_argument("--to", type=Path, default=Path("renders"), help="the folder for what comes back")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    parser.add_argument("--input", action="append", default=[], type=Path, help="another file it needs")
    parser.add_argument("--job", help="a job that was submitted before")
    sys.exit(anyio.run(main, parser.parse_args()))
