"""What a fault does to the request it strikes: one class a kind, named in the requests that ask for it."""

from __future__ import annotations

import asyncio
import gzip
import json
import operator
import re
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from attrs.validators import deep_iterable, deep_mapping, ge, in_, instance_of, le

from callsheet.sandbox._exchange import Answer, Exchange

__all__ = ["KINDS", "Strike"]


class Strike(Protocol):
    """One kind of fault, with its options."""

    async def strike(self, exchange: Exchange) -> None:
        """Answer the request, or do not."""
        ...


_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"(?!\s)[^\x00-\x08\x0a-\x1f\x7f]*(?<!\s)")
_POINTER = re.compile(r"(/.*)?", re.DOTALL)


def _fits(pattern: re.Pattern[str], what: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{field.name}: {value!r} is no {what}")

    return check


def _is_wait(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        _fits(_VALUE, "value of a header")(_, field, value)


_header = _fits(_VALUE, "value of a header")
_pointer = _fits(_POINTER, "JSON pointer")

_seconds = attrs.field(converter=float, validator=ge(0))
_count = [instance_of(int), ge(0)]
_status = [instance_of(int), ge(200), le(599)]


@attrs.frozen
class Latency:
    """The answer is right, and `seconds` late."""

    seconds: float = _seconds

    async def strike(self, exchange: Exchange) -> None:
        await asyncio.sleep(self.seconds)
        await exchange.run()


@attrs.frozen
class Said:
    """The request is not worked on; an answer of your own is sent instead. `body` is text, or any JSON."""

    status: int = attrs.field(default=200, validator=_status)
    headers: dict[str, str] = attrs.field(
        factory=dict, validator=deep_mapping(_fits(_NAME, "name of a header"), _header)
    )
    body: Any = ""

    async def strike(self, exchange: Exchange) -> None:
        body = self.body if isinstance(self.body, str) else json.dumps(self.body)
        headers = {name.lower().encode(): value.encode() for name, value in self.headers.items()}
        await exchange.read_body()
        await exchange.send_answer(
            Answer(self.status, headers, b"" if self.status in {204, 304} else body.encode())
        )


@attrs.frozen
class Status:
    """The request is not worked on; a bare status is sent, perhaps with `Retry-After`."""

    status: int = attrs.field(default=503, validator=_status)
    retry_after: int | str | None = attrs.field(default=None, validator=_is_wait)

    async def strike(self, exchange: Exchange) -> None:
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        await Said(self.status, headers, f"{self.status}\n").strike(exchange)


@attrs.frozen
class Html:
    """The request is not worked on; a proxy's error page is sent."""

    status: int = attrs.field(default=502, validator=_status)

    async def strike(self, exchange: Exchange) -> None:
        page = f"<html><head><title>{self.status}</title></head><body><h1>{self.status}</h1></body></html>\n"
        await Said(self.status, {"content-type": "text/html"}, page).strike(exchange)


@attrs.frozen
class Redirect:
    """The request is not worked on; it is sent elsewhere."""

    to: str = attrs.field(validator=_header)
    status: int = attrs.field(default=302, validator=_status)

    async def strike(self, exchange: Exchange) -> None:
        await Said(self.status, {"location": self.to}).strike(exchange)


@attrs.frozen
class Reset:
    """The connection is reset after so many bytes of the request's body; nothing is worked on."""

    after: int = attrs.field(default=0, validator=_count)

    async def strike(self, exchange: Exchange) -> None:
        if self.after:
            async for _ in exchange.chunks():
                if exchange.received >= self.after:
                    break
        await exchange.connection.reset()


@attrs.frozen
class Lost:
    """The work is done, and the connection is reset instead of an answer."""

    async def strike(self, exchange: Exchange) -> None:
        await exchange.answer()
        await exchange.connection.reset()


@attrs.frozen
class Cut:
    """The work is done, and the connection ends after so many bytes of the answer's body."""

    after: int = attrs.field(default=0, validator=_count)
    how: str = attrs.field(default="reset", validator=in_(["reset", "close"]))

    async def strike(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.send_answer(answer, only=min(self.after, max(len(answer.body) - 1, 0)))
        await exchange.connection.flushed()
        if self.how == "reset":
            await exchange.connection.reset()
        else:
            await exchange.connection.close()


@attrs.frozen
class Gzip:
    """The work is done, and the answer is compressed and loses its second half, under a right length."""

    async def strike(self, exchange: Exchange) -> None:
        packed = _changed(await exchange.answer(), gzip.compress)
        half = _changed(packed, lambda body: body[: len(body) // 2])
        await exchange.send_answer(attrs.evolve(half, headers={**half.headers, b"content-encoding": b"gzip"}))


@attrs.frozen
class Garbled:
    """The work is done, and the answer loses its second half, under a right length: no JSON any more."""

    async def strike(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.send_answer(_changed(answer, lambda body: body[: len(body) // 2]))


@attrs.frozen
class Drip:
    """The answer is right, and comes `size` bytes every `seconds`."""

    seconds: float = _seconds
    size: int = attrs.field(default=1, validator=[instance_of(int), ge(1)])

    async def strike(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.send_answer(answer, only=0)
        for start in range(0, len(answer.body), self.size):
            await asyncio.sleep(self.seconds)
            piece = answer.body[start : start + self.size]
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        await exchange.send({"type": "http.response.body"})


@attrs.frozen
class Edit:
    """The work is done, and the answer's JSON changed: JSON pointers to values in `set`, or to `remove`.

    Where the answer has no such place, a 500 says so.
    """

    set: dict[str, Any] = attrs.field(factory=dict, validator=deep_iterable(_pointer, instance_of(dict)))
    remove: list[str] = attrs.field(factory=list, validator=deep_iterable(_pointer, instance_of(list)))

    async def strike(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        try:
            edited = _changed(answer, self._edited)
        except ValueError as exc:
            edited = Answer(500, {}, f"edit: {exc}\n".encode())
        await exchange.send_answer(edited)

    def _edited(self, body: bytes) -> bytes:
        root = {"": json.loads(body)}
        for pointer in self.remove:
            _edit(root, pointer, operator.delitem)
        for pointer, value in self.set.items():
            _edit(root, pointer, operator.setitem, value)
        return json.dumps(root[""]).encode()


def _edit(root: Any, pointer: str, act: Callable[..., None], *value: Any) -> None:
    try:
        act(*_parent(root, pointer), *value)
    except (LookupError, TypeError, ValueError) as exc:
        raise ValueError(f"there is no {pointer!r} in the answer") from exc


def _parent(root: Any, pointer: str) -> tuple[Any, Any]:
    # RFC 6901; the whole document is what stands under "".
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    for part in path:
        root = root[int(part)] if isinstance(root, list) else root[part]
    return root, int(last) if isinstance(root, list) else last


def _changed(answer: Answer, change: Callable[[bytes], bytes]) -> Answer:
    body = change(answer.body)
    return Answer(answer.status, {**answer.headers, b"content-length": b"%d" % len(body)}, body)


KINDS: dict[str, type[Any]] = {
    "latency": Latency,
    "answer": Said,
    "status": Status,
    "html": Html,
    "redirect": Redirect,
    "reset": Reset,
    "lost": Lost,
    "cut": Cut,
    "gzip": Gzip,
    "garbled": Garbled,
    "drip": Drip,
    "edit": Edit,
}
"""The kinds of fault by the word that asks for them."""
