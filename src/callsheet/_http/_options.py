"""What a user may set about the road to a server."""

from __future__ import annotations

import importlib.util
import math
import os
import ssl
from typing import Any
from urllib.parse import urlsplit

import attrs

from callsheet._errors import ConfigError
from callsheet._http._retry import Retry
from callsheet._models import Transport
from callsheet._redaction import Secret

__all__ = ["HttpOptions", "Transport", "proxy_url"]

PROXIES = {"http", "https", "socks5", "socks5h"}


def _seconds(_: object, field: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{field.name} must be a positive number of seconds, not {value!r}")


def _connections(_: object, field: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{field.name} must be a whole number from 1 up, not {value!r}")


def _proxy(value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ConfigError(f"proxy must be a URL, not {type(value).__name__}")
    return proxy_url(value, "proxy")


def proxy_url(value: str, setting: str) -> Secret:
    """Return the proxy's URL, wrapped, as it may hold a password; empty for no proxy.

    Raises:
        ConfigError: Not a proxy that can be used; the message names the setting.
    """
    try:
        parts = urlsplit(value)
        usable = not value or (parts.scheme in PROXIES and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{setting} must be a URL such as http://proxy.example.com:3128")
    if value.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigError(f"{setting}: a SOCKS proxy needs another package: pip install socksio")
    return Secret(value)


def _verify(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool | str | os.PathLike | ssl.SSLContext):
        raise ConfigError(f"{field.name} must be True, False, a path or an ssl.SSLContext, not {value!r}")


def _transport(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, Transport):
        raise ConfigError(
            f"{field.name} needs async handle_async_request() and aclose(); {type(value).__name__} lacks them"
        )


@attrs.frozen(kw_only=True)
class HttpOptions:
    """The settings that reach the road to a server.

    Attributes:
        timeout: Seconds until a call must have ended, retries included.
        connections: The most connections, over all hosts.
        proxy: A proxy's URL, with user and password if it wants them; `None` follows `HTTP_PROXY`,
            `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; `""` uses none.
        verify: `True` trusts the usual authorities; a path trusts that file or folder of certificates
            instead; an `ssl.SSLContext` decides all; `False` trusts anybody.
        transport: Carries the requests instead of our own pool; then `proxy` and `verify` are its business.
        allow_http: Allow plain http to other machines.
        connect: Seconds until a connection must stand.
        stall: Seconds until a transfer that stands still is given up.
        idle: Seconds until an unused connection is closed.
        retry: How often and when a failed request is repeated.

    Raises:
        ConfigError: A value is unusable; the message names the setting.
    """

    timeout: float = attrs.field(default=120.0, validator=_seconds)
    connections: int = attrs.field(default=32, validator=_connections)
    proxy: Secret | None = attrs.field(default=None, converter=_proxy)
    verify: bool | str | os.PathLike[str] | ssl.SSLContext = attrs.field(default=True, validator=_verify)
    transport: Transport | None = attrs.field(default=None, validator=_transport)
    allow_http: bool = attrs.field(default=False, converter=bool)
    connect: float = attrs.field(default=10.0, validator=_seconds)
    stall: float = attrs.field(default=60.0, validator=_seconds)
    idle: float = attrs.field(default=15.0, validator=_seconds)
    retry: Retry = attrs.field(factory=Retry)

    def __attrs_post_init__(self) -> None:
        if self.transport is not None and (self.proxy is not None or self.verify is not True):
            raise ConfigError("transport brings its own proxy and certificates: leave proxy and verify out")
