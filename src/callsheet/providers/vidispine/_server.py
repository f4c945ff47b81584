"""One Vidispine server: its API by paths below `/API`, for one user or another."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Self, TypeAlias, TypeVar
from urllib.parse import quote
from weakref import WeakValueDictionary

import anyio

from callsheet._errors import (
    CallsheetError,
    ConfigError,
    Denied,
    InvalidRequest,
    NotFound,
    Outcome,
    ResponseError,
)
from callsheet._http import _urls
from callsheet._http._client import Http
from callsheet._http._download import Download
from callsheet._http._messages import Answer, Body
from callsheet._http._options import HttpOptions
from callsheet._redaction import Secret
from callsheet._threads import Threads
from callsheet.providers.vidispine._login import Basic, Renewable, Token
from callsheet.providers.vidispine._refusals import error_of
from callsheet.providers.vidispine._words import KEY, OURS

__all__ = ["BYTES", "JSON", "TEXT", "Pairs", "Parameters", "Row", "Server", "address", "path_of"]

Row: TypeAlias = dict[str, Any]
Pairs: TypeAlias = Iterable[tuple[str, str]]
Parameters: TypeAlias = Literal["both", "matrix", "query"]
T = TypeVar("T")

JSON = "application/json"
TEXT = "text/plain"
BYTES = "application/octet-stream"

LONGEST = 7000
"""Bytes that path and query of a URL may have: servers cut off near 8 KiB, all headers included."""

MOST_UNSURE = 1000
"""Keys that are remembered of requests that were cut off."""

LARGE = 512 << 10
"""Bytes of an answer that takes long to read."""

_ELSEWHERE = {"notification", "problem", "search"}

TOKEN_SECONDS = 60
"""The longest life that a server grants to a token of anybody's; each use makes it longer."""


class Server:
    """The road to one Vidispine server, shared by all who act over it.

    Args:
        url: Where it is, with or without `/API`.
        user: Whose password it is; or the id of an access key.
        password: The password, or the access key's secret.
        token: A token that was got elsewhere, instead of user and password.
        tokens: Let user and password get tokens, which then go with the requests.
        options: What the user has set about the road.
        parameters: Where the parameters of a listing stand: servers up to 4.17 read some of them in the path,
            later ones in the query; each leaves alone what it does not know.

    Attributes:
        url: Where it is, without `/API`.
        tracker: The same as callsheet's address.
        http: Sends what `call` does not.
        run_as: Whom calls are made for, if it is not the user who is logged in.

    Raises:
        ConfigError: A setting is unusable; the message names it.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None,
        password: Secret | None,
        token: Secret | None,
        tokens: bool,
        options: HttpOptions,
        parameters: Parameters,
    ) -> None:
        self.parameters: Parameters = parameters
        self._basic = Basic(user, password) if user and password is not None else None
        self._login = _login(self._basic, token, self._token if tokens else None)
        self.http = Http(
            re.sub(r"/API$", "", url.rstrip("/"), flags=re.IGNORECASE),
            provider="vidispine",
            options=options,
            auth=self._login,
            check=error_of,
            ok_is_done=False,
        )
        self.url = self.http.server
        self.tracker = f"vidispine+{self.url}"
        self.run_as: str | None = None
        self._root = self
        self._user = user or ""
        self._version: tuple[int, ...] = ()
        self._threads: Threads | None = None
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._unsure: dict[str, None] = {}

    async def open(self) -> None:
        """Ask the server who we are and which version it is, which also shows whether it lets us in.

        Raises:
            Denied: User, password or token is wrong.
            TransportError: There is no server.
        """
        self._threads = Threads(8)
        await self.http.open()
        if isinstance(self._login, Renewable):
            self._login.forget()
        try:
            answer = await self.call("GET", "whoami", accept=TEXT)
            self._user = _line(answer)
            self._version = await self._asked_version()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        await self.http.aclose()
        threads, self._threads = self._threads, None
        if threads is not None:
            await threads.aclose()

    @property
    def user(self) -> str:
        """The name of the user who is logged in; before it is open, as far as it is known."""
        return self._root._user

    @property
    def threads(self) -> Threads:
        """For reading files, writing journals and decoding long answers, while it is open."""
        assert self._root._threads is not None
        return self._root._threads

    def acting_for(self, name: str) -> Self:
        """Return the same server, whose calls are made for another user; open while this one is."""
        other = copy.copy(self)
        other.run_as = None if name == self.user else name
        return other

    def lock(self, key: str) -> anyio.Lock:
        """Return the lock of an idempotency key: one task at a time looks for what it made, and makes it."""
        return self._locks.setdefault(key, anyio.Lock())

    def is_unsure(self, key: str) -> bool:
        """Tell whether the server may still be at work on a request that was made under the key."""
        return key in self._unsure

    def is_before(self, *version: int) -> bool:
        """Tell whether the server is older than that version; one that does not tell is not."""
        known = self._root._version
        return bool(known) and known < version

    # -- calls -----------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        *path: str,
        matrix: Pairs = (),
        query: Pairs = (),
        accept: str = JSON,
        content: Any = None,
        body: bytes | Body = b"",
        headers: Mapping[str, str | Secret] | None = None,
        repeatable: bool | None = None,
        signed: bool = True,
        timeout: float | None = None,
        key: str | None = None,
        progress: Callable[[int], Awaitable[None]] | None = None,
    ) -> Answer:
        """Make one call below `/API`, for the user we act for, and return its answer.

        Args:
            method: In capitals.
            path: The segments of the path, unescaped: `"job", "VX-1", "problem"`.
            matrix: Parameters that stand in the path, unescaped.
            query: Parameters that stand behind it, unescaped; a name may come several times.
            accept: The media type wanted.
            content: What to send as JSON.
            body: What to send as it is; `headers` tells its type.
            headers: More of them.
            repeatable: It may be made twice if its answer is lost; by default only if it reads.
            signed: Whether it carries our credentials.
            timeout: Seconds for it all; by default the setting.
            key: The call's idempotency key, for its errors.
            progress: As for `Http.send`.

        Raises:
            CallsheetError: With `outcome` saying what happened on the server.
        """
        asked: dict[str, str | Secret] = {"accept": accept}
        if self.run_as is not None:
            asked["runas"] = self.run_as
        if content is not None:
            asked["content-type"], body = JSON, _written(content)
        url = address(*path, matrix=matrix, query=query)
        with self._doubting(None if repeatable else key):
            return await self.http.send(
                method,
                url,
                headers=asked | dict(headers or {}),
                body=body,
                repeatable=repeatable,
                signed=signed,
                timeout=timeout,
                key=key,
                operation=f"{method} {path[0]}",
                progress=progress,
            )

    @contextmanager
    def _doubting(self, key: str | None) -> Iterator[None]:
        """Remember the key of a request that is cut off."""
        try:
            yield
        except BaseException as error:
            is_unsure = not isinstance(error, CallsheetError) or error.outcome is Outcome.UNKNOWN
            if key is not None and is_unsure:
                self._unsure[key] = None
                if len(self._unsure) > MOST_UNSURE:
                    del self._unsure[next(iter(self._unsure))]
            raise

    async def read(self, *path: str, matrix: Pairs = (), query: Pairs = ()) -> Row:
        """Return the document at a path."""
        return await self.document(await self.call("GET", *path, matrix=matrix, query=query))

    async def document(self, answer: Answer) -> Row:
        """Return the JSON object of an answer; an empty answer is an empty object.

        Raises:
            InvalidResponse: It is none.
        """
        if not answer.body.strip():
            return {}
        found = await self.aside(len(answer.body) > LARGE, answer.json)
        if not isinstance(found, dict):
            raise answer.unreadable(f"{type(found).__name__} instead of a document")
        return found

    async def remove(self, *path: str) -> None:
        """Remove what is at a path.

        Raises:
            NotFound: There is nothing, and no request of this call, whose answer was lost, has removed it.
        """
        try:
            await self.call("DELETE", *path, repeatable=True)
        except NotFound as error:
            if error.outcome is Outcome.NOT_DONE:
                raise

    def download(self, *path: str, query: Pairs = (), start: int = 0, size: int | None = None) -> Download:
        """Return the bytes at a path, from an offset on, to be entered and read."""
        headers: dict[str, str | Secret] = {"accept": BYTES}
        if self.run_as is not None:
            headers["runas"] = self.run_as
        return self.http.download(
            address(*path, query=query), headers=headers, start=start, size=size, operation=f"GET {path[0]}"
        )

    async def aside(self, is_much: bool, function: Callable[..., T], *args: object) -> T:
        """Call the function: in a thread, if that takes so long that others would have to wait for it."""
        return await self.threads.run(function, *args) if is_much else function(*args)

    # -- logging in ------------------------------------------------------------------------------------------

    async def _token(self) -> str:
        assert self._basic is not None
        pairs = [("seconds", str(TOKEN_SECONDS)), ("autoRefresh", "true")]
        asked = {"accept": JSON} | self._basic.headers
        answer = await self.http.send("GET", address("token", query=pairs), headers=asked, signed=False)
        token = (await self.document(answer)).get("token")
        if not isinstance(token, str) or not token:
            raise answer.unreadable("no token", path="$.token")
        return token

    async def _asked_version(self) -> tuple[int, ...]:
        try:
            said = await self.read("version")
        except (Denied, NotFound):
            return ()  # the version is nobody's business there; the newest is assumed
        except ResponseError as error:
            if error.status == 400:
                return ()
            raise
        return _version(said)


def address(*path: str, matrix: Pairs = (), query: Pairs = ()) -> str:
    """Return the URL path of a call, everything in it escaped.

    Raises:
        InvalidRequest: Something cannot stand there, or is too long; the message names it.
    """
    within, behind = list(matrix), list(query)
    written = "/API/" + "/".join(map(_urls.segment, path)) + _urls.matrix(within)
    if behind:
        written += "?" + "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in behind)
    if len(written) > LONGEST:
        named = [("id", part) for part in path] + [_culprit(name, value) for name, value in within + behind]
        culprit, _ = max(named, key=lambda pair: len(quote(pair[1])))
        raise InvalidRequest(
            f"{culprit} is too long: {len(written)} bytes in a URL, of which Vidispine takes {LONGEST}"
        )
    return written


def _culprit(name: str, value: str) -> tuple[str, str]:
    """Return what a parameter is called by whoever gave it, and what was given."""
    if name != "jobmetadata":
        return name, value
    key, _, text = value.partition("=")
    return "idempotency_key" if key == KEY else key.removeprefix(OURS), text


def _written(content: Any) -> bytes:
    try:
        return json.dumps(content, allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise InvalidRequest(f"json: it cannot be written as JSON ({exc})") from exc


def path_of(job_id: str) -> tuple[str, str]:
    """Return the path of a job.

    Raises:
        NotFound: In the place of an id stands a word that leads elsewhere: `DELETE /job/notification` removes
            all notifications of the server.
    """
    if job_id in _ELSEWHERE:
        raise NotFound(f"there is no job {job_id!r}", provider="vidispine")
    return "job", job_id


def _escaped(text: str) -> str:
    # Unlike ids and parameters in a path, job metadata may hold line ends and the like.
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as exc:
        raise InvalidRequest(f"a character that is not Unicode: {text!r}") from exc


def _login(
    basic: Basic | None, token: Secret | None, fetch: Callable[[], Awaitable[str]] | None
) -> Basic | Token | Renewable:
    if token is not None:
        return Token(token)
    if basic is None:
        raise ConfigError("password: give user= and password=, or token=")
    return basic if fetch is None else Renewable(fetch, basic.name)


def _line(answer: Answer) -> str:
    line = answer.body.decode(errors="replace").strip()
    if not line or "\n" in line or line.startswith("<"):
        raise answer.unreadable("no user's name")
    return line


def _version(said: Row) -> tuple[int, ...]:
    """Return the version that the API's own component tells, or the first that there is."""
    parts = [part for part in said.get("component") or () if isinstance(part, dict)]
    parts.sort(key=lambda part: part.get("name") != "API")
    for part in parts:
        if found := re.match(r"\d+(?:\.\d+)+", str(part.get("version", ""))):
            return tuple(map(int, found[0].split(".")))
    return ()
