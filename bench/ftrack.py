"""callsheet on ftrack beside ftrack's own Python client, against the same sandbox.

    python -m bench.ftrack [--rounds 3] [listing] [creating] [attaching] [large] [--latency 0 25]

Each figure is taken in a process of its own, the server in another; rounds go A B A B, and the tables show
medians. The other client is looked for in the environment `ftrack` of the folder CALLSHEET_VENDORS, as
`nox -s bench` makes it; without it, only our figures are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
from bench.ftrack_beside import JOBS, Meter

from callsheet import Client, NewJob
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox

SMALL_FILES, SMALL = 100, 256 << 10
LARGE = 1 << 30

ROWS = {
    "listing": f"listing {10 * JOBS:,} jobs",
    "hundreds": f"listing {10 * JOBS:,} jobs, ours in pages of 100, one after another",
    "creating": f"creating {JOBS:,} jobs",
    "attaching": f"attaching {SMALL_FILES} files of {SMALL >> 10} KiB",
    "large": f"attaching one file of {LARGE >> 30} GiB",
}
GOALS = {("listing", "CPU s", 0): 1 / 8, ("listing", "CPU s", 25): 1 / 8, ("attaching", "s", 25): 1 / 15}
"""Ratios to reach, by row, figure and milliseconds away."""

PAGES = ("listing", "hundreds")
"""Our listing, and what it is compared with."""

FIGURES = ("s", "CPU s", "MB more")


# -- our figures, each in a process of its own ---------------------------------------------------------------


async def take(row: str, files: list[Path]) -> None:
    """Do the work of a row once, with those files, and print what it took."""
    async with Client(FtrackProvider()) as client:
        meter = Meter()
        if row == "listing":
            count = 0
            async with client.jobs.list() as listing:
                async for _ in listing:
                    count += 1
            assert count == 10 * JOBS
        elif row == "hundreds":
            assert len(await client.jobs.list(page_size=100).collect()) == 10 * JOBS
        elif row == "creating":
            await client.jobs.create_many([NewJob(name=f"job {number}") for number in range(JOBS)])
        else:
            job = await client.jobs.create("attachments")
            await client.jobs.attach(job, files)
        print(meter.stop())


# -- the table -----------------------------------------------------------------------------------------------


def clients() -> dict[str, list[str]]:
    """Return the command that takes each client's figures."""
    here = Path(__file__)
    found = {"callsheet": [sys.executable, "-m", "bench.ftrack", "--take"]}
    python = Path(os.environ.get("CALLSHEET_VENDORS", "nowhere")) / "ftrack" / "bin" / "python"
    if python.exists():
        found["ftrack_api"] = [str(python), str(here.with_name("ftrack_beside.py"))]
    return found


def measured(command: list[str], row: str, folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Return what a client took for the work of a row."""
    if "--take" not in command:
        row = {"large": "attaching", "hundreds": "listing"}.get(row, row)
    ran = subprocess.run(
        [*command, row, str(folder)],
        env=os.environ | environment,
        cwd=Path(__file__).parent.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    taken: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return taken


async def fill(sandbox: Sandbox) -> None:
    """Make the jobs that are listed."""
    provider = FtrackProvider(sandbox.url, user="sandbox", api_key="sandbox-key")
    async with Client(provider) as client:
        for start in range(0, 10 * JOBS, JOBS):
            new = [NewJob(name=f"job {start + number}", description="12 files") for number in range(JOBS)]
            await client.jobs.create_many(new)


def figures(rows: Iterable[str], latency: int, rounds: int, folder: Path) -> dict[str, dict[str, list[Any]]]:
    """Return what each client took for each row, round by round."""
    taken: dict[str, dict[str, list[Any]]] = {row: {name: [] for name in clients()} for row in rows}
    for row, by_client in taken.items():
        for _ in range(rounds):
            for name, command in clients().items():
                # A server for each, so that nobody meets what another has left there.
                with Sandbox(process=True, latency=latency) as sandbox:
                    if row in {"listing", "hundreds"}:
                        anyio.run(fill, sandbox)
                    by_client[name].append(measured(command, row, folder / row, dict(sandbox.environment)))
    return taken


def show(taken: dict[str, dict[str, list[Any]]], latency: int) -> None:
    """Print the table of one distance."""
    print(f"\n{latency} ms away\n")
    names = [f"{name}: {figure}" for name in clients() for figure in FIGURES]
    print(f"| | {' | '.join(names)} | {' | '.join(f'ratio of {figure}' for figure in FIGURES)} |")
    print(f"|---|{'---:|' * (len(names) + len(FIGURES))}")
    for row, by_client in taken.items():
        medians = {
            name: {figure: statistics.median(one[figure] for one in rounds) for figure in FIGURES}
            for name, rounds in by_client.items()
        }
        cells = [f"{medians[name][figure]:.2f}" for name in by_client for figure in FIGURES]
        for figure in FIGURES if "ftrack_api" in medians else ():
            ratio = medians["callsheet"][figure] / medians["ftrack_api"][figure]
            goal = GOALS.get((row, figure, latency))
            cells.append(
                f"{ratio:.2f}" + ("" if goal is None or ratio <= goal else f" FALLS SHORT of {goal:.2f}")
            )
        print(f"| {ROWS[row]} | {' | '.join(cells)} |", flush=True)
    if taken.keys() >= set(PAGES):
        halves = [statistics.median(one["s"] for one in taken[row]["callsheet"]) for row in PAGES]
        ratio = halves[0] / halves[1]
        verdict = " FALLS SHORT of 0.25" if latency == 25 and ratio > 0.25 else ""
        print(f"\nlisting, against pages of 100 one after another: {ratio:.2f}{verdict}", flush=True)


def main() -> None:
    """Take all figures and print a table for each distance."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=int, nargs="*", default=[0, 25])
    parser.add_argument("--take", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take is not None:
        row, folder = given.take
        anyio.run(take, row, sorted(Path(folder).glob("*.bin")))
        return
    with tempfile.TemporaryDirectory() as folder:
        for row, count, size in (("attaching", SMALL_FILES, SMALL), ("large", 1, LARGE)):
            place = Path(folder, row)
            place.mkdir()
            for number in range(count):
                with (place / f"{number:03}.bin").open("wb") as file:
                    file.write(number.to_bytes(8))
                    file.truncate(size)
        for latency in given.latency:
            show(figures(given.row or list(ROWS), latency, given.rounds, Path(folder)), latency)


if __name__ == "__main__":
    main()
