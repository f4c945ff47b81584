"""Everything that is run on callsheet: `nox` runs what a change must pass, `nox -l` lists the rest.

Tests, examples and docs use the built wheel, never the source tree.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.default_venv_backend = "virtualenv"
# `full` runs on those Pythons that are there, and fetches none.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

# Tests wait for disks, processes and servers, so that one worker more than there are cores keeps them busy.
WORKERS = ("-n", str((os.cpu_count() or 1) + 1))
PROJECT = nox.project.load_toml("pyproject.toml")

CLIENTS = ("ftrack", "vidispine", "vidispine-adapter", "deadline")
"""The vendors' own clients that the tests run against the sandbox."""


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on one Python, on every core; with arguments, run just those tests."""
    install_wheel(session, "test")
    env = vendors(session, *CLIENTS)
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs, env=env)
        return
    session.run("python", "-m", "pytest", *WORKERS, env=env)


@nox.session
def coverage(session: nox.Session) -> None:
    """Hold the coverage of lines and branches by the tests, whichever process they are reached in."""
    install_wheel(session, "test")
    env = vendors(session, *CLIENTS)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *WORKERS, *session.posargs, env=env)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session(python=nox.project.python_versions(PROJECT))
def full(session: nox.Session) -> None:
    """Run the tests at their full scale on every Python found."""
    install_wheel(session, "test")
    env = vendors(session, *CLIENTS) | npm(session, "ftrack-js", "@ftrack/api@^1.11")
    session.run(
        "python",
        "-m",
        "pytest",
        *WORKERS,
        "-o",
        "faulthandler_timeout=1800",
        *session.posargs,
        env=env | {"CALLSHEET_FULL": "1"},
    )


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest releases of the dependencies that are allowed."""
    install_wheel(session, "test")
    project = PROJECT["project"]
    required = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    oldest = {line.replace(">=", "==") for line in required if not line.startswith("callsheet")}
    session.install("-q", *sorted(oldest), *group("test"))
    env = vendors(session, *CLIENTS)
    # These hold Deadline Cloud to what the newest botocore knows of it.
    newest = "(test_deadline_models and (every_field or every_word)) or (any_name and deadline)"
    selected = ("-k", f"not ({newest})", *session.posargs)
    session.run("python", "-m", "pytest", *WORKERS, *selected, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code's rules and format."""
    session.install("-q", *group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, and that the public API has them all."""
    install_wheel(session, "test", "types", "docs")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "callsheet", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, where a warning is an error, and run the commands of its pages."""
    install_wheel(session, "docs", "test")
    session.run("python", "-m", "pytest", "-q", "tests/cli/test_page.py")
    session.run("sphinx-build", "-q", "-E", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """Print the benchmarks beside their references."""
    install_wheel(session, "test", "bench")
    clients = vendors(session, "ftrack", "vidispine", "deadline", "aiobotocore")
    session.run("python", "bench", *session.posargs, env=clients)


@nox.session
def soak(session: nox.Session) -> None:
    """Work a tracker for long, cancelling and killing at random, and see that nothing grows."""
    install_wheel(session, "test")
    session.run("python", "bench/soak.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job: the README's first command."""
    install_wheel(session)
    session.run("python", "examples/quickstart.py", *session.posargs)


def install_wheel(session: nox.Session, *groups: str) -> None:
    """Build the wheel, and install it with all extras and the dependency groups."""
    with TemporaryDirectory() as folder:
        session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ".")
        (wheel,) = Path(folder).glob("*.whl")
        session.install("-q", f"callsheet[all] @ {wheel.as_uri()}", *group(*groups))


def vendors(session: nox.Session, *names: str) -> dict[str, str]:
    """Make an environment for each vendor's own client, on the session's Python, and tell the tests where."""
    place = Path(session.create_tmp()) / "vendors"
    for name in names:
        session.run("python", "-m", "venv", "--clear", str(place / name))
        session.run(
            str(place / name / "bin" / "python"),
            *("-m", "pip", "install", "-q", *group(f"vendor-{name}")),
            external=True,
        )
    return {"CALLSHEET_VENDORS": str(place)}


def npm(session: nox.Session, name: str, *packages: str) -> dict[str, str]:
    """Install npm packages beside those environments; without npm, those tests skip."""
    place = Path(session.create_tmp()) / "vendors"
    if shutil.which("npm") is None:
        session.log("npm is missing: the tests of JavaScript clients will skip")
    else:
        (place / name).mkdir(parents=True, exist_ok=True)
        session.run(
            *("npm", "install", "--silent", "--no-audit", "--prefix", str(place / name), *packages),
            external=True,
        )
    return {"CALLSHEET_VENDORS": str(place)}


def group(*names: str) -> tuple[str, ...]:
    """Return the requirements of dependency groups."""
    return nox.project.dependency_groups(PROJECT, *names)
