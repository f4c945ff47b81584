"""Environments that hold the vendors' own clients: `nox` makes them, one each, in CALLSHEET_VENDORS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

__all__ = ["run_node", "run_python"]


def run_python(client: str, script: Path, *arguments: str, environment: Mapping[str, str]) -> Any:
    """Run a script where a vendor's Python client is installed; return the JSON of its last line."""
    python = _place(client) / "bin" / "python"
    return _run([str(python), str(script), *arguments], environment)


def run_node(client: str, script: Path, *arguments: str, environment: Mapping[str, str]) -> Any:
    """Run an ECMAScript module where an npm package is installed; return the JSON of its last line."""
    copy = _place(client) / script.name  # modules are looked up beside the script
    copy.write_bytes(script.read_bytes())
    return _run(["node", str(copy), *arguments], environment)


def _place(client: str) -> Path:
    place = Path(os.environ.get("CALLSHEET_VENDORS", "")) / client
    if not os.environ.get("CALLSHEET_VENDORS") or not place.is_dir():
        pytest.skip(f"needs the environment {client!r} in CALLSHEET_VENDORS, as nox makes it")
    return place


def _run(command: list[str], environment: Mapping[str, str]) -> Any:
    answer = subprocess.run(
        command,
        env=os.environ | dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr or answer.stdout
    return json.loads(answer.stdout.splitlines()[-1])
