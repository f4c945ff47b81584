"""ftrack: jobs that an artist sees in the jobs menu, with their attachments.

from callsheet.providers.ftrack import FtrackProvider

async with Client(FtrackProvider("https://studio.ftrackapp.com", user="jane", api_key=...)) as client:
    ...
"""

from __future__ import annotations

import copy
import getpass
import os
import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, ClassVar, Self, overload
from zoneinfo import ZoneInfo

from callsheet import _checks
from callsheet._errors import ConfigError, InvalidRequest
from callsheet._http._options import HttpOptions
from callsheet._models import Component, Job, Location, Transport
from callsheet._redaction import Secret
from callsheet.abc import CAPABILITIES
from callsheet.providers.ftrack import details
from callsheet.providers.ftrack._operations import Operation, create, delete, query, reference, update
from callsheet.providers.ftrack._server import PAGE, Server
from callsheet.providers.ftrack._tracking import TrackingCalls
from callsheet.providers.ftrack.details import (
    FtrackComponent,
    FtrackComponentLocation,
    FtrackJob,
    FtrackLocation,
    FtrackUser,
)

__all__ = [
    "FtrackComponent",
    "FtrackComponentLocation",
    "FtrackJob",
    "FtrackLocation",
    "FtrackProvider",
    "FtrackUser",
    "Operation",
    "create",
    "delete",
    "query",
    "reference",
    "update",
]

_PERMISSIONS = "ftrack's own permissions: try the call, it raises Denied"
_NO_ITEM = "attributes={'item': ...}; ftrack's jobs have no item"
_NO_WORK = "a tracker that runs jobs itself; ftrack only shows them"

_PAGING = re.compile(r"\b(offset|limit)\s+\d+\s*$")


class FtrackProvider(TrackingCalls):
    """Jobs of an ftrack server, over its own API.

    Args:
        server: Where it is; by default the environment variable `FTRACK_SERVER`.
        user: Whom the key belongs to; by default `FTRACK_API_USER`, else the login name.
        api_key: A personal or global key; by default `FTRACK_API_KEY`.
        timeout: Seconds by which every call ends (a transfer goes on for as long as bytes move).
        connections: The most connections at a time.
        proxy: A proxy's URL; by default that of the environment.
        verify: Whether, or by which certificates, the server is trusted.
        transport: Carries the requests instead of callsheet's own pool.
        allow_http: Allow plain http to another machine.
        server_timezone: The zone of the server's times, as a name or `tzinfo`, if it does not support time
            zones; without it, they are taken for UTC, with a warning.
        watch_interval: Seconds between two looks of a watch.

    Raises:
        ConfigError: A setting is missing or unusable; the message names it.
    """

    name: ClassVar[str] = "ftrack"
    capabilities: ClassVar[frozenset[str]] = CAPABILITIES - {
        *("create(item=)", "list(item=)", "list(attributes=)", "allows"),
        *("create(template=)", "create(parameters=)", "create(outputs=)", "create(vendor=)"),
    }
    hints: ClassVar[Mapping[str, str]] = {
        "create(item=)": _NO_ITEM,
        "list(item=)": "provider.query(text)",
        "list(attributes=)": "provider.query(text), or list(user=) and a look at each job's attributes",
        "allows": _PERMISSIONS,
        "create(template=)": _NO_WORK,
        "create(parameters=)": _NO_WORK,
        "create(outputs=)": _NO_WORK,
        "create(vendor=)": "provider.call(*operations)",
    }
    page_size: ClassVar[int] = PAGE
    batch_size: ClassVar[int] = PAGE

    def __init__(
        self,
        server: str | None = None,
        *,
        user: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        connections: int = 32,
        proxy: str | None = None,
        verify: Any = True,
        transport: Transport | None = None,
        allow_http: bool = False,
        server_timezone: str | tzinfo | None = None,
        watch_interval: float = 5.0,
    ) -> None:
        url = _setting(server, "server", "FTRACK_SERVER")
        key = _setting(api_key, "api_key", "FTRACK_API_KEY")
        login = _login(user)
        options = HttpOptions(
            timeout=timeout,
            connections=connections,
            proxy=proxy,
            verify=verify,
            transport=transport,
            allow_http=allow_http,
        )
        zone = _zone(server_timezone)
        try:
            self._server = Server(url, user=login, api_key=Secret(key), options=options, zone=zone)
        except InvalidRequest as exc:
            raise ConfigError(f"user or api_key: {exc}") from None
        self.watch_interval: float = _checks.interval(watch_interval, "watch_interval")
        self._user = login
        self._owns = True

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the provider of an address of `callsheet.connect`.

        Args:
            url: `ftrack+https://HOST[:PORT]`, `ftrack+http://...`, or `ftrack:` for the environment's server.
            options: As for the class.

        Raises:
            ConfigError: It is no such address.
        """
        if url.lower() == "ftrack:":
            return cls(**options)
        scheme, plus, server = url.partition("+")
        if not plus or scheme.lower() != "ftrack":
            raise ConfigError("url: write ftrack+https://HOST, or ftrack: for the server of FTRACK_SERVER")
        return cls(server, **options)

    @property
    def tracker(self) -> str:
        """`ftrack+` and the server's URL."""
        return self._server.tracker

    @property
    def user(self) -> str:
        """The user name for whom jobs are made when the caller names none."""
        return self._user

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Ask the server who it is, which also shows whether it lets us in.

        Raises:
            Denied: The user or key is wrong.
            TransportError: There is no server.
        """
        if self._owns:
            await self._server.open()

    async def aclose(self) -> None:
        """Close every connection; calls under way end with `TransportError`."""
        if self._owns:
            await self._server.aclose()

    def as_user(self, name: str) -> Self:
        """Return a provider that makes jobs for another user, with the same key and connections."""
        other = copy.copy(self)
        other._user = name
        other._owns = False
        return other

    # -- what only ftrack can do -----------------------------------------------------------------------------

    async def call(self, *operations: Operation) -> list[Any]:
        """Send operations of ftrack's own API in one request: all are done, or none.

        `create`, `update`, `delete` and `query` of this module write the usual ones; any mapping that ftrack
        understands will do. Moments are written as ftrack wants them.

        Returns:
            ftrack's result of each operation, in order. An entity that a result mentions several times is the
            same mapping each time.

        Raises:
            InvalidRequest: One of them is no mapping, or holds what JSON cannot.
            ResponseError: ftrack said no; nothing was done.
        """
        if not operations:
            return []
        for operation in operations:
            if not isinstance(operation, Mapping):
                raise InvalidRequest(f"an operation must be a mapping, not {operation!r}")
        reads = all(operation.get("action") == "query" for operation in operations)
        results = await self._server.call(operations, reads=reads, repeatable=reads, name="call")
        return results.items

    async def query(self, text: str, *, offset: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Return what a query in ftrack's own language finds, as ftrack's entities, page by page of 500.

        Args:
            text: Such as `select name from Project where status is active order by name`; it is sent as it
                is, so give it an order if pages shall fit together while things change.
            offset: Rows to leave out.
            limit: The most rows; without it, all.

        Raises:
            InvalidRequest: The text has an offset or limit of its own, which belong into the arguments.
            ResponseError: ftrack does not understand it.
        """
        own = _PAGING.search(_checks.text(text, "text"))
        if own is not None:
            raise InvalidRequest(f"text: give {own[1]}= as an argument, not as {own[0]!r} in the text")
        _check_rows(offset, "offset")
        if limit is not None:
            _check_rows(limit, "limit")
        found: list[dict[str, Any]] = []
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            results = await self._server.call([query(f"{text} offset {offset:d} limit {size:d}")], reads=True)
            found += results.rows(0)
            following = results.next_offset(0)
            if following is None or following <= offset:
                break
            offset = following
        return found

    @overload
    def details(self, record: Job) -> FtrackJob: ...
    @overload
    def details(self, record: Component) -> FtrackComponent: ...
    @overload
    def details(self, record: Location) -> FtrackLocation: ...
    def details(self, record: Job | Component | Location) -> FtrackJob | FtrackComponent | FtrackLocation:
        """Return `record.details`, typed. No I/O."""
        if isinstance(record, Job):
            return details.read_job(record, zone=self._server.zone)
        if isinstance(record, Component):
            return details.read_component(record)
        return details.read_location(record)


def _setting(value: str | None, name: str, variable: str) -> str:
    found = os.environ.get(variable) if value is None else value
    if not isinstance(found, str) or not found.strip():
        raise ConfigError(f"{name}: give {name}=, or set {variable}")
    return found


def _check_rows(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequest(f"{name} must be a number of rows from 0 up, not {value!r}")


def _login(user: str | None) -> str:
    if user is None:
        user = os.environ.get("FTRACK_API_USER") or _logged_in()
    if not isinstance(user, str) or not user.strip():
        raise ConfigError(f"user: {user!r} is no user name")
    return user


def _logged_in() -> str:
    try:
        return getpass.getuser()
    except OSError as exc:
        raise ConfigError("user: give user=, or set FTRACK_API_USER") from exc


def _zone(value: str | tzinfo | None) -> tzinfo | None:
    if value is None or isinstance(value, tzinfo):
        return value
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, TypeError, OSError) as exc:
        raise ConfigError(f"server_timezone: there is no time zone {value!r}") from exc
