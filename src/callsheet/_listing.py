"""Listings: a buffer and a cursor, with nothing held open between two items."""

from __future__ import annotations

import base64
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from callsheet._errors import InvalidCursor, InvalidRequest, InvalidResponse
from callsheet._models import Page, Position, Slice

__all__ = ["Listing", "Pages", "Query"]

VERSION = 1


class Item(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Item)


@attrs.frozen(kw_only=True)
class Query(Generic[T]):
    """What a listing asks for, again and again.

    Attributes:
        fetch: Returns the slice of at most so many items after a position.
        key: The sort key of an item, as it stands in positions.
        tracker: Whose items they are, and
        fingerprint: which ones; a cursor fits no other query.
        size: The most items of a page.
        total_order: Whether items of one key are ordered by id, so that a position needs the last id only.
    """

    fetch: Callable[[Position | None, int], Awaitable[Slice[T]]]
    key: Callable[[T], str]
    tracker: str
    fingerprint: str
    size: int
    total_order: bool = True

    def after(self, items: Sequence[T], before: Position | None) -> Position | None:
        """Return the position right after items that came behind a position."""
        if not items:
            return before
        last = items[-1]
        key = self.key(last)
        if self.total_order:
            return Position(key, (last.id,))
        alike = list(itertools.takewhile(lambda item: self.key(item) == key, reversed(items)))
        ids = tuple(item.id for item in reversed(alike))
        if len(alike) == len(items) and before is not None and before.key == key:
            ids = (*before.ids, *ids)
        return Position(key, ids)

    def write(self, position: Position) -> str:
        """Return the cursor of a position."""
        plain = {"v": VERSION, "t": self.tracker, "f": self.fingerprint, "k": position.key, "i": position.ids}
        return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode()

    def read(self, cursor: str) -> Position:
        """Return the position of a cursor.

        Raises:
            InvalidCursor: It is damaged, or belongs to another query or tracker.
        """
        if not isinstance(cursor, str):
            raise InvalidCursor(f"cursor: it must be a text, not {type(cursor).__name__}")
        try:
            plain = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
            version, tracker, fingerprint = plain["v"], plain["t"], plain["f"]
            key, ids = plain["k"], tuple(plain["i"])
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise InvalidCursor("cursor: it is damaged") from exc
        if version != VERSION:
            raise InvalidCursor(f"cursor: written by another version of callsheet ({version!r})")
        if tracker != self.tracker:
            raise InvalidCursor(f"cursor: it belongs to the tracker {tracker!r}, not to {self.tracker}")
        if fingerprint != self.fingerprint:
            raise InvalidCursor("cursor: it belongs to a listing with other filters or another order")
        if not all(map(_is_text, [key, *ids])):
            raise InvalidCursor("cursor: it is damaged")
        return Position(key, ids)


def _is_text(value: object) -> bool:
    # JSON can spell a lone surrogate, which no tracker can be asked for.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


class Listing(Generic[T]):
    """Items of a tracker, fetched page by page as they are read.

    `async for` fetches when its buffer is empty, and holds nothing open between two items, so it may be left
    at any time and gone on with later. Inside `async with`, the next page is fetched while you work on this
    one. A listing is read once; ask for a new one to start over. If several tasks read it, each item goes to
    one of them.
    """

    def __init__(self, query: Query[T], *, cursor: str | None = None) -> None:
        self._query = query
        self._begun = None if cursor is None else query.read(cursor)
        self._handed: list[T] = []  # behind `_begun`: what cursor they make is worked out when it is wanted
        self._next = self._begun
        self._more = True
        self._buffer: deque[T] = deque()
        self._fetching = anyio.Lock(fast_acquire=True)
        self._tasks: TaskGroup | None = None
        self._ahead: MemoryObjectReceiveStream[Slice[T] | Exception] | None = None

    @property
    def cursor(self) -> str | None:
        """Resumes after the last item handed out, in any process; `None` before the first."""
        given = self._settled()
        return None if given is None else self._query.write(given)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._buffer:
            if not self._more:
                raise StopAsyncIteration
            async with self._fetching:
                if self._more and not self._buffer:
                    self._buffer.extend(await self._fetch())
        item = self._buffer.popleft()
        self._handed.append(item)
        return item

    def pages(self) -> Pages[T]:
        """Return an async iterator of `Page`: its items, and the cursor of what follows.

        A page may be short, or empty with a cursor, where the tracker's answer was narrowed here.
        """
        return Pages(self)

    async def collect(self, *, limit: int | None = None) -> list[T]:
        """Return the items that are left, or the first `limit` of them.

        Raises:
            InvalidRequest: `limit` is not a number of items.
        """
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise InvalidRequest(f"limit must be a number of items from 0 up, not {limit!r}")
        items: list[T] = []
        while limit is None or len(items) < limit:
            try:
                items.append(await anext(self))
            except StopAsyncIteration:
                break
        return items

    async def first(self) -> T | None:
        """Return the next item, or `None` if there is none."""
        return next(iter(await self.collect(limit=1)), None)

    async def next_page(self) -> Page[T]:
        """Return what is left of the page at hand, else the next page."""
        async with self._fetching:
            items: Sequence[T] = list(self._buffer)
            if self._more and not items:
                items = await self._fetch()
            self._buffer.clear()
        self._handed.extend(items)
        if not self._more:
            return Page(items)
        assert self._next is not None
        return Page(items, self._query.write(self._next))

    @property
    def exhausted(self) -> bool:
        """Whether everything has been handed out."""
        return not self._more and not self._buffer

    def _settled(self) -> Position | None:
        """Return the position behind all that was handed out, and let go of that."""
        self._begun = self._query.after(self._handed, self._begun)
        self._handed = []
        return self._begun

    async def _fetch(self) -> Sequence[T]:
        self._settled()
        page = await (self._take() if self._ahead else self._ask(self._next))
        self._next, self._more = page.next, page.next is not None
        return page.items

    async def _ask(self, after: Position | None) -> Slice[T]:
        page = await self._query.fetch(after, self._query.size)
        if page.next is not None and page.next == after:
            raise InvalidResponse(f"the listing does not get on: the tracker gave {after} twice")
        return page

    async def _take(self) -> Slice[T]:
        assert self._ahead is not None
        try:
            found = await self._ahead.receive()
        except anyio.EndOfStream:
            # The reader-ahead was cancelled with us, and its end reached us first (on asyncio).
            await anyio.lowlevel.checkpoint()
            return await self._ask(self._next)
        if isinstance(found, Exception):
            raise found
        return found

    # -- one page ahead --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise InvalidRequest("this listing is being read ahead already")
        # A buffer of none: the reader-ahead stands with one page in its hand until it is taken.
        sending, self._ahead = anyio.create_memory_object_stream[Slice[T] | Exception](0)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._read_ahead, sending, self._next)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        assert self._ahead is not None
        self._tasks.cancel_scope.cancel()
        self._ahead.close()
        tasks, self._tasks, self._ahead = self._tasks, None, None
        # Without the error: the reader-ahead never fails, so the body's own goes on as it is.
        await tasks.__aexit__(None, None, None)

    async def _read_ahead(
        self, sending: MemoryObjectSendStream[Slice[T] | Exception], after: Position | None
    ) -> None:
        with sending:
            more = self._more
            while more:
                try:
                    page = await self._ask(after)
                except Exception as error:  # noqa: BLE001 - raised where the page is asked for
                    await sending.send(error)
                    continue
                await sending.send(page)
                after, more = page.next, page.next is not None


class Pages(Generic[T]):
    """The pages of a listing."""

    def __init__(self, listing: Listing[T]) -> None:
        self._listing = listing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[T]:
        if self._listing.exhausted:
            raise StopAsyncIteration
        return await self._listing.next_page()
