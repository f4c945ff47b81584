"""Redirects, URLs that a server gives out, and what goes along to other origins: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NoReturn

import anyio
import httpcore
import pytest

from callsheet import _errors as errors
from callsheet._errors import Outcome
from callsheet._http._messages import Answer, Auth, Body, Request
from callsheet._http._network import Network
from callsheet._http._retry import Retry
from callsheet._redaction import Secret
from faultserver import Authority, FaultServer, Line, Play, always, answer
from support.roads import Road, until

FINE = answer(200, b"fine")
CREDENTIALS = {
    "Authorization": Secret("Basic canary-basic"),
    "ftrack-api-key": Secret("canary-key"),
    "ftrack-user": "jane",
    "Cookie": "session=canary-cookie",
    "RunAs": "jane",
}


def pointing(status: int, location: str) -> Play:
    """Return a play that answers every request with a redirect; `/fine` with what was wanted."""

    def play(line: Line) -> None:
        while True:
            if line.request().target == "/fine":
                line.send(FINE)
            else:
                line.answer(status, b"elsewhere", {"Location": location})

    return play


class Signature(Auth):
    async def sign(self, request: Request) -> None:
        request.headers["x-signature"] = Secret(f"canary for {request.url.path}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_fetch_within_the_origin(road: Road, status: int) -> None:
    """A GET follows a redirect within its origin, with its credentials, signed anew for the new path; the
    redirect itself holds no connection."""
    with FaultServer(pointing(status, "fine")) as server:
        async with road(server.url, headers=CREDENTIALS, auth=Signature(), connections=1, timeout=20) as http:
            got = await http.send("GET", "/old", headers={"X-Own": "1"})
    assert (got.body, got.url.path) == (b"fine", "/fine")
    wanted = {"authorization": "Basic canary-basic", "cookie": "session=canary-cookie", "x-own": "1"}
    first, second = server.requests
    assert wanted.items() <= first.headers.items()
    assert wanted.items() <= second.headers.items()
    assert [request.headers["x-signature"] for request in server.requests] == [
        "canary for /old",
        "canary for /fine",
    ]


@pytest.mark.parametrize("how", ["send", "download"])
async def test_fetch_from_another_origin(road: Road, how: str) -> None:
    """A GET follows to another origin with harmless headers only, and gets nothing back when it returns."""
    with FaultServer(always(FINE)) as other:
        with FaultServer(pointing(302, other.url + "/fine?sig=1")) as server:
            async with road(server.url, headers=CREDENTIALS, auth=Signature()) as http:
                own = {"X-Own": "canary-own", "Range": "bytes=0-9", "Cookie": "canary=own"}
                if how == "send":
                    body = (await http.send("GET", "/file", headers=own)).body
                else:
                    async with http.download("/file", headers=own) as chunks:
                        body = b"".join([chunk async for chunk in chunks])
    assert body == b"fine"
    (request,) = other.requests
    assert request.target == "/fine?sig=1"
    assert set(request.headers) == {"host", "user-agent", "accept-encoding", "range"}
    assert b"canary" not in request.head


async def test_nothing_follows_on_later_hops(road: Road) -> None:
    """A foreign origin that redirects within itself, then to a third, gets no more than on the first hop."""

    def play(line: Line) -> None:
        while True:
            line.answer(302, b"", {"Location": "/on" if line.request().target == "/hop" else third.url})

    with FaultServer(always(FINE)) as third, FaultServer(play) as other:
        with FaultServer(pointing(302, other.url + "/hop")) as server:
            async with road(server.url, headers=CREDENTIALS, auth=Signature()) as http:
                own = {"X-Own": "canary-own", "Cookie": "canary=own"}
                assert (await http.send("GET", "/file", headers=own)).body == b"fine"
    foreign = [*other.requests, *third.requests]
    assert [request.target for request in foreign] == ["/hop", "/on", "/"]
    assert [set(request.headers) for request in foreign] == [{"host", "user-agent", "accept-encoding"}] * 3


async def test_credentials_do_not_return(road: Road) -> None:
    """A foreign origin that redirects back to ours cannot make us use our credentials there."""
    back = "/fine"
    with FaultServer(lambda line: pointing(302, server.url + back)(line)) as other:
        with FaultServer(pointing(302, other.url + "/hop")) as server:
            async with road(server.url, headers=CREDENTIALS, auth=Signature()) as http:
                assert (await http.send("GET", "/file")).body == b"fine"
    assert [b"canary" in request.head for request in server.requests] == [True, False]
    assert b"canary" not in other.requests[0].head


@pytest.mark.parametrize("status", [307, 308])
async def test_body_within_the_origin(road: Road, status: int) -> None:
    """A POST follows a redirect that keeps its body, within its origin; a stream is read again."""

    async def source() -> AsyncIterator[bytes]:
        yield b"data"

    for body in (b"data", Body(source, 4)):
        with FaultServer(pointing(status, "/fine")) as server:
            async with road(server.url) as http:
                assert (await http.send("POST", "/old", body=body)).body == b"fine"
        assert [(request.method, request.body) for request in server.requests] == [("POST", b"data")] * 2


@pytest.mark.parametrize(
    ("method", "body", "status", "location", "message", "outcome"),
    [
        (
            "POST",
            b"{}",
            307,
            "OTHER",
            "the server has moved to OTHER; set that as its address",
            Outcome.NOT_DONE,
        ),
        (
            "POST",
            b"",
            302,
            "OTHER",
            "the server has moved to OTHER; set that as its address",
            Outcome.UNKNOWN,
        ),
        (
            "POST",
            b"{}",
            302,
            "/fine",
            "a POST was redirected .302., which would drop its body",
            Outcome.UNKNOWN,
        ),
        ("GET", b"{}", 302, "OTHER", "the server has moved to OTHER", Outcome.NOT_DONE),
        ("DELETE", b"", 303, "/fine", "a DELETE was redirected", Outcome.UNKNOWN),
        ("GET", b"", 302, "file:///etc/passwd", "must begin with http:// or https://", Outcome.NOT_DONE),
        ("GET", b"", 302, "//user:pw@127.0.0.1/", "must not hold a user name", Outcome.NOT_DONE),
        ("GET", b"", 302, "http://:80/", "names no host", Outcome.NOT_DONE),
        ("GET", b"", 302, "/old", "the redirects lead in circles", Outcome.NOT_DONE),
        (
            "GET",
            b"",
            302,
            "http://169.254.169.254/meta",
            "in a nearer network than its own",
            Outcome.NOT_DONE,
        ),
        ("GET", b"", 302, "http://192.0.2.1/", "which is plain http", Outcome.NOT_DONE),
    ],
)
async def test_redirects_not_followed(
    road: Road, method: str, body: bytes, status: int, location: str, message: str, outcome: Outcome
) -> None:
    """Each redirect that would leak, drop a body, or lead astray is refused, and nothing more is sent."""
    with FaultServer(always(FINE)) as other:
        place = location.replace("OTHER", other.url)
        with FaultServer(pointing(status, place)) as server:
            options = {"allow_http": True} if "169" in location else {}
            async with road(server.url, **options) as http:
                with pytest.raises(
                    errors.InvalidResponse, match=message.replace("OTHER", other.url)
                ) as caught:
                    await http.send(method, "/old", body=body)
    assert (caught.value.outcome, len(server.requests), other.connections) == (outcome, 1, 0)


async def test_endless_redirects(road: Road) -> None:
    """A chain of ever new places is followed five times and no more."""

    def play(line: Line) -> None:
        while True:
            number = int(line.request().target[1:])
            line.answer(302, b"", {"Location": f"/{number + 1}"})

    with FaultServer(play) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.InvalidResponse, match="more than 5 redirects"):
                await http.send("GET", "/0")
    assert [request.target for request in server.requests] == ["/0", "/1", "/2", "/3", "/4", "/5"]


async def test_no_way_back_from_https(road: Road, authority: Authority) -> None:
    """A redirect from https to plain http is refused, even on this machine."""
    with FaultServer(always(FINE)) as plain:
        with FaultServer(pointing(302, plain.url), tls=authority.server()) as server:
            async with road(server.url, verify=authority.client()) as http:
                with pytest.raises(errors.InvalidResponse, match="leads from https to plain"):
                    await http.send("GET", "/")
                with pytest.raises(errors.InvalidResponse, match="which is plain http"):
                    await http.send("GET", plain.url)
    assert plain.connections == 0


async def test_url_of_another_origin(road: Road) -> None:
    """A URL that the server gave out gets the caller's headers and body, and none of the server's."""
    with FaultServer(always(FINE)) as store, FaultServer(always(FINE)) as server:
        async with road(server.url, headers=CREDENTIALS, auth=Signature()) as http:
            await http.send("PUT", f"{store.url}/bucket?X-Sig=1", headers={"X-Own": "1"}, body=b"data")
    (request,) = store.requests
    assert (request.target, request.body, request.headers["x-own"]) == ("/bucket?X-Sig=1", b"data", "1")
    assert b"canary" not in request.head
    assert server.connections == 0


async def test_trusted_origin(road: Road) -> None:
    """An origin configured as trusted gets the server's headers and signature."""
    with FaultServer(always(FINE)) as second, FaultServer(always(FINE)) as server:
        async with road(server.url, headers=CREDENTIALS, auth=Signature(), trusted=[second.url]) as http:
            await http.send("POST", f"{second.url}/x")
    assert second.requests[0].headers["ftrack-api-key"] == "canary-key"
    assert second.requests[0].headers["x-signature"] == "canary for /x"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "[::ffff:127.0.0.1]"])
async def test_public_server_cannot_point_inside(road: Road, host: str) -> None:
    """A server on the internet cannot make us call this machine or the private network."""
    async with road("https://203.0.113.7.example.invalid", allow_http=True) as http:
        http._origins._reach = 0  # as its look-up would say, were there one
        with pytest.raises(errors.InvalidResponse, match=r"in a nearer network than its own|is plain http"):
            await http.send("GET", f"https://{host}/latest/meta-data")


@pytest.mark.parametrize("known", [True, False])
async def test_neighbours_of_a_private_server(
    road: Road, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """A server in a private network may point to its neighbours, by any of their addresses that answers, but
    not to this machine; of one that only a proxy knows, no more is assumed than that it is public."""
    real = anyio.getaddrinfo
    addresses = {"tracker.example": "10.0.0.1", "store.example": "10.0.0.2", "public.example": "192.88.99.1"}

    async def look_up(host: str, port: int, **given: Any) -> list[tuple[Any, ...]]:
        if host not in addresses:
            return list(await real(host, port, **given))
        if host == "tracker.example" and not known:
            raise OSError("no such name")
        of_old = "192.88.99.2" if host == "tracker.example" else addresses[host]
        return [(2, 1, 6, "", (address, port)) for address in (of_old, addresses[host], of_old)]

    async def connect(network: Network, host: str, *_: object) -> NoReturn:
        raise httpcore.ConnectError(f"nobody is at {host}")

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)
    monkeypatch.setattr(Network, "_connect", connect)
    async with road("https://tracker.example", verify=False, retry=Retry(attempts=1)) as http:
        told = {}
        for host in ("store.example", "public.example", "127.0.0.1", "169.254.0.1"):
            with pytest.raises((errors.InvalidResponse, errors.TransportError)) as caught:
                await http.send("GET", f"https://{host}:9/")
            told[host] = str(caught.value).partition("no connection: ")[2] or "refused"
    neighbour = "nobody is at 10.0.0.2" if known else "refused"
    assert told == {
        "store.example": neighbour,
        "public.example": "nobody is at 192.88.99.1",
        "127.0.0.1": "refused",
        "169.254.0.1": "refused",
    }


async def test_several_addresses_are_tried(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses of a name the first that answers is used; a name without any is an error."""
    with FaultServer(always(FINE)) as store:

        async def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
            if host == "gone.example":
                raise OSError("no such name")
            return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr("callsheet._http._network.anyio.getaddrinfo", look_up)
        async with road("http://localhost:1", allow_http=True) as http:
            assert (await http.send("GET", f"http://store.example:{store.port}/")).body == b"fine"
            with pytest.raises(errors.TransportError, match="no connection: no such name"):
                await http.send("GET", "http://gone.example/")


async def test_name_that_leads_inside(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name given out by a public server is resolved, and refused if any of its addresses is private."""

    with FaultServer(always(FINE)) as inner:
        looked_up = []

        async def look_up(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
            looked_up.append(host)
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(anyio, "getaddrinfo", look_up)
        async with road("https://tracker.example", verify=False) as http:
            http._origins._reach = 0
            with pytest.raises(errors.InvalidResponse, match="a server may not send us to that address"):
                await http.send("GET", f"https://rebound.example:{inner.port}/")
    assert (looked_up, inner.connections) == (["rebound.example"], 0)


async def test_one_renewal_for_all_tasks(road: Road) -> None:
    """50 tasks whose token has expired cause one renewal, and every request is answered."""

    class Token(Auth):
        current = 1
        renewals = 0

        async def sign(self, request: Request) -> None:
            request.headers["authorization"] = f"token {self.current}"

        def refused(self, answer: Answer) -> bool:
            return answer.status == 401

        async def refresh(self, answer: Answer) -> None:
            self.renewals += 1
            await anyio.sleep(0.01)
            self.current = 2

    def play(line: Line) -> None:
        while True:
            request = line.request()
            line.answer(
                200 if request.headers["authorization"] == "token 2" else 401, request.target.encode()
            )

    token, got = Token(), []
    with FaultServer(play) as server:
        async with road(server.url, auth=token) as http:

            async def call(number: int) -> None:
                got.append((await http.send("POST", f"/{number}", body=b"{}")).body)

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(call, number)
            assert (sorted(got), token.renewals) == (sorted(b"/%d" % n for n in range(50)), 1)


async def test_failed_renewal_is_told_to_all(road: Road) -> None:
    """When the one renewal fails, all who waited for it fail with its error, and none tries again."""

    class Wrong(Auth):
        renewals = 0

        def refused(self, answer: Answer) -> bool:
            return answer.status == 401

        async def refresh(self, answer: Answer) -> None:
            self.renewals += 1
            await until(lambda: len(server.requests) == 10)
            raise errors.Denied("wrong password", status=401, request_id="r-4")

    def play(line: Line) -> None:
        while True:
            line.request()
            line.answer(401)

    wrong, told = Wrong(), []
    with FaultServer(play) as server:
        async with road(server.url, auth=wrong) as http:

            async def call() -> None:
                with pytest.raises(errors.Denied, match="wrong password") as caught:
                    await http.send("POST", "/", body=b"{}")
                told.append((caught.value.outcome, caught.value.request_id))

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(call)
    assert (told, wrong.renewals, len(server.requests)) == ([(Outcome.NOT_DONE, "r-4")] * 10, 1, 10)


class Refused(Auth):
    """Signs, renews at every word, and is never believed."""

    renewals = 0

    async def sign(self, request: Request) -> None:
        request.headers["x-signature"] = "signed"

    def refused(self, answer: Answer) -> bool:
        return answer.status == 401

    async def refresh(self, answer: Answer) -> None:
        self.renewals += 1
        assert self.renewals < 3  # it would go on for ever


@pytest.mark.parametrize("case", ["signed", "unsigned", "elsewhere", "read once", "read again"])
async def test_renewal_is_no_endless_road(road: Road, case: str) -> None:
    """A call is made once more with new credentials: not if it bears none, nor if its body is gone."""

    async def source() -> AsyncIterator[bytes]:
        yield b"data"

    body = Body(source, 4, rereadable=case == "read again") if case.startswith("read") else b"data"
    auth = Refused()
    with FaultServer(always(answer(401))) as other, FaultServer(always(answer(401))) as server:
        async with road(server.url, auth=auth) as http:
            place = other.url if case == "elsewhere" else "/"
            with pytest.raises(errors.Denied) as caught:
                await http.send("PUT", place, body=body, signed=case != "unsigned")
    bears = case not in {"unsigned", "elsewhere"}
    again = case in {"signed", "read again"}
    requests = server.requests + other.requests
    assert ["x-signature" in request.headers for request in requests] == [bears] * (1 + again)
    assert (auth.renewals, caught.value.outcome) == (again, Outcome.NOT_DONE)


async def test_signature_that_cannot_be_had(road: Road) -> None:
    """A request that cannot be signed is not sent, and the signature is asked for once."""

    class Away(Auth):
        asked = 0

        async def sign(self, request: Request) -> None:
            self.asked += 1
            raise errors.TransportError("nobody gives out tokens")

    away = Away()
    with FaultServer(always(FINE)) as server:
        async with road(server.url, auth=away) as http:
            with pytest.raises(errors.TransportError, match="nobody gives out tokens") as caught:
                await http.send("GET", "/")
    assert (caught.value.outcome, away.asked, server.connections) == (Outcome.NOT_DONE, 1, 0)


async def test_renewal_that_cannot_be_had(road: Road) -> None:
    """Where nobody gives out new credentials, the call fails with that, and is not made again."""

    class Away(Auth):
        renewals = 0

        def refused(self, answer: Answer) -> bool:
            return answer.status == 401

        async def refresh(self, answer: Answer) -> None:
            self.renewals += 1
            raise errors.TransportError("nobody gives out tokens")

    away = Away()
    with FaultServer(always(answer(401))) as server:
        async with road(server.url, auth=away) as http:
            with pytest.raises(errors.TransportError, match="nobody gives out tokens") as caught:
                await http.send("GET", "/")
    assert (caught.value.outcome, away.renewals, len(server.requests)) == (Outcome.NOT_DONE, 1, 1)
