"""What goes to a server and comes back, in types of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import attrs

from callsheet._errors import (
    CallsheetError,
    Conflict,
    Denied,
    InvalidResponse,
    NotFound,
    Outcome,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._http._json import decoded
from callsheet._http._retry import retry_after
from callsheet._http._urls import Url
from callsheet._redaction import Secret, clean, excerpt

__all__ = ["Answer", "Auth", "Body", "Check", "Request", "error_for"]


@attrs.frozen
class Body:
    """A request body that is read while it is sent.

    Attributes:
        open: Returns the bytes from the beginning on; called anew each time the body is sent.
        length: How many bytes there are; more or fewer is an `IntegrityError`, before the last one is sent.
        rereadable: Whether `open` may be called more than once.
    """

    open: Callable[[], AsyncIterator[bytes]]
    length: int
    rereadable: bool = True


@attrs.define(repr=False)
class Request:
    """A request about to be sent, as `Auth.sign` sees it.

    Attributes:
        method: In capitals.
        url: Exactly what goes on the wire.
        headers: Names in lower case; may be changed. Secrets are revealed on the wire only.
        body: The bytes; `None` for a streamed body.
        attempt: 1 for the first request of a call.
    """

    method: str
    url: Url
    headers: dict[str, str | Secret]
    body: bytes | None
    attempt: int

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.shown}>"


@attrs.frozen(repr=False)
class Answer:
    """A whole answer.

    Attributes:
        method: Of the request.
        url: That answered, after redirects.
        status: The HTTP status.
        headers: Names in lower case; values of a repeated header are joined by a comma.
        body: All of it, decompressed.
        request_id: The server's own id of the request.
        provider: The provider it is for.
        outcome: What an error means that is found in this answer later on.
    """

    method: str
    url: Url
    status: int
    headers: Mapping[str, str]
    body: bytes
    request_id: str | None = None
    provider: str | None = None
    outcome: Outcome = Outcome.NOT_DONE

    def __repr__(self) -> str:
        return f"<Answer {self.status} to {self.method} {self.url.shown}, {len(self.body)} bytes>"

    def json(self) -> Any:
        """Return the body decoded from JSON.

        Raises:
            InvalidResponse: It is not JSON; the message shows how it begins.
        """
        try:
            return decoded(self.body)
        except (ValueError, RecursionError) as exc:
            why = "nested too deep" if isinstance(exc, RecursionError) else str(exc)
        raise self.unreadable(f"no JSON ({why}); it begins {excerpt(self.body)!r}")

    def unreadable(self, why: str, *, path: str = "$") -> InvalidResponse:
        """Return the error for an answer that makes no sense, `path` saying where in it."""
        return InvalidResponse(
            clean(f"{self.method} {self.url.shown} answered {self.status} with {why}"),
            path=path,
            status=self.status,
            outcome=self.outcome,
            request_id=self.request_id,
            provider=self.provider,
        )


class Auth:
    """Signs requests. This one signs nothing; a provider's own overrides what it needs."""

    async def sign(self, request: Request) -> None:
        """Add to the request's headers what it needs to be let in; called before each attempt."""

    def refused(self, answer: Answer) -> bool:
        """Tell whether the answer means that the credentials are out of date, and `refresh` may help."""
        return False

    async def refresh(self, answer: Answer) -> None:
        """Get new credentials; called once for all the tasks that were refused with the old ones.

        Raises:
            CallsheetError: There are none; all those tasks fail with it.
        """


class Check(Protocol):
    """Reads a vendor's error out of an answer."""

    def __call__(self, answer: Answer, /) -> CallsheetError | None:
        """Return the error the answer holds, or `None`; then its status decides."""


_BY_STATUS: dict[int, type[ResponseError]] = {
    401: Denied,
    403: Denied,
    407: Denied,
    404: NotFound,
    410: NotFound,
    409: Conflict,
    412: Conflict,
    423: Conflict,
    402: QuotaExceeded,
    507: QuotaExceeded,
    429: RateLimited,
    408: Unavailable,
    425: Unavailable,
    501: ResponseError,
    505: ResponseError,
}


def error_for(
    answer: Answer,
    *,
    kind: type[ResponseError] | None = None,
    code: str | None = None,
    message: str | None = None,
) -> ResponseError:
    """Return the error for an answer that says no: by its status, unless `kind` is given.

    Args:
        answer: The answer.
        kind: The class of error.
        code: The vendor's own word.
        message: The vendor's own text; by default the beginning of the body. Secrets in it are masked.
    """
    kind = kind or _BY_STATUS.get(answer.status, Unavailable if answer.status >= 500 else ResponseError)
    said = excerpt(answer.body if message is None else message, 1000)
    facts: dict[str, Any] = {"retry_after": retry_after(answer.headers)} if kind is RateLimited else {}
    what = ": ".join(filter(None, (_phrase(answer.status), code, said)))
    error = kind(
        f"{answer.method} {answer.url.shown}: {what}",
        status=answer.status,
        code=code,
        outcome=answer.outcome,
        request_id=answer.request_id,
        provider=answer.provider,
        **facts,
    )
    error.message = said
    return error


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
