"""What `import callsheet` gives, and what it must not bring along."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import re
import subprocess
import sys
import traceback
from types import ModuleType
from typing import Any

import pytest

import callsheet

OF_SERVERS_AND_VENDORS = {
    *("sqlalchemy", "sqlite3", "psycopg", "httpx", "httpcore", "h11", "starlette", "uvicorn", "jinja2"),
    *("wsproto", "boto3", "botocore", "moto", "xxhash", "yaml", "ftrack_api", "cyclopts", "rich", "argparse"),
    *("opentelemetry", "orjson", "pytest", "hypothesis", "trio"),
}
"""Packages that only some users need, whether or not an extra names them today."""


def public_names() -> list[str]:
    """Return the names of the package's own public objects."""
    return [
        name
        for name, value in vars(callsheet).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    ]


def documented() -> dict[str, Any]:
    """Return the public classes and functions, and the classes' public methods and properties."""
    found: dict[str, Any] = {}
    for name in callsheet.__all__:
        value = getattr(callsheet, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            found[name] = value
        if inspect.isclass(value):
            found |= {
                f"{name}.{attribute}": member
                for attribute, member in vars(value).items()
                if not attribute.startswith("_")
                and (inspect.isfunction(member) or isinstance(member, property))
            }
    return found


def test_all_is_the_public_namespace() -> None:
    """`__all__` names every public object once, and no other."""
    assert sorted(public_names()) == sorted(callsheet.__all__)


def test_everything_public_is_documented() -> None:
    """Every public class, function, method and property says what it does."""
    assert [name for name, value in documented().items() if not inspect.getdoc(value)] == []


def test_public_objects_live_in_the_package() -> None:
    """Public classes and functions say that they come from `callsheet`, not from a private module."""
    homes = {name: value.__module__ for name, value in documented().items() if "." not in name}
    assert homes == dict.fromkeys(homes, "callsheet")


def test_tracebacks_name_public_errors() -> None:
    """A traceback shows the name that an `except` clause needs."""
    error = callsheet.NotFound("no job j-1")
    assert traceback.format_exception_only(error) == ["callsheet.NotFound: no job j-1\n"]


@pytest.mark.parametrize("module", ["callsheet", "callsheet.abc"])
def test_import_stays_light(module: str) -> None:
    """A fresh interpreter loads no database, server, vendor or command-line library with the package."""
    # A run that measures coverage has loaded some before.
    code = f"import json, sys; before = {{*sys.modules}}; import {module}"
    code += "; print(json.dumps([*{*sys.modules} - before]))"
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(answer.stdout)}
    assert loaded & (OF_SERVERS_AND_VENDORS | packages_of_extras()) == set()
    assert "callsheet" in loaded


def packages_of_extras() -> set[str]:
    """Return the import names of everything that the package's extras install."""
    extras = {
        re.split(r"[^\w.-]", requirement)[0].lower()
        for requirement in importlib.metadata.requires("callsheet") or []
        if "extra ==" in requirement
    }
    assert "sqlalchemy" in extras
    distributions = importlib.metadata.packages_distributions()
    return {
        name for name, owners in distributions.items() if extras & {owner.lower() for owner in owners}
    } - {"callsheet"}
