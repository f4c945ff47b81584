"""Every error callsheet raises on its own account.

CallsheetError (.outcome .idempotency_key .request_id .provider)
+ ConfigError                      a setting is missing, contradictory or unusable
+ InvalidRequest (ValueError)      the call makes no sense; nothing was sent
+ Unsupported (.call .hint)        this tracker has no such call; nothing was sent
+ InvalidCursor                    not a cursor of this listing and tracker
+ TransportError                   no whole answer: could not connect, or broke off
  - Timeout (TimeoutError)         no answer by the deadline, or a stalled transfer
+ ResponseError (.status .code .message)   the tracker said no
  - Denied                         not logged in, or not allowed
  - NotFound (LookupError)
  - Conflict                       somebody else's change, lock or idempotency key is in the way
  - QuotaExceeded                  the disk, the plan or the account is full
  - RateLimited (.retry_after)
  - Unavailable                    the tracker is down or busy; later may work
  - InvalidResponse (.path)        an answer that cannot be read
+ WaitTimeout (TimeoutError) (.job .jobs)
+ JobCancelled                     a tracked job was cancelled from elsewhere
+ LeaseLost                        a tracked job was given to another worker
+ IntegrityError                   bytes do not match their size or checksum
+ AttachError (.attached .failed)
+ BulkError (.done .failed)
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callsheet._models import Component, Job

__all__ = [
    "AttachError",
    "BulkError",
    "CallsheetError",
    "ConfigError",
    "Conflict",
    "Denied",
    "IntegrityError",
    "InvalidCursor",
    "InvalidRequest",
    "InvalidResponse",
    "JobCancelled",
    "LeaseLost",
    "NotFound",
    "Outcome",
    "QuotaExceeded",
    "RateLimited",
    "ResponseError",
    "Timeout",
    "TransportError",
    "Unavailable",
    "Unsupported",
    "WaitTimeout",
]


class Outcome(enum.Enum):
    """What a failed call did on the server."""

    NOT_DONE = "not done"
    """Nothing was changed there."""
    DONE = "done"
    """The change was made; only the answer, or a later step, failed."""
    UNKNOWN = "unknown"
    """Either. Where the error carries an `idempotency_key`, repeating the call with it is safe."""


class CallsheetError(Exception):
    """The base of every error callsheet raises on its own account.

    Attributes:
        outcome: What happened on the server.
        idempotency_key: The key of the create, rerun, upload or mirror that failed. Repeating the call with
            this key never does the work twice. `None` for calls that take no key.
        request_id: The server's own id of the request, for its support desk.
        provider: The name of the tracker's provider, such as `"local"`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        outcome: Outcome = Outcome.NOT_DONE,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.idempotency_key = idempotency_key
        self.request_id = request_id
        self.provider = provider

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own pickling calls the class with `args`, which loses keyword-only facts.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(cls: type[CallsheetError], args: tuple[Any, ...], facts: dict[str, Any]) -> CallsheetError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigError(CallsheetError):
    """A setting is missing, contradictory or unusable; the message names it."""


class InvalidRequest(CallsheetError, ValueError):
    """An argument that no tracker could accept; the message names it. Nothing was sent."""


class Unsupported(CallsheetError):
    """This tracker has no such call or argument. Nothing was sent.

    Attributes:
        call: What was asked for, such as `"attach"` or `"create(item=)"`.
        hint: What to use instead; empty if nothing comes near.
    """

    def __init__(self, call: str, *, hint: str = "", provider: str | None = None) -> None:
        advice = f"; instead: {hint}" if hint else ""
        super().__init__(f"{provider or 'this tracker'} does not support {call}{advice}", provider=provider)
        self.call = call
        self.hint = hint


class InvalidCursor(CallsheetError):
    """The cursor is damaged, or belongs to another query or tracker."""


class TransportError(CallsheetError):
    """No whole answer came: the connection could not be made, or it broke off."""


class Timeout(TransportError, TimeoutError):
    """The deadline passed without a whole answer, or a transfer stood still for too long."""


class ResponseError(CallsheetError):
    """The tracker answered, and said no.

    Attributes:
        status: The HTTP status; `None` on the local tracker.
        code: The tracker's own word for the error, if it has one.
        message: The tracker's own text, without secrets.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        outcome: Outcome = Outcome.NOT_DONE,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(
            message,
            outcome=outcome,
            idempotency_key=idempotency_key,
            request_id=request_id,
            provider=provider,
        )
        self.status = status
        self.code = code
        self.message = message


class Denied(ResponseError):
    """Not logged in, or not allowed to do that."""


class NotFound(ResponseError, LookupError):
    """There is no such job, component or location."""


class Conflict(ResponseError):
    """Somebody else's change, lock or idempotency key is in the way."""


class QuotaExceeded(ResponseError):
    """No room is left: the disk is full, or an account's limit is reached."""


class RateLimited(ResponseError):
    """Too many requests.

    Attributes:
        retry_after: Seconds the server asks to wait, if it said so.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class Unavailable(ResponseError):
    """The tracker is down or too busy; the same call may work later."""


class InvalidResponse(ResponseError):
    """The tracker's answer cannot be read.

    Attributes:
        path: The place inside the answer, such as `$.data[3].status`.
    """

    def __init__(self, message: str = "", *, path: str = "$", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path


class WaitTimeout(CallsheetError, TimeoutError):
    """The jobs did not reach the wanted state in time; they go on running.

    Attributes:
        job: The first job that is not there yet, as last seen (`None`: never).
        jobs: All jobs waited for, as last seen, in the order given.
    """

    def __init__(
        self, message: str, *, jobs: Sequence[Job | None], job: Job | None, provider: str | None = None
    ) -> None:
        super().__init__(message, provider=provider)
        self.job = job
        self.jobs: list[Job | None] = list(jobs)


class JobCancelled(CallsheetError):
    """The tracked job was cancelled from elsewhere; its block was stopped and it ended cancelled."""


class LeaseLost(CallsheetError):
    """The tracked job was given to another worker, or declared lost, while this one was silent."""


class IntegrityError(CallsheetError):
    """The bytes do not match the size or checksum that the tracker knows."""


class AttachError(CallsheetError):
    """Some files could not be attached; the others were.

    Attributes:
        attached: Components that were attached, in the order of their files.
        failed: The error of each file that was not, by the file as it was given. A file that was uploaded
            but not linked stands here as its `Component`: attach that, and nothing is sent twice.
    """

    def __init__(
        self,
        message: str,
        *,
        attached: Sequence[Component],
        failed: Mapping[Any, Exception],
        outcome: Outcome = Outcome.DONE,
        idempotency_key: str | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome, idempotency_key=idempotency_key, provider=provider)
        self.attached: list[Component] = list(attached)
        self.failed: dict[Any, Exception] = dict(failed)


class BulkError(CallsheetError):
    """Some of many failed; the others were done.

    Attributes:
        done: The jobs of those that worked, in input order.
        failed: The error of each of the others, by its index in the input.
    """

    def __init__(
        self,
        message: str,
        *,
        done: Sequence[Job],
        failed: Mapping[int, Exception],
        outcome: Outcome = Outcome.DONE,
        provider: str | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome, provider=provider)
        self.done: list[Job] = list(done)
        self.failed: dict[int, Exception] = dict(failed)
