"""One farm and queue of Deadline Cloud: its calls over the road, its pace, its queue's settings and keys."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import anyio

from callsheet._aws import Aws
from callsheet._errors import ConfigError, InvalidResponse, ResponseError
from callsheet._http._client import Http
from callsheet._http._messages import Answer, Request
from callsheet._http._options import HttpOptions
from callsheet._http._retry import retry_after
from callsheet._http._urls import query, segment
from callsheet._redaction import Secret
from callsheet._signing import Credentials, Keys, Signer, TemporaryCredentials
from callsheet._threads import Threads
from callsheet.providers.deadline._answers import document, error_of, readable
from callsheet.providers.deadline._pace import Pace
from callsheet.providers.deadline.details import DeadlineQueue, read, read_time

__all__ = ["BATCH", "Server", "new_token", "token_of"]

logger = logging.getLogger("callsheet")

T = TypeVar("T")

BATCH = 100
"""Things that one batch call, and one page, may hold."""

VERSION = "/2023-10-12"
_JSON = {"content-type": "application/json"}
_ARN = re.compile(rb"<Arn>\s*([^<\s]+)\s*</Arn>")
_OWNED = re.compile(r"arn:([\w-]+):\w+:[\w-]*:(\d{12}):")
_TOKEN = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class PacedSigner(Signer):
    """A signer that lets each request wait for its turn first, so that its date is fresh."""

    def __init__(self, credentials: Credentials, *, region: str, pace: Pace) -> None:
        super().__init__(credentials, service="deadline", region=region)
        self._pace = pace

    async def sign(self, request: Request) -> None:
        """Wait, then sign."""
        await self._pace.turn()
        await super().sign(request)


class Server:
    """The road to one queue of a farm, shared by all who act over it.

    Args:
        farm: The farm's id.
        queue: The queue's id.
        aws: The user's settings for AWS.
        region: As the user gave it, if so.
        endpoint: As the user gave it, if so.
        options: What the user has set about the road.

    Attributes:
        farm, queue: Their ids.
        aws: The user's settings.
        options: What the user has set.
        threads: For what takes long, while it is open.
    """

    def __init__(
        self,
        farm: str,
        queue: str,
        *,
        aws: Aws,
        region: str | None,
        endpoint: str | None,
        options: HttpOptions,
    ) -> None:
        self.farm = segment(farm, "farm")
        self.queue = segment(queue, "queue")
        self.aws = aws
        self.options = options
        self._region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self._endpoint = endpoint
        self._http: Http | None = None
        self._settings: DeadlineQueue | None = None

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find the endpoint and keys, and look whether the queue is there and lets us in.

        Raises:
            ConfigError: A setting is missing or unusable.
            NotFound: There is no such farm or queue.
            Denied: We may not see it.
        """
        self._settings = None
        self._caller: str | None = None
        self._roles: dict[str, TemporaryCredentials] = {}
        self._opening = anyio.Lock(fast_acquire=True)
        self.threads = Threads(8)
        self.pace = Pace()
        await self.aws.open()
        try:
            self._region = self.aws.region
            base = await self.aws.endpoint("deadline", self._endpoint)
            self._http = Http(
                self._prefixed(base),
                provider="deadline",
                options=self.options,
                auth=PacedSigner(self.aws.credentials, region=self._region, pace=self.pace),
                check=self._check,
                setting="endpoint" if self._endpoint else "AWS_ENDPOINT_URL_DEADLINE",
            )
            await self._http.open()
            await self.settings()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        http, self._http = self._http, None
        with anyio.CancelScope(shield=True):
            if http is not None:
                await http.aclose()
            await self.aws.aclose()
            if hasattr(self, "threads"):
                await self.threads.aclose()

    def _prefixed(self, base: str) -> str:
        """Return the endpoint with the word before its host that all calls but those of workers want."""
        if not self.aws.inject_prefix(base):
            return base
        parts = urlsplit(base)
        return urlunsplit(parts._replace(netloc=f"management.{parts.netloc}"))

    @property
    def tracker(self) -> str:
        """`deadline://FARM/QUEUE`, with the region and an endpoint of one's own."""
        given = {"region": self._region, "endpoint": self._endpoint}
        return f"deadline://{self.farm}/{self.queue}" + query(
            (name, value) for name, value in given.items() if value
        )

    @property
    def region(self) -> str:
        """The region, once it is open."""
        if self._region is None:
            raise ConfigError("region: give region=, or set AWS_REGION")
        return self._region

    # -- calls -----------------------------------------------------------------------------------------------

    def path(self, *parts: str) -> str:
        """Return the path of something in the queue."""
        return "/".join([f"{VERSION}/farms/{self.farm}/queues/{self.queue}", *parts])

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        reads: bool | None = None,
        repeatable: bool | None = None,
        key: str | None = None,
        operation: str | None = None,
    ) -> Answer:
        """Make one call.

        Args:
            method: In capitals.
            path: With its query, escaped.
            body: What is sent as JSON.
            token: With which Deadline makes a repeat harmless.
            reads: It changes nothing.
            repeatable: It may be made twice; by default if it has a token.
            key: The idempotency key, for errors.
            operation: Deadline's name of it.
        """
        http = self._opened()
        headers = dict(_JSON) if body is not None else {}
        if token is not None:
            headers["x-amz-client-token"] = token
        answer = await http.send(
            method,
            path,
            headers=headers,
            body=b"" if body is None else json.dumps(body).encode(),
            reads=reads,
            repeatable=True if token is not None and repeatable is None else repeatable,
            key=key,
            operation=operation,
        )
        self.pace.succeeded()
        return answer

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **facts: Any) -> Any:
        """Make one call, as `send`, and return its answer's document."""
        return document(await self.send(method, path, body, **facts))

    async def get(self, path: str, kind: type[T], *, operation: str) -> T:
        """Return one record of Deadline's, typed.

        Raises:
            InvalidResponse: The answer is none.
        """
        answer = await self.send("GET", path, operation=operation)
        body = document(answer)
        try:
            return read(body, kind)
        except Exception as exc:
            raise answer.unreadable(f"a record that cannot be read: {exc!r}") from exc

    async def all(
        self,
        path: str,
        name: str,
        reader: Callable[[Any], T],
        *,
        operation: str,
        pairs: Sequence[tuple[str, str]] = (),
    ) -> list[T]:
        """Return all items of a list, page by page of 100.

        Raises:
            InvalidResponse: The list does not get on, or an item cannot be read.
        """
        found: list[T] = []
        token: str | None = None
        while True:
            more = [("nextToken", token)] if token else []
            answer = await self.send(
                "GET", path + query([("maxResults", str(BATCH)), *pairs, *more]), operation=operation
            )
            body = document(answer)
            found += readable(answer, body, name, reader)
            following = body.get("nextToken")
            if not following:
                return found
            if following == token or not isinstance(following, str):
                raise answer.unreadable("the same page again", path="$.nextToken")
            token = following

    def _opened(self) -> Http:
        if self._http is None:
            raise ConfigError("the client is closed: use it inside its `async with`", provider="deadline")
        return self._http

    def _check(self, answer: Answer) -> Any:
        error = error_of(answer)
        if isinstance(error, ResponseError) and answer.status == 429:
            self.pace.refused(retry_after(answer.headers))
        return error

    async def caller(self) -> str:
        """Return whom Deadline notes as the maker of jobs of these credentials: a user's id, or an ARN."""
        known = self.aws.settings.get("user_id")  # of a login of Deadline's monitor
        return str(known) if known else await self._identity()

    async def owner(self) -> tuple[str, str]:
        """Return partition and account of the queue: those of its role, or else of these credentials."""
        role = (await self.settings()).role_arn or ""
        found = _OWNED.match(role) or _OWNED.match(await self._identity())
        if found is None:
            raise InvalidResponse(f"no account in {self._caller!r}", path="Arn", provider="deadline")
        return found[1], found[2]

    async def _identity(self) -> str:
        """Return the ARN of these credentials."""
        if self._caller is None:
            sts = Http(
                await self.aws.endpoint("sts", UseGlobalEndpoint=False),
                provider="deadline",
                options=self.options,
                auth=Signer(self.aws.credentials, service="sts", region=self.region),
                check=error_of,
                setting="AWS_ENDPOINT_URL_STS",
            )
            async with sts:
                answer = await sts.send(
                    "POST",
                    "/",
                    headers={"content-type": "application/x-www-form-urlencoded"},
                    body=b"Action=GetCallerIdentity&Version=2011-06-15",
                    reads=True,
                    operation="GetCallerIdentity",
                )
            found = _ARN.search(answer.body)
            if found is None:
                raise answer.unreadable("no Arn")
            self._caller = str(found[1], "utf-8")
        return self._caller

    # -- the queue's own -------------------------------------------------------------------------------------

    async def settings(self) -> DeadlineQueue:
        """Return the queue, as it was when it was first asked for."""
        self._opened()
        async with self._opening:
            if self._settings is None:
                self._settings = await self.get(self.path(), DeadlineQueue, operation="GetQueue")
        return self._settings

    def role(self, kind: str = "user") -> TemporaryCredentials:
        """Return the keys of the queue's own role, with which its files are reached; renewed in time.

        Args:
            kind: `"user"`, or `"read"` for reading only.
        """
        if kind not in self._roles:

            async def fetch() -> Keys:
                answer = await self.send("GET", self.path(f"{kind}-roles"), operation="AssumeQueueRole")
                return _keys(answer)

            self._roles[kind] = TemporaryCredentials(fetch)
        return self._roles[kind]


def _keys(answer: Answer) -> Keys:
    given = document(answer).get("credentials") or {}
    try:
        # An end is part of the contract: keys without one would be used until they are refused.
        expires = read_time(given["expiration"])
        secret, token = Secret(given["secretAccessKey"]), Secret(given["sessionToken"])
        if expires is not None and isinstance(given["accessKeyId"], str):
            return Keys(given["accessKeyId"], secret, token, expires)
    except (KeyError, TypeError, ValueError, OverflowError):
        pass  # told below, without a cause that might quote them
    raise answer.unreadable("credentials that are not whole", path="$.credentials")


def token_of(key: str) -> str:
    """Return the client token of an idempotency key: the key itself, if Deadline takes it."""
    return key if _TOKEN.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()


def new_token() -> str:
    """Return a client token that was never used."""
    return str(uuid.uuid4())
