"""One call to a server: what is wanted, and how it stands."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

import anyio
import attrs

from callsheet._errors import CallsheetError, InvalidRequest, Outcome, ResponseError
from callsheet._http._messages import Body
from callsheet._http._trail import Trail, worse
from callsheet._http._urls import Url
from callsheet._redaction import Secret

__all__ = ["Call", "checked_headers"]

_METHOD = re.compile(r"[A-Z]+")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


def _is_method(_: object, __: object, value: str) -> None:
    if not _METHOD.fullmatch(value):
        raise InvalidRequest(f"{value!r} is no HTTP method")


@attrs.define(eq=False, kw_only=True)
class Call:
    """One call.

    Attributes:
        method: In capitals.
        url: Where it goes first.
        headers: The caller's own; names in lower case.
        body: Bytes, or a stream.
        reads: It changes nothing on the server, whatever its method.
        repeatable: Doing it twice is as good as once.
        signed: It carries credentials, if it goes to an origin that gets them.
        timeout: Seconds until it must have ended; of a stream, until it must have begun to be answered.
        limit: The most bytes of its answer.
        size: The bytes that its answer must have, if they are known.
        stall: Seconds within which the answer's body must bring something.
        key: The idempotency key, for errors.
        progress: Awaited with the bytes of the body that were taken.
        attempt: The number of the request that is under way, from 1.
        renewed: Its credentials were renewed once.
        trail: How far that request got.
        outcome: What the requests before it did, all together.
        scope: Ends it all.
    """

    method: str = attrs.field(validator=_is_method)
    url: Url
    headers: dict[str, str | Secret] = attrs.field(repr=False)
    body: bytes | Body = attrs.field(default=b"", repr=False)
    reads: bool
    repeatable: bool
    signed: bool = True
    timeout: float
    limit: int | None
    size: int | None = None
    stall: float | None = None
    key: str | None = None
    progress: Callable[[int], Awaitable[None]] | None = None
    attempt: int = 0
    renewed: bool = False
    trail: Trail = attrs.field(factory=Trail)
    outcome: Outcome = Outcome.NOT_DONE
    scope: anyio.CancelScope = attrs.field(init=False)

    @property
    def streams(self) -> bool:
        return isinstance(self.body, Body)

    @property
    def empty(self) -> bool:
        return self.body == b""

    @property
    def can_send_again(self) -> bool:
        """Whether the body can be had a second time."""
        return not isinstance(self.body, Body) or self.body.rereadable

    @property
    def may_repeat(self) -> bool:
        """Whether the request under way, which has failed, may be made again without doing harm."""
        harmless = self.repeatable or self.trail.outcome is Outcome.NOT_DONE
        return harmless and self.can_send_again and not self.trail.hopeless

    @property
    def standing(self) -> Outcome:
        """What the call has done so far, were it to end now."""
        return Outcome.NOT_DONE if self.reads else worse(self.outcome, self.trail.outcome)

    @property
    def seconds_left(self) -> float:
        # While a stream is sent no deadline runs; a wait may still not take longer than a call.
        return min(self.timeout, self.scope.deadline - anyio.current_time())

    def settle(self, error: CallsheetError, provider: str) -> None:
        """Fill in what the error, which ends the request under way, must tell."""
        said = error.outcome if isinstance(error, ResponseError) else Outcome.NOT_DONE
        self.outcome = worse(self.standing, Outcome.NOT_DONE if self.reads else said)
        error.outcome = self.outcome
        error.provider = error.provider or provider
        error.idempotency_key = self.key
        error.request_id = error.request_id or self.trail.request_id


def checked_headers(headers: Mapping[str, str | Secret]) -> dict[str, str | Secret]:
    """Return the headers with their names in lower case.

    Raises:
        InvalidRequest: A name or value would break out of its line; the message names the header only.
    """
    checked: dict[str, str | Secret] = {}
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise InvalidRequest(f"{name!r} cannot be the name of a header")
        text = value.reveal() if isinstance(value, Secret) else value
        if not _VALUE.fullmatch(text) or text != text.strip():
            raise InvalidRequest(f"the value of the header {name} holds characters that no header can")
        checked[name.lower()] = value
    return checked
