"""URLs: parsed strictly, shown without secrets, and built so that no id or name breaks out of its place."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

import attrs

from callsheet._errors import InvalidRequest
from callsheet._redaction import MASK, clean

__all__ = ["Url", "is_address", "is_loopback", "matrix", "query", "reach_of", "segment"]

PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_KEPT = "/:@!$&'()*+,;=~-._%"  # what a path may hold unescaped, and the escapes themselves
_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


@attrs.frozen(repr=False)
class Url:
    """An absolute http(s) URL, ready for the wire.

    Attributes:
        scheme: `http` or `https`.
        host: ASCII, lower case; an IPv6 address without its brackets.
        port: Always a number.
        target: Path and query, percent-encoded ASCII.
    """

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL.

        Raises:
            ValueError: Not an absolute http(s) URL, or with a user part or dot segments; says what is wrong
                and never quotes the URL.
        """
        if _FORBIDDEN.search(text):
            raise ValueError("holds a blank, a backslash or a control character")
        parts = urlsplit(text)
        if parts.scheme not in PORTS:
            raise ValueError("must begin with http:// or https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user name or password")
        if not parts.hostname:
            raise ValueError("names no host")
        if _DOTS.search(parts.path):
            raise ValueError("holds a dot segment in its path")
        target = quote(parts.path or "/", safe=_KEPT)
        if parts.query:
            target += "?" + quote(parts.query, safe=_KEPT + "?")
        port = PORTS[parts.scheme] if parts.port is None else parts.port
        return cls(parts.scheme, _ascii_host(parts.hostname), port, target)

    def join(self, location: str) -> Url:
        """Return the URL that a `Location` header in an answer from here means.

        Raises:
            ValueError: As `parse`.
        """
        return Url.parse(urljoin(str(self), location.strip()))

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port: the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def shown(self) -> str:
        """The URL for people: no query, no secrets."""
        path, mark, _ = self.target.partition("?")
        return self.origin + clean(path) + (f"?{MASK}" if mark else "")

    def __str__(self) -> str:
        return self.origin + self.target

    def __repr__(self) -> str:
        return f"Url({self.shown!r})"


def _ascii_host(host: str) -> str:
    if host.isascii():
        if not re.fullmatch(r"[0-9a-z._-]+|[0-9a-f:.]+(%25[\w.-]+)?", host):
            raise ValueError("names a host with characters that no host has")
        return host
    import idna  # rarely needed, and slow to import

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError as exc:
        raise ValueError("names a host that is not a valid international name") from exc


def segment(value: str, what: str = "id") -> str:
    """Return the text as one path segment: whatever it holds, it stays inside its slashes.

    Raises:
        InvalidRequest: Empty, a dot segment, or with control characters; the message says `what` it was.
    """
    if value in {"", ".", ".."}:
        raise InvalidRequest(f"{what} {value!r} cannot be part of a URL")
    return _escaped(value, what)


def query(pairs: Iterable[tuple[str, str]]) -> str:
    """Return `?name=value&...`, everything escaped; nothing for no pairs."""
    joined = "&".join(f"{_escaped(name, 'name')}={_escaped(value, name)}" for name, value in pairs)
    return f"?{joined}" if joined else ""


def matrix(pairs: Iterable[tuple[str, str]]) -> str:
    """Return `;name=value;...` to stand behind a path segment, everything escaped."""
    return "".join(f";{_escaped(name, 'name')}={_escaped(value, name)}" for name, value in pairs)


def _escaped(value: str, what: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise InvalidRequest(f"{what} holds a control character: {value!r}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as exc:
        raise InvalidRequest(f"{what} holds a character that is not Unicode: {value!r}") from exc


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine by its very name, without asking a resolver."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_address(host: str) -> bool:
    """Tell whether the host is an IP address, not a name."""
    return _address(host) is not None


def reach_of(address: str) -> int:
    """Return how near an IP address is: 0 public, 1 private network, 2 this machine, 3 link-local or odd.

    A URL that a server hands out may lead as near as that server itself is, and no nearer.
    """
    ip = _address(address)
    if ip is None or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return 3
    if ip.is_loopback:
        return 2
    return 0 if ip.is_global else 1


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(ip, "ipv4_mapped", None)
    return ip if mapped is None else mapped
