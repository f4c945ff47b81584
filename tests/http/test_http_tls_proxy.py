"""Certificates, proxies and transports that are handed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from callsheet import _errors as errors
from callsheet._errors import Outcome
from faultserver import Authority, FaultServer, Line, always, answer
from support.roads import Road

FINE = answer(200, b"fine")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("unknown", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("wrong name", "IP address mismatch"),
    ],
)
async def test_bad_certificates(
    road: Road, authority: Authority, tmp_path: Path, how: str, message: str
) -> None:
    """A certificate that is unknown, expired or for another host is refused once, naming the setting."""
    names = ["other.example"] if how == "wrong name" else ["127.0.0.1"]
    tls = authority.server(names, expired=how == "expired")
    verify = True if how == "unknown" else authority.write(tmp_path / "ca.pem")
    with FaultServer(always(FINE), tls=tls) as server:
        async with road(server.url, verify=verify) as http:
            with pytest.raises(
                errors.TransportError, match=f"its certificate is not trusted: .*{message}"
            ) as caught:
                await http.send("POST", "/create", body=b"{}")
    assert "verify=" in str(caught.value)
    assert (caught.value.outcome, server.connections, server.requests) == (Outcome.NOT_DONE, 1, [])


@pytest.mark.parametrize("how", ["file", "folder", "context", "off"])
async def test_own_authority(road: Road, authority: Authority, tmp_path: Path, how: str) -> None:
    """An authority of one's own is trusted by its file, its hashed folder or a context; or all are."""
    path = authority.write(tmp_path / "ca.pem")
    verify: object = {"file": str(path), "context": authority.client(), "off": False}.get(how)
    if how == "folder":
        folder = tmp_path / "authorities"
        folder.mkdir()
        (folder / f"{subject_hash(path)}.0").write_bytes(path.read_bytes())
        verify = folder
    with FaultServer(always(FINE), tls=authority.server()) as server:
        async with road(server.url, verify=verify) as http:
            assert (await http.send("GET", "/")).body == b"fine"


def subject_hash(path: Path) -> str:
    import subprocess

    shown = subprocess.run(
        ["openssl", "x509", "-subject_hash", "-noout", "-in", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return shown.stdout.strip()


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_unusable_authority(road: Road, tmp_path: Path, content: bytes | None) -> None:
    """A path in verify= that holds no certificates is a ConfigError that names setting and path."""
    path = tmp_path / "none.pem"
    if content is not None:
        path.write_bytes(content)
    async with road("https://127.0.0.1:1", verify=path) as http:
        with pytest.raises(errors.ConfigError, match=f"verify: no certificates can be read from '{path}'"):
            await http.send("GET", "/")


def connect_proxy(line: Line) -> None:
    """Carry a CONNECT to its port, a plain request to a host that only the proxy knows."""
    head = line.head()
    heads.append(head)
    target = head.split(b" ")[1].decode()
    if head.startswith(b"CONNECT"):
        line.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        line.relay(int(target.rsplit(":", 1)[1]))
    else:
        line.send(answer(200, b"by proxy: " + target.encode()))
        connect_proxy(line)


heads: list[bytes] = []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy(road: Road, authority: Authority, scheme: str) -> None:
    """Requests go through a proxy, of plain http and of TLS, and connections through it are kept."""
    heads.clear()
    tls = authority.server() if scheme == "https" else None
    with FaultServer(connect_proxy) as proxy, FaultServer(always(FINE), tls=tls) as server:
        async with road(server.url, proxy=proxy.url, verify=authority.client()) as http:
            got = [(await http.send("GET", "/job/1?a=b")).body for _ in range(3)]
        port = server.port
    if scheme == "http":
        assert got == [b"by proxy: http://127.0.0.1:%d/job/1?a=b" % port] * 3
        assert (proxy.connections, server.connections) == (1, 0)
    else:
        assert got == [b"fine"] * 3
        assert [head.split(b"\r\n")[0] for head in heads] == [b"CONNECT 127.0.0.1:%d HTTP/1.1" % port]
        assert (proxy.connections, server.connections, len(server.requests)) == (1, 1, 3)


async def test_proxy_from_the_environment(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and NO_PROXY are followed, never for this machine itself; an empty proxy= uses none."""
    heads.clear()
    with FaultServer(connect_proxy) as proxy, FaultServer(always(FINE)) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "near.example")
        async with road("http://far.example", allow_http=True) as http:
            assert (await http.send("GET", "/x")).body == b"by proxy: http://far.example/x"
        for near, options in (("near", {}), ("far", {"proxy": ""})):
            async with road(f"http://{near}.example.invalid", allow_http=True, **options) as http:
                monkeypatch.setenv("no_proxy", "near.example.invalid")
                with pytest.raises(errors.TransportError, match="no connection"):
                    await http.send("GET", "/x")
        async with road(server.url) as http:
            assert (await http.send("GET", "/x")).body == b"fine"
    assert len(heads) == 1


async def test_broken_proxy_setting(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is no URL is a ConfigError that names where it came from, and does not show it."""
    for value in ("proxy.example:3128", "ftp://x", "http://", "http://h:port"):
        with pytest.raises(errors.ConfigError, match=r"^proxy must be a URL such as"):
            road("https://tracker.example", proxy=value)
    with pytest.raises(errors.ConfigError, match=r"proxy: a SOCKS proxy needs another package"):
        road("https://tracker.example", proxy="socks5://h:1")
    monkeypatch.setenv("https_proxy", "ftp://secret@h")
    async with road("https://tracker.example") as http:
        with pytest.raises(errors.ConfigError, match=r"^HTTPS_PROXY must be a URL such as [^@]*$"):
            await http.send("GET", "/")


async def test_silent_proxy(road: Road) -> None:
    """A proxy that accepts and says nothing costs a Timeout, and no socket."""
    with FaultServer(lambda line: line.hang()) as proxy:
        async with road("https://tracker.example", proxy=proxy.url, stall=0.05) as http:
            with pytest.raises(errors.Timeout) as caught:
                await http.send("POST", "/create", body=b"{}")
    assert caught.value.outcome is Outcome.NOT_DONE


class Recording:
    """A transport handed in: it answers by itself, and knows how many requests are under way."""

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self.inner = inner or httpx.MockTransport(
            lambda request: httpx.Response(200, json={"url": str(request.url)})
        )
        self.requests: list[httpx.Request] = []
        self.now = self.most = 0
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(0.001)
            return await self.inner.handle_async_request(request)
        finally:
            self.now -= 1

    async def aclose(self) -> None:
        self.closed += 1
        await self.inner.aclose()


async def test_transport_handed_in(road: Road) -> None:
    """A user's transport carries the requests, within the limit of connections, and is closed at the end."""
    transport = Recording()
    async with road("https://tracker.example/base", transport=transport, connections=3) as http:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(http.send, "GET", "/job")
        got = await http.send("GET", "/job/a%2Fb;x=1?q=%25")
        async with http.download("/file") as download:
            assert [chunk async for chunk in download] == [b'{"url":"https://tracker.example/base/file"}']
    assert got.json() == {"url": "https://tracker.example/base/job/a%2Fb;x=1?q=%25"}
    assert (len(transport.requests), transport.most, transport.closed) == (22, 3, 1)


async def test_stock_transport(road: Road) -> None:
    """httpx's own transport works, and is never given more than 10 requests at a time."""
    most = now = 0

    def play(line: Line) -> None:
        nonlocal most, now
        while True:
            line.request()
            now += 1
            most = max(most, now)
            line.pause(0.01)
            now -= 1
            line.send(FINE)

    with FaultServer(play) as server:
        async with road(server.url, transport=httpx.AsyncHTTPTransport(verify=False)) as http:
            async with anyio.create_task_group() as tasks:
                for _ in range(60):
                    tasks.start_soon(http.send, "GET", "/")
    assert (len(server.requests), most <= 10, server.connections <= 10) == (60, True, True)


@pytest.mark.parametrize(
    ("raised", "error", "outcome", "attempts"),
    [
        (httpx.ConnectError("no"), errors.TransportError, Outcome.NOT_DONE, 5),
        (httpx.ConnectTimeout("no"), errors.Timeout, Outcome.NOT_DONE, 5),
        (httpx.PoolTimeout("no"), errors.Timeout, Outcome.NOT_DONE, 5),
        (httpx.ProxyError("no"), errors.TransportError, Outcome.NOT_DONE, 1),
        (httpx.ReadError("no"), errors.TransportError, Outcome.UNKNOWN, 5),
        (httpx.ReadTimeout("no"), errors.Timeout, Outcome.UNKNOWN, 5),
        (httpx.RemoteProtocolError("no"), errors.TransportError, Outcome.UNKNOWN, 5),
        (httpx.LocalProtocolError("no"), errors.TransportError, Outcome.UNKNOWN, 1),
        (httpx.UnsupportedProtocol("no"), errors.InvalidResponse, Outcome.UNKNOWN, 1),
        (ConnectionResetError(104, "reset"), errors.TransportError, Outcome.UNKNOWN, 5),
    ],
)
async def test_failures_of_a_transport_handed_in(
    road: Road, raised: Exception, error: type[errors.CallsheetError], outcome: Outcome, attempts: int
) -> None:
    """What a user's transport raises becomes callsheet's own error, with an outcome that claims no more than
    is known; a read is made again where that may help, within the limit of connections."""
    methods: list[str] = []

    def fail(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        raise raised

    async with road("https://tracker.example", transport=httpx.MockTransport(fail), connections=1) as http:
        with pytest.raises(error) as caught:
            await http.send("POST", "/create")
        assert (type(caught.value), caught.value.outcome) == (error, outcome)
        assert caught.value.__cause__ is raised
        with pytest.raises(error) as caught:
            await http.send("GET", "/")
    assert (caught.value.outcome, methods.count("GET")) == (Outcome.NOT_DONE, attempts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transport": object()}, "transport needs async handle_async_request"),
        ({"transport": Recording(), "proxy": "http://h:1"}, "leave proxy and verify out"),
        ({"transport": Recording(), "verify": False}, "leave proxy and verify out"),
        ({"timeout": 0}, "timeout must be a positive number of seconds, not 0"),
        ({"timeout": float("inf")}, "timeout must be"),
        ({"timeout": "5"}, "timeout must be"),
        ({"connections": 0}, "connections must be a whole number from 1 up, not 0"),
        ({"connections": 2.0}, "connections must be"),
        ({"proxy": 5}, "proxy must be a URL, not int"),
        ({"verify": None}, "verify must be"),
    ],
)
def test_unusable_options(road: Road, options: dict[str, object], message: str) -> None:
    """Every unusable or contradictory setting is a ConfigError that names it."""
    with pytest.raises(errors.ConfigError, match=message):
        road("https://tracker.example", **options)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("tracker.example", "must begin with http:// or https://"),
        ("ftp://tracker.example", "must begin with http:// or https://"),
        ("https://", "names no host"),
        ("https://jane:canary@tracker.example", "must not hold a user name or password$"),
        ("https://tracker.example/a b", "holds a blank"),
        ("https://tracker.example/?q=1", "must not have a query"),
        ("https://tracker.example:99999", "Port out of range"),
        ("https://tracker.example/../x", "holds a dot segment"),
        ("https://tra[cker", ""),
        ("http://tracker.example", "plain http; use https or set allow_http"),
        ("http://192.168.0.1", "plain http; use https or set allow_http"),
    ],
)
def test_unusable_servers(road: Road, url: str, message: str) -> None:
    """A server's URL that cannot be used is a ConfigError that names the setting, and shows no password."""
    with pytest.raises(errors.ConfigError, match=f"^server: .*{message}") as caught:
        road(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8300", "http://localhost", "http://[::1]:80", "https://h.example"]
)
def test_usable_servers(road: Road, url: str) -> None:
    """Plain http is fine to this machine, https to anywhere."""
    assert repr(road(url)) == f"<Http {url.removesuffix(':80')}/>"
    assert repr(road("http://tracker.example", allow_http=True)) == "<Http http://tracker.example/>"
    assert repr(road("https://bücher.example")) == "<Http https://xn--bcher-kva.example/>"


async def test_stream_of_a_transport_handed_in_must_be_asynchronous(road: Road) -> None:
    """A transport whose answers cannot be read asynchronously is a ConfigError that names the setting."""

    class Blocking(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b""

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Blocking()))
    async with road("https://tracker.example", transport=transport) as http:
        with pytest.raises(errors.ConfigError, match="transport: its answers must have asynchronous streams"):
            await http.send("GET", "/")
