"""The proxy on the way to a server, from the setting or the environment."""

from __future__ import annotations

import ssl
import urllib.request

import httpcore
import httpx

from callsheet._http._network import Network
from callsheet._http._options import proxy_url
from callsheet._http._urls import is_loopback
from callsheet._redaction import Secret

__all__ = ["connection_through", "proxy_for"]


def proxy_for(origin: httpcore.Origin, wanted: Secret | None) -> httpx.URL | None:
    """Return the proxy to take: the one wanted (an empty one is none), else the environment's.

    Raises:
        ConfigError: The environment names something that is no proxy.
    """
    if wanted is not None:
        return httpx.URL(wanted.reveal()) if wanted else None
    host = origin.host.decode()
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{origin.port}"):
        return None
    proxies = urllib.request.getproxies()
    for scheme in (origin.scheme.decode(), "all"):
        if url := proxies.get(scheme):
            checked = proxy_url(url if "://" in url else f"http://{url}", f"{scheme.upper()}_PROXY")
            return httpx.URL(checked.reveal())
    return None


def connection_through(
    proxy: httpx.URL, origin: httpcore.Origin, tls: ssl.SSLContext | None, network: Network
) -> httpcore.AsyncConnectionInterface:
    """Return an unopened connection to the origin through the proxy."""
    server = httpcore.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/")
    auth = (proxy.username, proxy.password) if proxy.username or proxy.password else None
    pool: httpcore.AsyncConnectionPool
    if proxy.scheme.startswith("socks5"):
        pool = httpcore.AsyncSOCKSProxy(server, proxy_auth=auth, ssl_context=tls, network_backend=network)
    else:
        own_tls = tls if proxy.scheme == "https" else None
        pool = httpcore.AsyncHTTPProxy(
            server, proxy_auth=auth, ssl_context=tls, proxy_ssl_context=own_tls, network_backend=network
        )
    return pool.create_connection(origin)
