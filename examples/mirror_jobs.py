"""Show the jobs of a tracker on another one: every job that is running, with its outputs when it has ended.

    python examples/mirror_jobs.py FROM [INTO]

FROM is the address of any tracker, such as ftrack+https://studio.ftrackapp.com or local:./jobs; INTO is where
its jobs are shown, by default local:./mirrors. Stop it with Ctrl-C and start it again as you like: each job
has one mirror, and what was copied before is not copied again.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio

import callsheet
from callsheet import AttachError, CallsheetError, Client, Job, JobState

UNDER_WAY = {JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}


async def main(source: str, target: str) -> int:
    """Mirror all jobs that are under way, until they have ended; return 1 if any could not be."""
    outcomes: list[bool] = []
    async with callsheet.connect(source) as here, callsheet.connect(target) as there:
        async with anyio.create_task_group() as tasks:
            async for job in here.jobs.list(states=UNDER_WAY):
                tasks.start_soon(show, here, there, job, outcomes)
    return 0 if all(outcomes) else 1


async def show(here: Client[Any], there: Client[Any], job: Job, outcomes: list[bool]) -> None:
    """Mirror one job, and say how it ended."""
    try:
        mirror = await here.jobs.mirror(job, into=there)
        files = await there.components.list(mirror).collect()
    except AttachError as error:
        names = ", ".join(sorted(output.name for output in error.failed))
        print(f"{job.name}: not copied: {names}", file=sys.stderr)
        outcomes.append(False)
    except CallsheetError as error:
        print(f"{job.name}: {error}", file=sys.stderr)
        outcomes.append(False)
    else:
        print(f"{mirror.name} is {mirror.state}, with {len(files)} files")
        outcomes.append(True)


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    sys.exit(anyio.run(main, sys.argv[1], sys.argv[2] if sys.argv[2:] else "local:./mirrors"))
