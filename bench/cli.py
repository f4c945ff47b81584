"""The command line beside what it wraps.

    python bench/cli.py [--seconds 10] [--lines 100000] [--rounds 3]

Rounds go A B A B, so that whatever else the machine does falls on both; the table shows the best of each, as
everything else only adds. The aims: help within 1.3 of the imports, a wrapped command within 1.05 of itself.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

CALLSHEET = [sys.executable, "-m", "callsheet"]
IMPORTS = [sys.executable, "-c", "import cyclopts, rich"]

PRINTING = """
import sys, time
seconds, lines = float(sys.argv[1]), int(sys.argv[2])
start = time.monotonic()
for number in range(lines):
    print(f"00:00:{number % 60:02} INFO  bucket {number} of {lines} rendered. Progress: {100 * number // lines}%", flush=True)
    if number % 100 == 99:
        time.sleep(max(0.0, start + (number + 1) / lines * seconds - time.monotonic()))
"""  # noqa: E501 - a line of output


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the wrapped command takes")
    parser.add_argument("--lines", type=int, default=100_000, help="how many lines it prints")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    command = [sys.executable, "-c", PRINTING, str(options.seconds), str(options.lines)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "CALLSHEET_URL": f"local:{folder}/tracker",
            "PYTHONPYCACHEPREFIX": f"{folder}/compiled",
        }
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for words in (IMPORTS, [*CALLSHEET, "run", "--", "true"]):  # compiled once, as when installed
            measured(words)
        print(f"{'':44}{'wall s':>9}{'CPU s':>9}{'MiB':>7}")
        compare(
            "import cyclopts, rich", IMPORTS, "callsheet --help", [*CALLSHEET, "--help"], 5 * options.rounds
        )
        wrapped = [*CALLSHEET, "run", "--", *command]
        what = f"{options.lines:,} lines in {options.seconds:g} s"
        compare(what, command, "the same in callsheet run", wrapped, options.rounds)
        flood = ["head", "-c", "100000000", "/dev/zero"]
        compare(
            "100 MB", flood, "the same in callsheet run", [*CALLSHEET, "run", "--", *flood], options.rounds
        )


def compare(name: str, one: Sequence[str], other_name: str, other: Sequence[str], rounds: int) -> None:
    """Print the best of several rounds of both commands, and their ratios."""
    pairs = [(measured(one), measured(other)) for _ in range(rounds)]
    first, second = (
        [min(column) for column in zip(*figures, strict=True)] for figures in zip(*pairs, strict=True)
    )
    for title, figures in ((name, first), (other_name, second)):
        print(f"{title:44}{figures[0]:9.3f}{figures[1]:9.3f}{figures[2]:7.0f}")
    print(f"{'  ratio':44}{second[0] / first[0]:9.3f}{second[1] / first[1]:9.3f}\n")


def measured(command: Sequence[str]) -> tuple[float, float, float]:
    """Run a command, its output unseen; return seconds, seconds of CPU with its children's, and MiB."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
