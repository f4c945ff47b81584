"""Errors in ftrack's words."""

from __future__ import annotations

from typing import Any

__all__ = [
    "FtrackError",
    "IntegrityError",
    "InvalidCredentialsError",
    "NoResultFound",
    "ValidationError",
]


class FtrackError(Exception):
    """What a server says instead of a result.

    Attributes:
        name: The class of exception, as the server names it.
        status: The HTTP status in strict mode; 200 otherwise.
        code: The error code, which few errors have.
    """

    name = "ServerError"
    status = 500
    code: str | None = None

    def answer(self) -> dict[str, Any]:
        """Return the error object."""
        return {"exception": self.name, "content": str(self), "error_code": self.code}


class InvalidCredentialsError(FtrackError):
    """User or key are wrong."""

    name = "InvalidCredentialsError"
    status = 401
    code = "api_credentials_invalid"


class ValidationError(FtrackError):
    """The request makes no sense."""

    name = "ValidationError"
    status = 400


class NoResultFound(FtrackError):
    """What the request speaks of is not there."""

    name = "NoResultFound"
    status = 404


class IntegrityError(FtrackError):
    """The request would break what belongs together."""

    name = "IntegrityError"
    status = 409
