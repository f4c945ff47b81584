"""What a piece of work took; it needs nothing but the standard library, so that it runs beside any client."""

from __future__ import annotations

import json
import time
from pathlib import Path

__all__ = ["Meter"]


class Meter:
    """Wall time, CPU and growth of the highest memory between start and stop."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
        self._memory = memory("VmRSS")
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def stop(self) -> str:
        """Return the figures as JSON."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return json.dumps({"s": wall, "CPU s": cpu, "MB more": memory("VmHWM") - self._memory})


def memory(field: str) -> float:
    """Return a field of this process's memory, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(field))
