"""What went wrong on the wire, in callsheet's own errors: said plainly, and without secrets."""

from __future__ import annotations

import os
import socket
import ssl
import traceback
from collections.abc import Iterator

import httpx

from callsheet._errors import CallsheetError, InvalidResponse, Timeout, TransportError
from callsheet._http._decoding import Damaged, Incomplete
from callsheet._http._exchange import Stalled, TooLarge
from callsheet._http._messages import Request
from callsheet._http._trail import Trail
from callsheet._redaction import clean

__all__ = ["FAILURES", "failure"]

FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, Incomplete, Damaged, TooLarge, Stalled)
"""What an exchange raises that `failure` knows."""

_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

_HOPELESS = (httpx.ProxyError, httpx.LocalProtocolError, httpx.InvalidURL)


def failure(exc: Exception, request: Request, trail: Trail, *, stall: float) -> CallsheetError:
    """Return the error to raise for an exception of `FAILURES`; its cause is the exception.

    The trail is told what the exception proves: that nothing was sent, or that trying again is no use.
    """
    kind, why = _kind(exc), _why(exc, stall)
    certificate = next((link for link in _chain(exc) if isinstance(link, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        why = (
            f"its certificate is not trusted: {certificate.verify_message or certificate.reason};"
            " verify= takes the path of the authority's certificates"
        )
    if isinstance(exc, _BEFORE_SENDING):
        trail.began = False
    trail.hopeless = certificate is not None or isinstance(exc, _HOPELESS)
    error = kind(clean(f"{request.method} {request.url.shown}: {why}"))
    if isinstance(error, InvalidResponse):
        error.status = trail.status
    error.__cause__ = _presentable(exc)
    return error


def _kind(exc: Exception) -> type[CallsheetError]:
    if isinstance(exc, httpx.TimeoutException | Stalled | TimeoutError):
        return Timeout
    if isinstance(exc, Damaged | TooLarge | httpx.UnsupportedProtocol):
        return InvalidResponse
    return TransportError


def _why(exc: Exception, stall: float) -> str:
    match exc:
        case httpx.PoolTimeout():
            return f"no connection became free ({exc}); connections= allows more"
        case httpx.ConnectTimeout():
            return "no connection in time"
        case httpx.ReadTimeout() | httpx.WriteTimeout():
            return f"nothing moved for {stall:g} s"
        case httpx.ProxyError():
            return f"the proxy refused: {exc} (setting: proxy)"
        case httpx.ConnectError():
            return f"no connection: {_reason(exc)}"
        case httpx.UnsupportedProtocol():
            return f"not followed: {exc}"
        case Incomplete() | Damaged() | TooLarge() | Stalled():
            return f"the answer is unusable: {exc}"
        case _:
            return f"the connection broke off: {_reason(exc)}"


def _reason(exc: BaseException) -> str:
    """Return the innermost text that says something: what the operating system or the protocol said."""
    links = list(_chain(exc))
    for link in reversed(links):
        if isinstance(link, socket.gaierror | ssl.SSLError) and link.strerror:
            return link.strerror
        if isinstance(link, OSError) and link.errno:
            return os.strerror(link.errno)  # asyncio and trio put words of their own in its place
    return str(exc) or next((str(link) for link in reversed(links) if str(link)), type(links[-1]).__name__)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        if isinstance(exc, BaseExceptionGroup):
            yield from exc.exceptions
        exc = exc.__cause__ or exc.__context__


def _presentable(exc: Exception) -> Exception | None:
    """Return the exception as a cause, without the variables of its frames; none if it tells a secret."""
    for link in _chain(exc):
        # A crash reporter prints them, and they held the headers.
        traceback.clear_frames(link.__traceback__)
        if clean(str(link)) != str(link):
            return None
    return exc
