"""Ids, names and URLs stay where they belong, and go over the wire as they were signed."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import _errors as errors
from callsheet._http._urls import Url, matrix, query, reach_of, segment
from faultserver import FaultServer, always, answer
from support.roads import Road

TEXT = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs", "Cc"]), min_size=1
)


@given(TEXT.filter(lambda text: text not in {".", ".."}), st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_nothing_breaks_out(name: str, pairs: list[tuple[str, str]]) -> None:
    """Whatever an id or name holds, it is one segment and its own value, and httpx sends it unchanged."""
    text = f"http://h/api/{segment(name)}{matrix(pairs)}/end{query(pairs)}"
    url = Url.parse(text)
    assert str(url) == text == str(httpx.URL(text))
    _, api, middle, end = url.path.split("/")
    assert (api, end) == ("api", "end")
    one, *values = middle.split(";")
    assert unquote(one) == name
    assert [tuple(map(unquote, value.split("=", 1))) for value in values] == pairs
    wanted = url.target.partition("?")[2]
    assert parse_qsl(wanted, keep_blank_values=True) == pairs


@pytest.mark.parametrize("bad", ["", ".", "..", "a\r\nX: 1", "a\0", "\x7f", "\ud800"])
def test_segments_refused(bad: str) -> None:
    """An id that could climb, split a line or be no text is refused, and named."""
    with pytest.raises(errors.InvalidRequest, match=r"^job id "):
        segment(bad, "job id")


@pytest.mark.parametrize(
    "path", ["/a b", "/a\r\nHost: evil", "/a/../b", "/%2e%2e/x", "/.", "/a\\b", "/a\x00"]
)
async def test_paths_refused(road: Road, path: str) -> None:
    """A path that was not escaped is refused before anything is sent."""
    with FaultServer(always(answer(200))) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.InvalidRequest, match=r"^the path holds"):
                await http.send("GET", path)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("headers", "method", "message"),
    [
        ({"X-Name": "a\r\nX-Evil: 1"}, "GET", "the value of the header X-Name"),
        ({"X-Name": "a\nb"}, "GET", "the value of the header X-Name"),
        ({"X-Name": "a\0"}, "GET", "the value of the header X-Name"),
        ({"X-Name": "é"}, "GET", "the value of the header X-Name"),
        ({"X-Name": " a"}, "GET", "the value of the header X-Name"),
        ({"X Name": "a"}, "GET", "'X Name' cannot be the name of a header"),
        ({"": "a"}, "GET", "'' cannot be the name of a header"),
        ({"X:": "a"}, "GET", "'X:' cannot be the name of a header"),
        ({}, "GET / HTTP/1.1\r\nX: ", "is no HTTP method"),
        ({}, "get", "'get' is no HTTP method"),
    ],
)
async def test_headers_refused(road: Road, headers: dict[str, str], method: str, message: str) -> None:
    """A header or method that would break out of its line is refused before anything is sent."""
    with FaultServer(always(answer(200))) as server:
        async with road(server.url) as http:
            with pytest.raises(errors.InvalidRequest, match=message):
                await http.send(method, "/", headers=headers)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("https://H.Example", "https://h.example/"),
        ("https://h:443/x", "https://h/x"),
        ("http://h:8080/x#part", "http://h:8080/x"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://h/ä?ö=1|2", "http://h/%C3%A4?%C3%B6=1%7C2"),
        ("http://h/a%2Fb;c=d?e=%25", "http://h/a%2Fb;c=d?e=%25"),
        ("http://h?x=1", "http://h/?x=1"),
    ],
)
def test_parsed(text: str, parsed: str) -> None:
    """A URL is brought into the one form that goes over the wire."""
    assert str(Url.parse(text)) == parsed == str(httpx.URL(parsed))
    assert repr(Url.parse(text)) == f"Url({parsed.split('?')[0] + ('?***' if '?' in parsed else '')!r})"


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", 0),
        ("2606:4700::1", 0),
        ("10.1.2.3", 1),
        ("192.168.1.1", 1),
        ("100.64.0.1", 1),
        ("fd00::1", 1),
        ("127.0.0.1", 2),
        ("::1", 2),
        ("::ffff:127.0.0.1", 2),
        ("169.254.169.254", 3),
        ("fe80::1%eth0", 3),
        ("0.0.0.0", 3),
        ("224.0.0.1", 3),
        ("name.example", 3),
    ],
)
def test_reach(address: str, reach: int) -> None:
    """Every kind of address is told apart: public, private, this machine, and where nobody should be sent."""
    assert reach_of(address) == reach
