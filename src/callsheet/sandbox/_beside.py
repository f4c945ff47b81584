"""The S3 server beside a sandbox: moto's, in a process that starts when the first connection comes."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from types import TracebackType
from typing import Self

from callsheet.sandbox._frame import Settings

__all__ = ["Beside", "url_of"]


class Beside:
    """Listens for an S3 server, and starts it for whoever connects first; for a `with` block inside a loop.

    Loading moto takes about a second, which those who keep no files need not wait for.

    Args:
        settings: `s3` names a server that is there already; else the next port is taken, or a free one.
    """

    def __init__(self, settings: Settings) -> None:
        self._given = settings.s3
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._host = settings.host
        self._port = settings.port + 1 if 0 < settings.port < 65535 else 0

    @property
    def url(self) -> str:
        """Where the server is; empty on Windows, where none is started."""
        return self._given or (url_of(self._listener) if self._listener else "")

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises:
            OSError: The address cannot be had.
        """
        if not self._given and sys.platform != "win32":
            self._listener = listening(self._host, self._port)
            asyncio.get_running_loop().add_reader(self._listener, self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server, and listen no more."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        if self._process is not None:
            with self._process:  # waits, and closes the pipe
                self._process.kill()  # all it has is in memory

    def _start(self) -> None:
        """Hand the socket on, with the connections that wait on it."""
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener)
        number = self._listener.fileno()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of our own
            [sys.executable, "-m", "callsheet.sandbox._storage", str(number)],
            stdin=subprocess.PIPE,
            pass_fds=[number],
        )


def listening(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def url_of(listener: socket.socket) -> str:
    """Return the URL under which a listening socket of this machine is reached."""
    bound, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, str(bound))  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
