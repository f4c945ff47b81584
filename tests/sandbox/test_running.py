"""Running a sandbox: from a shell, in a thread, in a process; and how it ends."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from callsheet.sandbox import Sandbox, Settings
from callsheet.sandbox._beside import url_of
from callsheet.sandbox._sandbox import _Process
from callsheet.sandbox._server import listen, serve

PYTHON = [sys.executable, "-W", "error", "-m"]
COMMANDS = {
    "module": [*PYTHON, "callsheet.sandbox", "--port", "0"],
    "command": [*PYTHON, "callsheet", "sandbox", "--port", "0"],
}
TOLD = {
    "FTRACK_API_USER": "sandbox",
    "FTRACK_API_KEY": "sandbox-key",
    "AWS_ACCESS_KEY_ID": "sandbox",
    "AWS_SECRET_ACCESS_KEY": "sandbox-secret",
    "AWS_DEFAULT_REGION": "us-west-2",
    "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
}
EXAMPLE = Path(__file__).parents[2] / "examples" / "test_with_sandbox.py"


@contextmanager
def served(command: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run the command until it is ready; yield its process and the variables it told."""
    words = [*COMMANDS[command], *arguments]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            variables = {}
            for line in iter(process.stdout.readline, "ready\n"):
                assert line.startswith("export "), line
                name, _, value = line.removeprefix("export ").strip().partition("=")
                variables[name] = value
            yield process, variables
        finally:
            process.kill()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_how_to_reach_it_and_ends_when_told(command: str, number: signal.Signals) -> None:
    """It prints exports for real clients, then `ready`, and a signal ends it cleanly with work in flight."""
    with served(command, "--jobs", "3", "--seed", "1", "--latency", "1") as (process, variables):
        url = variables["FTRACK_SERVER"]
        assert variables == variables | TOLD | {"AWS_ENDPOINT_URL_DEADLINE": url, "AWS_ENDPOINT_URL_STS": url}
        with Held(url):
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=False, timeout=60)


class Held:
    """An answer that is still on its way: the sandbox waits an hour before it sends it."""

    def __init__(self, url: str) -> None:
        rule = {"kind": "latency", "seconds": 3600, "path": "/api"}
        httpx.put(f"{url}/_sandbox/faults", json=rule, verify=False, timeout=60)
        host, port = url.removeprefix("http://").split(":")
        self._line = socket.create_connection((host, int(port)))
        self._line.sendall(b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while not httpx.get(f"{url}/_sandbox/faults", verify=False, timeout=60).json()[0]["struck"]:
            pass

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None:
        self._line.close()


def test_bytes_are_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder with the bytes lives as long as the sandbox."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox():
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith("callsheet-sandbox-")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("process", [False, True])
def test_it_runs_beside_a_test(process: bool) -> None:
    """In a thread or in a process it is steered in the same way, and its settings hold."""
    with Sandbox(jobs=4, seed=1, process=process) as sandbox:
        assert sandbox.environment["FTRACK_SERVER"] == sandbox.url
        sandbox.clock.freeze()
        assert sandbox.clock.advance(1) == sandbox.clock.now()
        credentials = {"ftrack-user": "sandbox", "ftrack-api-key": "sandbox-key"}
        operation = {"action": "query", "expression": "select id from Job"}
        answer = httpx.post(
            f"{sandbox.url}/api", json=[operation], headers=credentials, verify=False, timeout=60
        )
        assert len(answer.json()[0]["data"]) == 4
        assert [request.path for request in sandbox.requests()] == ["/api"]
        url = sandbox.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=False, timeout=60)


@pytest.mark.parametrize("process", [False, True])
def test_a_port_that_is_taken_is_told(process: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Where the port is taken, starting fails, and nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sandbox = Sandbox(port=taken.getsockname()[1], process=process)
        with pytest.raises(OSError, match=r"in use|ended at once"), sandbox:
            pytest.fail("the block must not begin")
    told = capfd.readouterr().err
    assert told.startswith("cannot listen on 127.0.0.1:") if process else told == ""
    assert "Traceback" not in told


def test_two_stand_side_by_side() -> None:
    """Two sandboxes know nothing of each other."""
    with Sandbox() as one, Sandbox() as other:
        one.faults.add("lost")
        assert one.url != other.url
        assert other.faults.struck() == 0
        one.clock.advance(3600)
        assert (one.clock.now() - other.clock.now()).total_seconds() > 3500


def test_ipv6_is_an_address_too() -> None:
    """On an IPv6 address the URL has its brackets."""
    with Sandbox(host="::1") as sandbox:
        assert sandbox.url.startswith("http://[::1]:")
        assert sandbox.faults.struck() == 0


@pytest.mark.parametrize(
    ("bound", "url"),
    [("0.0.0.0", "http://127.0.0.1:8300"), ("::", "http://[::1]:8300")],
)
def test_an_address_of_all_is_told_as_this_machines(bound: str, url: str) -> None:
    """Where it listens on all addresses, the URL is one that leads there from this machine."""
    assert url_of(mock.Mock(getsockname=lambda: (bound, 8300))) == url


def test_settings_of_a_process() -> None:
    """A process is told all settings, also those that are 0; no seed is none."""
    told = ["--host=127.0.0.1", "--port=0", "--jobs=0", "--latency=0.0"]
    assert _Process(Settings(seed=0))._command[3:] == [*told, "--seed=0"]
    assert _Process(Settings())._command[3:] == told


def test_settings_have_no_other_names() -> None:
    """An unknown setting is refused where it is written."""
    with pytest.raises(TypeError, match="ports"):
        Sandbox(ports=8300)
    assert Settings() == Settings(host="127.0.0.1", port=0, jobs=0, latency=0.0, seed=None)


@pytest.mark.parametrize(
    "settings",
    [
        {"host": None},
        {"port": 65536},
        {"port": "8300"},
        {"jobs": -1},
        {"jobs": 1.5},
        {"latency": "x"},
        {"latency": math.inf},
        {"latency": math.nan},
        {"seed": "x"},
        {"s3": 8301},
    ],
)
def test_settings_of_no_use_are_named(settings: dict[str, Any]) -> None:
    """A setting of another type, or out of its bounds, is refused by its name."""
    with pytest.raises((TypeError, ValueError), match=f"'{next(iter(settings))}' must be"):
        Sandbox(**settings)


def test_the_missing_extra_is_named(tmp_path: Path) -> None:
    """Without the extra's packages the import says which to install."""
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('no', name='uvicorn')")
    code = "import callsheet.sandbox"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = answer.stderr.splitlines()[-1]
    assert last == ("callsheet.ConfigError: uvicorn is missing; run: pip install 'callsheet[sandbox]'")


def test_unused_it_costs_a_test_session_nothing(pytester: pytest.Pytester) -> None:
    """The plug-in is there in every session, and loads neither the sandbox nor a server library."""
    pytester.makepyfile(
        """
        import json, sys
        def test_loaded():
            print("loaded", json.dumps(sorted(sys.modules)))
        """
    )
    result = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=1)
    (text,) = (line.partition("loaded ")[2] for line in result.outlines if "loaded [" in line)
    modules = json.loads(text)
    servers = {"starlette", "uvicorn", "wsproto", "h11", "httpx", "callsheet.sandbox"}
    assert servers & set(modules) == set()
    assert "callsheet.pytest_plugin" in modules


def test_its_fixtures_are_for_one_test(pytester: pytest.Pytester) -> None:
    """Each test has a sandbox of its own, set up by its mark, found through the environment."""
    pytester.makepyfile(
        """
        import os, pytest, urllib.request

        URLS = []

        @pytest.mark.callsheet_sandbox(jobs=2)
        def test_marked(callsheet_sandbox, callsheet_faults, callsheet_clock):
            assert os.environ["FTRACK_SERVER"] == callsheet_sandbox.url
            callsheet_faults.add("status", status=404)
            assert callsheet_sandbox.faults.struck() == 0
            callsheet_clock.freeze()
            assert callsheet_clock.now() == callsheet_sandbox.clock.now()
            URLS.append(callsheet_sandbox.url)

        def test_fresh(callsheet_sandbox):
            assert callsheet_sandbox.requests() == []
            callsheet_sandbox.faults.clear()
            assert callsheet_sandbox.url not in URLS

        @pytest.mark.callsheet_sandbox(2)
        def test_nameless(callsheet_sandbox):
            pass

        def test_gone():
            assert "FTRACK_SERVER" not in os.environ
            with pytest.raises(OSError):
                urllib.request.urlopen(URLS[0])
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers", "-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["callsheet_sandbox(2,): name the settings: jobs=, latency=, seed="])


@pytest.mark.timeout(180)  # a run of tests within a test
def test_the_example_passes(pytester: pytest.Pytester) -> None:
    """The example's tests, copied into a folder of their own, pass without any set-up."""
    pytester.path.joinpath(EXAMPLE.name).write_bytes(EXAMPLE.read_bytes())
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize("steps", range(5))
def test_a_connection_that_comes_as_it_ends(steps: int) -> None:
    """However few steps of the loop lie between a connection and the end, none is left open."""

    async def main(listener: socket.socket, client: socket.socket) -> None:
        async def come_and_stop() -> None:
            await begun.wait()
            client.connect(listener.getsockname())
            for _ in range(steps):
                await asyncio.sleep(0)
            stopped.set()

        begun, stopped = asyncio.Event(), asyncio.Event()
        coming = asyncio.create_task(come_and_stop())
        await serve(Settings(), listener, stopped, ready=lambda _: begun.set())
        await coming

    with listen(Settings(port=0)) as listener, socket.socket() as client:
        client.settimeout(30)
        asyncio.run(main(listener, client))
        listener.close()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
