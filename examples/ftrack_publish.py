"""Publish files as a job in ftrack: running in the jobs menu, then done, with the files attached.

    export FTRACK_SERVER=https://studio.ftrackapp.com FTRACK_API_USER=jane FTRACK_API_KEY=...
    python examples/ftrack_publish.py shot.mov 'beauty.%04d.exr:1001-1100'

To try it without ftrack, run `callsheet sandbox` beside it, and set the variables that it prints. A file
that was cut off on the way continues when the same command is run again.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import anyio

import callsheet
from callsheet import AttachError, FrameSequence, Transfer


async def main(sources: list[str]) -> int:
    """Publish the files as one job; return 1 if any of them could not be."""
    files = [given(source) for source in sources]
    async with callsheet.connect("ftrack:") as client:
        async with client.jobs.track(f"Publish {len(files)} files", description=Path.cwd().name) as tracked:
            print(f"job {tracked.job.id} is running, for {tracked.job.user}")
            done = dict.fromkeys(map(name_of, files), 0.0)

            def show(transfer: Transfer) -> None:
                done[transfer.name] = transfer.done / max(transfer.total, 1)
                tracked.progress(sum(done.values()) / len(done), f"sending {transfer.name}")

            try:
                parts = await tracked.attach(files, on_progress=show)
            except AttachError as error:
                for file, why in error.failed.items():
                    print(f"{file}: {why}", file=sys.stderr)
                problem = f"{len(error.failed)} of {len(files)} files could not be published"
                await tracked.update(state=callsheet.JobState.FAILED, problem=problem)
                return 1
        for part in parts:
            print(f"{part.name}: {part.size} bytes, {part.checksum or 'a sequence'}")
        print(f"job {tracked.job.id} is {tracked.job.state}")
    return 0


def given(source: str) -> Path | FrameSequence:
    """Return a path, or a sequence for `PATTERN:FIRST-LAST`."""
    match = re.fullmatch(r"(.*%\d*d.*):(\d+)-(\d+)", source)
    return FrameSequence(match[1], int(match[2]), int(match[3])) if match else Path(source)


def name_of(file: Path | FrameSequence) -> str:
    """Return the name that a transfer goes by."""
    return file.name


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    sys.exit(anyio.run(main, sys.argv[1:]))
