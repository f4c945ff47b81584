"""What is shipped: every module of the package, its types and licence, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.Path:
    """The root of the built wheel."""
    (path,) = built.glob("*.whl")
    return zipfile.Path(path)


def metadata(wheel: zipfile.Path) -> Message:
    """Return what the wheel says of itself."""
    return Parser().parsestr((dist_info(wheel) / "METADATA").read_text())


def dist_info(wheel: zipfile.Path) -> zipfile.Path:
    """Return the wheel's own folder of metadata."""
    return wheel / f"callsheet-{PROJECT['version']}.dist-info"


def names_inside(wheel: zipfile.Path) -> set[str]:
    """Return the paths of all files in the wheel."""
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.Path) -> None:
    """Every file of the package is in the wheel, with its metadata; no test, example or document is."""
    ours = (path for path in (ROOT / "src" / "callsheet").rglob("*") if path.is_file())
    package = {path.relative_to(ROOT / "src").as_posix() for path in ours if "__pycache__" not in path.parts}
    info = dist_info(wheel).at.rstrip("/")
    rest = names_inside(wheel) - {f"{info}/entry_points.txt"}
    assert rest == package | {
        f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")
    }
    assert "callsheet/py.typed" in package


def test_wheel_carries_the_licence(wheel: zipfile.Path) -> None:
    """The licence text travels with the code, and the metadata names it."""
    assert (dist_info(wheel) / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert metadata(wheel)["License-Expression"] == "MIT"


def test_wheel_offers_the_extras(wheel: zipfile.Path) -> None:
    """The extras are those of the project file, and `all` brings every other one."""
    extras = PROJECT["optional-dependencies"]
    assert set(metadata(wheel).get_all("Provides-Extra", [])) == set(extras)
    assert extras["all"] == [f"callsheet[{','.join(sorted(set(extras) - {'all'}))}]"]


def test_source_archive_can_pass_its_tests(built: Path) -> None:
    """The source archive holds what its own tests and documents need."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        top = {"/".join(name.split("/")[1:2]) for name in archive.getnames()}
    assert top >= {
        *("src", "tests", "examples", "docs", ".ci", "pyproject.toml", "noxfile.py"),
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    }


def test_systems_without_file_locks_import_it() -> None:
    """Where there is no fcntl, as on Windows, callsheet and its trackers import all the same."""
    script = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import callsheet, callsheet.providers.local, callsheet.providers.ftrack\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
