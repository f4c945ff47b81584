"""Show a render of AWS Deadline Cloud in ftrack's jobs menu: running, then done or failed, with its outputs.

    export FTRACK_SERVER=https://studio.ftrackapp.com FTRACK_API_USER=jane FTRACK_API_KEY=...
    python examples/render_to_ftrack.py 'deadline://FARM/QUEUE?region=us-west-2' JOB [USER]

USER is the artist in whose menu it shows; by default your own. Stop it and start it again as you like, or
run it from a scheduler: the render has one job in ftrack, and each output is attached to it once. To try it
without a farm, see `callsheet sandbox`.
"""

from __future__ import annotations

import sys

import anyio

import callsheet
from callsheet import AttachError, JobState


async def main(queue: str, job: str, user: str | None) -> int:
    """Follow one render to its end; return 1 if it did not end well, or its outputs are not all in ftrack."""
    async with callsheet.connect(queue) as farm, callsheet.connect("ftrack:") as ftrack:
        render = await farm.jobs.get(job)
        print(f"{render.name} is {render.state} on the farm")
        try:
            shown = await farm.jobs.mirror(render, into=ftrack, user=user)
        except AttachError as error:
            for output, why in error.failed.items():
                print(f"{output.name} is not in ftrack: {why}", file=sys.stderr)
            return 1
        outputs = [output.name async for output in ftrack.components.list(shown)]
    print(f"{shown.name} is {shown.state} in ftrack, for {shown.user}, with {len(outputs)} outputs")
    if shown.problem:
        print(shown.problem)
    return 0 if shown.state is JobState.DONE else 1


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit(__doc__)
    sys.exit(anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3] if sys.argv[3:] else None))
