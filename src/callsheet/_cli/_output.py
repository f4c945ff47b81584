"""What commands write to standard output: tables for people, JSON lines for programs, or bare ids."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from callsheet import Component, Job, JobState
from callsheet._cli._session import Shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "STYLES",
    "is_for_people",
    "line",
    "percent",
    "record",
    "shown_text",
    "terminal",
    "write_components",
    "write_job",
    "write_jobs",
]

STYLES = {
    JobState.RUNNING: "cyan",
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
}

WIDE, NARROW = 120, 60
"""Columns of a terminal that has room for more than the most important of a job; and for not even that."""
MOST_OF_USER, LEAST_OF_MESSAGE = 12, 12
ALL_BUT_NAME_AND_MESSAGE = 36 + 9 + 8 + MOST_OF_USER + 16 + 6 * 2
"""Columns of id, state, progress, user and time, with the gaps between all."""


def is_for_people(shown: Shown) -> bool:
    """Tell whether standard output is a terminal, and nothing else was asked for."""
    return sys.stdout.isatty() and not (shown.json or shown.ids)


def terminal(*, stderr: bool = False) -> Console:
    """Return the console to write to; rich is loaded for people only."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def record(value: Job | Component) -> dict[str, Any]:
    """Return the public fields, for JSON."""
    fields = attrs.asdict(value, recurse=False, filter=lambda field, _: field.name not in {"raw", "_reader"})
    if "missing" in fields:
        fields["missing"] = sorted(fields["missing"])
    return fields


def line(value: Any) -> None:
    """Write one line of JSON, at once: whoever reads it may be waiting for it."""
    # ASCII only, so that no setting of the terminal or the pipe can damage it.
    print(json.dumps(value, default=_plain), flush=True)


def shown_text(text: object, style: str = "") -> Text:
    """Return a text as it is, with nothing in it that a terminal would obey."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)), style)


def write_jobs(jobs: Sequence[Job], shown: Shown) -> None:
    """Write the jobs in the form that was asked for."""
    if is_for_people(shown):
        console = terminal()
        console.print(_table(jobs, console.width) if jobs else "no jobs")
    else:
        _write_plain(jobs, shown)


def write_job(job: Job, files: Sequence[Component], shown: Shown) -> None:
    """Write one job with all its fields and its files."""
    if shown.ids:
        print(job.id)
    elif is_for_people(shown):
        console = terminal()
        console.print(_fields(job))
        if files:
            console.print()
            console.print(_components_table(files))
    else:
        line({**record(job), "components": [record(one) for one in files]})


def write_components(components: Sequence[Component], shown: Shown) -> None:
    """Write the components in the form that was asked for."""
    if is_for_people(shown):
        terminal().print(_components_table(components))
    else:
        _write_plain(components, shown)


def _write_plain(values: Iterable[Job | Component], shown: Shown) -> None:
    for value in values:
        if shown.ids:
            print(value.id)
        else:
            line(record(value))


def _table(jobs: Sequence[Job], width: int) -> Table:
    table = _empty_table("id", "name", "state", "progress")
    table.columns[0].no_wrap = width >= NARROW
    table.columns[3].justify = "right"
    if width >= WIDE:
        # A name is folded; a message has what is left, and must not push out what it is about.
        table.columns[2].no_wrap = table.columns[3].no_wrap = True
        left = width - ALL_BUT_NAME_AND_MESSAGE - max(shown_text(job.name).cell_len for job in jobs)
        mosts = {"user": MOST_OF_USER, "created": None, "message": max(left, LEAST_OF_MESSAGE)}
        for name, most in mosts.items():
            table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=most)
    for job in jobs:
        more = (job.user or "", when(job.created_at), job.message or "") if width >= WIDE else ()
        table.add_row(
            shown_text(job.id),
            shown_text(job.name),
            shown_text(job.state, STYLES.get(job.state, "")),
            percent(job.progress),
            *map(shown_text, more),
        )
    return table


def _fields(job: Job) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record(job).items():
        if value in (None, "", {}, []):
            continue
        if name == "progress":
            value = percent(value)
        elif isinstance(value, datetime):
            value = when(value)
        style = STYLES.get(job.state, "") if name == "state" else ""
        lines = [shown_text(one, style) for one in str(value).splitlines()]
        table.add_row(name.removesuffix("_at"), Text("\n").join(lines))
    return table


def _components_table(components: Iterable[Component]) -> Table:
    table = _empty_table("id", "name", "size")
    table.columns[0].no_wrap = True
    table.columns[2].justify = "right"
    for one in components:
        size = "" if one.size is None else f"{one.size:,}"
        table.add_row(shown_text(one.id), shown_text(one.name), size)
    return table


def _empty_table(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def percent(progress: float | None) -> str:
    """Return a progress for people, empty if it is unknown."""
    return "" if progress is None else f"{progress:.0%}"


def when(moment: datetime | None) -> str:
    """Return a moment in local time, for people."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Iterable):
        return list(value)
    return dict(value)
