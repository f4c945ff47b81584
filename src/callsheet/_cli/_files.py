"""`callsheet attach` and `download`: a job's files, several at a time."""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from callsheet import AttachError, CallsheetError, Component, File, NotFound, Transfer
from callsheet._cli._exits import Exit, explained
from callsheet._cli._messages import one_line, readable, say
from callsheet._cli._output import line, record, terminal, write_components
from callsheet._cli._session import SHOWN, WHERE, Shown, Where
from callsheet._names import safe_name

__all__ = ["attach", "download"]

AT_ONCE = 4
"""Downloads at a time."""


async def attach(
    job: str, files: tuple[Path, ...], /, *, location: str | None = None, shown: Shown = SHOWN
) -> Exit:
    """Attach files to a job.

    One that cannot be attached does not stop the others; repeating the command with it goes on where it was.

    Args:
        job: Its id.
        files: Paths of the files.
        location: Name or id of where the tracker shall keep them.
    """
    failed: Mapping[Any, Exception] = {}
    async with shown.client() as client:
        with _bars() as see:
            try:
                named = [File(path, name=readable(path.name)) for path in files]
                attached = await client.jobs.attach(job, named, location=location, on_progress=see)
            except AttachError as error:
                attached, failed = error.attached, error.failed
    for file, trouble in failed.items():
        say(f"error: {getattr(file, 'name', file)} is not attached: {trouble}")
    write_components(attached, shown)
    return Exit.FAILED if failed else Exit.OK


async def download(
    job: str,
    /,
    *,
    to: Path = Path(),
    name: tuple[str, ...] = (),
    overwrite: bool = False,
    json: bool = False,
    where: Where = WHERE,
) -> Exit:
    """Download the files of a job, verified; a download that was broken off goes on where it was.

    Files come into the folders that the tracker knows for them; the second of a place goes into a folder 2.

    Args:
        job: Its id.
        to: The folder to write into, made if need be; by default the current one.
        name: Only files whose name matches this pattern, such as '*.exr'; may be repeated.
        overwrite: Replace files that are there.
        json: Write a JSON line for each file, as is done anyway when standard output is no terminal.
    """
    is_plain = json or not sys.stdout.isatty()
    async with where.client() as client:
        files = await client.components.list(job=job).collect()
        placed = zip(files, client.provider.folders(files), strict=True)
        wanted = [
            (one, folder)
            for one, folder in placed
            if not name or any(fnmatch.fnmatch(one.name, glob) for glob in name)
        ]
        if not wanted:
            raise NotFound(f"job {job!r} has no file that matches" if files else f"job {job!r} has no files")
        with _bars() as see:
            download_one = partial(client.components.download, on_progress=see, overwrite=overwrite)
            outcomes = await _download_all(download_one, _targets(wanted, to))
    for component, outcome in outcomes:
        if isinstance(outcome, Path):
            path = str(outcome)
            line({"component": record(component), "path": path}) if is_plain else print(one_line(path))
        else:
            say(f"error: {component.name} is not downloaded: {explained(outcome)[1]}")
    return Exit.OK if all(isinstance(outcome, Path) for _, outcome in outcomes) else Exit.FAILED


def _targets(components: Sequence[tuple[Component, str]], to: Path) -> list[tuple[Component, Path]]:
    """Return the folder that each component goes into; the second of a place goes into a folder `2` there."""
    files: set[Path] = set()
    folders: set[Path] = set()
    targets = []
    for component, below in components:
        folder, number = to / below, 1
        while _is_taken(folder / safe_name(component.name), files, folders):
            number += 1
            folder = to / below / str(number)
        files.add(folder / safe_name(component.name))
        folders.update([folder, *folder.parents])
        targets.append((component, folder))
    return targets


def _is_taken(place: Path, files: Collection[Path], folders: Collection[Path]) -> bool:
    return place in files or place in folders or any(folder in files for folder in place.parents)


async def _download_all(
    download_one: Callable[[Component, str], Awaitable[Path]], targets: Sequence[tuple[Component, Path]]
) -> list[tuple[Component, Path | Exception]]:
    """Return each component with its path, or with why it could not be had, in the order given."""
    outcomes: dict[int, tuple[Component, Path | Exception]] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def work(index: int, component: Component, folder: Path) -> None:
        async with limiter:
            try:
                outcomes[index] = component, await download_one(component, f"{folder}{os.sep}")
            except (CallsheetError, OSError) as error:
                outcomes[index] = component, error

    async with anyio.create_task_group() as tasks:
        for index, target in enumerate(targets):
            tasks.start_soon(work, index, *target)
    return [outcomes[index] for index in range(len(targets))]


@contextmanager
def _bars() -> Iterator[Callable[[Transfer], None] | None]:
    """Give what shows transfers as bars on standard error, or nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from callsheet._cli._bars import transfer_bars

    with transfer_bars(terminal(stderr=True)) as bars:
        yield bars.see
