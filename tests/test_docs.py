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
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import pytest

import callsheet
import callsheet.abc
import callsheet.providers.deadline
import callsheet.providers.ftrack
import callsheet.providers.local
import callsheet.providers.vidispine
from callsheet import Client, JobState
from callsheet.abc import CAPABILITIES
from callsheet.providers.deadline import DeadlineProvider
from callsheet.providers.ftrack import FtrackProvider
from callsheet.providers.local import LocalProvider
from callsheet.providers.vidispine import IMPORT_TYPES, VidispineProvider
from callsheet.sandbox import Sandbox
from faultserver import FaultServer
from support.deadlinehand import FARM, QUEUE
from support.s3store import Store

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SAMPLES = [
    "a.exr",
    "b.exr",
    "out.mov",
    "shots/sh010.txt",
    "sh010/scene.ma",
    *(f"beauty.{n}.exr" for n in range(1001, 1004)),
]
RUNS = re.compile(r"^(?:(?:asyncio|anyio|trio)\.run|with start_blocking_portal)\(", re.MULTILINE)
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
        return RUNS.search(self.code) is not None

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
    (template,) = re.findall(r"```yaml\n(.+?)```", (ROOT / "docs" / "deadline.md").read_text(), re.DOTALL)
    (tmp_path / "sh010" / "template.yaml").write_text(template)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CALLSHEET_URL", raising=False)
    return tmp_path


@pytest.fixture
def servers(page: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a vendor's page find a server of the sandbox's by that vendor's variables."""
    with found(monkeypatch) if page.stem in {"ftrack", "vidispine", "deadline"} else nullcontext():
        yield


@contextmanager
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let clients find a server of the sandbox's, whose jobs take no time and are looked at all the time."""
    often = {"watch_interval": 0.02}
    for kind in (VidispineProvider, DeadlineProvider):
        defaults = kind.__init__.__kwdefaults__ or {}
        monkeypatch.setattr(kind.__init__, "__kwdefaults__", defaults | often)
    with FaultServer(Store().play) as bucket, Sandbox(s3=bucket.url) as sandbox:
        sandbox.configure("vidispine", step_seconds=0)
        sandbox.configure("deadline", **dict.fromkeys(DEADLINE_SECONDS, 0))
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CALLSHEET_URL", f"deadline://{FARM}/{QUEUE}?region=us-west-2")
        yield


DEADLINE_SECONDS = ("pick_up_seconds", "start_seconds", "task_seconds", "create_seconds", "interrupt_seconds")
"""What takes time on the sandbox's farm."""


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


JOBHELPER = [
    *(
        "getAllJobs",
        "getAllImportJobs",
        "getAllIngestJobs",
        "getAllJobsForItem",
        "getAllTranscodeJobsForItem",
    ),
    *("getAllNotifications", "getJob", "getJobProblem", "getProgress", "getTaskDefinition"),
    *("removeTaskDefinition", "getTotalJobCount", "reRun", "updateJobPriority", "abort"),
    *("userHasAccessToJob", "JobHelper"),
]
"""The methods of Portal's JobHelper, and how one makes it."""


async def test_tables_of_calls_run(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that the tables of Vidispine's page name in place of another client's can be made."""
    tables = (ROOT / "docs" / "vidispine.md").read_text().partition("## From JobHelper")[2]
    rows = re.findall(r"^\| `(.+?)` \| (?:`((?:await|\(await|portal\.).+?)`)?.* \|$", tables, re.MULTILINE)
    olds, calls = [old for old, _ in rows], [call for _, call in rows if call]
    methods = {re.split(r"\W", old.rpartition(").")[2])[0] for old in olds}
    assert set(JOBHELPER) <= methods
    assert len(calls) > 35
    with found(monkeypatch):
        async with callsheet.connect("vidispine:") as portal:
            at_hand = await at_hand_in(portal)
            for call in calls:
                outcome = eval(compile(call, call, "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), at_hand)
                if inspect.iscoroutine(outcome):
                    await outcome


async def at_hand_in(portal: Client[Any]) -> dict[str, Any]:
    """What the calls of those tables are about."""
    job = await portal.jobs.wait(await portal.jobs.create("A001", files=["out.mov"]))
    return {
        "portal": portal,
        "JobState": JobState,
        "IMPORT_TYPES": IMPORT_TYPES,
        "id": job.id,
        "ended": await portal.jobs.wait(await portal.jobs.create("B", type="STUDIO_COMP")),
        "item": job.item,
        "empty": await portal.provider.create_placeholder("A002"),
        "file": await portal.components.upload("out.mov"),
        "task_id": (await portal.provider.task_definitions("STUDIO_PUBLISH"))[0].id,
    }


BOTO3 = {
    *("get_job", "batch_get_job", "list_jobs", "search_jobs", "create_job", "update_job", "batch_update_job"),
    *("list_steps", "list_tasks", "list_sessions", "list_session_actions", "get_session_action"),
    *(
        "list_job_parameter_definitions",
        "list_job_members",
        "list_tags_for_resource",
        "get_queue",
        "get_waiter",
    ),
}
"""The calls of boto3 about a queue's jobs."""


async def test_tables_of_deadline_run(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that the tables of Deadline's page name in place of another client's can be made."""
    tables = (ROOT / "docs" / "deadline.md").read_text().partition("## Moving over from boto3")[2]
    rows = re.findall(r"^\| `(.+?)`.* \| `(.+?)`.* \|$", tables, re.MULTILINE)
    calls = [call for _, call in rows if call.startswith("await")]
    assert {name for old, _ in rows for name in re.findall(r"^d\.(\w+)", old)} == BOTO3
    assert len(calls) > 28
    with found(monkeypatch):
        async with callsheet.connect() as farm:
            done = await farm.jobs.wait(await farm.jobs.create("sh005", template="sh010"))
            old = await farm.jobs.wait(await farm.jobs.create("sh006", template="sh010"))
            action = (await farm.provider.sessions(done))[0].session_id.replace("session-", "sessionaction-")
            at_hand = {
                "farm": farm,
                "JobState": JobState,
                "id": done.id,
                "done": done,
                "old": old,
                "step": (await farm.provider.steps(done))[0].step_id,
                "session": (await farm.provider.sessions(done))[0].session_id,
                "action": f"{action}-0",
            }
            for call in calls:
                outcome = eval(compile(call, call, "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), at_hand)
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
    of_vidispine = {f"callsheet.providers.vidispine.{name}" for name in callsheet.providers.vidispine.__all__}
    of_deadline = {f"callsheet.providers.deadline.{name}" for name in callsheet.providers.deadline.__all__}
    assert entries == public | own | of_local | of_ftrack | of_vidispine | of_deadline


TRACKERS: dict[str, type[callsheet.abc.Provider]] = {
    "local": LocalProvider,
    "ftrack": FtrackProvider,
    "Vidispine": VidispineProvider,
    "Deadline": DeadlineProvider,
}


def test_table_of_trackers() -> None:
    """What every tracker does is said once; the rest in a table, which says "no" where a provider does."""
    page = (ROOT / "docs" / "trackers.md").read_text()
    common, rest = (
        page.partition("## How they do it")[0].split("Every tracker does this:")[1].split("The rest:")
    )
    everywhere = {
        word for word in CAPABILITIES if all(word in kind.capabilities for kind in TRACKERS.values())
    }
    assert sorted(re.findall(r"`([^`]+)`", common)) == sorted(everywhere)
    head, _, *rows = [line.strip("| ").split(" | ") for line in rest.splitlines() if line.startswith("|")]
    assert head == ["call", *TRACKERS]
    told = {word.strip("`"): [cell != "no" for cell in cells] for word, *cells in rows}
    assert told == {
        word: [word in kind.capabilities for kind in TRACKERS.values()] for word in CAPABILITIES - everywhere
    }
    assert len(rows) == len(told)


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
