"""AWS signatures: keys that are fetched and renewed once for all tasks, and an `Auth` that signs with them.

The signatures themselves are botocore's. It is imported as the first request is signed, unless that was done
before, in a thread, by `callsheet._aws`.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import anyio
import attrs

from callsheet._errors import CallsheetError
from callsheet._http._messages import Answer, Auth, Request
from callsheet._redaction import Secret

__all__ = ["UNSIGNED", "Credentials", "Keys", "Signer", "TemporaryCredentials", "error_code"]

UNSIGNED = "UNSIGNED-PAYLOAD"
"""What stands for the hash of a body that the signature does not cover."""

EARLY = timedelta(minutes=15)
"""Keys that live no longer than this are renewed, as AWS's own libraries do it."""

AGAIN = timedelta(minutes=1)
"""Until a renewal is tried again that failed while the keys are still good; and what makes keys good."""

SKEW = timedelta(minutes=4)
"""AWS takes 5 minutes; clocks that differ by less are not what a request was refused for."""

EXPIRED = {
    *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"),
    *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"),
}
SKEWED = {
    *("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "AccessDenied"),
    *("InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"),
}

_SIGNED = re.compile(r"host|content-type|content-md5|x-amz-.*")
_STAMP = "%Y%m%dT%H%M%SZ"
_XML_CODE = re.compile(rb"<Code>\s*(\w+)\s*</Code>")


@attrs.frozen
class Keys:
    """What signs a request.

    Attributes:
        expires: When they cease to work, in UTC; `None` for never.
    """

    access_key: str
    secret_key: Secret
    token: Secret | None = None
    expires: datetime | None = None

    def lives(self, length: timedelta, now: datetime) -> bool:
        """Tell whether they work for that long."""
        return self.expires is None or self.expires - now >= length


class Credentials(ABC):
    """Where keys come from."""

    @abstractmethod
    async def keys(self) -> Keys:
        """Return keys that work now; asked before each signature, so that it is cheap while they are fresh.

        Raises:
            CallsheetError: There are none.
        """

    @abstractmethod
    async def renew(self, refused: Keys | None) -> None:
        """Get others, as the server has refused these before their time.

        Raises:
            CallsheetError: There are none.
        """


class TemporaryCredentials(Credentials):
    """Keys that live for an hour or so, fetched anew in time: by one task, while the others wait.

    Args:
        fetch: Asks for new keys.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Keys]]) -> None:
        self._fetch = fetch
        self._lock = anyio.Lock(fast_acquire=True)
        self._keys: Keys | None = None
        self._tried = datetime.min.replace(tzinfo=UTC)

    async def keys(self) -> Keys:
        """Return keys that work for a minute at least, and usually for a quarter of an hour.

        Raises:
            CallsheetError: They ran out, and others could not be had.
        """
        if self._keys is not None and self._may_stay(self._keys):
            return self._keys
        async with self._lock:
            if self._keys is not None and self._may_stay(self._keys):
                return self._keys
            return await self._renewed()

    async def renew(self, refused: Keys | None) -> None:
        """Fetch new keys, unless another task has done so since."""
        async with self._lock:
            if self._keys is refused or refused is None:
                self._keys = None
                await self._renewed()

    def _may_stay(self, keys: Keys) -> bool:
        now = datetime.now(UTC)
        return keys.lives(EARLY, now) or (keys.lives(AGAIN, now) and now - self._tried < AGAIN)

    async def _renewed(self) -> Keys:
        self._tried = datetime.now(UTC)
        try:
            self._keys = await self._fetch()
        except CallsheetError:
            # Early renewals may fail: the keys there are still work.
            if self._keys is None or not self._keys.lives(AGAIN, datetime.now(UTC)):
                raise
        return self._keys


class Signer(Auth):
    """Signs the requests to one service in one region.

    A wrong clock here is found out by the first refusal, and the server's own time is used from then on. Keys
    that the server takes for expired are renewed once for all tasks.

    A request that carries `x-amz-content-sha256` keeps it. On S3 a streamed body without it is not covered by
    the signature.

    Args:
        credentials: Where the keys come from.
        service: `"deadline"`, `"s3"` or `"sts"`.
        region: Such as `us-west-2`.
    """

    def __init__(self, credentials: Credentials, *, service: str, region: str) -> None:
        self.credentials = credentials
        self.service = service
        self.region = region
        self._ahead = timedelta()
        self._used: Keys | None = None

    async def sign(self, request: Request) -> None:
        """Add date, token and signature to the request's headers."""
        self._used = keys = await self.credentials.keys()
        stamp = self._now().strftime(_STAMP)
        headers = {
            name: _revealed(value) for name, value in request.headers.items() if _SIGNED.fullmatch(name)
        }
        headers["x-amz-date"] = stamp
        if keys.token is not None:
            headers["x-amz-security-token"] = keys.token.reveal()
        if self.service == "s3" and "x-amz-content-sha256" not in headers:
            headers["x-amz-content-sha256"] = (
                UNSIGNED if request.body is None else sha256(request.body).hexdigest()
            )
        signed = _aws_request(request.method, str(request.url), headers, request.body or b"", stamp)
        signer = _signers()[self.service == "s3"](_for_botocore(keys), self.service, self.region)
        signature = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
        names = signer.signed_headers(signer.headers_to_sign(signed))
        request.headers |= {
            name: headers[name] for name in ("x-amz-date", "x-amz-content-sha256") if name in headers
        }
        if keys.token is not None:
            request.headers["x-amz-security-token"] = keys.token
        request.headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={signer.scope(signed)}, SignedHeaders={names},"
            f" Signature={signature}"
        )

    async def presigned(self, url: str, *, expires: float) -> str:
        """Return the URL of an object on S3, signed: whoever has it may read the object for so many seconds.

        It ends earlier if the keys do.
        """
        keys = await self.credentials.keys()
        stamp = self._now().strftime(_STAMP)
        signer = _signers()[2](_for_botocore(keys), "s3", self.region)
        plain = _aws_request("GET", url, {}, b"", stamp)
        pairs = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": signer.scope(plain),
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(max(1, int(expires))),
            "X-Amz-SignedHeaders": "host",
        }
        if keys.token is not None:
            pairs["X-Amz-Security-Token"] = keys.token.reveal()
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())
        unsigned = f"{url}{'&' if '?' in url else '?'}{query}"
        request = _aws_request("GET", unsigned, {}, b"", stamp)
        signature = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
        return f"{unsigned}&X-Amz-Signature={signature}"

    def refused(self, answer: Answer) -> bool:
        """Tell whether the keys have expired, or the clocks differ."""
        if answer.status not in {400, 401, 403}:
            return False
        code = error_code(answer)
        if code is None:  # S3 says nothing in answer to a HEAD
            return answer.method == "HEAD" and (answer.status == 400 or self._is_skewed(answer))
        return code in EXPIRED or (code in SKEWED and self._is_skewed(answer))

    async def refresh(self, answer: Answer) -> None:
        """Set the clock by the server's, or get other keys."""
        moment = _date(answer)
        if moment is not None and error_code(answer) not in EXPIRED and self._is_skewed(answer):
            self._ahead = moment - datetime.now(UTC)
        else:
            await self.credentials.renew(self._used)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def _is_skewed(self, answer: Answer) -> bool:
        moment = _date(answer)
        return moment is not None and abs(moment - self._now()) > SKEW


def error_code(answer: Answer) -> str | None:
    """Return AWS's own word for an error, from the header, JSON or XML that it stands in."""
    said: Any = answer.headers.get("x-amzn-errortype")
    if not said and (found := _XML_CODE.search(answer.body[:4096])):
        said = found[1].decode()
    if not said and answer.body[:1] == b"{":
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            return None
        said = body.get("__type") or body.get("code") or body.get("Code")
    return str(said).partition(":")[0].rpartition("#")[2] if said else None


def _date(answer: Answer) -> datetime | None:
    try:
        moment = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


@cache
def _signers() -> tuple[Any, Any, Any]:
    """Return botocore's signers: of requests, of requests to S3, and of URLs on S3."""
    from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth

    return SigV4Auth, S3SigV4Auth, S3SigV4QueryAuth


def _for_botocore(keys: Keys) -> Any:
    from botocore.credentials import ReadOnlyCredentials

    return ReadOnlyCredentials(keys.access_key, keys.secret_key.reveal(), _revealed(keys.token or "") or None)


def _aws_request(method: str, url: str, headers: dict[str, str], body: bytes, stamp: str) -> Any:
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    # Its own `add_auth` would use the clock of this machine, and log the token.
    request.context["timestamp"] = stamp
    return request
