"""A small S3 that misbehaves on command, on raw sockets: what a bucket holds is there to look at.

store = Store()
with FaultServer(store.play) as server:
    bucket = Bucket(server.url + "/bucket", provider="test")
    store.strike("PUT", slow_down)          # the next PUT is answered so
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import attrs

from faultserver import Line, Request, answer

__all__ = ["Store", "Strike", "error", "lose_answer", "said", "slow_down"]

Strike: TypeAlias = Callable[[Line, "Store", Request], None]
"""What happens to one request instead of what should."""

MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


@attrs.define
class Upload:
    """An upload in parts."""

    key: str
    parts: dict[int, bytes] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Store:
    """One bucket.

    Attributes:
        objects: Its objects' bytes, by key.
        metadata: Their metadata.
        uploads: The uploads under way, by id.
        calls: Method and key of each request, in order, with what kind of call it was.
        page: The objects of one page of a listing.
    """

    objects: dict[str, bytes] = attrs.field(factory=dict)
    metadata: dict[str, dict[str, str]] = attrs.field(factory=dict)
    uploads: dict[str, Upload] = attrs.field(factory=dict)
    calls: list[tuple[str, str]] = attrs.field(factory=list)
    page: int = 1000
    _strikes: deque[tuple[str, Strike]] = attrs.field(factory=deque)
    _lock: threading.RLock = attrs.field(factory=threading.RLock)
    _ids: itertools.count[int] = attrs.field(factory=itertools.count)

    def strike(self, kind: str, *strikes: Strike) -> None:
        """Let the next calls of a kind go wrong: PUT GET HEAD DELETE LIST BEGIN PART PARTS COMPLETE ABORT."""
        with self._lock:
            self._strikes.extend((kind, strike) for strike in strikes)

    def play(self, line: Line) -> None:
        """Answer the requests of a connection."""
        while True:
            request = line.request()
            kind, key, _ = _asked(request)
            with self._lock:
                self.calls.append((kind, key))
                strike = next((one for one in self._strikes if one[0] == kind), None)
                if strike is not None:
                    self._strikes.remove(strike)
            if strike is not None:
                strike[1](line, self, request)
            else:
                line.send(self.answer(request))

    def answer(self, request: Request) -> bytes:
        """Do what the request asks for, and return the answer."""
        kind, key, query = _asked(request)
        with self._lock:
            done: bytes = getattr(self, f"_{kind.lower()}")(request, key, query)
            return done

    def _put(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        if request.headers.get("if-none-match") == "*" and key in self.objects:
            return error(412, "PreconditionFailed")
        self.objects[key] = request.body
        self.metadata[key] = {
            name: value for name, value in request.headers.items() if name.startswith("x-amz-meta-")
        }
        return answer(200, headers={"ETag": f'"{_tag(request.body)}"'})

    def _get(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        if key not in self.objects:
            return error(404, "NoSuchKey")
        data, headers = self.objects[key], self._headers(key)
        if "range" in request.headers:
            first, last = request.headers["range"].removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            return answer(206, data[start:end], headers)
        return answer(200, data, headers)

    def _head(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        if key not in self.objects:
            return answer(404)
        return answer(200, headers=self._headers(key), length=len(self.objects[key]))

    def _delete(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        self.objects.pop(key, None)
        return answer(204)

    def _list(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")))
        start = int(query.get("continuation-token", "0"))
        end = start + self.page
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>&quot;{_tag(self.objects[key])}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys[start:end]
        )
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < len(keys) else ""
        truncated = "true" if more else "false"
        return said(
            f"<ListBucketResult>{items}<IsTruncated>{truncated}</IsTruncated>{more}</ListBucketResult>"
        )

    def _begin(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        id_ = f"upload-{next(self._ids)}"
        self.uploads[id_] = Upload(key)
        return said(
            f"<InitiateMultipartUploadResult><UploadId>{id_}</UploadId></InitiateMultipartUploadResult>"
        )

    def _part(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        upload = self.uploads.get(query["uploadId"])
        if upload is None:
            return error(404, "NoSuchUpload")
        upload.parts[int(query["partNumber"])] = request.body
        return answer(200, headers={"ETag": f'"{_tag(request.body)}"'})

    def _parts(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        upload = self.uploads.get(query["uploadId"])
        if upload is None:
            return error(404, "NoSuchUpload")
        numbers = [
            number for number in sorted(upload.parts) if number > int(query.get("part-number-marker", 0))
        ]
        page = numbers[: self.page]
        items = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(upload.parts[number])}</Size>"
            f"<ETag>&quot;{_tag(upload.parts[number])}&quot;</ETag></Part>"
            for number in page
        )
        more = len(numbers) > len(page)
        marker = f"<NextPartNumberMarker>{page[-1]}</NextPartNumberMarker>" if more else ""
        return said(
            f"<ListPartsResult>{items}<IsTruncated>{str(more).lower()}</IsTruncated>{marker}</ListPartsResult>"
        )

    def _complete(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        upload = self.uploads.get(query["uploadId"])
        if upload is None:
            return error(404, "NoSuchUpload")
        if request.headers.get("if-none-match") == "*" and key in self.objects:
            return error(412, "PreconditionFailed")
        tags = {number: _tag(part) for number, part in upload.parts.items()}
        wanted = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{tags[number]}&quot;</ETag></Part>"
            for number in sorted(tags)
        )
        if wanted.encode() not in request.body:
            return error(400, "InvalidPart")
        self.objects[key] = b"".join(upload.parts[number] for number in sorted(upload.parts))
        self.metadata[key] = {}
        del self.uploads[query["uploadId"]]
        return said("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")

    def _abort(self, request: Request, key: str, query: Mapping[str, str]) -> bytes:
        if self.uploads.pop(query["uploadId"], None) is None:
            return error(404, "NoSuchUpload")
        return answer(204)

    def _headers(self, key: str) -> dict[str, str]:
        tag = {"ETag": f'"{_tag(self.objects[key])}"', "Last-Modified": MODIFIED}
        return tag | self.metadata.get(key, {})


def error(
    status: int, code: str, message: str = "as it is", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return S3's way to say no."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return answer(status, body.encode(), headers)


def said(xml: str) -> bytes:
    """Return an answer that says yes, in XML."""
    return answer(200, f"<?xml version='1.0' encoding='UTF-8'?>\n{xml}".encode())


def slow_down(line: Line, store: Store, request: Request) -> None:
    """Say that it is too much."""
    line.send(error(503, "SlowDown"))


def lose_answer(line: Line, store: Store, request: Request) -> None:
    """Do what is asked for, and cut the connection before the answer."""
    store.answer(request)
    line.reset()


def _tag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _asked(request: Request) -> tuple[str, str, dict[str, str]]:
    """Return the kind of call, its key and its query."""
    parts = urlsplit(request.target)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    _, _, key = unquote(parts.path).removeprefix("/").partition("/")
    kinds = {
        ("GET", "list-type"): "LIST",
        ("POST", "uploads"): "BEGIN",
        ("PUT", "partNumber"): "PART",
        ("GET", "uploadId"): "PARTS",
        ("POST", "uploadId"): "COMPLETE",
        ("DELETE", "uploadId"): "ABORT",
    }
    kind = next(
        (kind for (method, name), kind in kinds.items() if method == request.method and name in query), ""
    )
    return kind or request.method, key, query
