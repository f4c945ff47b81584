"""Links to files that work without a login, until they expire."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from callsheet.sandbox.vidispine._files import File

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["Links"]


class Links:
    """Every link that was given out."""

    def __init__(self, part: Vidispine) -> None:
        self._part = part
        self._given: dict[str, tuple[str, datetime]] = {}

    def make(self, file: File, *, minutes: float) -> str:
        """Return a path by which the file can be had for so long."""
        token = secrets.token_urlsafe(16)
        self._given[token] = (file.id, self._part.now() + timedelta(minutes=minutes))
        return f"/APInoauth/storage/file/{file.id}/data?token={token}"

    def file(self, token: str) -> File | None:
        """Return the file of a link that is still good."""
        identity, expires = self._given.get(token, ("", self._part.now()))
        return self._part.files.by_id.get(identity) if self._part.now() < expires else None
