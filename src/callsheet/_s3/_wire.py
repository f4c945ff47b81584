"""What S3 says, in XML, and what it is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import attrs

from callsheet._errors import CallsheetError, InvalidResponse, RateLimited, ResponseError, Unavailable
from callsheet._http._messages import Answer, error_for

__all__ = [
    "Found",
    "Part",
    "complete_document",
    "read_error",
    "read_found",
    "read_listing",
    "read_parts",
    "read_text",
]

_KINDS: Mapping[str, type[ResponseError]] = {
    "SlowDown": RateLimited,
    "RequestTimeout": Unavailable,  # with status 400, when an upload paused for long
    "InternalError": Unavailable,  # with status 200, when it happens late
    "ServiceUnavailable": Unavailable,
}
"""Errors whose status says something else than what they are."""

_META = "x-amz-meta-"

# While it still works on an answer, S3 sends blanks. Manifests may tell of files that are called "<Error".
_LATE_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error\b")


@attrs.frozen
class Found:
    """An object that is there.

    Attributes:
        size: In bytes.
        e_tag: Without its quotes.
        modified_at: In UTC; `None` if the answer does not say.
        metadata: The user's own, names in lower case; empty in listings.
    """

    key: str
    size: int
    e_tag: str
    modified_at: datetime | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Part:
    """A part of an upload that is there."""

    number: int
    size: int
    e_tag: str


def read_error(answer: Answer) -> CallsheetError | None:
    """Return the error in an answer, of whatever status: some come with 200."""
    if answer.status < 300 and not _LATE_ERROR.match(answer.body):
        return None
    code = message = None
    if answer.body.lstrip()[:1] == b"<":
        try:
            root = _parsed(answer)
        except InvalidResponse:
            return None if answer.status >= 300 else answer.unreadable("XML that cannot be read")
        if _plain(root.tag) != "Error":
            return None
        code, message = _text(root, "Code"), _text(root, "Message")
    return error_for(answer, kind=_KINDS.get(code or ""), code=code, message=message)


def read_found(key: str, answer: Answer) -> Found:
    """Read the answer to HEAD, or the headers of a GET."""
    size = answer.headers.get("content-length", "")
    if not size.isdecimal():
        raise answer.unreadable("no size of the object", path="content-length")
    return Found(
        key,
        int(size),
        answer.headers.get("etag", "").strip('"'),
        _date(answer.headers.get("last-modified")),
        metadata_of(answer.headers),
    )


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the user's own metadata, names in lower case."""
    return {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}


def read_listing(answer: Answer) -> tuple[list[Found], str | None]:
    """Read a page of a listing: its objects, and the token of the next page."""
    root = _parsed(answer)
    coded = _text(root, "EncodingType") == "url"
    try:
        found = [
            Found(
                unquote_plus(_needed(item, "Key")) if coded else _needed(item, "Key"),
                int(_needed(item, "Size")),
                _text(item, "ETag").strip('"'),
                _moment(_text(item, "LastModified")),
            )
            for item in _children(root, "Contents")
        ]
    except ValueError as exc:
        raise answer.unreadable(f"an object without {exc}", path="ListBucketResult.Contents") from None
    more = _text(root, "IsTruncated") == "true"
    token = _text(root, "NextContinuationToken")
    if more and not token:
        raise answer.unreadable("a page that is not the last, and no token for the next")
    return found, token if more else None


def read_parts(answer: Answer) -> tuple[list[Part], str | None]:
    """Read a page of the parts that are there, and the marker of the next page."""
    root = _parsed(answer)
    try:
        parts = [
            Part(
                int(_needed(item, "PartNumber")),
                int(_needed(item, "Size")),
                _needed(item, "ETag").strip('"'),
            )
            for item in _children(root, "Part")
        ]
    except ValueError as exc:
        raise answer.unreadable(f"a part without {exc}", path="ListPartsResult.Part") from None
    more = _text(root, "IsTruncated") == "true"
    return parts, (_text(root, "NextPartNumberMarker") or None) if more else None


def read_text(answer: Answer, name: str) -> str:
    """Return what an element of the answer says.

    Raises:
        InvalidResponse: There is none.
    """
    text = _text(_parsed(answer), name)
    if not text:
        raise answer.unreadable(f"no {name}", path=name)
    return text


def complete_document(e_tags: Mapping[int, str]) -> bytes:
    """Return what makes an object of its parts."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(e_tag)}&quot;</ETag></Part>"
        for number, e_tag in sorted(e_tags.items())
    )
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CompleteMultipartUpload xmlns="{space}">{parts}</CompleteMultipartUpload>'.encode()


# -- XML -----------------------------------------------------------------------------------------------------


def _parsed(answer: Answer) -> ElementTree.Element:
    if b"<!DOCTYPE" in answer.body or b"<!ENTITY" in answer.body:
        raise answer.unreadable("XML that declares entities")
    try:
        # No declaration is let through, so there is nothing that could expand or lead elsewhere.
        return ElementTree.fromstring(answer.body.strip())  # noqa: S314 - it declares nothing
    except ElementTree.ParseError as exc:
        raise answer.unreadable(f"XML that cannot be read ({exc})") from None


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if _plain(child.tag) == name)


def _text(element: ElementTree.Element, name: str) -> str:
    child = next(_children(element, name), None)
    return (child.text or "") if child is not None else ""


def _needed(element: ElementTree.Element, name: str) -> str:
    text = _text(element, name)
    if not text:
        raise ValueError(name)
    return text


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
