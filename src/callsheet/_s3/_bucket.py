"""One bucket: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

from callsheet._errors import InvalidRequest, NotFound, ResponseError
from callsheet._http._client import Http
from callsheet._http._download import Download
from callsheet._http._messages import Answer, Body
from callsheet._http._options import HttpOptions
from callsheet._http._urls import query
from callsheet._s3._wire import (
    Found,
    Part,
    complete_document,
    metadata_of,
    read_error,
    read_found,
    read_listing,
    read_parts,
    read_text,
)
from callsheet._signing import UNSIGNED, Signer

__all__ = ["Bucket"]

LARGEST_XML = 16 << 20
"""Bytes that a listing of 1,000 objects may have."""

RACES = 5
"""Tries to be the only one who writes a key, while others write it too."""


class Bucket:
    """One bucket of S3, or of a store that speaks like it.

    Every error is a `ResponseError` with S3's own word as `.code`, or a `TransportError`. All calls may be
    repeated, and are, when an answer is lost.

    Args:
        url: The bucket's own URL, whether its name is in the host or the path.
        provider: The short name of the provider, for errors and log lines.
        signer: Signs the requests; `None` for a store that wants no signatures.
        options: What the user has set.
        owner: The AWS account that the bucket must belong to, if known: a bucket of that name that
            another account has made is then refused.
    """

    def __init__(
        self,
        url: str,
        *,
        provider: str,
        signer: Signer | None = None,
        options: HttpOptions | None = None,
        owner: str | None = None,
    ) -> None:
        headers = {"x-amz-expected-bucket-owner": owner} if owner else None
        self.url = url.rstrip("/")
        self.signer = signer
        self.http = Http(
            self.url,
            provider=provider,
            options=options,
            headers=headers,
            auth=signer,
            check=read_error,
            ok_is_done=False,
            setting="endpoint",
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Get ready, on the current event loop."""
        await self.http.open()

    async def aclose(self) -> None:
        """End every call under way, and close all connections. May be called twice."""
        await self.http.aclose()

    # -- objects ---------------------------------------------------------------------------------------------

    async def put(
        self,
        key: str,
        body: bytes | Body,
        *,
        new_only: bool = False,
        metadata: Mapping[str, str] | None = None,
        progress: Callable[[int], Awaitable[None]] | None = None,
    ) -> bool:
        """Store an object, and return whether it was: with `new_only`, nothing is written over.

        Args:
            key: Its name, unescaped.
            body: Its bytes. They are covered by the signature only where the connection itself is not safe.
            new_only: If the key is there, leave it alone.
            metadata: Kept beside it; ASCII.
            progress: Awaited with the bytes of a streamed body that the network has taken.
        """
        headers = self._covering(body) | {
            f"x-amz-meta-{name}": text for name, text in (metadata or {}).items()
        }
        path = _path(key)
        if not new_only:
            await self._send("PUT", path, headers=headers, body=body, progress=progress)
            return True
        return await self._as_new(
            key, lambda more: self._send("PUT", path, headers=headers | more, body=body, progress=progress)
        )

    async def head(self, key: str) -> Found | None:
        """Return what is known of an object; `None` if there is none."""
        try:
            return read_found(key, await self._send("HEAD", _path(key)))
        except NotFound:
            return None

    async def get(self, key: str, *, limit: int) -> tuple[bytes, Mapping[str, str]]:
        """Return the bytes of a small object and its metadata.

        Raises:
            NotFound: There is no such object.
            InvalidResponse: It has more than `limit` bytes.
        """
        answer = await self._send("GET", _path(key), limit=limit)
        return answer.body, metadata_of(answer.headers)

    def download(
        self, key: str, *, start: int = 0, end: int | None = None, size: int | None = None
    ) -> Download:
        """Return the bytes of an object, to be entered and read.

        Args:
            key: Its name, unescaped.
            start: The offset of the first byte wanted.
            end: The offset behind the last byte wanted.
            size: The bytes that must come from `start` on, if that is known.
        """
        return self.http.download(_path(key), start=start, end=end, size=size, operation="get object")

    async def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        await self._send("DELETE", _path(key))

    async def list(self, prefix: str) -> list[Found]:
        """Return all objects whose key begins so, by key."""
        found: list[Found] = []
        token: str | None = None
        while True:
            pairs = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix)]
            pairs += [("continuation-token", token)] if token else []
            answer = await self._send("GET", "/" + query(pairs), limit=LARGEST_XML)
            page, following = read_listing(answer)
            found += page
            if following is None:
                return found
            if following == token:
                raise answer.unreadable("the token of the page before")
            token = following

    async def link(self, key: str, *, expires: float) -> str:
        """Return a URL that reads the object for `expires` seconds, at most 7 days, without credentials."""
        url = self.url + _path(key)
        return url if self.signer is None else await self.signer.presigned(url, expires=min(expires, 604800))

    # -- uploads in parts ------------------------------------------------------------------------------------

    async def begin(self, key: str) -> str:
        """Begin an upload in parts, and return its id."""
        return read_text(await self._send("POST", f"{_path(key)}?uploads="), "UploadId")

    async def put_part(
        self,
        key: str,
        upload: str,
        number: int,
        body: Body,
        *,
        progress: Callable[[int], Awaitable[None]] | None = None,
    ) -> str:
        """Send a part, from 1 on, and return its tag."""
        where = query([("partNumber", str(number)), ("uploadId", upload)])
        answer = await self._send(
            "PUT", _path(key) + where, headers=self._covering(body), body=body, progress=progress
        )
        e_tag = answer.headers.get("etag", "").strip('"')
        if not e_tag:
            raise answer.unreadable("no ETag for a part", path="etag")
        return e_tag

    async def parts(self, key: str, upload: str) -> dict[int, Part]:
        """Return the parts that are there, by number.

        Raises:
            NotFound: The upload is over, given up, or was never begun.
        """
        found: dict[int, Part] = {}
        marker: str | None = None
        while True:
            pairs = [("uploadId", upload)] + ([("part-number-marker", marker)] if marker else [])
            answer = await self._send("GET", _path(key) + query(pairs), limit=LARGEST_XML)
            page, following = read_parts(answer)
            found |= {part.number: part for part in page}
            if following is None:
                return found
            if following == marker:
                raise answer.unreadable("the marker of the page before")
            marker = following

    async def complete(
        self, key: str, upload: str, e_tags: Mapping[int, str], *, new_only: bool = False
    ) -> bool:
        """Make an object of the parts, and return whether it was: with `new_only`, nothing is written over.

        Raises:
            NotFound: The upload is over, or given up.
        """
        path = _path(key) + query([("uploadId", upload)])
        body = complete_document(e_tags)
        if not new_only:
            await self._send("POST", path, body=body)
            return True
        return await self._as_new(key, lambda more: self._send("POST", path, headers=more, body=body))

    async def abort(self, key: str, upload: str) -> None:
        """Give up an upload, so that its parts are no longer kept and paid for."""
        try:
            await self._send("DELETE", _path(key) + query([("uploadId", upload)]))
        except NotFound:
            return

    # -- the road --------------------------------------------------------------------------------------------

    async def _as_new(self, key: str, write: Callable[[dict[str, str]], Awaitable[Answer]]) -> bool:
        """Write under a condition; where the store knows none, look first."""
        for attempt in range(1, RACES + 1):
            try:
                await write({"if-none-match": "*"})
            except ResponseError as error:
                if error.status == 412:
                    return False
                if error.status == 501:
                    break
                # Somebody else is writing the same key right now: S3 wants the request once more.
                if error.code != "ConditionalRequestConflict" or attempt == RACES:
                    raise
            else:
                return True
        if await self.head(key) is not None:
            return False
        await write({})
        return True

    async def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body = b"",
        limit: int = LARGEST_XML,
        progress: Callable[[int], Awaitable[None]] | None = None,
    ) -> Answer:
        return await self.http.send(
            method,
            url,
            headers=headers,
            body=body,
            repeatable=True,
            limit=limit,
            progress=progress,
            operation=f"s3 {method}",
        )

    def _covering(self, body: bytes | Body) -> dict[str, str]:
        """Return the header that leaves the body out of the signature, where TLS covers it."""
        return {"x-amz-content-sha256": UNSIGNED} if self.url.startswith("https:") else {}


def _path(key: str) -> str:
    """Return the path of a key.

    Raises:
        InvalidRequest: No URL can have such a path.
    """
    if not key or any(part in {".", ".."} for part in key.split("/")):
        raise InvalidRequest(f"key {key!r} cannot be part of a URL")
    return "/" + quote(key, safe="/~")
