"""Names of files as a tracker gives them, made safe for the folder they are written into."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["part_name", "safe_name"]

MAX_BYTES = 240
"""What a name may have: file systems allow 255 bytes, and the temporary name is longer by six."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)


def safe_name(name: str) -> str:
    """Return the name as one harmless file name: never a path, a device, hidden, or misleading to the eye.

    Separators, control and direction characters and what other systems forbid become `_`; too long a name is
    cut before its suffix.
    """
    clean = "".join("_" if _unsafe(character) else character for character in name)
    clean = clean.rstrip(". ")
    if not clean or clean.startswith((".", " ")) or _RESERVED.match(clean):
        clean = "_" + clean.lstrip(". ")
    return _cut(clean)


def part_name(name: str) -> str:
    """Return the temporary name under which a file is written before it is complete."""
    return f".{name}.part"


def _unsafe(character: str) -> bool:
    # Cc control, Cf format (bidi among them), Cs lone surrogate, Zl and Zp line separators.
    return character in '<>:"/\\|?*' or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _cut(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    kept = (dot + suffix).encode() if stem and len(suffix.encode()) <= 20 else b""
    return (encoded[: MAX_BYTES - len(kept)].decode(errors="ignore") + kept.decode()).rstrip(". ")
