"""Files of Deadline's jobs on their way into S3, beside AWS's own library and boto3, against a bare sink.

python -m bench.attachments [--rounds 3] [ROW...]
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import attrs
from bench.beside import FIGURES, measured, median, verdict
from bench.meter import Meter

from callsheet._redaction import Secret
from callsheet._s3 import Bucket
from callsheet._signing import Credentials, Keys, Signer
from callsheet._threads import Threads
from callsheet.providers.deadline._attachments import Uploads
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._inputs import find_inputs
from callsheet.providers.deadline._manifests import write_manifest
from callsheet.providers.deadline._roots import below
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline._templates import References
from callsheet.providers.deadline.details import JobAttachmentSettings


@attrs.frozen(kw_only=True)
class Row:
    """A piece of work.

    Attributes:
        title: What stands in the table.
        files: How many files, and bytes of each.
        goals: Ratios to reach, by client and figure.
    """

    title: str
    files: tuple[int, int]
    goals: Mapping[tuple[str, str], float] = attrs.field(factory=dict)


ROWS = {
    "hashing": Row(
        title="hashing 5,000 files of 4 KiB, cold", files=(5000, 4096), goals={("library", "CPU s"): 1 / 20}
    ),
    "small": Row(
        title="200 files of 256 KiB",
        files=(200, 256 << 10),
        goals={("library", "s"): 1 / 2, ("boto3", "s"): 1.0},
    ),
    "again": Row(title="200 files of 256 KiB, unchanged since the last job", files=(200, 256 << 10)),
    "large": Row(title="one file of 256 MiB", files=(1, 256 << 20), goals={("boto3", "s"): 1.0}),
}


class Fixed(Credentials):
    """The same keys for ever."""

    async def keys(self) -> Keys:
        """Return them."""
        return Keys("sandbox", Secret("sandbox-secret"))

    async def renew(self, refused: Keys | None) -> None:
        """Fail."""
        raise AssertionError("the sink refuses nobody")


class Sink(Storage):
    """The bucket of the sink."""

    def __init__(self, server: Any, bucket: Bucket) -> None:
        super().__init__(server)
        self._bucket = bucket

    async def exists(self) -> bool:
        """Say that it does."""
        return True

    async def settings(self) -> JobAttachmentSettings:
        """Return its name and prefix."""
        return JobAttachmentSettings(s3_bucket_name="bucket", root_prefix="root")


async def take(row: str, folder: Path, url: str) -> None:
    """Do our work of a row once, and print what it took."""
    files = References(folders=(folder,))
    signer = Signer(Fixed(), service="s3", region="us-west-2")
    importlib.import_module("botocore.auth")  # as opening a provider does it, in a thread
    queue: Any = SimpleNamespace(farm="farm-1", queue="queue-1")
    with tempfile.TemporaryDirectory() as place:
        cache = HashCache(Path(place, "hashes.db"))
        async with Bucket(f"{url}/bucket", provider="deadline", signer=signer) as bucket:
            uploads = Uploads(queue, Sink(queue, bucket), cache)
            if row == "again":
                await uploads.prepare(references=files, key="first")
            meter = Meter()
            if row == "hashing":
                inputs = await find_inputs([], files, cache=cache, threads=Threads(2))
                write_manifest(one.entry(below(path, str(folder))) for path, one in inputs.placed.items())
            else:
                await uploads.prepare(references=files, key="second")
            print(meter.stop())


def others(row: str) -> dict[str, list[str]]:
    """Return the commands of the other clients that can do a row."""
    beside, own = "bench.attachments_beside", "bench.attachments_aiobotocore"
    commands = {
        "library": ["deadline", beside, "library"],
        "boto3": ["deadline", beside, "boto3"],
        "aiobotocore": ["aiobotocore", own],
    }
    names = {"hashing": ("library",), "small": tuple(commands), "large": ("library", "boto3")}
    found = {}
    for name in names.get(row, ()):
        vendor, *module = commands[name]
        python = Path(os.environ.get("CALLSHEET_VENDORS", "nowhere")) / vendor / "bin" / "python"
        if python.exists():
            found[name] = [str(python), "-m", *module]
    return found


@contextmanager
def sink() -> Iterator[str]:
    """Start a sink, and return its URL."""
    process = subprocess.Popen([sys.executable, "-m", "bench.sink"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.communicate()


def figures(name: str, rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return the medians of each client's figures for a row; rounds go A B A B."""
    count, size = ROWS[name].files
    folder.mkdir()
    for number in range(count):
        with (folder / f"{number:04}.exr").open("wb") as file:
            file.write(number.to_bytes(8))
            file.truncate(size)
    commands = {"callsheet": [sys.executable, "-m", "bench.attachments", "--take"], **others(name)}
    taken: dict[str, list[dict[str, float]]] = {client: [] for client in commands}
    for _ in range(rounds):
        for client, command in commands.items():
            with sink() as url, tempfile.TemporaryDirectory() as home:
                environment = {"HOME": home, "XDG_STATE_HOME": home}
                taken[client].append(measured([*command, name, str(folder), url], environment))
    return {client: median(times) for client, times in taken.items()}


def show(name: str, medians: Mapping[str, Mapping[str, float]]) -> None:
    """Print a line for each client, with the ratios of our figures to its."""
    print(
        f"\n{ROWS[name].title}\n\n| | {' | '.join(FIGURES)} | {' | '.join(f'ours, {f}' for f in FIGURES)} |"
    )
    print(f"|---|{'---:|' * 2 * len(FIGURES)}")
    for client, taken in medians.items():
        cells = [f"{taken[figure]:.3f}" for figure in FIGURES]
        for figure in FIGURES:
            ratio = medians["callsheet"][figure] / max(taken[figure], 1e-9)
            cells.append(verdict(ratio, ROWS[name].goals.get((client, figure))))
        print(f"| {client} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Take all figures and print them; or, asked by ourselves, take one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--take", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take is not None:
        row, folder, url = given.take
        anyio.run(take, row, Path(folder), url)
        return
    with tempfile.TemporaryDirectory() as place:
        for name in given.row or ROWS:
            show(name, figures(name, given.rounds, Path(place, name)))


if __name__ == "__main__":
    main()
