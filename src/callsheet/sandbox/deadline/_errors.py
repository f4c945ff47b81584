"""What Deadline Cloud refuses, in the vendor's words: code, status and members of each error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "AccessDenied",
    "AwsError",
    "Conflict",
    "ExpiredToken",
    "InvalidSignature",
    "MissingToken",
    "NotThere",
    "QuotaExceeded",
    "Throttled",
    "UnknownOperation",
    "UnrecognizedClient",
    "Validation",
    "server_error",
]


class AwsError(Exception):
    """A refusal; the subclasses' names are not the vendor's, their `code` is.

    Attributes:
        members: Of the body, besides the message.
        headers: Sent with it.
    """

    code = "InternalServerErrorException"
    status = 500

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})
        self.members = members

    def body(self) -> dict[str, Any]:
        """Return the body that tells of it."""
        return {"message": self.message, **self.members}


class AccessDenied(AwsError):
    """Whoever asks may not."""

    code, status = "AccessDeniedException", 403


class Validation(AwsError):
    """The request is not one that the service takes.

    Args:
        message: For people.
        reason: One of the vendor's words.
        fields: Names of members, each with what is wrong.
    """

    code, status = "ValidationException", 400

    def __init__(
        self, message: str, *, reason: str = "OTHER", fields: Iterable[tuple[str, str]] = ()
    ) -> None:
        named = [{"name": name, "message": told} for name, told in fields]
        super().__init__(message, reason=reason)
        if named:
            self.members["fieldList"] = named


class NotThere(AwsError):
    """There is no such thing."""

    code, status = "ResourceNotFoundException", 404

    def __init__(self, kind: str, resource_id: str) -> None:
        super().__init__(
            f"Resource of type {kind} with id {resource_id} does not exist.",
            resourceId=resource_id,
            resourceType=kind,
            context={},
        )


class Conflict(AwsError):
    """The thing is in no state for that."""

    code, status = "ConflictException", 409

    def __init__(self, message: str, kind: str, resource_id: str, *, reason: str = "STATUS_CONFLICT") -> None:
        super().__init__(message, reason=reason, resourceId=resource_id, resourceType=kind)


class QuotaExceeded(AwsError):
    """There is no room for more."""

    code, status = "ServiceQuotaExceededException", 402

    def __init__(self, message: str, kind: str, resource_id: str) -> None:
        super().__init__(
            message,
            reason="SERVICE_QUOTA_EXCEEDED_EXCEPTION",
            resourceType=kind,
            serviceCode="deadline",
            quotaCode="L-CA11SHEE",
            resourceId=resource_id,
        )


class Throttled(AwsError):
    """Too much was asked in too short a time."""

    code, status = "ThrottlingException", 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "Rate exceeded",
            headers={"Retry-After": str(retry_after)},
            serviceCode="deadline",
            quotaCode="L-7B0771E5",
        )


class UnknownOperation(AwsError):
    """No operation has that path, or none that the sandbox knows."""

    code, status = "UnknownOperationException", 404


class MissingToken(AwsError):
    """The request is not signed."""

    code, status = "MissingAuthenticationTokenException", 403


class UnrecognizedClient(AwsError):
    """Nobody has that access key."""

    code, status = "UnrecognizedClientException", 403


class InvalidSignature(AwsError):
    """The signature is not of this request by this key, or not of this time."""

    code, status = "InvalidSignatureException", 403


class ExpiredToken(AwsError):
    """The temporary credentials are over."""

    code, status = "ExpiredTokenException", 403


def server_error(message: str) -> AwsError:
    """Return the service's own failure."""
    return AwsError(message)
