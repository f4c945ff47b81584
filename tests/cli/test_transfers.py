"""`callsheet attach` and `download`: files to and from a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

import callsheet
from callsheet._cli._files import _download_all
from support.commands import Cli


@pytest.fixture
def job(cli: Cli) -> str:
    """The id of a job without files."""
    return cli("jobs", "create", "a").ids[0]


def write(*paths: str) -> None:
    """Write a file at each path, whose content is the path."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path))


def read(folder: str) -> dict[str, str]:
    """Return the content of each file in a folder, by its path there."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_files_go_there_and_back(cli: Cli, job: str) -> None:
    """What was attached is downloaded unchanged, into a folder that is made."""
    write("one.exr", "sub/two.exr")
    attached = cli("attach", job, "one.exr", "sub/two.exr")
    assert (attached.code, attached.err) == (0, "")
    assert [(one["name"], one["size"], one["job_id"]) for one in attached.records] == [
        ("one.exr", 7, job),
        ("two.exr", 11, job),
    ]
    downloaded = cli("download", job, "--to", "in/side")
    assert (downloaded.code, downloaded.err) == (0, "")
    assert sorted(downloaded.records, key=lambda one: str(one["path"])) == [
        {"component": component, "path": f"in/side/{component['name']}"} for component in attached.records
    ]
    assert read("in") == {"side/one.exr": "one.exr", "side/two.exr": "sub/two.exr"}


def test_one_bad_file_does_not_stop_the_others(cli: Cli, job: str) -> None:
    """What could not be attached is said, one line each; the rest is attached, in order."""
    write("a", "b")
    answer = cli("attach", job, "gone", "a", "away", "b", "--ids")
    assert answer.code == 1
    assert len(answer.ids) == 2
    assert answer.err.splitlines() == [
        f"callsheet: error: {name} is not attached: [Errno 2] No such file or directory: '{name}'"
        for name in ("gone", "away")
    ]
    assert sorted(one["name"] for one in cli("jobs", "show", job).records[0]["components"]) == ["a", "b"]


def test_files_that_are_there_are_left_alone(cli: Cli, job: str) -> None:
    """A download replaces nothing unless it is told to, and gets the other files all the same."""
    write("a", "b")
    cli("attach", job, "a", "b")
    Path("in").mkdir()
    Path("in/a").write_text("mine")
    kept = cli("download", job, "--to", "in")
    assert kept.code == 1
    said = "[Errno 17] it exists already: 'in/a'; --overwrite replaces it"
    assert kept.err == f"callsheet: error: a is not downloaded: {said}\n"
    assert read("in") == {"a": "mine", "b": "b"}
    assert cli("download", job, "--to", "in", "--name", "a", "--overwrite").code == 0
    assert read("in") == {"a": "a", "b": "b"}


def test_a_file_is_no_folder_to_download_to(cli: Cli, job: str) -> None:
    """Where a file stands in a folder's place, no advice to overwrite it is given, and it is left alone."""
    write("a", "mine")
    cli("attach", job, "a")
    answer = cli("download", job, "--to", "mine", "--overwrite")
    said = "a is not downloaded: [Errno 20] it is no folder: 'mine'"
    assert (answer.code, answer.out, answer.err) == (1, "", f"callsheet: error: {said}\n")
    assert Path("mine").read_text() == "mine"


def test_a_name_that_is_not_unicode_is_made_readable(cli: Cli, job: str) -> None:
    """Trackers want names in Unicode: a file of another is attached under what can be read of it."""
    write("a", os.fsdecode(b"b\xff.exr"))
    answer = cli("attach", job, os.fsdecode(b"b\xff.exr"), "a")
    assert (answer.code, answer.err) == (0, "")
    assert [one["name"] for one in answer.records] == ["b\N{REPLACEMENT CHARACTER}.exr", "a"]


def test_files_of_one_name_do_not_meet(cli: Cli, job: str) -> None:
    """The second file of a name goes into a folder of its own."""
    write("x/f", "y/f", "z/f", "g")
    cli("attach", job, "x/f", "y/f", "g", "z/f")
    assert cli("download", job, "--to", "in").code == 0
    found = read("in")
    assert found.keys() == {"f", "2/f", "3/f", "g"}
    assert set(found.values()) == {"x/f", "y/f", "z/f", "g"}


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_files_that_would_be_one_do_not_meet(cli: Cli, job: str, more: Sequence[str]) -> None:
    """Names that would be one file or folder are kept apart, also where what is there may be replaced."""
    names = ["x/f", "y/f", "x/2", "x/a?", "x/a*", "y/a_"]
    write(*names)
    for name in names:  # in this order
        cli("attach", job, name)
    assert cli("download", job, "--to", "in", *more).code == 0
    assert read("in") == {
        "f": "x/f",
        "2/f": "y/f",
        "2/2": "x/2",
        "a_": "x/a?",
        "2/a_": "x/a*",
        "3/a_": "y/a_",
    }


def test_downloads_are_chosen_by_name(cli: Cli, job: str) -> None:
    """Only the files whose names match any of the patterns are downloaded, into the working folder."""
    write("made/a.exr", "made/b.exr", "made/c.mov", "made/d.log")
    cli("attach", job, *sorted(map(str, Path("made").iterdir())))
    assert cli("download", job, "--name", "*.exr", "--name", "?.mov").code == 0
    assert [path.name for path in sorted(Path().glob("*.*"))] == ["a.exr", "b.exr", "c.mov"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["download", "nope"], 3, "there is no job 'nope'"),
        (["download", "{job}"], 3, "has no files"),
        (["attach", "nope", "a"], 3, "there is no job 'nope'"),
        (["attach", "{job}"], 2, "parameter FILES requires an argument"),
        (["attach", "{job}", "a", "--location", "nowhere"], 1, "a is not attached: there is no location"),
    ],
)
def test_what_cannot_be_moved(cli: Cli, job: str, words: Sequence[str], code: int, said: str) -> None:
    """Jobs and files that are not there are named."""
    write("a")
    answer = cli(*(word.format(job=job) for word in words))
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


async def test_downloads_run_a_few_at_a_time(tmp_path: Path) -> None:
    """No more than four downloads are under way, each has its outcome, and the order is kept."""
    components = [callsheet.Component(id=str(number), name=f"{number}") for number in range(20)]
    under_way: list[int] = []
    most = 0

    async def download_one(component: callsheet.Component, to: str) -> Path:
        nonlocal most
        under_way.append(1)
        most = max(most, len(under_way))
        await anyio.sleep(0.001 * (20 - int(component.id)))
        under_way.pop()
        if component.id == "7":
            raise callsheet.IntegrityError("damaged")
        return Path(to + component.name)

    outcomes = await _download_all(download_one, [(one, tmp_path / "in") for one in components])
    assert most == 4
    assert [one for one, _ in outcomes] == components
    failed = [str(outcome) for _, outcome in outcomes if isinstance(outcome, Exception)]
    paths = [str(outcome) for _, outcome in outcomes if isinstance(outcome, Path)]
    assert failed == ["damaged"]
    assert paths == [f"{tmp_path}/in{os.sep}{number}" for number in range(20) if number != 7]
