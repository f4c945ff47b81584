"""What it costs to import callsheet, beside what it stands on and its peers.

    python -m bench.imports [--rounds 5]

Each import is a fresh process; rounds go A B A B and the table shows the best of each, since everything else
only adds. A library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys

MODULES = ("callsheet", "anyio", "attrs", "httpx", "callsheet.providers.local", "boto3", "aiohttp")
MEASURE = """
import resource, sys, time
start = time.process_time()
__import__(sys.argv[1])
spent = time.process_time() - start
print(spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    modules = [module for module in MODULES if importlib.util.find_spec(module.partition(".")[0])]
    taken: dict[str, list[tuple[float, int]]] = {module: [] for module in modules}
    for _ in range(rounds):
        for module in modules:
            taken[module].append(measure(module))
    print(f"{'import':28}{'CPU s':>8}{'ratio':>8}{'peak MB':>9}")
    own = min(taken["callsheet"])[0]
    for module, figures in taken.items():
        spent, peak = min(figures)
        print(f"{module:28}{spent:8.3f}{spent / own:8.2f}{peak / 1000:9.1f}")


def measure(module: str) -> tuple[float, int]:
    """Return the CPU seconds of an import in a fresh process, and that process's peak memory in kB."""
    command = [sys.executable, "-c", MEASURE, module]
    spent, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(spent), int(peak)


if __name__ == "__main__":
    main()
