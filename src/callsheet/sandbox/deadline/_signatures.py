"""Who asks: AWS signatures (SigV4) of the sandbox's own keys, and of the temporary ones it gives out."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from callsheet.sandbox.deadline._errors import (
    ExpiredToken,
    InvalidSignature,
    MissingToken,
    UnrecognizedClient,
)

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["Caller", "Key", "Signed", "authenticate"]

CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
SIGNED_HEADERS = re.compile(r"SignedHeaders=([^,\s]+)")
SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")
SKEW = timedelta(minutes=5)


@attrs.frozen
class Key:
    """An access key.

    Attributes:
        user: Whose it is.
        token: The session token that must come with it, of temporary ones.
        until: When it ends, if it does.
    """

    user: str
    secret: str = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)
    until: datetime | None = None


@attrs.frozen
class Caller:
    """Who asks."""

    user: str
    arn: str


@attrs.frozen
class Signed:
    """What a signature covers: a request as it came.

    Attributes:
        path: Not decoded.
        headers: By names in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def authenticate(part: Deadline, request: Signed, service: str) -> Caller:
    """Return who signed a request.

    Raises:
        AwsError: Nobody that the sandbox knows; of the vendor's kinds.
    """
    words = request.headers.get("authorization", "")
    found = [pattern.search(words) for pattern in (CREDENTIAL, SIGNED_HEADERS, SIGNATURE)]
    credential, names, signature = found
    if not words.startswith("AWS4-HMAC-SHA256") or not (credential and names and signature):
        raise MissingToken("Missing Authentication Token")
    access_key, _, region, named_service = credential.groups()
    key = part.key(access_key)
    if key is None or request.headers.get("x-amz-security-token") != key.token:
        raise UnrecognizedClient("The security token included in the request is invalid.")
    if (region, named_service) != (part.region, service) and service != "sts":
        told = f"Credential should be scoped to a valid region and correct service: '{service}'."
        raise InvalidSignature(told)
    now = part.world.clock.now()
    if key.until is not None and key.until <= now:
        raise ExpiredToken("The security token included in the request is expired")
    signed = names[1].split(";")
    expected = _signature(request, signed, key, region, named_service)
    if "host" not in signed or not hmac.compare_digest(expected, signature[1]):
        raise InvalidSignature(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method."
        )
    if part.check_clock:
        _check_time(request.headers.get("x-amz-date", ""), now)
    return Caller(key.user, part.arn_of(key.user))


def _signature(request: Signed, names: list[str], key: Key, region: str, service: str) -> str:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    headers = {name: request.headers.get(name, "") for name in names}
    # What was announced counts only if it is the body's; else the signature would not cover the body.
    announced = request.headers.get("x-amz-content-sha256")
    if announced is not None and announced != hashlib.sha256(request.body).hexdigest():
        return ""
    url = f"http://{request.headers.get('host', '')}{request.path}"
    url += f"?{request.query}" if request.query else ""
    unsigned = AWSRequest(method=request.method, url=url, data=request.body, headers=headers)
    unsigned.context["timestamp"] = request.headers.get("x-amz-date", "")
    signer = SigV4Auth(Credentials(key.user, key.secret), service, region)
    string = signer.string_to_sign(unsigned, signer.canonical_request(unsigned))
    return str(signer.signature(string, unsigned))


def _check_time(date: str, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as exc:
        raise InvalidSignature("Date in header is not in the form YYYYMMDD'T'HHMMSS'Z'") from exc
    if abs(signed_at - now) > SKEW:
        early = "earlier" if signed_at < now else "later"
        raise InvalidSignature(
            f"Signature expired: {date} is now {early} than {now:%Y%m%dT%H%M%SZ} by 5 min."
        )
