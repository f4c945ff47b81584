"""How far a request got, and what that says about its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from callsheet._errors import CallsheetError, Outcome

__all__ = ["Trail", "done", "worse"]

REFUSING = {307, 308, 501, 505}
"""Statuses that say, as every 4xx does, that the request was not acted on."""


@attrs.define(eq=False)
class Trail:
    """The trail of one request.

    Attributes:
        streamed: The body is a stream, of which a server may use the beginning.
        ok_is_done: A 2xx status alone proves that the change was made.
        began: A first byte may have left.
        whole: The last byte is on its way; once it has left, the server may act.
        status: The status of the answer, once it began to come in.
        refused: The answer says in its own words that nothing was done.
        request_id: The server's own id of the request.
        retry_after: The seconds it asks to wait.
        hopeless: It failed in a way that trying again will not mend.
    """

    streamed: bool = False
    ok_is_done: bool = True
    began: bool = False
    whole: bool = False
    status: int | None = None
    refused: bool = False
    request_id: str | None = None
    retry_after: float | None = None
    hopeless: bool = False

    @property
    def outcome(self) -> Outcome:
        """What the request did on the server, if it was one that changes something."""
        if self.status is not None:
            return self._told(self.status)
        # What did not leave whole cannot have been acted on, unless it is used as it comes in.
        if self.began and (self.whole or self.streamed):
            return Outcome.UNKNOWN
        return Outcome.NOT_DONE

    def _told(self, status: int) -> Outcome:
        if self.refused or 400 <= status < 500 or status in REFUSING:
            return Outcome.NOT_DONE
        if 200 <= status < 300:
            return Outcome.DONE if self.ok_is_done else Outcome.UNKNOWN
        return Outcome.UNKNOWN


def worse(one: Outcome, other: Outcome) -> Outcome:
    """Return the outcome of two attempts together: what one may have done, the other cannot undo."""
    order = [Outcome.NOT_DONE, Outcome.UNKNOWN, Outcome.DONE]
    return max(one, other, key=order.index)


@contextmanager
def done(key: str | None = None) -> Iterator[None]:
    """Let errors say that what was wanted has been done, under this key: only a later look at it failed."""
    try:
        yield
    except CallsheetError as error:
        error.outcome = Outcome.DONE
        error.idempotency_key = key or error.idempotency_key
        raise
