"""Live bars on a terminal: transfers under way, and jobs that are followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TransferSpeedColumn,
)
from rich.text import Text

from callsheet import Job, JobChange, Transfer
from callsheet._cli._output import STYLES, percent, shown_text

__all__ = ["JobBars", "TransferBars", "job_bars", "transfer_bars"]

NAME_WIDTH = 32
INTERVAL = 0.1
"""Seconds between two drawings of bars."""


class Name(ProgressColumn):
    """The name of what is going on, cut to fit."""

    def render(self, task: Task) -> Text:
        """Return the name."""
        text = shown_text(task.description)
        text.truncate(NAME_WIDTH, overflow="ellipsis")
        return text


class TransferBars:
    """A bar for each file on its way; those that have arrived make room."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def see(self, transfer: Transfer) -> None:
        """Take in how far a transfer is."""
        if transfer.name not in self._bars:
            self._bars[transfer.name] = self._progress.add_task(transfer.name)
        self._progress.update(
            self._bars[transfer.name], completed=transfer.done, total=transfer.total, refresh=False
        )
        if transfer.done >= transfer.total:
            self._progress.remove_task(self._bars.pop(transfer.name))


@contextmanager
def transfer_bars(console: Console) -> Iterator[TransferBars]:
    """Show bars of transfers until the block is left."""
    columns = (Name(), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield TransferBars(progress)


class Percent(ProgressColumn):
    """How far a job is, if that is known."""

    def render(self, task: Task) -> Text:
        """Return it in the width of the longest."""
        job: Job = task.fields["job"]
        return Text(f"{percent(job.progress):>4}")


class Doing(ProgressColumn):
    """State and message of a job."""

    def render(self, task: Task) -> Text:
        """Return them."""
        job: Job = task.fields["job"]
        return _state(job).append_text(shown_text(f" {job.message or ''}"))


class JobBars:
    """A bar for each job that is followed; one that has ended may leave a line above them."""

    def __init__(self, progress: Progress, *, leaves_lines: bool) -> None:
        self._progress = progress
        self._leaves_lines = leaves_lines
        self._bars: dict[str, TaskID] = {}

    async def move(self) -> None:
        """Draw the bars again and again, as those that wait for news move too."""
        while True:
            self._progress.refresh()
            await anyio.sleep(INTERVAL)

    def see(self, change: JobChange) -> None:
        """Take in a change of a job."""
        job = change.current or change.previous
        assert job is not None, "a change has at least one side"
        if change.current is not None and not job.ended:
            self._go_on(job)
            return
        if job.id in self._bars:
            self._progress.remove_task(self._bars.pop(job.id))
        if self._leaves_lines:
            self._leave_line(job, _state(job) if change.current else Text("gone", "yellow"))

    def _leave_line(self, job: Job, state: Text) -> None:
        problem = shown_text(f"  {(job.problem or '').partition(chr(10))[0]}", "dim")
        self._progress.console.print(
            Text.assemble(shown_text(job.id), "  ", state, "  ", shown_text(job.name), problem),
            overflow="ellipsis",
            no_wrap=True,
        )

    def _go_on(self, job: Job) -> None:
        if job.id not in self._bars:
            self._bars[job.id] = self._progress.add_task(job.name, total=1, job=job)
        # The bar of a job that does not say how far it is moves to and fro.
        total = None if job.progress is None else 1
        self._progress.update(
            self._bars[job.id], description=job.name, total=total, completed=job.progress or 0, job=job
        )


@contextmanager
def job_bars(console: Console, *, leaves_lines: bool) -> Iterator[JobBars]:
    """Show bars of jobs until the block is left."""
    columns = (Name(), BarColumn(20), Percent(), Doing())
    # rich's own thread may draw between the steps of a line that is left, and then wipes it out; so the loop
    # draws instead.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        yield JobBars(progress, leaves_lines=leaves_lines)


def _state(job: Job) -> Text:
    return shown_text(job.state, STYLES.get(job.state, ""))
