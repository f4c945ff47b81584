"""One ftrack server: its API by batches, its clock and time zone, and who its users are."""

from __future__ import annotations

import json
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar

import attrs

from callsheet._errors import CallsheetError, Conflict, InvalidRequest, NotFound
from callsheet._http._client import Http
from callsheet._http._options import HttpOptions
from callsheet._models import Job
from callsheet._redaction import Secret
from callsheet._threads import Threads
from callsheet.providers.ftrack._answers import Results, error_of
from callsheet.providers.ftrack._locks import Locks
from callsheet.providers.ftrack._operations import Operation, encode, query
from callsheet.providers.ftrack._query import ALWAYS, Condition, Query, all_of, field
from callsheet.providers.ftrack.details import read_job

__all__ = ["PAGE", "Server", "in_doubt"]

logger = logging.getLogger("callsheet")

Row: TypeAlias = dict[str, Any]
T = TypeVar("T")

PAGE = 500
"""Rows of a page: ftrack's own clients ask for no more."""

LONG = 500
"""Operations that take long to write."""

LARGE = 512 << 10
"""Bytes of an answer that takes long to read."""

MAX_USERS = 1000
"""Users whose ids are remembered."""

_JSON = {"content-type": "application/json", "accept": "application/json"}
_AGREED = timedelta(seconds=2)
"""The `Date` of an answer is in whole seconds and some time old: clocks that differ by less agree."""


class Server:
    """The road to one ftrack server, shared by all who act over it.

    Args:
        url: Where it is.
        user: Whom the key belongs to.
        api_key: The key.
        options: What the user has set about the road.
        zone: The zone of its times, should it not support time zones; `None` for UTC, with a warning.

    Attributes:
        url: Where it is, in its one form: ids follow from it.
        tracker: The same as callsheet's address.
        zone: The zone of its times, once it is open.
        reader: Reads a job's details.
        locks: Of jobs, by id.
    """

    def __init__(
        self, url: str, *, user: str, api_key: Secret, options: HttpOptions, zone: tzinfo | None
    ) -> None:
        self.http = Http(
            url,
            provider="ftrack",
            options=options,
            headers={"ftrack-user": user, "ftrack-api-key": api_key, "ftrack-strict-api": "true"},
            check=error_of,
            ok_is_done=False,
        )
        self.url = self.http.server
        self.tracker = f"ftrack+{self.url}"
        self.api_key = api_key
        self.zone: tzinfo = UTC
        self.locks = Locks()
        self._threads: Threads | None = None
        self._given_zone = zone
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, self.tracker)
        self._ahead = timedelta()
        self._users: OrderedDict[str, str] = OrderedDict()

    async def open(self) -> None:
        """Look whether the server is there, lets us in, and knows time zones."""
        self._threads = Threads(8)
        await self.http.open()
        try:
            results = await self.call([{"action": "query_server_information"}], reads=True)
            information = results.get(0, dict)
        except BaseException:
            await self.aclose()
            raise
        if information.get("is_timezone_support_enabled"):
            self.zone = UTC
        elif self._given_zone is not None:
            self.zone = self._given_zone
        else:
            logger.warning(
                "%s does not say in which time zone its times are; they are taken for UTC"
                " (server_timezone= says otherwise)",
                self.tracker,
            )
        self.reader = partial(read_job, zone=self.zone)

    async def aclose(self) -> None:
        await self.http.aclose()
        threads, self._threads = self._threads, None
        if threads is not None:
            await threads.aclose()

    @property
    def threads(self) -> Threads:
        """For reading files and writing journals, while it is open."""
        assert self._threads is not None
        return self._threads

    def id_of(self, *key: str) -> str:
        """Return the id of what is made under a key: always the same on this server."""
        return str(uuid.uuid5(self._namespace, key[0] if len(key) == 1 else json.dumps(key)))

    def now(self) -> datetime:
        """Return the time by the server's clock, as far as it is known."""
        return datetime.now(UTC) + self._ahead

    def age_of(self, job: Job) -> float:
        """Return the seconds since a job was made."""
        if job.created_at is None:
            return 0.0
        age: float = (self.now() - job.created_at).total_seconds()
        return round(max(0.0, age), 3)

    # -- calls -----------------------------------------------------------------------------------------------

    async def call(
        self, operations: Sequence[Operation], *, reads: bool = False, repeatable: bool = True, name: str = ""
    ) -> Results:
        """Send a batch, which is done whole or not at all, and return its results.

        Args:
            operations: What to do, in order.
            reads: They change nothing.
            repeatable: Doing them twice does no harm: they fail, or set the same values again.
            name: What the batch is, for its span.
        """
        answer = await self.http.send(
            "POST",
            "/api",
            headers=_JSON,
            body=await self._aside(len(operations) > LONG, _body, operations),
            reads=reads,
            repeatable=repeatable,
            operation=name or str(operations[0].get("action")),
        )
        self._set_clock(answer.headers.get("date"))
        return await self._aside(len(answer.body) > LARGE, Results, answer, len(operations))

    async def find(self, *queries: Query) -> Results:
        """Send queries as one batch, and return their results."""
        return await self.call([query(one) for one in queries], reads=True)

    async def all(self, wanted: Query, read: Callable[[Row], T], *, key: Sequence[str] = ("id",)) -> list[T]:
        """Return all that a query finds, each row through `read`, page by page in the order of `key`."""
        found: list[T] = []
        last = ALWAYS
        while True:
            page = attrs.evolve(wanted, where=all_of([wanted.where, last]), order_by=key, limit=PAGE)
            results = await self.find(page)
            rows = results.read(0, lambda row: ([str(row[name]) for name in key], read(row)))
            found += [item for _, item in rows]
            if results.next_offset(0) is None or not rows:
                return found
            last = _beyond(key, rows[-1][0])

    async def remove(self, operations: Sequence[Operation], *, unless: Query) -> None:
        """Send operations that remove things; if they fail and `unless` finds nothing, they are done."""
        try:
            await self.call(operations, name="delete")
        except CallsheetError as error:
            if await self.still(unless, dict, error):
                raise

    async def still(self, wanted: Query, read: Callable[[Row], T], error: CallsheetError) -> list[T]:
        """Return what is there after an error; if even that cannot be known, raise the error."""
        try:
            return (await self.find(wanted)).read(0, read)
        except CallsheetError as failed:
            raise in_doubt(error, failed) from None

    async def _aside(self, is_much: bool, function: Callable[..., T], *args: object) -> T:
        """Call the function: in a thread, if that takes so long that others would have to wait for it."""
        return await self.threads.run(function, *args) if is_much else function(*args)

    def _set_clock(self, date: str | None) -> None:
        try:
            ahead = parsedate_to_datetime(date or "") - datetime.now(UTC)
        except (TypeError, ValueError):
            return
        self._ahead = ahead if abs(ahead) > _AGREED else timedelta()

    # -- users -----------------------------------------------------------------------------------------------

    async def user_ids(self, names: Iterable[str]) -> dict[str, str]:
        """Return the ids of users by their names.

        Raises:
            NotFound: There is no such user.
        """
        wanted = list(dict.fromkeys(names))
        # Kept apart, since other tasks may push any of them out meanwhile.
        found = {name: self._users[name] for name in wanted if name in self._users}
        new = [name for name in wanted if name not in found]
        for start in range(0, len(new), PAGE):
            batch = new[start : start + PAGE]
            users = Query("User", ["id", "username"], where=field("username").one_of(batch), limit=PAGE)
            results = await self.find(users)
            found.update(results.read(0, lambda row: (row["username"], row["id"])))
        for name in wanted:
            if name not in found:
                raise NotFound(f"there is no user {name!r}", provider="ftrack")
        self._users.update(found)
        while len(self._users) > MAX_USERS:
            self._users.popitem(last=False)
        return {name: found[name] for name in wanted}

    def forget_users(self) -> None:
        """Ask for ids anew from now on."""
        self._users.clear()


def in_doubt(error: CallsheetError, failed: CallsheetError) -> CallsheetError:
    """Return the error to raise where what is there after it cannot be known, since looking failed, too.

    A conflict may be with what this very call has made, so that it must not be told as one.
    """
    if not isinstance(error, Conflict):
        return error
    failed.outcome = error.outcome
    return failed


def _body(operations: Sequence[Operation]) -> bytes:
    try:
        return json.dumps(operations, default=encode, allow_nan=False).encode()
    except InvalidRequest:
        raise
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidRequest(f"an operation cannot be written as JSON: {exc}") from exc


def _beyond(key: Sequence[str], values: Sequence[str]) -> Condition:
    """Return the condition of coming after a row, in the order of one attribute or of several."""
    first, *rest = key
    beyond = field(first) > values[0]
    return beyond | ((field(first) >= values[0]) & _beyond(rest, values[1:])) if rest else beyond
