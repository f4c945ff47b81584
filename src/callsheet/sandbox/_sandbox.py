"""A sandbox to have in a test or a script: started, steered and ended from there."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self

import attrs

from callsheet.sandbox._controls import ClockControl, Connections, FaultControl, Remote, Request
from callsheet.sandbox._frame import Frame, Settings
from callsheet.sandbox._server import listen, serve

__all__ = ["Sandbox"]


class Sandbox:
    """Servers of all vendors on this machine, for as long as a `with` block lasts.

        with Sandbox(jobs=3) as sandbox:
            ...  # sandbox.url, sandbox.environment

    It answers on sockets of its own, from a thread with an event loop of its own, so that asyncio, trio and
    blocking clients can be tested against it. Its calls block for about a millisecond each.

    Args:
        process: Run in a process instead, which takes no time of this interpreter: for measurements.
        settings: As for `Settings`: `host`, `port` (a free one by default), `jobs`, `latency`, `seed`.

    Attributes:
        faults: Makes requests fail.
        clock: Moves its time.
    """

    def __init__(self, *, process: bool = False, **settings: Any) -> None:
        chosen = Settings(**settings)
        self._host: _Host = _Process(chosen) if process else _Thread(chosen)
        self._remote = Remote("")

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            OSError: The address cannot be had.
        """
        self._remote = Remote(self._host.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: every connection is cut, and nothing is left."""
        self._host.stop()

    @property
    def url(self) -> str:
        """Where all its servers are."""
        return self._remote.url

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which the vendors' own clients, and `callsheet.connect`, find it."""
        environment: dict[str, str] = self._remote.ask("GET", "")["environment"]
        return environment

    @property
    def faults(self) -> FaultControl:
        """What makes requests fail."""
        return FaultControl(self._remote)

    @property
    def clock(self) -> ClockControl:
        """What moves its time."""
        return ClockControl(self._remote)

    def configure(self, vendor: str, **options: Any) -> None:
        """Change how one vendor's server behaves.

        Raises:
            ValueError: There is no such vendor, option or value; the message names it.
        """
        self._remote.ask("PUT", vendor, options)

    def act(self, vendor: str, action: str, **words: Any) -> Any:
        """Let one vendor's server do what its clients cannot ask for: a job starts, ends, or is gone.

        Returns:
            What the action tells, decoded from JSON.

        Raises:
            ValueError: There is no such vendor, action or word; the message names it.
        """
        return self._remote.ask("POST", f"{vendor}/{action}", words)

    def requests(self, path: str = "*", *, method: str | None = None, contains: str = "") -> list[Request]:
        """Return the requests so far, oldest first; the last 10,000 are kept.

        Args:
            path: A shell pattern for their paths.
            method: Only those with this method.
            contains: Only those whose body holds this text.
        """
        return self._remote.requests(path, method, contains)

    def connections(self) -> Connections:
        """Return how many connections carried them."""
        return Connections(**self._remote.ask("GET", "requests")["connections"])

    def forget_requests(self) -> None:
        """Count requests and connections from here."""
        self._remote.ask("DELETE", "requests")


class _Host(Protocol):
    def start(self) -> str: ...

    def stop(self) -> None: ...


class _Thread:
    """Runs a sandbox in a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = threading.Thread(target=self._run, name="callsheet sandbox")
        self._started: Future[str] = Future()

    def start(self) -> str:
        self._thread.start()
        return self._started.result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            if self._started.done():
                raise
            self._started.set_exception(exc)

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        with listen(self._settings) as listener:
            await serve(self._settings, listener, self._stopped, ready=self._ready)

    def _ready(self, frame: Frame) -> None:
        self._started.set_result(frame.url)


class _Process:
    """Runs a sandbox in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        options = {name: value for name, value in attrs.asdict(settings).items() if value is not None}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self._command = [sys.executable, "-m", "callsheet.sandbox", *arguments]

    def start(self) -> str:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of our own
            self._command, stdout=subprocess.PIPE, text=True
        )
        lines = self._process.stdout or ()
        told = list(itertools.takewhile("ready\n".__ne__, lines))
        urls = [line.partition("=")[2].strip() for line in told if line.startswith("export FTRACK_SERVER=")]
        if not urls:
            self.stop()
            raise OSError(f"the sandbox ended at once, with {self._process.returncode}")
        return urls[0]

    def stop(self) -> None:
        with self._process:  # waits, and closes the pipe
            self._process.terminate()
