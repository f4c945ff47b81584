"""`callsheet mirror`: a job of one tracker shown on another."""

from __future__ import annotations

from callsheet import AttachError, connect
from callsheet._cli._exits import Exit, explained
from callsheet._cli._follow import has_failed, shown_meanwhile
from callsheet._cli._messages import say
from callsheet._cli._output import write_jobs
from callsheet._cli._session import SHOWN, Shown

__all__ = ["mirror"]


async def mirror(
    job: str,
    /,
    *,
    into: str,
    user: str | None = None,
    without_files: bool = False,
    timeout: float | None = None,
    shown: Shown = SHOWN,
) -> Exit:
    """Show a job on another tracker until it has ended, copy its outputs there, and show that other job.

    A job has one mirror there: if this is stopped, the same command goes on with it. The exit code tells
    whether the job went well and all of its outputs were copied.

    Args:
        job: Its id.
        into: The other tracker, such as ftrack+https://studio.ftrackapp.com.
        user: Whose the mirror is; by default yours.
        without_files: Copy no outputs.
        timeout: Seconds after which to give up, with exit code 124; by default never. 0 shows it once.
    """
    async with shown.client() as client, connect(into) as other:
        try:
            async with shown_meanwhile(client, (job,)):
                made = await client.jobs.mirror(
                    job, into=other, user=user, files=not without_files, timeout=timeout
                )
        except AttachError as error:
            for output, trouble in error.failed.items():
                say(f"error: {output.name} is not copied: {explained(trouble)[1]}")
            return Exit.FAILED
    write_jobs([made], shown)
    return Exit.ENDED_BADLY if has_failed(made) else Exit.OK
