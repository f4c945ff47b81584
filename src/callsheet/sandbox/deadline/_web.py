"""The URLs of Deadline Cloud: one operation a request, signed, checked, and answered once a token."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import attrs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from callsheet.sandbox.deadline import _creating, _farms, _jobs, _searching, _steps
from callsheet.sandbox.deadline._errors import AwsError, Conflict, UnknownOperation, Validation, server_error
from callsheet.sandbox.deadline._signatures import Caller, Signed, authenticate

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline
    from callsheet.sandbox.deadline._model import Operation

__all__ = ["OPERATIONS", "routes"]

Words = dict[str, Any]

OPERATIONS: dict[str, Callable[[Deadline, Words, Caller], Words]] = {
    "CreateJob": _creating.create_job,
    **_jobs.OPERATIONS,
    **_searching.OPERATIONS,
    **_steps.OPERATIONS,
    **_farms.OPERATIONS,
}

KEPT_TOKENS = timedelta(hours=24)

IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>{arn}</Arn>
    <UserId>{user}</UserId>
    <Account>{account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>
"""

REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
  <RequestId>{request}</RequestId>
</ErrorResponse>
"""


@attrs.frozen
class Kept:
    """What a client token was used for.

    Attributes:
        request: A digest of the request's body.
    """

    request: str
    answer: Words
    at: datetime


def routes(part: Deadline) -> list[BaseRoute]:
    """Return the routes of one region's endpoint, and of its STS."""

    def bound(handler: Callable[[Deadline, Request], Awaitable[Response]]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            return await handler(part, request)

        return handle

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Route("/2023-10-12/telemetry", bound(telemetry), methods=["POST"]),
        Route("/2023-10-12/{rest:path}", bound(operate), methods=methods),
        Route("/", bound(identity), methods=["POST"]),
    ]


async def telemetry(part: Deadline, request: Request) -> Response:
    """Take what the vendor's clients tell about their use, and forget it."""
    return Response(b"{}", media_type="application/json")


async def operate(part: Deadline, request: Request) -> Response:
    """Answer one request."""
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-requestid": request_id}
    try:
        await part.prepare()
        operation, told = await _answer(part, await _signed(request))
        status = operation.status
    except AwsError as error:
        told, status = error.body(), error.status
        headers |= {"x-amzn-errortype": error.code, **error.headers}
    if status == 204:
        return Response(status_code=status, headers=headers)
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, "application/json")


async def _signed(request: Request) -> Signed:
    scope = request.scope
    return Signed(
        request.method,
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        await request.body(),
    )


async def _answer(part: Deadline, request: Signed) -> tuple[Operation, Words]:
    caller = authenticate(part, request, "deadline")
    part.pace.take()
    operation, labels = part.model.find(request.method, request.path)
    words = part.model.read(operation, labels, request.query, request.headers, _decoded(request.body))
    if operation.name not in OPERATIONS:
        raise UnknownOperation(f"The sandbox does not know {operation.name}.")
    token = words.pop("clientToken", None)
    await _flush(part)  # what is told about tasks that ended, S3 must have by then
    told = _once(part, operation, request, token, lambda: OPERATIONS[operation.name](part, words, caller))
    await _flush(part)
    return operation, told


async def _flush(part: Deadline) -> None:
    async with part.flushing:
        if part.outputs.pending:
            try:
                await anyio.to_thread.run_sync(part.outputs.flush)
            except OSError as exc:
                raise server_error(f"S3: {exc}") from exc


def _decoded(body: bytes) -> Words:
    try:
        words = json.loads(body or b"{}")
    except ValueError as exc:
        raise Validation(f"The body is not JSON: {exc}", reason="CANNOT_PARSE") from exc
    if not isinstance(words, dict):
        raise Validation("The body is not an object.", reason="CANNOT_PARSE")
    return words


def _once(
    part: Deadline, operation: Operation, request: Signed, token: str | None, do: Callable[[], Words]
) -> Words:
    """Do what is asked for, or answer as to the first request with this token."""
    if token is None:
        return do()
    now, key = part.world.clock.now(), (operation.name, request.path, token)
    digest = hashlib.sha256(request.body).hexdigest()
    kept = part.tokens.get(key)
    if kept is not None and kept.at + KEPT_TOKENS > now:
        if kept.request == digest:
            return kept.answer
        message = "The client token was already used for a request with other parameters."
        if operation.name.startswith("Create"):
            raise Validation(message)
        raise Conflict(message, "clientToken", token, reason="CONFLICT_EXCEPTION")
    answer = do()
    part.tokens[key] = Kept(digest, answer, now)
    return answer


async def identity(part: Deadline, request: Request) -> Response:
    """Tell a caller who they are, as AWS's Security Token Service does."""
    signed = await _signed(request)
    request_id = str(uuid.uuid4())
    try:
        await part.prepare()
        caller = authenticate(part, signed, "sts")
        if b"Action=GetCallerIdentity" not in signed.body.split(b"&"):
            raise UnknownOperation("The sandbox's STS knows only GetCallerIdentity.")
    except AwsError as error:
        text = REFUSED.format(code=error.code, message=error.message, request=request_id)
        return Response(text, error.status, media_type="text/xml")
    text = IDENTITY.format(arn=caller.arn, user=caller.user, account=part.account, request=request_id)
    return Response(text, media_type="text/xml")
