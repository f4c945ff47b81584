"""Every benchmark, one after the other: `python bench`, or some: `python bench local imports`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLES = (
    "imports",
    "local",
    "over_http",
    "decoding",
    "cli",
    "ftrack",
    "vidispine",
    "deadline",
    "attachments",
)


def main(wanted: list[str]) -> int:
    """Run the tables that are wanted, by default all; return how many failed."""
    failed = 0
    for name in wanted or [table for table in TABLES if (HERE / f"{table}.py").exists()]:
        print(f"\n## {name}\n", flush=True)
        failed += bool(subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=HERE.parent).returncode)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
