"""The code in the README and the docs compiles, runs, and names what there is.

A block that is a whole program is run in a process of its own. The other blocks of a page are run in order,
as if typed one after the other, with a `client` of an empty tracker, a `job`, and the sample files below. A
block after `<!-- shown only -->` is compiled and not run.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import callsheet
import callsheet.abc
import callsheet.providers.ftrack
import callsheet.providers.local
from callsheet.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SAMPLES = ["a.exr", "b.exr", "out.mov", "shots/sh010.txt", *(f"beauty.{n}.exr" for n in range(1001, 1004))]
BLOCK = re.compile(r"(<!-- shown only -->\s*)?^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """One block of Python on a page."""

    place: str
    code: str
    shown_only: bool

    @property
    def is_program(self) -> bool:
        """Whether it runs a loop of its own."""
        return re.search(r"^(?:asyncio|anyio|trio)\.run\(", self.code, re.MULTILINE) is not None

    def compiled(self) -> Any:
        """Return the code, which may await at its top."""
        return compile(self.code, self.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def blocks(page: Path) -> list[Block]:
    """Return the blocks of Python on a page."""
    text = page.read_text()
    return [
        Block(
            place=f"{page.name}:{text.count(chr(10), 0, match.start(2)) + 1}",
            code=textwrap.dedent(match[2]),
            shown_only=match[1] is not None,
        )
        for match in BLOCK.finditer(text)
    ]


PROGRAMS = [block for page in PAGES for block in blocks(page) if block.is_program and not block.shown_only]


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the docs speak of, as the working directory and home."""
    for name in SAMPLES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 1000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CALLSHEET_URL", raising=False)
    return tmp_path


@pytest.fixture
def servers(page: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a vendor's page find a server of the sandbox's by that vendor's variables."""
    if page.stem != "ftrack":
        yield
        return
    with Sandbox() as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture
async def typed(samples: Path) -> AsyncIterator[dict[str, Any]]:
    """What a reader has at hand while following a page."""
    async with callsheet.connect("local:./tracker") as client:
        job = await client.jobs.create("Publish sh010", user="jane")
        yield {"callsheet": callsheet, "client": client, "job": job}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
async def test_blocks_run_in_order(page: Path, typed: dict[str, Any], servers: None) -> None:
    """Following a page from top to bottom works."""
    for block in blocks(page):
        code = block.compiled()
        if block.shown_only or block.is_program:
            continue
        outcome = eval(code, typed)
        if inspect.iscoroutine(outcome):
            await outcome


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda block: block.place)
def test_programs_run(program: Block, samples: Path) -> None:
    """A whole program on a page can be copied into a file and run."""
    (samples / "program.py").write_text(program.code)
    answer = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=samples,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_reference_names_everything() -> None:
    """The API reference has an entry for each public name."""
    reference = (ROOT / "docs" / "api.md").read_text()
    entries = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", reference, re.MULTILINE))
    public = {f"callsheet.{name}" for name in callsheet.__all__ if not name.startswith("__")}
    own = {f"callsheet.abc.{name}" for name in callsheet.abc.__all__ if name not in callsheet.__all__}
    of_local = {f"callsheet.providers.local.{name}" for name in callsheet.providers.local.__all__}
    of_ftrack = {f"callsheet.providers.ftrack.{name}" for name in callsheet.providers.ftrack.__all__}
    assert entries == public | own | of_local | of_ftrack


def test_quickstart_names_every_extra() -> None:
    """The table of extras is that of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "quickstart.md").read_text(), re.MULTILINE)
    assert table == list(project["optional-dependencies"])


def test_errors_page_names_every_error() -> None:
    """The page about errors explains each class of the tree."""
    page = (ROOT / "docs" / "errors.md").read_text()
    errors = [
        name
        for name in callsheet.__all__
        if inspect.isclass(getattr(callsheet, name)) and issubclass(getattr(callsheet, name), Exception)
    ]
    assert [name for name in errors if f"`{name}`" not in page] == []
