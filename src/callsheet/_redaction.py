"""Secrets are wrapped when they are read, and every text that leaves callsheet is cleaned.

Two nets, one behind the other: a `Secret` shows itself to nobody by accident, and `clean` masks whatever a
server or a library echoes: every living secret in its usual spellings, the query and the user part of every
URL, and values behind tell-tale names.
"""

from __future__ import annotations

import base64
import json
import re
import weakref
from typing import NoReturn
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "Secret", "clean", "excerpt"]

MASK = "***"

SHORTEST = 4
"""Shorter secrets are not looked for in texts: masking every `a` would leave nothing to read."""

_living: dict[int, weakref.ref[Secret]] = {}


class Secret:
    """A password, key, token or header value that must not be shown.

    It prints as `***`, cannot be pickled, and is masked in every text that passes `clean` while it lives.
    """

    __slots__ = ("__weakref__", "_pattern", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._pattern = _spellings(value)
        if self._pattern is not None:
            key = id(self)
            _living[key] = weakref.ref(self, lambda _: _living.pop(key, None))

    def reveal(self) -> str:
        """Return the secret itself; for the wire only."""
        return self._value

    def mask(self, text: str) -> str:
        """Return the text with every spelling of this secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def _spellings(value: str) -> re.Pattern[str] | None:
    if len(value) < SHORTEST:
        return None
    encoded = value.encode(errors="surrogatepass")
    spellings = {
        value,
        quote(encoded, safe=""),
        quote_plus(encoded),
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        base64.b64encode(encoded).decode(),
    }
    pattern = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    # A short one counts as a whole word only: "admin" must not blank "administration".
    return re.compile(pattern if len(value) >= 8 else rf"(?<![0-9A-Za-z])(?:{pattern})(?![0-9A-Za-z])")


_URL = re.compile(r"(?P<scheme>\bhttps?://)(?:[^\s/?#@\"'<>]*@)?(?P<rest>[^\s?#\"'<>]*)(?:[?#][^\s\"'<>]*)?")

# Every repetition is bounded or can match in one way only: these texts come from outside.
_TELLTALE = re.compile(
    r"""(?ix)
    ( (?: authorization | api[-_]?key | passw(?:or)?d | secret | signature | credential | token | cookie )
      [\w-]{0,30} ["']? \s{0,3} [=:] \s{0,3} )
    ( "[^"]*" | '[^']*' | (?: (?: basic | bearer | digest | token | aws4-hmac-sha256 ) \s )? [^\s,;&"'<>]+ )
    """
)


def clean(text: str) -> str:
    """Return the text without secrets: fit for a log, an error or a span."""
    for reference in list(_living.values()):
        secret = reference()
        if secret is not None:
            text = secret.mask(text)
    if "://" in text:
        text = _URL.sub(_bare, text)
    return _TELLTALE.sub(rf"\1{MASK}", text)


def _bare(match: re.Match[str]) -> str:
    had_query = "?" in match[0]
    return f"{match['scheme']}{match['rest']}{'?' + MASK if had_query else ''}"


def excerpt(data: bytes | str, length: int = 200) -> str:
    """Return the beginning of a server's text in one line, cleaned, for an error message."""
    # More than is shown is cleaned, so that a secret across the cut is still seen whole.
    text = data[: length * 10].decode(errors="replace") if isinstance(data, bytes) else data[: length * 10]
    line = " ".join(clean(text).split())
    return line if len(line) <= length else f"{line[:length]}…"
