"""Bars of jobs that are followed, and the lines that those that end leave above them."""

from __future__ import annotations

import io
import threading
from typing import Any

import anyio
from rich.console import Console

from callsheet import Job, JobChange, JobState
from callsheet._cli._bars import job_bars
from support.roads import until
from support.terminal import Screen


class Paper(io.StringIO):
    """What is written, and by which threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def write(self, text: str) -> int:
        """Take it down."""
        self.threads.add(threading.get_ident())
        return super().write(text)


def job(number: int, **fields: Any) -> Job:
    """Return a job."""
    return Job(id=f"j{number}", tracker="local:x", name=f"Job {number}", **fields)


async def test_only_one_thread_draws() -> None:
    """Bars move by themselves, and nobody else draws in between, who could wipe out a line that is left."""
    paper = Paper()
    console = Console(file=paper, force_terminal=True, width=80, highlight=False)
    one, two = (job(number, state=JobState.RUNNING, vendor_state="running", ended=False) for number in (1, 2))
    with job_bars(console, leaves_lines=True) as bars:
        for seen in (one, two):
            bars.see(JobChange(None, seen))
        for _ in range(2):
            drawn = len(paper.getvalue())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bars.move)
                await until(lambda drawn=drawn: len(paper.getvalue()) > drawn)  # type: ignore[misc]  # mypy cannot infer it
                tasks.cancel_scope.cancel()
        for seen, problem in ((one, "no licence"), (two, None)):
            ended = job(
                int(seen.id[1:]), state=JobState.FAILED, vendor_state="failed", ended=True, problem=problem
            )
            bars.see(JobChange(seen, ended))
    screen = Screen()
    screen.write(paper.getvalue())
    assert screen.lines == ["j1  failed  Job 1  no licence", "j2  failed  Job 2"]
    assert paper.threads == {threading.get_ident()}
