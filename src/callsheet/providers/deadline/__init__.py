"""AWS Deadline Cloud: renders of a farm's queue, with their steps, tasks and files.

from callsheet.providers.deadline import DeadlineProvider

async with Client(DeadlineProvider("farm-…", "queue-…", region="us-west-2")) as client:
    ...
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio

from callsheet import _checks
from callsheet._aws import Aws
from callsheet._errors import ConfigError, InvalidRequest, Unsupported
from callsheet._http._options import HttpOptions
from callsheet._models import Job, Transport
from callsheet.abc import CAPABILITIES
from callsheet.providers.deadline._attachments import Uploads
from callsheet.providers.deadline._components import DeadlineFile, FileCalls
from callsheet.providers.deadline._jobs import OFTEN
from callsheet.providers.deadline._server import BATCH, Server
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline._values import (
    BoolListValue,
    BoolValue,
    ChunkIntValue,
    FloatListValue,
    FloatValue,
    IntListListValue,
    IntListValue,
    IntValue,
    PathListValue,
    PathValue,
    RangeExprValue,
    StringListValue,
    StringValue,
    UnknownMember,
)
from callsheet.providers.deadline.details import (
    Attachments,
    DeadlineFarm,
    DeadlineJob,
    DeadlineMember,
    DeadlineQueue,
    DeadlineSession,
    DeadlineSessionAction,
    DeadlineStep,
    DeadlineTask,
    ManifestProperties,
    StorageProfile,
    TaskRun,
    read_job,
)

__all__ = [
    "Attachments",
    "BoolListValue",
    "BoolValue",
    "ChunkIntValue",
    "DeadlineFarm",
    "DeadlineFile",
    "DeadlineJob",
    "DeadlineMember",
    "DeadlineProvider",
    "DeadlineQueue",
    "DeadlineSession",
    "DeadlineSessionAction",
    "DeadlineStep",
    "DeadlineTask",
    "FloatListValue",
    "FloatValue",
    "IntListListValue",
    "IntListValue",
    "IntValue",
    "ManifestProperties",
    "PathListValue",
    "PathValue",
    "RangeExprValue",
    "StorageProfile",
    "StringListValue",
    "StringValue",
    "TaskRun",
    "UnknownMember",
]

_BY_CREDENTIALS = "the credentials of that user (profile=); Deadline notes whose they are"
_BY_WORKERS = "what workers report: openjd_progress and openjd_status lines of the task itself"
_BY_PARAMETERS = "parameters=; Deadline shows them as attributes"
_AT_CREATION = "create(files=), with which a job comes with its inputs"
_ONE_KIND = "a parameter of the template, and list(attributes=)"


class DeadlineProvider(FileCalls):
    """Jobs of one queue of a farm, over Deadline's own API.

    Credentials are found as AWS's own tools find them: environment, shared files, single sign-on, programs,
    containers, instances.

    Args:
        farm: The farm's id.
        queue: The queue's id.
        region: By default that of the environment or the profile.
        endpoint: Another address of the service; by default `AWS_ENDPOINT_URL_DEADLINE` and the like.
        profile: The profile of AWS's shared configuration.
        user: How Deadline calls you; by default as the credentials say, which are asked when it matters.
        timeout: Seconds by which every call ends (a transfer goes on for as long as bytes move).
        connections: The most connections at a time.
        proxy: A proxy's URL; by default that of the environment.
        verify: Whether, or by which certificates, the server is trusted.
        transport: Carries the requests instead of callsheet's own pool.
        allow_http: Allow plain http to another machine.
        watch_interval: Seconds between two looks of a watch; by default 2 while something happens, and up to
            15 while nothing does.

    Raises:
        ConfigError: A setting is missing or unusable; the message names it.
    """

    name: ClassVar[str] = "deadline"
    capabilities: ClassVar[frozenset[str]] = CAPABILITIES - {
        *("create(user=)", "create(item=)", "create(type=)", "create(attributes=)"),
        *("update(progress=)", "update(message=)", "update(problem=)", "update(attributes=)"),
        *("list(types=)", "list(item=)"),
        *("delete", "attach", "upload", "upload(frames=)", "components.delete", "track", "mirror(into=)"),
    }
    hints: ClassVar[Mapping[str, str]] = {
        "create(user=)": _BY_CREDENTIALS,
        "create(item=)": _BY_PARAMETERS,
        "create(type=)": _BY_PARAMETERS,
        "create(attributes=)": _BY_PARAMETERS,
        "update(progress=)": _BY_WORKERS,
        "update(message=)": _BY_WORKERS,
        "update(problem=)": _BY_WORKERS,
        "update(attributes=)": "rerun, or create with other parameters; they are fixed once a job is made",
        "list(types=)": _ONE_KIND,
        "list(item=)": _ONE_KIND,
        "delete": "provider.archive(job)",
        "attach": _AT_CREATION,
        "upload": _AT_CREATION,
        "upload(frames=)": f"{_AT_CREATION}, where each frame is a file of its own",
        "components.delete": "the rules of the bucket: files are shared by all jobs that have the same ones",
        "track": "a tracker for work of your own; Deadline's workers report theirs",
        "mirror(into=)": "another tracker; Deadline shows what its own workers do",
    }
    page_size: ClassVar[int] = BATCH
    # The provider itself asks for a hundred at a time, several hundreds at once.
    batch_size: ClassVar[int] = 5000
    total_order: ClassVar[bool] = False

    def __init__(
        self,
        farm: str,
        queue: str,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        user: str | None = None,
        timeout: float = 120.0,
        connections: int = 32,
        proxy: str | None = None,
        verify: Any = True,
        transport: Transport | None = None,
        allow_http: bool = False,
        watch_interval: float | None = None,
    ) -> None:
        options = HttpOptions(
            timeout=timeout,
            connections=connections,
            proxy=proxy,
            verify=verify,
            transport=transport,
            allow_http=allow_http,
        )
        aws = Aws(profile=profile, region=region)
        try:
            self._server = Server(farm, queue, aws=aws, region=region, endpoint=endpoint, options=options)
        except InvalidRequest as exc:
            raise ConfigError(str(exc)) from None
        self._adapts = watch_interval is None
        often = OFTEN if watch_interval is None else watch_interval
        self.watch_interval: float = _checks.interval(often, "watch_interval")
        self._user = user or ""
        self._reruns = OrderedDict()
        self._listed = OrderedDict()
        self._storage = Storage(self._server)
        self._uploads = Uploads(self._server, self._storage)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the provider of an address of `callsheet.connect`.

        Args:
            url: `deadline://FARM/QUEUE?region=R[&endpoint=URL]`.
            options: As for the class.

        Raises:
            ConfigError: It is no such address.
        """
        parts = urlsplit(url)
        queue = unquote(parts.path).strip("/")
        if parts.scheme.lower() != "deadline" or not parts.netloc or not queue or "/" in queue:
            raise ConfigError("url: write deadline://FARM/QUEUE?region=REGION")
        given: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in given:
            if name not in {"region", "endpoint"}:
                raise ConfigError(f"url: deadline: takes region and endpoint, not {name!r}")
            if name in options:
                raise ConfigError(f"{name}: it is in the address already")
        return cls(unquote(parts.netloc), queue, **given, **options)

    @property
    def tracker(self) -> str:
        """`deadline://FARM/QUEUE?region=REGION`."""
        return self._server.tracker

    @property
    def user(self) -> str:
        """How Deadline calls you, if that was given; else empty, and the credentials tell."""
        return self._user

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find endpoint and credentials, and ask for the queue, which also shows whether it lets us in.

        Raises:
            ConfigError: A setting is missing or unusable.
            NotFound: There is no such farm or queue.
            Denied: The credentials are wrong, or may not see it.
            TransportError: There is no server.
        """
        self._storage.open()
        await self._server.open()

    async def aclose(self) -> None:
        """Close every connection; calls under way end with `TransportError`."""
        with anyio.CancelScope(shield=True):
            await self._storage.aclose()
        await self._server.aclose()

    def as_user(self, name: str) -> Self:
        """Refuse: who acts on Deadline is who has the credentials.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported("as_user", hint=_BY_CREDENTIALS, provider=self.name)

    def details(self, job: Job) -> DeadlineJob:
        """Return `job.details`, typed. No I/O."""
        return read_job(job)
