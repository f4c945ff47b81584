"""connect(): addresses, options, and what is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import callsheet
from callsheet import ConfigError, InvalidRequest
from callsheet.providers.local import LocalProvider


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of this machine in."""
    monkeypatch.delenv("CALLSHEET_URL", raising=False)
    for name in ("SERVER", "API_USER", "API_KEY"):
        monkeypatch.delenv(f"FTRACK_{name}", raising=False)


@pytest.mark.parametrize("form", ["{}/jobs", "{}/made/by/the/way", "{}/jobs/../jobs"])
async def test_a_directory(tmp_path: Path, form: str) -> None:
    """`local:DIR` is the tracker in that directory, made if it is not there."""
    directory = form.format(tmp_path)
    async with callsheet.connect(f"local:{directory}", user="jane", timeout=7) as client:
        job = await client.jobs.create("a")
        assert isinstance(client.provider, LocalProvider)
        assert client.provider.tracker == f"local:{Path(directory).resolve()}"
    assert (job.user, job.tracker) == ("jane", f"local:{Path(directory).resolve()}")


async def test_relative_and_home_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative directory starts where you are, `~` at home, and nothing is your own tracker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    found = []
    for url in ("local:jobs", "local:./jobs", "local:~/jobs", "local:", "LOCAL:jobs"):
        async with callsheet.connect(url) as client:
            found.append(client.provider.tracker)
    places = ["jobs", "jobs", "home/jobs", "home/.local/share/callsheet/jobs", "jobs"]
    assert found == [f"local:{tmp_path}/{place}" for place in places]


async def test_the_environment_names_the_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address CALLSHEET_URL counts; an address wins over it."""
    monkeypatch.setenv("CALLSHEET_URL", f"local:{tmp_path}/environment")
    async with callsheet.connect() as one, callsheet.connect(f"local:{tmp_path}/given") as other:
        names = [Path(client.provider.tracker).name for client in (one, other)]
    assert names == ["environment", "given"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, ["connect()", "CALLSHEET_URL"]),
        ("", ["connect()", "CALLSHEET_URL"]),
        (7, ["url", "int"]),
        ("jobs", ["url", "'jobs'", "local:DIR"]),
        ("nope:jobs", ["url", "nope:jobs"]),
        ("https://studio.ftrackapp.com", ["url", "ftrack+https://HOST"]),
        ("local://host/jobs", ["url", "local:DIR"]),
        ("local:jobs?x=1", ["url", "x=1"]),
        ("local:~nobody-of-that-name/jobs", ["url", "~nobody-of-that-name", "nobody's home"]),
        ("postgresql://db/jobs", ["url", "postgresql", "not in this version"]),
        (
            "https://host",
            ["'https://host' names no tracker", "vidispine+https://HOST or deadline://FARM/QUEUE"],
        ),
        ("vidispine+https://[::1", ["url", "is not an address"]),
        ("ftrack+https://host#part", ["url", "#part"]),
    ],
)
def test_addresses_that_cannot_be_used(url: str | None, words: list[str]) -> None:
    """What is wrong with an address is said at once, by the setting's name."""
    with pytest.raises(ConfigError) as caught:
        callsheet.connect(url)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("scheme", ["ftrack+https", "vidispine+http", "deadline"])
def test_credentials_in_an_address_are_refused_unseen(scheme: str) -> None:
    """A vendor's address with a user or password in it is refused, and the error does not repeat them."""
    with pytest.raises(ConfigError, match="credentials do not belong") as caught:
        callsheet.connect(f"{scheme}://jane:canary@host/x")
    assert "canary" not in str(caught.value)
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [("colour", "colour: there is no such option"), ("api_key", "api_key: a local: tracker takes no such")],
)
def test_options_that_cannot_be_used(option: str, words: str) -> None:
    """An option that nobody, or not this tracker, takes is named."""
    with pytest.raises(ConfigError, match=words):
        callsheet.connect("local:jobs", **{option: "x"})


async def test_nothing_happens_before_the_client_is_open(tmp_path: Path) -> None:
    """connect() makes nothing; calls and the provider are refused until the client is open."""
    client = callsheet.connect(f"local:{tmp_path}/jobs")
    assert repr(client) == f"<Client of local:{tmp_path}/jobs>"
    with pytest.raises(InvalidRequest, match="not open"):
        await client.jobs.create("a")
    with pytest.raises(InvalidRequest, match="not open"):
        client.provider.details(None)
    assert list(tmp_path.iterdir()) == []


async def test_a_closed_client_opens_again(tmp_path: Path) -> None:
    """A client may be opened once more after it was closed, but not twice at a time."""
    client = callsheet.connect(f"local:{tmp_path}/jobs")
    async with client:
        job = await client.jobs.create("a")
        with pytest.raises(InvalidRequest, match="open already"):
            await client.__aenter__()
    async with client:
        assert await client.jobs.get(job) == job


LOADING = """
import json, sys, time
import anyio, callsheet

async def main():
    client = callsheet.connect("local:jobs")
    loaded = "sqlalchemy" in sys.modules
    loop, process = time.thread_time(), time.process_time()
    async with client:
        used = [time.thread_time() - loop, time.process_time() - process]
    print(json.dumps([loaded, "sqlalchemy" in sys.modules, *used]))

anyio.run(main, backend=sys.argv[1])
"""


def test_libraries_load_off_the_loop(tmp_path: Path, anyio_backend_name: str) -> None:
    """The database library, loaded as the first client opens, costs the loop next to nothing."""
    printed = subprocess.run(
        [sys.executable, "-c", LOADING, anyio_backend_name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    before, after, loop, process = json.loads(printed)
    assert (before, after) == (False, True)
    assert loop < process / 4


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """Without the extra's library, opening says which extra to install."""
    script = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "import anyio, callsheet\n"
        "async def main():\n"
        "    async with callsheet.connect('local:jobs'): pass\n"
        "anyio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "callsheet.ConfigError: sqlalchemy is missing; run: pip install 'callsheet[local]'\n"
    )
    assert list(tmp_path.iterdir()) == []
