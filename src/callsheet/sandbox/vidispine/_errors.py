"""The errors of a Vidispine server: documents with nine members of which one is told, or plain lines."""

from __future__ import annotations

from typing import Any

__all__ = [
    "VidispineError",
    "conflict",
    "file_exists",
    "forbidden",
    "invalid",
    "not_authorized",
    "not_found",
    "not_implemented",
]

KINDS: dict[str, tuple[int, str]] = {
    "notFound": (404, "A resource could not be found"),
    "internalServer": (500, "An internal server error occurred"),
    "forbidden": (403, "The operation is not allowed"),
    "notYetImplemented": (501, "The operation is not implemented"),
    "conflict": (409, "There was a conflict"),
    "invalidInput": (400, "An invalid parameter was entered"),
    "licenseFault": (403, "The license does not allow this"),
    "fileAlreadyExists": (409, "The file already exists"),
    "notAuthorized": (401, "The user is not authorized"),
}
"""Status and headline of each kind, in the order in which the documents name them."""

LABELS = {
    "type": "Type",
    "context": "Context",
    "id": "ID",
    "storageId": "Storage",
    "fileId": "File",
    "path": "Path",
    "value": "Value",
    "explanation": "Reason",
    "message": "Reason",
}


class VidispineError(Exception):
    """A request that is refused."""

    def __init__(self, kind: str, **facts: str | None) -> None:
        super().__init__(kind, facts)
        self.kind = kind
        self.facts = facts
        self.status = KINDS[kind][0]

    def document(self) -> dict[str, Any]:
        """Return the error as JSON has it."""
        return {**dict.fromkeys(KINDS), self.kind: self.facts}

    def text(self) -> str:
        """Return the error as plain text has it."""
        lines = [f"{self.status} {KINDS[self.kind][1]}"]
        lines += [f"{label}: {self.facts[name]}" for name, label in LABELS.items() if self.facts.get(name)]
        return "".join(f"{line}\r\n" for line in lines)


def not_found(kind: str, identity: str) -> VidispineError:
    """Return what says that there is no such entity."""
    return VidispineError("notFound", type=kind, id=identity, context=None)


def invalid(
    context: str, explanation: str, value: str | None = None, *, identity: str | None = None
) -> VidispineError:
    """Return what says that a word of the request will not do."""
    return VidispineError("invalidInput", context=context, id=identity, explanation=explanation, value=value)


def conflict(context: str, explanation: str, *, identity: str | None = None) -> VidispineError:
    """Return what says that the present state of things is in the way."""
    return VidispineError("conflict", context=context, id=identity, explanation=explanation, value=None)


def forbidden(context: str, explanation: str, *, identity: str | None = None) -> VidispineError:
    """Return what says that the user may not do that."""
    return VidispineError("forbidden", context=context, id=identity, explanation=explanation)


def file_exists(storage: str, file: str, path: str) -> VidispineError:
    """Return what says that a path is taken."""
    return VidispineError("fileAlreadyExists", storageId=storage, fileId=file, path=path)


def not_authorized(message: str) -> VidispineError:
    """Return what says that the credentials are nobody's."""
    return VidispineError("notAuthorized", message=message)


def not_implemented() -> VidispineError:
    """Return what says that the sandbox does not do that."""
    return VidispineError("notYetImplemented")
