"""The road to a server: deadlines, retries, redirects, credentials, and one log line a request.

`Http.send` is for whole answers, `Http.download` for long ones. Below them every call walks the same road:
`_bounded` (its deadline) > `_repeated` (attempts) > `_attempt` (credentials, redirects) > `_exchange`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self, TypeVar

import anyio

from callsheet._errors import (
    CallsheetError,
    ConfigError,
    InvalidResponse,
    Timeout,
    TransportError,
)
from callsheet._http._call import Call, checked_headers
from callsheet._http._download import Download, Opened, part_of
from callsheet._http._exchange import Reply, Sending, exchange, make_transport
from callsheet._http._failures import FAILURES, failure
from callsheet._http._messages import Answer, Auth, Body, Check, Request, error_for
from callsheet._http._options import HttpOptions, Transport
from callsheet._http._origins import Origins
from callsheet._http._redirects import Refused, Way
from callsheet._http._renewal import Renewal
from callsheet._http._retry import Budget, retry_after, worth_repeating
from callsheet._http._trail import Trail
from callsheet._otel import Span, span
from callsheet._redaction import Secret, clean

__all__ = ["Http"]

log = logging.getLogger("callsheet.http")

T = TypeVar("T")

MAX_ANSWER = 64 << 20
MAX_ERROR = 1 << 20
"""Bytes that an answer may have, and one that says no."""

REQUEST_IDS = ("x-request-id", "x-amzn-requestid", "x-amz-request-id", "request-id")


class Http:
    """The road to one server, and to the places it points to.

    Open it inside the event loop it is used in, with `async with` or `open`; after `aclose` it may be opened
    again, in another loop too.

    Args:
        server: The server's URL; paths of calls are put behind its own.
        provider: The provider's short name, for errors and log lines.
        options: What the user has set.
        headers: Sent to the server with every call, and to nobody else.
        auth: Signs the requests that go to the server.
        check: Reads the vendor's errors out of answers, of whatever status.
        ok_is_done: A 2xx status proves that a change was made. Not so where errors come with status 200.
        trusted: URLs of other origins that get headers and signature, too.
        setting: The name of the setting that `server` came from, for its `ConfigError`.

    Raises:
        ConfigError: A URL is unusable, or plain http to another machine without `allow_http`.
    """

    def __init__(
        self,
        server: str,
        *,
        provider: str,
        options: HttpOptions | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        auth: Auth | None = None,
        check: Check | None = None,
        ok_is_done: bool = True,
        trusted: Iterable[str] = (),
        setting: str = "server",
    ) -> None:
        self.provider = provider
        self.options = options or HttpOptions()
        self.auth = auth
        self._headers = checked_headers(headers or {})
        self._check = check
        self._ok_is_done = ok_is_done
        self._origins = Origins(server, trusted, allow_http=self.options.allow_http, setting=setting)
        self._transport: Transport | None = None
        self._budget = Budget(self.options.retry.budget)

    def __repr__(self) -> str:
        return f"<Http {self._origins.server.shown}>"

    @property
    def server(self) -> str:
        """The server's URL in its one form: however it was spelt, without a slash at its end."""
        url = self._origins.server
        return url.origin + url.path.rstrip("/")

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Get ready, on the current event loop; connections are made when they are needed."""
        self._transport = make_transport(self.options)
        self._renewal = Renewal()
        self._calls: set[Call] = set()
        self._replies: set[Reply] = set()
        self._none_left = anyio.Event()

    async def aclose(self) -> None:
        """End each call under way with a `TransportError`, and close all connections. May be called twice."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        with anyio.CancelScope(shield=True):
            for call in self._calls:
                call.scope.cancel()
            for reply in list(self._replies):
                await reply.aclose()
            if self._calls:
                with anyio.move_on_after(5):
                    await self._none_left.wait()
            await transport.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- calls -----------------------------------------------------------------------------------------------

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        body: bytes | Body = b"",
        reads: bool | None = None,
        repeatable: bool | None = None,
        signed: bool = True,
        timeout: float | None = None,
        limit: int = MAX_ANSWER,
        key: str | None = None,
        operation: str | None = None,
        progress: Callable[[int], Awaitable[None]] | None = None,
    ) -> Answer:
        """Make one call and return its answer, whole.

        Args:
            method: In capitals.
            url: A path on the server, with its query, escaped; or a whole URL that the server gave out. Other
                origins get neither the server's headers nor its signature.
            headers: For this call alone.
            body: Bytes; or a stream, for which the deadline runs only once it has been sent, and the stall
                limit until then.
            reads: It changes nothing; by default so for GET and HEAD. Failures are then `NOT_DONE`.
            repeatable: It may be made twice if its answer is lost; by default what `reads` is.
            signed: Whether `auth` signs it.
            timeout: Seconds for it all, retries included; by default the setting.
            limit: The most bytes the answer may have.
            key: The call's idempotency key, for its errors.
            operation: What it is, for its span; no ids.
            progress: Awaited with the bytes of a streamed body that the network has taken.

        Raises:
            CallsheetError: With `outcome` saying what happened on the server.
            OSError: The body's source cannot be read.
        """
        reads = method in {"GET", "HEAD"} if reads is None else reads
        call = Call(
            method=method,
            url=self._origins.url(url),
            headers=checked_headers(headers or {}),
            body=body,
            reads=reads,
            repeatable=reads if repeatable is None else repeatable,
            signed=signed,
            timeout=self.options.timeout if timeout is None else timeout,
            limit=limit,
            key=key,
            progress=progress,
        )
        with self._span(call, operation) as spanned:
            answer = await self._bounded(call, self._whole)
            if progress is not None and isinstance(body, Body):
                await progress(body.length)
            spanned.set("http.response.status_code", answer.status)
        return answer

    def download(
        self,
        url: str,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        start: int = 0,
        end: int | None = None,
        size: int | None = None,
        signed: bool = True,
        timeout: float | None = None,
        operation: str | None = None,
    ) -> Download:
        """Return a long answer, to be entered and read. Nothing is sent before.

        Args:
            url: As for `send`.
            headers: For this call alone; with `If-Range` a part comes only of what it was before.
            start: The offset of the first byte wanted; look at `Download.start` for what came.
            end: The offset behind the last byte wanted; by default the end.
            size: The bytes that must come if they come from `start` on. Needed where the server does not say
                where its answers end.
            signed: Whether `auth` signs it.
            timeout: Seconds until the answer must begin; then it may only not stand still.
            operation: What it is, for its span; no ids.
        """
        asked = checked_headers(headers or {}) | {"accept-encoding": "identity"}
        if start or end is not None:
            asked["range"] = f"bytes={start}-{'' if end is None else end - 1}"
        call = Call(
            method="GET",
            url=self._origins.url(url),
            headers=asked,
            reads=True,
            repeatable=True,
            signed=signed,
            timeout=self.options.timeout if timeout is None else timeout,
            limit=None,
            size=size,
            stall=self.options.stall,
        )
        return Download(functools.partial(self._begin, call, start, operation))

    # -- the road --------------------------------------------------------------------------------------------

    async def _bounded(self, call: Call, finish: Callable[[Call, Request, Reply], Awaitable[T]]) -> T:
        """Make the call within its time, as long as this is open."""
        if self._transport is None:
            raise ConfigError("the client is closed: use it inside its `async with`", provider=self.provider)
        call.scope = anyio.CancelScope(deadline=anyio.current_time() + call.timeout)
        self._calls.add(call)
        try:
            with call.scope:
                return await self._repeated(call, finish)
        finally:
            self._calls.discard(call)
            if self._transport is None and not self._calls:
                self._none_left.set()
        raise self._cut_off(call)

    def _cut_off(self, call: Call) -> CallsheetError:
        what = f"{call.method} {call.url.shown}"
        error: CallsheetError
        if self._transport is None:
            error = TransportError(f"{what}: the client was closed meanwhile")
        else:
            error = Timeout(f"{what}: no whole answer within {call.timeout:g} s")
        call.settle(error, self.provider)
        return error

    async def _repeated(self, call: Call, finish: Callable[[Call, Request, Reply], Awaitable[T]]) -> T:
        """Try until it works, or trying again is of no use, not safe, too late or too much for the server."""
        while True:
            call.attempt += 1
            try:
                result = await self._attempt(call, finish)
            except CallsheetError as error:
                pause = self._pause(call, error)
                call.settle(error, self.provider)
                if pause is None:
                    raise
            else:
                self._budget.succeeded(call.attempt - 1)
                return result
            await anyio.sleep(pause)

    def _pause(self, call: Call, error: CallsheetError) -> float | None:
        """Return the seconds to wait before the next attempt; `None` if there shall be none."""
        retry = self.options.retry
        if not worth_repeating(error) or not call.may_repeat or call.attempt >= retry.attempts:
            return None
        pause = retry.wait(call.attempt, error, call.trail.retry_after)
        if pause >= call.seconds_left or not self._budget.take():
            return None
        return pause

    async def _attempt(self, call: Call, finish: Callable[[Call, Request, Reply], Awaitable[T]]) -> T:
        """Make one attempt: follow redirects, and renew credentials that are out of date."""
        way = Way(call.url, self._origins.trusted)
        while True:
            request, epoch = await self._signed(call, way)
            with self._logged(call, request):
                reply = await self._exchange(call, way, request)
                try:
                    if way.turns(reply.status, reply.headers):
                        self._turn(call, way, request, reply)
                        continue
                    if reply.status < 300:
                        return await finish(call, request, reply)
                    reply.limit, reply.size = MAX_ERROR, None  # those were for what was asked for
                    answer = await self._read(call, request, reply)
                finally:
                    if reply not in self._replies:
                        await reply.aclose()
            if not await self._renewed(call, way, epoch, answer):
                raise self._checked(answer) or error_for(answer)

    async def _signed(self, call: Call, way: Way) -> tuple[Request, int]:
        """Return the request, with all its headers, and the epoch of the credentials in it."""
        # A failure of the signature's own calls is not mended by making this one again.
        call.trail = Trail(hopeless=True)
        headers: dict[str, str | Secret] = {
            "host": way.url.authority,
            "user-agent": _user_agent(),
            "accept-encoding": "gzip",
        }
        if way.home:
            headers |= self._headers
        headers |= {name: value for name, value in call.headers.items() if way.may_carry(name)}
        if not call.empty or call.method in {"POST", "PUT", "PATCH"}:
            headers["content-length"] = str(
                call.body.length if isinstance(call.body, Body) else len(call.body)
            )
        body = None if isinstance(call.body, Body) else call.body
        request = Request(call.method, way.url, headers, body, call.attempt)
        epoch = self._renewal.epoch
        if self.auth is not None and call.signed and way.home:
            await self.auth.sign(request)
            request.headers = checked_headers(request.headers)
        return request, epoch

    async def _exchange(self, call: Call, way: Way, request: Request) -> Reply:
        """Send the request and return the answer when it begins."""
        assert self._transport is not None
        trail = call.trail = Trail(streamed=call.streams, ok_is_done=self._ok_is_done)
        reach = await self._origins.reach_for(way.url)
        sending = Sending(
            call.body,
            trail,
            progress=call.progress,
            on_whole=functools.partial(self._wait_for_answer, call) if call.streams else None,
        )
        stall = min(self.options.stall, call.timeout)
        timeouts = {
            "connect": min(self.options.connect, call.timeout),
            "read": call.timeout if call.streams else stall,
            "write": stall,
            "pool": call.timeout,
        }
        if call.streams:
            call.scope.deadline = math.inf
        try:
            await sending.ready()
            response = await exchange(
                self._transport, request, sending, trail, timeouts=timeouts, reach=reach
            )
        except FAILURES as exc:
            if sending.error is not None:
                raise sending.error from None
            error = failure(exc, request, trail, stall=stall)
        else:
            reply = Reply(response, call.method, limit=call.limit, size=call.size, stall=call.stall)
            self._note(trail, reply)
            return reply
        finally:
            await sending.aclose()
        raise error

    def _wait_for_answer(self, call: Call) -> None:
        call.scope.deadline = anyio.current_time() + call.timeout

    def _note(self, trail: Trail, reply: Reply) -> None:
        trail.status = reply.status
        trail.retry_after = retry_after(reply.headers)
        trail.refused = reply.status == 503 and trail.retry_after is not None
        ids = (reply.headers[name] for name in REQUEST_IDS if name in reply.headers)
        trail.request_id = next(map(clean, ids), None)

    # -- answers ---------------------------------------------------------------------------------------------

    async def _whole(self, call: Call, request: Request, reply: Reply) -> Answer:
        answer = await self._read(call, request, reply)
        error = self._checked(answer)
        if error is not None:
            call.trail.refused = True
            raise error
        return answer

    async def _read(self, call: Call, request: Request, reply: Reply) -> Answer:
        try:
            body = b"".join([piece async for piece in reply])
        except FAILURES as exc:
            error = failure(exc, request, call.trail, stall=self.options.stall)
        else:
            return Answer(
                method=request.method,
                url=request.url,
                status=reply.status,
                headers=reply.headers,
                body=body,
                request_id=call.trail.request_id,
                provider=self.provider,
                outcome=call.standing,
            )
        raise error

    def _checked(self, answer: Answer) -> CallsheetError | None:
        return None if self._check is None else self._check(answer)

    async def _begin(self, call: Call, start: int, operation: str | None) -> Opened:
        with self._span(call, operation) as spanned:
            opened = await self._bounded(call, functools.partial(self._open, start))
            spanned.set("http.response.status_code", opened.reply.status)
        return opened

    async def _open(self, start: int, call: Call, request: Request, reply: Reply) -> Opened:
        try:
            first, length, total = part_of(reply.status, reply.headers, reply.length)
            if first not in {0, start}:
                raise ValueError(f"a part from byte {first} on instead of {start}")
        except ValueError as exc:
            raise InvalidResponse(
                f"{request.method} {request.url.shown} answered with {exc}", status=reply.status
            ) from None
        if first != start:
            reply.size = None  # it was the size from `start` on
        elif reply.status == 206 and reply.size is None:
            reply.size = length

        def fail(exc: Exception) -> CallsheetError:
            error = failure(exc, request, call.trail, stall=self.options.stall)
            call.settle(error, self.provider)
            return error

        self._replies.add(reply)
        return Opened(reply, first, total, fail, self._replies.discard)

    # -- where to, and with what -----------------------------------------------------------------------------

    def _turn(self, call: Call, way: Way, request: Request, reply: Reply) -> None:
        try:
            way.follow(call.method, reply.status, reply.headers["location"], empty=call.empty)
        except Refused as exc:
            raise InvalidResponse(
                f"{request.method} {request.url.shown}: {exc}", status=reply.status
            ) from None

    async def _renewed(self, call: Call, way: Way, epoch: int, answer: Answer) -> bool:
        """Renew the credentials if this answer refused them; return whether to try again with others."""
        if self.auth is None or call.renewed or not (call.signed and way.home and call.can_send_again):
            return False
        if not self.auth.refused(answer):
            return False
        call.renewed = True
        call.trail.hopeless = True
        await self._renewal.renew(epoch, functools.partial(self.auth.refresh, answer))
        return True

    # -- what is told ----------------------------------------------------------------------------------------

    def _span(self, call: Call, operation: str | None) -> AbstractContextManager[Span]:
        return span(
            f"{self.provider} {operation or call.method}",
            {
                "http.request.method": call.method,
                "server.address": call.url.host,
                "server.port": call.url.port,
                "url.path": call.url.path,
                "callsheet.provider": self.provider,
            },
            client=True,
        )

    @contextmanager
    def _logged(self, call: Call, request: Request) -> Iterator[None]:
        """Write one line about the request when it has ended, however it ends."""
        began = time.perf_counter()
        failed = ""
        try:
            yield
        except BaseException as exc:
            failed = f" {type(exc).__name__}"
            raise
        finally:
            if log.isEnabledFor(logging.INFO):
                trail = call.trail
                status = "no answer" if trail.status is None else trail.status
                notes = [f"attempt {call.attempt}"] if call.attempt > 1 else []
                notes += [f"request {trail.request_id}"] if trail.request_id else []
                log.info(
                    "%s: %s %s -> %s%s in %.0f ms%s",
                    self.provider,
                    request.method,
                    request.url.shown,
                    status,
                    failed,
                    (time.perf_counter() - began) * 1000,
                    f" ({', '.join(notes)})" if notes else "",
                )


@functools.cache
def _user_agent() -> str:
    return f"callsheet/{importlib.metadata.version('callsheet')}"
