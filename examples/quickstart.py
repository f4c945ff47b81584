"""Track a real job with real files, on a tracker that needs no server.

    python examples/quickstart.py [FILE OR FOLDER...]

Packs the files you name (else callsheet's own source tree): each is hashed and compressed, all go into one
archive, and everything is attached to the job. Then the job is found again, its attachments are downloaded
and compared, and the job is printed. The tracker stays in ./quickstart-jobs, for you to look at.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.to_thread
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import callsheet
from callsheet import Client, Component, Job, Transfer
from callsheet.providers.local import LocalProvider

HERE = Path("quickstart-jobs")
console = Console()


async def main(sources: list[Path]) -> None:
    """Do the whole job, from nothing to verified downloads."""
    async with callsheet.connect(f"local:{HERE}") as client:
        console.rule("1. work, tracked as a job")
        job, sums = await pack(client, sources)

        console.rule("2. find it again")
        await show_jobs(client)

        console.rule("3. download and verify")
        folder = await fetch(client, job, sums)

        job = await client.jobs.get(job)
        console.rule("the job")
        show_job(job, len(sums), folder)


async def pack(client: Client[LocalProvider], sources: list[Path]) -> tuple[Job, dict[str, str]]:
    """Hash, compress and attach the files inside a tracked job; return it, and each attachment's hash."""
    with TemporaryDirectory(prefix="callsheet-") as temporary:
        outputs = Path(temporary)
        async with client.jobs.track(f"Pack {len(sources)} files", description="the quickstart") as tracked:
            async with bar("packing", len(sources)) as advance:
                archive = outputs / "everything.zip"
                targets = [outputs / name for name in packed_names(sources)]
                for number, (source, target) in enumerate(zip(sources, targets, strict=True), start=1):
                    await anyio.to_thread.run_sync(compress, source, target, archive)
                    tracked.progress(number / len(sources) / 2, f"packed {target.stem}")
                    advance()

            made = [archive, *targets]
            sums = {path.name: await anyio.to_thread.run_sync(sha256, path) for path in made}
            async with bar("attaching", len(made)) as advance:

                def show(transfer: Transfer) -> None:
                    if transfer.done == transfer.total:
                        advance()

                await tracked.attach(made, on_progress=show)
        return tracked.job, sums


async def show_jobs(client: Client[LocalProvider]) -> None:
    """List the newest jobs of the tracker."""
    table = Table("job", "name", "state", "progress", "finished")
    async for job in client.jobs.list(page_size=10):
        table.add_row(job.id, job.name, job.state, f"{job.progress or 0:.0%}", f"{job.finished_at:%H:%M:%S}")
        if table.row_count == 10:
            break
    console.print(table)


async def fetch(client: Client[LocalProvider], job: Job, sums: dict[str, str]) -> Path:
    """Download every attachment, several at a time, and compare it with what was attached."""
    attachments: list[Component] = await client.components.list(job=job).collect()
    folder = HERE / "downloads" / job.id
    slots = anyio.CapacityLimiter(8)
    async with bar("downloading", len(attachments)) as advance, anyio.create_task_group() as tasks:

        async def one(component: Component) -> None:
            async with slots:
                path = await client.components.download(component, to=f"{folder}/")
            found = await anyio.to_thread.run_sync(sha256, path)
            if found != sums[component.name]:
                raise SystemExit(f"{path} differs from what was attached")
            advance()

        for component in attachments:
            tasks.start_soon(one, component)
    console.print(f"{len(attachments)} attachments are the same, bit for bit")
    return folder


def show_job(job: Job, attachments: int, folder: Path) -> None:
    """Print the job as the tracker knows it."""
    took = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0
    for name, value in {
        "id": job.id,
        "name": job.name,
        "state": f"[bold green]{job.state}[/]" if job.state == "done" else f"[bold red]{job.state}[/]",
        "user": job.user,
        "took": f"{took:.2f} s",
        "attachments": attachments,
        "downloaded to": folder,
        "tracker": job.tracker,
    }.items():
        console.print(f"{name + ':':15}{value}", highlight=False, soft_wrap=True)


# -- the work itself -----------------------------------------------------------------------------------------


def compress(source: Path, target: Path, archive: Path) -> None:
    """Write a compressed copy of a file, and add the file to the archive."""
    target.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.write(source, target.stem)


def packed_names(sources: list[Path]) -> list[str]:
    """Return names that tell files of the same name in different folders apart."""
    names: dict[str, None] = {}
    for source in sources:
        # Of names that are not Unicode, what can be read.
        parts = [os.fsencode(part).decode(errors="replace") for part in source.parts[-3:]]
        stem = "_".join(parts).replace("/", "_")[-60:]
        number = 1
        while (name := f"{stem}.gz" if number == 1 else f"{number}_{stem}.gz") in names:
            number += 1
        names[name] = None
    return list(names)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def bar(what: str, total: int) -> AsyncIterator[Callable[[], None]]:
    """Show a live progress bar, and hand out the function that moves it on."""
    columns = TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def source_files(given: list[Path]) -> list[Path]:
    """Return the files named, with those in folders; by default callsheet's own source tree."""
    roots = given or [Path(__file__).resolve().parent.parent / "src"]
    for root in roots:
        if not root.exists():
            raise SystemExit(f"there is no {root}")
    files = [
        path
        for root in roots
        for path in (sorted(root.rglob("*")) if root.is_dir() else [root])
        if path.is_file() and "__pycache__" not in path.parts
    ]
    if not files:
        raise SystemExit("there are no files in what you named")
    return files


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE OR FOLDER")
    anyio.run(main, source_files(parser.parse_args().files))
