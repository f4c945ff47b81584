"""`callsheet run`: any command as a tracked job."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter
from cyclopts.validators import Number

from callsheet._cli import _values
from callsheet._cli._log_files import LogFiles
from callsheet._cli._messages import shown_log
from callsheet._cli._progress_lines import compile_pattern
from callsheet._cli._report import Report
from callsheet._cli._session import WHERE, Where
from callsheet._cli._work import Work, handed_on

__all__ = ["run"]

Positive = Annotated[float, Parameter(validator=Number(gt=0))]
Mebibytes = Annotated[float, Parameter(validator=Number(gt=0, lte=1 << 20))]
Beat = Annotated[float, Parameter(validator=Number(gte=0.01, lte=86_400))]


async def run(
    command: tuple[str, ...],
    /,
    *,
    name: str | None = None,
    user: str | None = None,
    type: str | None = None,  # noqa: A002 - the option's name
    description: str = "",
    attribute: _values.Attributes = (),
    progress_pattern: str | None = None,
    attach: tuple[str, ...] = (),
    attach_log: bool = False,
    log_limit: Mebibytes = 64.0,
    kill_after: Positive = 10.0,
    beat: Beat = 15.0,
    idempotency_key: str | None = None,
    where: Where = WHERE,
) -> int:
    """Run a command as a job: its state from the exit code, its progress from what it prints.

    The command's output passes through untouched, and callsheet exits with its exit code. Whatever becomes of
    the tracker, the command is not disturbed: it is run without a job, after one warning. Progress is read
    from lines such as `Progress: 40%`, `openjd_progress: 40` and `openjd_status: baking`.

    Args:
        command: The command and its arguments, after `--`.
        name: What people see; by default the command's name.
        user: Whose job it is; by default yours.
        type: The tracker's own kind of job.
        description: More for people.
        attribute: Data of your own, NAME=VALUE; may be repeated.
        progress_pattern: A regular expression instead of `Progress: 40%`. Its first group, or the one named
            percent, is the number; or the groups named done and total are; one named message is the message.
        attach: Files to attach at the end, also of a failure, such as 'out/*.exr'; may be repeated.
        attach_log: Attach the output as well: output.log and, once that is full, output.1.log and so on.
        log_limit: The most MiB of output to keep for that, by default 64: the last.
        kill_after: Seconds after which a command that was told to stop is killed, by default 10.
        beat: Seconds between two signs of life, by default 15. After five times that without one, the job
            counts as lost.
        idempotency_key: Runs with the same key share one job.
    """
    pattern = compile_pattern(progress_pattern) if progress_pattern else None
    job = {
        "name": name or Path(command[0]).name or command[0],
        "user": user,
        "type": type,
        "description": description,
        "attributes": _values.attributes(attribute) or None,
        "lease": 4 * beat,
        "beat": beat,
        "grace": beat,
        **({"idempotency_key": idempotency_key} if idempotency_key else {}),
    }
    work = Work(kill_after=kill_after, pattern=pattern)
    with (
        shown_log(first_warning_only=True),
        _log_files(log_limit if attach_log else 0) as log,
        anyio.open_signal_receiver(*handed_on()) as signals,
    ):
        async with anyio.create_task_group() as tasks:
            # The command first: it does not wait for the tracker, nor for what is to be imported for that.
            work.start(command, tasks, log.write if log else None)
            tasks.start_soon(work.relay, signals)
            await Report(work=work, connect=where.client, job=job, attach=attach, log=log).run()
            await work.ended.wait()
            tasks.cancel_scope.cancel()
    return work.result.code


@contextmanager
def _log_files(limit: float) -> Iterator[LogFiles | None]:
    """Keep the output in a temporary folder until the block is left; without a limit, or a folder, do not."""
    if not limit:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="callsheet-", ignore_cleanup_errors=True) as folder:
        yield LogFiles(Path(folder), "output", round(limit * (1 << 20)))
