"""The bytes of components: where they are kept, and links to them that expire."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs

from callsheet.sandbox._clock import Clock
from callsheet.sandbox.ftrack._errors import ValidationError

__all__ = ["Files", "Links"]


@attrs.frozen
class Links:
    """Signs and checks links to bytes.

    Attributes:
        clock: On which they expire.
    """

    clock: Clock
    _secret: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), repr=False)

    def sign(self, path: str, words: Mapping[str, Any], seconds: float) -> str:
        """Return a path with a query that may be used for so long, by whoever has it."""
        expires = int(self.clock.now().timestamp() + seconds)
        signed = {**{name: str(value) for name, value in words.items()}, "expires": str(expires)}
        return f"{path}?{urlencode({**signed, 'signature': self._signature(path, signed)})}"

    def valid(self, path: str, words: Mapping[str, str]) -> bool:
        """Return whether the link is ours and still good."""
        signed = {name: value for name, value in words.items() if name != "signature"}
        ours = hmac.compare_digest(
            self._signature(path, signed).encode(), words.get("signature", "").encode()
        )
        return ours and self.clock.now().timestamp() < int(words["expires"])

    def _signature(self, path: str, words: Mapping[str, str]) -> str:
        text = f"{path}?{urlencode(sorted(words.items()))}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


class Files:
    """Bytes in a folder: whole ones by component, parts by upload."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploads: dict[str, _Upload] = {}
        folder.mkdir()

    def path(self, component_id: str) -> Path:
        """Return where a component's bytes are, or would be."""
        # Ids are made by clients: they may hold anything, and never become a path.
        return self._folder / hashlib.sha256(component_id.encode()).hexdigest()

    def part(self, upload_id: str, number: int) -> Path:
        """Return where one part of an upload is, or would be."""
        return self._folder / f"{upload_id}.{number}"

    def scratch(self) -> Path:
        """Return a name for bytes that are still arriving."""
        return self._folder / secrets.token_hex(16)

    def remove(self, component_id: str) -> None:
        """Forget a component's bytes; it need not have any."""
        self.path(component_id).unlink(missing_ok=True)

    def begin(self, component_id: str, parts: int) -> str:
        """Begin an upload in parts, and return its id."""
        upload_id = secrets.token_hex(16)
        self._uploads[upload_id] = _Upload(component_id, parts)
        return upload_id

    def arrived(self, upload_id: str, number: int, tag: str) -> bool:
        """Note that a part is here, in place of an earlier one of its number.

        Returns:
            Whether the upload is still waiting for parts.
        """
        if upload_id not in self._uploads:
            return False
        self._uploads[upload_id].tags[number] = tag
        return True

    def check(self, component_id: str, upload_id: str, tags: Mapping[int, str]) -> None:
        """See that all parts of an upload are here, with these tags.

        Raises:
            ValidationError: The upload is unknown, or a part is missing or another one.
        """
        upload = self._uploads.get(upload_id)
        if upload is None or upload.component_id != component_id:
            raise ValidationError(f"No upload {upload_id!r} of component {component_id!r}")
        if sorted(tags) != list(range(1, upload.parts + 1)):
            raise ValidationError(f"Upload {upload_id!r} has parts 1 to {upload.parts}, not {sorted(tags)}")
        for number, tag in tags.items():
            if upload.tags.get(number) != tag.strip('"'):
                raise ValidationError(f"Part {number} of upload {upload_id!r} is missing or not {tag!r}")

    def complete(self, upload_id: str) -> None:
        """Put the parts of an upload together."""
        upload = self._uploads.pop(upload_id)
        whole = self.part(upload_id, 1)
        with whole.open("ab") as target:
            for number in range(2, upload.parts + 1):
                part = self.part(upload_id, number)
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target, 1024 * 1024)
                part.unlink()
        whole.replace(self.path(upload.component_id))


@attrs.frozen
class _Upload:
    """An upload in parts, and the entity tags of those that are here."""

    component_id: str
    parts: int
    tags: dict[int, str] = attrs.field(factory=dict)
