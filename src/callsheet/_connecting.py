"""connect(): from an address to a client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import platformdirs

from callsheet._client import Client, Deferred
from callsheet._errors import ConfigError

__all__ = ["connect", "own_directory"]

VENDOR_OPTIONS = ("api_key", "password", "token", "region", "endpoint", "server_timezone")
HTTP_OPTIONS = ("connections", "proxy", "verify", "transport", "allow_http")
OPTIONS = frozenset({"user", "timeout", *VENDOR_OPTIONS, *HTTP_OPTIONS})


@attrs.frozen
class Kind:
    """A kind of address: where its provider is, what brings it, and which options it takes.

    A vendor's provider reads its own addresses, by its class method `from_url`.
    """

    module: str = ""
    provider: str = ""
    extra: str = ""
    options: frozenset[str] = frozenset()


_FTRACK = Kind(
    "callsheet.providers.ftrack",
    "FtrackProvider",
    "ftrack",
    frozenset({"user", "api_key", "timeout", "server_timezone", *HTTP_OPTIONS}),
)

_VIDISPINE = Kind(
    "callsheet.providers.vidispine",
    "VidispineProvider",
    "vidispine",
    frozenset({"user", "password", "token", "timeout", *HTTP_OPTIONS}),
)

KINDS: Mapping[str, Kind] = {
    "local": Kind("callsheet.providers.local", "LocalProvider", "local", frozenset({"user", "timeout"})),
    "postgresql": Kind(),
    "ftrack": _FTRACK,
    "ftrack+http": _FTRACK,
    "ftrack+https": _FTRACK,
    "vidispine": _VIDISPINE,
    "vidispine+http": _VIDISPINE,
    "vidispine+https": _VIDISPINE,
    "deadline": Kind(
        "callsheet.providers.deadline",
        "DeadlineProvider",
        "deadline",
        frozenset({"user", "region", "endpoint", "timeout", *HTTP_OPTIONS}),
    ),
}

SHOWN = "local:DIR, ftrack+https://HOST, vidispine+https://HOST or deadline://FARM/QUEUE"


def connect(url: str | None = None, **options: Any) -> Client[Any]:
    """Return a client of the tracker at an address, to be opened by `async with`.

    Args:
        url: `local:DIR`, or `local:` for your own directory; `ftrack+https://HOST[:PORT]`, or `ftrack:` for
            the server of `FTRACK_SERVER`; `vidispine+https://HOST[:PORT]`, or `vidispine:` for that of
            `VIDISPINE_URL`; `deadline://FARM/QUEUE?region=REGION`. `None` reads the environment variable
            `CALLSHEET_URL`.
        options: `user`, who logs in and whom new jobs are made for (on the local tracker by default the login
            name); `timeout`, seconds that a call may take (else 120). For servers also `connections`,
            `proxy`, `verify`, `transport` and `allow_http`; for ftrack `api_key` and `server_timezone`; for
            Vidispine `password` or `token`; for Deadline `region` and `endpoint`, while credentials are found
            as AWS's own tools find them.

    Raises:
        ConfigError: The address or an option cannot be used; the message names it. What only the tracker's
            provider can tell (a missing package or credential, a directory that is not ours) is raised as
            the client is opened.
    """
    address = _given(url)
    scheme, colon, rest = address.partition(":")
    kind = KINDS.get(scheme.lower()) if colon else None
    if kind is None:
        raise ConfigError(f"url: {_hidden(address)!r} names no tracker; use {SHOWN}")
    if not kind.module:
        _check_vendor_url(address)
        raise ConfigError(f"url: {scheme}: trackers are not in this version of callsheet")
    for option in options:
        if option not in OPTIONS:
            raise ConfigError(f"{option}: there is no such option; there are {', '.join(sorted(OPTIONS))}")
        if option not in kind.options:
            raise ConfigError(f"{option}: a {scheme}: tracker takes no such option")
    if scheme.lower() == "local":
        directory = _directory(rest)
        return Client(Deferred(f"local:{directory}", lambda: _provider(kind)(directory, **options)))
    _check_vendor_url(address)
    return Client(Deferred(address, lambda: _provider(kind).from_url(address, **options)))


def _given(url: str | None) -> str:
    if url is not None and not isinstance(url, str):
        raise ConfigError(f"url must be a text, not {type(url).__name__}")
    address = os.environ.get("CALLSHEET_URL") if url is None else url
    if not address:
        raise ConfigError("url: give connect() an address such as 'local:./jobs', or set CALLSHEET_URL")
    return address


def _hidden(address: str) -> str:
    # Whatever stands before an @ may be a password.
    return address.rpartition("@")[2] if "@" in address else address


def _check_vendor_url(address: str) -> None:
    try:
        parts = urlsplit(address)
    except ValueError as exc:
        raise ConfigError(f"url: {_hidden(address)!r} is not an address") from exc
    if parts.fragment:
        raise ConfigError(f"url: '#{parts.fragment}' means nothing in {_hidden(address)!r}")
    is_vendor = parts.scheme != "postgresql"
    if is_vendor and (parts.username is not None or parts.password is not None):
        raise ConfigError(f"url: credentials do not belong into {_hidden(address)!r}; use user= and the like")


def _provider(kind: Kind) -> Any:
    try:
        module = import_module(kind.module)
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("callsheet"):
            raise
        raise ConfigError(f"{exc.name} is missing; run: pip install 'callsheet[{kind.extra}]'") from exc
    return getattr(module, kind.provider)


def own_directory() -> Path:
    """Return the directory of `local:`, the tracker of this user."""
    return platformdirs.user_data_path("callsheet") / "jobs"


def _directory(rest: str) -> Path:
    path, question, query = rest.partition("?")
    if question:
        raise ConfigError(f"url: local: takes no options, such as {query!r}")
    if not path:
        return own_directory()
    if path.startswith("//"):
        raise ConfigError("url: write local:DIR, without slashes that look like a host")
    try:
        return Path(path).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"url: {path.partition('/')[0]} in 'local:{path}' is nobody's home") from exc
