"""Cheap checks of the repository's own rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "examples", "docs", "bench", ".ci")


def texts() -> Iterator[Path]:
    """Yield every text file of the repository."""
    yield from (path for path in ROOT.iterdir() if path.suffix in {".md", ".py", ".toml"})
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not {"__pycache__", "_build", ".hypothesis"} & set(path.parts):
                yield path


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield path and source of every Python module in the folders."""
    for path in texts():
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders:
            yield str(path.relative_to(ROOT)), path.read_text()


def readme_commands() -> list[str]:
    """Return the lines of the README's first block of commands."""
    block = re.search(
        r"^```(?:sh|shell|bash|console)?\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S
    )
    assert block, "the README has no block of commands"
    return [line for line in block[1].splitlines() if line.strip() and not line.startswith("#")]


def test_readme_begins_with_two_commands() -> None:
    """A newcomer runs the main job with one line, and the tests with another."""
    main_job, tests = readme_commands()
    assert main_job.endswith(".venv/bin/python examples/quickstart.py")
    assert tests.endswith(".venv/bin/nox -s tests")
    assert (ROOT / "examples" / "quickstart.py").is_file()


def test_ci_runs_the_readme_command() -> None:
    """The command that CI tests with is the one a newcomer is given."""
    assert readme_commands()[1] in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a registry's host", r"\b(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com|net)\b"),
        ("a path of one machine", r"(?<![\w.~-])/(?:work|root)/"),
    ],
)
def test_no_file_depends_on_one_place(what: str, pattern: str) -> None:
    """No file names what only one machine or network has."""
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts()
        for match in re.finditer(pattern, path.read_text(errors="replace"))
    }
    assert found == set(), f"found {what}"


SILENCED = r"#\s*(?:(?:type|pyright): ignore(?:\[[\w, -]*\])?|noqa(?::[A-Z0-9, ]+)?|pragma: no cover)\s*$"
LEFT_OUT = r"(?:pytest\.skip|mark\.skip|mark\.xfail|pytest\.xfail)\(\s*\)|mark\.(?:skip|xfail)\s*$"


def test_exceptions_to_the_rules_give_a_reason() -> None:
    """Whoever silences a checker, or leaves a test out, says why beside it or in the line above."""
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, source in modules("src", "tests", "examples", "docs", "bench", "noxfile.py")
        for number, (above, line) in enumerate(pairwise(["", *source.splitlines()]), start=1)
        if re.search(f"{SILENCED}|{LEFT_OUT}", line) and not above.strip().startswith("#")
    ]
    assert found == []


def test_every_test_says_what_it_holds() -> None:
    """Each test has a docstring of one sentence."""
    silent = [
        f"{path}: {node.name}"
        for path, source in modules("tests")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def imports(source: str) -> set[str]:
    """Return the modules that this one loads when it is imported, not those it loads later or for types."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


CALLERS = r"callsheet\.(?:_client|_jobs|_following|_components|_locations|_cli|web)\b"
"""What stands before a tracker: it may use trackers' contract, never be used by one."""


def test_imports_run_one_way() -> None:
    """What users call knows no tracker, and a tracker knows neither its callers nor another tracker."""
    wrong = []
    for path, source in modules("src"):
        room = re.search(r"callsheet/providers/(\w+)/", path)
        others = rf"callsheet\.providers\.(?!{room[1]}\b)\w" if room else r"callsheet\.providers\.\w"
        forbidden = f"{CALLERS}|{others}" if room else others
        if "providers/__init__" not in path:
            wrong += [f"{path} imports {name}" for name in imports(source) if re.match(forbidden, name)]
    assert wrong == []


def test_changelog_keeps_its_form() -> None:
    """The changelog is in the form of Keep a Changelog: versions, newest first, of known kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}", line) for line in versions[1:]]
    assert all(released), versions
    order = [tuple(map(int, match.groups())) for match in released if match]
    assert order == sorted(order, reverse=True)
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for section in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        used = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert used == [kind for kind in kinds if kind in used]
