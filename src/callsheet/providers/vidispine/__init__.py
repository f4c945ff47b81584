"""Vidispine (VidiCore), also under Cantemo Portal: its jobs, and the files of its items and storages.

from callsheet.providers.vidispine import VidispineProvider

async with Client(VidispineProvider("https://vidispine.example.com", user="admin", password=...)) as client:
    ...
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, overload

from callsheet import _checks
from callsheet._errors import ConfigError
from callsheet._http._options import HttpOptions
from callsheet._models import Component, Job, Location, Transport
from callsheet._redaction import Secret
from callsheet.abc import CAPABILITIES
from callsheet.providers.vidispine._hints import Hints
from callsheet.providers.vidispine._imports import Slot
from callsheet.providers.vidispine._more import MoreCalls
from callsheet.providers.vidispine._notifications import Event, NotificationApp
from callsheet.providers.vidispine._policy import ItemPolicy, Policy, PolicyCalls
from callsheet.providers.vidispine._server import Parameters, Server
from callsheet.providers.vidispine._words import IMPORT_TYPES
from callsheet.providers.vidispine.details import (
    VidispineCurrentStep,
    VidispineJob,
    VidispineNote,
    VidispineNotification,
    VidispineProblem,
    VidispineProgress,
    VidispineStep,
    VidispineTaskDefinition,
    VidispineWaiting,
    read_job,
)
from callsheet.providers.vidispine.file_details import (
    VidispineFile,
    VidispineFileComponent,
    VidispineFileItem,
    VidispineFileShape,
    VidispineStorage,
    VidispineStorageMethod,
    read_file,
    read_storage,
)

__all__ = [
    "IMPORT_TYPES",
    "Event",
    "ItemPolicy",
    "NotificationApp",
    "Policy",
    "Slot",
    "VidispineCurrentStep",
    "VidispineFile",
    "VidispineFileComponent",
    "VidispineFileItem",
    "VidispineFileShape",
    "VidispineJob",
    "VidispineNote",
    "VidispineNotification",
    "VidispineProblem",
    "VidispineProgress",
    "VidispineProvider",
    "VidispineStep",
    "VidispineStorage",
    "VidispineStorageMethod",
    "VidispineTaskDefinition",
    "VidispineWaiting",
]

_FIXED = "jobs.create(...) with them; later, nothing but the priority can be changed"
_THEIRS = "a tracker whose jobs others run, such as local or ftrack; Vidispine's tell it themselves"
_NO_WORK = "type=, and vendor= for the parameters of that type"


class VidispineProvider(MoreCalls, PolicyCalls):
    """Jobs of a Vidispine server, over its REST API.

    Args:
        server: Where it is; by default the environment variable `VIDISPINE_URL`.
        user: Who logs in, or the id of an access key; by default `VIDISPINE_USER`.
        password: The password, or the access key's secret; by default `VIDISPINE_PASSWORD`.
        token: A token that was got elsewhere, instead of user and password.
        login: `"token"` lets user and password get tokens, one after the other, which go with the requests
            in place of the password.
        timeout: Seconds by which every call ends (a transfer goes on for as long as bytes move).
        connections: The most connections at a time.
        proxy: A proxy's URL; by default that of the environment.
        verify: Whether, or by which certificates, the server is trusted.
        transport: Carries the requests instead of callsheet's own pool.
        allow_http: Allow plain http to another machine.
        parameters: Where a listing's parameters stand: `"matrix"` for servers up to 4.17, `"query"` for later
            ones; `"both"` suits either.
        default_type: The type of new jobs that name none.
        include_steps: Let listings carry the steps of jobs, so that their progress and message are known;
            answers are several times as large.
        policy: What `jobs.allows` goes by; by default an `ItemPolicy`.
        watch_interval: Seconds between two looks of a watch.

    Raises:
        ConfigError: A setting is missing or unusable; the message names it.
    """

    name: ClassVar[str] = "vidispine"
    capabilities: ClassVar[frozenset[str]] = CAPABILITIES - {
        *("create(state=)", "create(template=)", "create(parameters=)", "create(outputs=)"),
        *("update(state=)", "update(progress=)", "update(message=)", "update(problem=)"),
        *("update(description=)", "update(name=)", "update(attributes=)"),
        *("rerun(idempotency_key=)", "attach", "upload(frames=)", "track", "mirror(into=)"),
    }
    hints: ClassVar[Mapping[str, str]] = {
        "create(state=)": "jobs.cancel, once it is there; Vidispine starts its jobs itself",
        "create(template=)": _NO_WORK,
        "create(parameters=)": _NO_WORK,
        "create(outputs=)": _NO_WORK,
        "update(state=)": "jobs.cancel, to abort it; Vidispine runs its jobs itself",
        **dict.fromkeys((f"update({word}=)" for word in ("progress", "message", "problem")), _THEIRS),
        **dict.fromkeys((f"update({word}=)" for word in ("description", "name", "attributes")), _FIXED),
        "rerun(idempotency_key=)": "jobs.rerun(job), and a look at jobs.list() before it is repeated",
        "attach": "provider.import_shape(job, file, tag=), which changes the job's item",
        "upload(frames=)": "the frames one by one; or provider.import_uri() of where they are",
        "track": _THEIRS,
        "mirror(into=)": _THEIRS,
    }
    page_size: ClassVar[int] = 1000
    batch_size: ClassVar[int] = 500
    total_order: ClassVar[bool] = False

    def __init__(
        self,
        server: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        login: Literal["password", "token"] = "password",
        timeout: float = 120.0,
        connections: int = 32,
        proxy: str | None = None,
        verify: Any = True,
        transport: Transport | None = None,
        allow_http: bool = False,
        parameters: Parameters = "both",
        default_type: str | None = None,
        include_steps: bool = False,
        policy: Policy | None = None,
        watch_interval: float = 5.0,
    ) -> None:
        options = HttpOptions(
            timeout=timeout,
            connections=connections,
            proxy=proxy,
            verify=verify,
            transport=transport,
            allow_http=allow_http,
        )
        given = token is not None
        self._server = Server(
            _setting(server, "server", "VIDISPINE_URL"),
            user=user if given else _setting(user, "user", "VIDISPINE_USER"),
            password=None if given else Secret(_setting(password, "password", "VIDISPINE_PASSWORD")),
            token=Secret(_setting(token, "token", "")) if given else None,
            tokens=_one_of(login, "login", ("password", "token")) == "token",
            options=options,
            parameters=_one_of(parameters, "parameters", ("both", "matrix", "query")),
        )
        self._default_type = None if default_type is None else _setting(default_type, "default_type", "")
        self._unknown_states = set()
        self._include_steps = include_steps
        self._policy = policy or ItemPolicy()
        self._hints = Hints()
        self.watch_interval: float = _checks.interval(watch_interval, "watch_interval")
        self._owns = True

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the provider of an address of `callsheet.connect`.

        Args:
            url: `vidispine+https://HOST[:PORT]`, `vidispine+http://...`, or `vidispine:` for the server of
                `VIDISPINE_URL`.
            options: As for the class.

        Raises:
            ConfigError: It is no such address.
        """
        if url.lower() == "vidispine:":
            return cls(**options)
        scheme, plus, server = url.partition("+")
        if not plus or scheme.lower() != "vidispine":
            raise ConfigError(
                "url: write vidispine+https://HOST, or vidispine: for the server of VIDISPINE_URL"
            )
        return cls(server, **options)

    @property
    def tracker(self) -> str:
        """`vidispine+` and the server's URL."""
        return self._server.tracker

    @property
    def user(self) -> str:
        """The user name for whom jobs are made when the caller names none."""
        return self._server.run_as or self._server.user

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Ask the server who we are, which also shows whether it lets us in, and which version it is.

        Raises:
            Denied: The user, password or token is wrong.
            TransportError: There is no server.
        """
        if self._owns:
            await self._server.open()

    async def aclose(self) -> None:
        """Close every connection; calls under way end with `TransportError`."""
        if self._owns:
            await self._server.aclose()

    def as_user(self, name: str) -> Self:
        """Return a provider that acts for another user (`RunAs`), with the same login and connections."""
        other = copy.copy(self)
        other._server = self._server.acting_for(name)
        other._owns = False
        return other

    # -- what only Vidispine can do --------------------------------------------------------------------------

    @overload
    def details(self, record: Job) -> VidispineJob: ...
    @overload
    def details(self, record: Component) -> VidispineFile: ...
    @overload
    def details(self, record: Location) -> VidispineStorage: ...
    def details(self, record: Job | Component | Location) -> VidispineJob | VidispineFile | VidispineStorage:
        """Return `record.details`, typed. No I/O."""
        if isinstance(record, Job):
            return read_job(record)
        return read_file(record) if isinstance(record, Component) else read_storage(record)


def _setting(value: str | None, name: str, variable: str) -> str:
    found = os.environ.get(variable) if value is None else value
    if not isinstance(found, str) or not found.strip():
        raise ConfigError(f"{name}: give {name}=, or set {variable}" if variable else f"{name}: it is empty")
    return found


def _one_of(value: Any, name: str, words: tuple[str, ...]) -> Any:
    if value not in words:
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, words))}, not {value!r}")
    return value
