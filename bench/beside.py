"""callsheet on a tracker beside the vendor's own Python client, against the same sandbox.

Each figure is taken in a process of its own, the server in another; rounds go A B A B, and the tables show
medians. The other client is looked for in an environment of the folder CALLSHEET_VENDORS, as `nox -s bench`
makes it; without it, only our figures are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import attrs

if TYPE_CHECKING:
    from callsheet.sandbox import Sandbox


__all__ = ["Beside", "Row"]

FIGURES = ("s", "CPU s", "MB more")
COLUMNS = (*FIGURES, "requests")
HERE = Path(__file__).parent


@attrs.frozen(kw_only=True)
class Row:
    """A piece of work.

    Attributes:
        title: What stands in the table.
        theirs: The row whose work the other clients do instead, where ours has several ways to do it.
        alone: Whether only ours does it.
        files: The files that it is about: how many, and bytes of each.
        goals: Ratios to reach, by figure and milliseconds away.
    """

    title: str
    theirs: str | None = None
    alone: bool = False
    files: tuple[int, int] = (0, 0)
    goals: Mapping[tuple[str, int], float] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Beside:
    """The benchmark of one tracker.

    Attributes:
        module: This tracker's module, such as `bench.ftrack`.
        others: By the names of other clients, the environment of each, and the module of its work.
        rows: By name.
        take: Does our work of a row, with the row's files.
        fill: Makes what a row needs to be there.
        pages: Our listing, the same in pages of 100, one after another, and the ratio of their times to reach
            25 ms away.
    """

    module: str
    others: Mapping[str, tuple[str, str]]
    rows: Mapping[str, Row]
    take: Callable[[str, list[Path]], Awaitable[None]]
    fill: Callable[[str, Sandbox], None]
    pages: tuple[str, str, float]

    def main(self) -> None:
        """Take all figures and print a table for each distance; or, asked by ourselves, take one."""
        parser = argparse.ArgumentParser(
            description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("row", nargs="*", help=", ".join(self.rows))
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument("--latency", type=int, nargs="*", default=[0, 25])
        parser.add_argument("--take", nargs=2, help=argparse.SUPPRESS)
        given = parser.parse_args()
        if given.take is not None:
            row, folder = given.take
            anyio.run(self.take, row, sorted(Path(folder).glob("*.bin")))
            return
        wanted = given.row or list(self.rows)
        with tempfile.TemporaryDirectory() as folder:
            for row in wanted:
                self.write_files(row, Path(folder, row))
            for latency in given.latency:
                taken = {row: self.figures(row, latency, given.rounds, Path(folder, row)) for row in wanted}
                self.show(taken, latency)

    def write_files(self, row: str, folder: Path) -> None:
        """Write the files that a row is about; no two are alike."""
        count, size = self.rows[row].files
        folder.mkdir()
        for number in range(count):
            with (folder / f"{number:03}.bin").open("wb") as file:
                file.write(number.to_bytes(8))
                file.truncate(size)

    # -- figures ---------------------------------------------------------------------------------------------

    def commands(self) -> dict[str, list[str]]:
        """Return the command that takes each client's figures."""
        found = {"callsheet": [sys.executable, "-m", self.module, "--take"]}
        for name, (vendor, module) in self.others.items():
            python = Path(os.environ.get("CALLSHEET_VENDORS", "nowhere")) / vendor / "bin" / "python"
            if python.exists():
                found[name] = [str(python), "-m", module]
        return found

    def figures(self, row: str, latency: int, rounds: int, folder: Path) -> dict[str, list[dict[str, float]]]:
        """Return what each client took for a row, round by round."""
        # Only here: the process that takes our figures shall have no more in its memory than a client has.
        from callsheet.sandbox import Sandbox

        commands = {
            name: command
            for name, command in self.commands().items()
            if name == "callsheet" or not self.rows[row].alone
        }
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                work = row if name == "callsheet" else self.rows[row].theirs or row
                # A server for each, so that nobody meets what another has left there.
                with Sandbox(process=True, latency=latency) as sandbox:
                    self.fill(row, sandbox)
                    sandbox.forget_requests()
                    figures = measured([*command, work, str(folder)], sandbox.environment)
                    taken[name].append(figures | {"requests": len(sandbox.requests())})
        return taken

    # -- tables ----------------------------------------------------------------------------------------------

    def show(self, taken: Mapping[str, Mapping[str, list[dict[str, float]]]], latency: int) -> None:
        """Print the table of one distance."""
        print(f"\n{latency} ms away\n")
        clients = list(self.commands())
        ratios = [f"{figure} of {name}" for name in clients[1:] for figure in FIGURES]
        names = [f"{name}: {figure}" for name in clients for figure in COLUMNS] + [
            f"ratio to {told}" for told in ratios
        ]
        print(f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
        for row, by_client in taken.items():
            medians = {name: median(rounds) for name, rounds in by_client.items()}
            cells = [
                f"{medians[name][figure]:.{2 * (figure in FIGURES)}f}" if name in medians else ""
                for name in clients
                for figure in COLUMNS
            ]
            cells += [
                self.ratio(row, figure, latency, medians, name) if name in medians else ""
                for name in clients[1:]
                for figure in FIGURES
            ]
            print(f"| {self.rows[row].title} | {' | '.join(cells)} |", flush=True)
        ours, hundreds, goal = self.pages
        if ours in taken and hundreds in taken:
            ratio = median(taken[ours]["callsheet"])["s"] / median(taken[hundreds]["callsheet"])["s"]
            told = verdict(ratio, goal if latency == 25 else None)
            print(f"\nlisting, against pages of 100 one after another: {told}", flush=True)

    def ratio(
        self, row: str, figure: str, latency: int, medians: Mapping[str, Mapping[str, float]], name: str
    ) -> str:
        """Return our figure as a part of another client's, and the goal that it misses if it does."""
        part = medians["callsheet"][figure] / max(medians[name][figure], 1e-9)
        return verdict(part, self.rows[row].goals.get((figure, latency)))


def measured(command: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Return what a client took for a piece of work."""
    ran = subprocess.run(
        command,
        env=os.environ | environment,
        cwd=HERE.parent,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    taken: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return taken


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}


def verdict(ratio: float, goal: float | None) -> str:
    """Return a ratio, and the goal that it misses if it does."""
    return f"{ratio:.2f}" + ("" if goal is None or ratio <= goal else f" FALLS SHORT of {goal:.2f}")
