"""A server that misbehaves on command: raw sockets, one thread a connection, no HTTP library in the way.

A test hands in a play, a plain function that is called for each connection with its `Line`:

    def play(line):
        line.request()                                # one whole request
        line.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf")
        line.reset()

    with FaultServer(play) as server:
        ...                                           # server.url, server.requests, server.connections

Everything on a line is a blocking call, so a play reads as the story it tells. When the server ends, every
line that still blocks is cut.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
import trustme

__all__ = [
    "Authority",
    "FaultServer",
    "Line",
    "Play",
    "Request",
    "always",
    "answer",
    "chunked",
    "in_turn",
    "nobody",
    "once",
]


class Cut(Exception):
    """The peer, or the end of the server, has cut the line; the play ends here."""


@attrs.frozen
class Request:
    """One request as it arrived.

    Attributes:
        head: Request line and headers, as bytes, with the blank line.
        body: The body, decoded if it came in chunks.
        connection: The number of the connection it came on, from 0.
        at: When its last byte was read, on the monotonic clock.
    """

    head: bytes
    body: bytes
    connection: int
    at: float

    @property
    def method(self) -> str:
        return self.head.split(b" ", 2)[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @cached_property
    def headers(self) -> dict[str, str]:
        """Header names in lower case; the last of several wins."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
        }


@attrs.define(eq=False)
class Line:
    """One connection, seen from the server.

    Attributes:
        number: Which connection of the server this is, from 0.
    """

    number: int
    _socket: socket.socket
    _server: FaultServer
    _buffer: bytes = b""

    def request(self) -> Request:
        """Read one whole request, and note it in `server.requests`."""
        head = self.head()
        headers = head.lower()
        if b"\r\ntransfer-encoding: chunked" in headers:
            body = self._chunks()
        else:
            _, _, rest = headers.partition(b"\r\ncontent-length:")
            body = self.read(int(rest.split(b"\r\n")[0])) if rest else b""
        request = Request(head, body, self.number, time.monotonic())
        self._server.requests.append(request)
        return request

    def head(self) -> bytes:
        """Read request line and headers, up to and with the blank line."""
        return self._until(b"\r\n\r\n")

    def read(self, count: int) -> bytes:
        """Read exactly so many bytes."""
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_some(self) -> bytes:
        """Read what has come, at least a byte."""
        if not self._buffer:
            self._more()
        data, self._buffer = self._buffer, b""
        return data

    def read_slowly(self, pause: float) -> None:
        """Read one byte after each pause, until the peer gives up."""
        while True:
            self.pause(pause)
            self.read(1)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._socket.sendall(data)
        except OSError as exc:
            raise Cut from exc

    def drip(self, data: bytes, pause: float) -> None:
        """Send one byte after each pause."""
        for index in range(len(data)):
            self.pause(pause)
            self.send(data[index : index + 1])

    def answer(self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a correct answer."""
        self.send(answer(status, body, headers))

    def pause(self, seconds: float) -> None:
        """Wait; ends the play if the server ends meanwhile."""
        if self._server.ending.wait(seconds):
            raise Cut

    def hang(self) -> None:
        """Neither read nor send until the server ends."""
        self.pause(3600)

    def until_closed(self) -> None:
        """Wait until the peer closes."""
        with contextlib.suppress(Cut):
            while True:
                self._more()

    def acknowledged(self) -> None:
        """Wait until the peer's kernel has taken everything that was sent."""
        while fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4) != b"\0" * 4:
            self.pause(0.0005)

    def close(self) -> None:
        """Close in good order (FIN), and end the play."""
        raise Cut

    def reset(self) -> None:
        """Cut the connection (RST), and end the play."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Cut

    def relay(self, port: int) -> None:
        """Carry bytes both ways between the peer and another local port, until either closes."""
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            back = threading.Thread(target=self._pump, args=(upstream, self._socket))
            back.start()
            upstream.sendall(self._buffer)
            self._pump(self._socket, upstream)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        return self.read(self._buffer.index(mark) + len(mark))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self.read(size)
            self.read(2)
        self._until(b"\r\n")
        return body

    def _more(self) -> None:
        try:
            data = self._socket.recv(65536)
        except OSError as exc:
            raise Cut from exc
        if not data:
            raise Cut
        self._buffer += data


Play = Callable[[Line], None]


class FaultServer:
    """A listening socket on this machine, and a thread for each connection to it.

    Args:
        play: Called in that thread for each connection.
        tls: Speak TLS with this context; a handshake that fails ends the connection.

    Attributes:
        requests: Every request that a line has read whole, in that order.
        connections: How many connections were accepted.
        ending: Set when the server ends.
    """

    def __init__(self, play: Play, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.ending = threading.Event()
        self._play = play
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._failures: list[BaseException] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._accepting = threading.Thread(target=self._accept, name="fault server")
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._shut(self._listener)
        self._listener.close()
        self._accepting.join()
        for connection in self._sockets:
            self._shut(connection)  # closed by its own thread, which may be using it
        for thread in self._threads:
            thread.join()
        if self._failures and error is None:
            raise self._failures[0]

    def _accept(self) -> None:
        while not self.ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            thread = threading.Thread(target=self._serve, args=(number, connection), name=f"line {number}")
            self._sockets.append(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, number: int, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            self._play(Line(number, connection, self))
        except (Cut, OSError):
            pass  # the play's own end, or a handshake that the peer refused
        except BaseException as exc:  # noqa: BLE001  # raised again in the test's own thread
            self._failures.append(exc)
        finally:
            connection.close()

    @staticmethod
    def _shut(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """Hold a port at which nobody listens, so that nobody else comes to; yield its URL."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def answer(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    length: int | None = None,
) -> bytes:
    """Return an answer's bytes; `length` is what Content-Length says instead of the truth."""
    fields = {"Content-Length": str(len(body) if length is None else length)} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said so\r\n{head}\r\n".encode("latin-1") + body


def chunked(parts: Iterable[bytes], headers: Mapping[str, str] | None = None) -> bytes:
    """Return an answer's bytes, its body in chunks."""
    head = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{head}\r\n".encode("latin-1")
        + chunks
        + b"0\r\n\r\n"
    )


def once(data: bytes = b"", end: Callable[[Line], None] = Line.close) -> Play:
    """Return a play that reads one request, sends these bytes, and ends by closing or as it is told."""

    def play(line: Line) -> None:
        line.request()
        line.send(data)
        end(line)

    return play


def always(data: bytes) -> Play:
    """Return a play that answers every request on every connection with these bytes."""

    def play(line: Line) -> None:
        while True:
            line.request()
            line.send(data)

    return play


def in_turn(*plays: Play) -> Play:
    """Return a play that gives the n-th connection to the n-th play, and all further ones to the last."""

    def play(line: Line) -> None:
        plays[min(line.number, len(plays) - 1)](line)

    return play


class Authority:
    """A certificate authority of our own, for servers with good and bad certificates."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, path: Path) -> Path:
        """Write the authority's certificate, as a user would pass it to `verify=`."""
        self._ca.cert_pem.write_to_path(path)
        return path

    def server(self, names: Sequence[str] = ("127.0.0.1",), *, expired: bool = False) -> ssl.SSLContext:
        """Return a server's context whose certificate is for these names, perhaps of long ago."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        begin = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC) if expired else None
        end = datetime.datetime(2002, 1, 1, tzinfo=datetime.UTC) if expired else None
        self._ca.issue_cert(*names, not_before=begin, not_after=end).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """Return a client's context that trusts this authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context
