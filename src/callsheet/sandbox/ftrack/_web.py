"""The URLs of an ftrack server: `/api` and `/component/*`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from callsheet.sandbox._arriving import PIECE, keep_body
from callsheet.sandbox.ftrack._actions import Batch
from callsheet.sandbox.ftrack._errors import FtrackError, ValidationError
from callsheet.sandbox.ftrack._writing import Writer

if TYPE_CHECKING:
    from callsheet.sandbox.ftrack import Ftrack

__all__ = ["routes"]

Handler = Callable[["Ftrack", Request], Awaitable[Response]]


def routes(part: Ftrack) -> list[BaseRoute]:
    """Return the routes of one server."""

    def bound(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await handler(part, request)

        return handle

    return [
        Route("/api", bound(api), methods=["POST"]),
        Route("/component/upload", bound(upload), methods=["PUT"]),
        Route("/component/file", bound(linked_file), methods=["GET"]),
        Route("/component/get", bound(get_component), methods=["GET"]),
        Route("/component/thumbnail", bound(get_component), methods=["GET"]),
        Route("/component/remove", bound(remove_component), methods=["GET"]),
    ]


async def api(part: Ftrack, request: Request) -> Response:
    """Do a list of operations, all or none."""
    strict = request.headers.get("ftrack-strict-api", "").lower() == "true"
    try:
        return Response(json.dumps(await operate(part, request)), media_type="application/json")
    except FtrackError as error:
        return JSONResponse(error.answer(), error.status if strict else 200)


async def operate(part: Ftrack, request: Request) -> list[Any]:
    """Return the answers to a request's operations."""
    user = part.authenticate(request.headers.get("ftrack-user"), request.headers.get("ftrack-api-key"))
    operations = decoded(await request.body())
    url = str(request.base_url).rstrip("/")
    writer = Writer(
        part.store,
        lambda component_id: part.link(url, component_id),
        offset=part.offset,
        normalise=part.normalise and "denormalize" not in api_options(request),
    )
    batch = Batch(part, url, user, part.editor(), writer)
    with part.store.transaction():
        answers = [batch.do(operation) for operation in operations]
        batch.editor.check_links()
    for assemble in batch.assemblies:
        await anyio.to_thread.run_sync(assemble)
    for action in batch.afterwards:
        action()
    part.announce(
        batch.editor, user, request.headers.get("ftrack-clienttoken"), request.headers.get("ftrack-pushtoken")
    )
    return answers


def decoded(body: bytes) -> list[Any]:
    """Return a request's operations.

    Raises:
        ValidationError: It is no JSON, or no list.
    """
    try:
        operations = json.loads(body, parse_constant=no_constant)
    except (ValueError, RecursionError) as exc:
        raise ValidationError(f"The request is not JSON: {exc}") from exc
    if not isinstance(operations, list):
        raise ValidationError("The request is no list of operations")
    return operations


def no_constant(word: str) -> None:
    """Refuse what Python takes for JSON, and servers do not."""
    raise ValueError(f"unexpected {word}")


def api_options(request: Request) -> set[str]:
    """Return the options that are switched on: `strict:1;denormalize:1` or `denormalize=true`."""
    text = request.headers.get("ftrack-api-options", "").lower().replace("=", ":")
    pairs = (option.strip().partition(":") for option in text.split(";"))
    return {name.strip() for name, _, value in pairs if value.strip() in {"1", "true"}}


async def upload(part: Ftrack, request: Request) -> Response:
    """Take the bytes of a component, or of one part, where a signed URL says so, from anybody."""
    words = dict(request.query_params)
    if not part.links.valid(request.url.path, words):
        return PlainTextResponse("AccessDenied: the URL is not signed, or has expired\n", 403)
    arriving = part.files.scratch()
    try:
        md5 = hashlib.md5(usedforsecurity=False)
        size = await keep_body(request, arriving, see=md5.update)
        if "size" in words and size != int(words["size"]):
            return PlainTextResponse(f"IncompleteBody: {size} bytes, not {words['size']}\n", 400)
        if "md5" in words and base64.b64encode(md5.digest()).decode() != words["md5"]:
            return PlainTextResponse("BadDigest: the bytes do not match their Content-MD5\n", 400)
        return stored(part, words, arriving, md5.hexdigest())
    finally:
        arriving.unlink(missing_ok=True)


def stored(part: Ftrack, words: dict[str, str], arrived: Path, tag: str) -> Response:
    """Put bytes that are whole and right in their place."""
    if "upload" in words:
        number = int(words["part"])
        if not part.files.arrived(words["upload"], number, tag):
            return PlainTextResponse("NoSuchUpload: it was completed\n", 404)
        arrived.replace(part.files.part(words["upload"], number))
    else:
        arrived.replace(part.files.path(words["id"]))
    return Response(headers={"ETag": f'"{tag}"'})


async def linked_file(part: Ftrack, request: Request) -> Response:
    """Send a component's bytes, or a range of them, to whoever has a good link."""
    if not part.links.valid(request.url.path, dict(request.query_params)):
        return PlainTextResponse("AccessDenied: the URL is not signed, or has expired\n", 403)
    return bytes_of(part, request.query_params["id"])


async def get_component(part: Ftrack, request: Request) -> Response:
    """Send a component's bytes to a user; as a thumbnail too, which is not made smaller here."""
    return refused(part, request) or bytes_of(part, request.query_params.get("id", ""))


async def remove_component(part: Ftrack, request: Request) -> Response:
    """Forget a component's bytes; there need not be any."""
    if answer := refused(part, request):
        return answer
    part.files.remove(request.query_params.get("id", ""))
    return Response()


def refused(part: Ftrack, request: Request) -> Response | None:
    """Return the answer to credentials in the query that are nobody's, else None."""
    query = request.query_params
    try:
        part.authenticate(query.get("username"), query.get("apiKey"))
    except FtrackError as error:
        return JSONResponse(error.answer(), error.status)
    return None


class Stored(FileResponse):
    """Sends a file in larger pieces than usual."""

    chunk_size = PIECE


def bytes_of(part: Ftrack, component_id: str) -> Response:
    """Send a component's bytes under its name."""
    path = part.files.path(component_id)
    if not path.exists():
        return PlainTextResponse(f"There are no bytes of component {component_id}\n", 404)
    component = part.store.get("Component", (component_id,)) or {}
    name = f"{component.get('name') or component_id}{component.get('file_type') or ''}"
    return Stored(path, filename=name, media_type="application/octet-stream")
