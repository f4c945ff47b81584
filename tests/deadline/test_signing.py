"""Signatures: the same as botocore's own, with keys renewed once and a clock set by the server's."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
import time_machine
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from botocore.credentials import ReadOnlyCredentials

from callsheet import ConfigError, Denied, Unavailable
from callsheet._aws import Aws
from callsheet._http._client import Http
from callsheet._http._messages import Answer, Request
from callsheet._http._urls import Url
from callsheet._redaction import Secret
from callsheet._signing import Keys, Signer, TemporaryCredentials, error_code
from faultserver import FaultServer, Line, answer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = Keys("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG"), Secret("the-session-token"))
THEIRS = TheirCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "the-session-token")


async def keys() -> Keys:
    return KEYS


def signer(service: str) -> Signer:
    return Signer(TemporaryCredentials(keys), service=service, region="us-west-2")


def request(url: str, body: bytes | None = b"", **headers: str) -> Request:
    parsed = Url.parse(url)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fixed = {"host": parsed.authority, "user-agent": "callsheet", "accept-encoding": "gzip"}
    return Request("POST" if body else "GET", parsed, {**fixed, **named}, body, 1)


def plain(headers: dict[str, Any]) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("service", "theirs", "url", "body"),
    [
        ("deadline", SigV4Auth, "https://management.deadline.us-west-2.amazonaws.com/2023-10-12/farms", b""),
        (
            "deadline",
            SigV4Auth,
            "http://127.0.0.1:8300/2023-10-12/tags/arn%3Aaws%3Ax%2Fjob%2F1?a=b%20c&a=1",
            b"",
        ),
        ("deadline", SigV4Auth, "https://example.com/2023-10-12/farms/f/search/jobs", b'{"itemOffset":0}'),
        (
            "s3",
            S3SigV4Auth,
            "https://b.s3.us-west-2.amazonaws.com/Data/a%20b%2Bc.xxh128?partNumber=2",
            b"bytes",
        ),
        ("s3", S3SigV4Auth, "http://127.0.0.1:9000/bucket//odd/%C3%A9", b""),
    ],
)
async def test_signature_is_botocores(service: str, theirs: Any, url: str, body: bytes) -> None:
    """For the same headers and moment, the signature is the one that botocore makes."""
    ours = request(url, body, content_type="application/json")
    with time_machine.travel(NOW, tick=False):
        await signer(service).sign(ours)
        reference = AWSRequest(
            ours.method,
            url,
            headers={"host": ours.url.authority, "content-type": "application/json"},
            data=body,
        )
        theirs(THEIRS, service, "us-west-2").add_auth(reference)
    expected = {name.lower(): value for name, value in reference.headers.items()}
    assert plain(ours.headers) == {"user-agent": "callsheet", "accept-encoding": "gzip", **expected}


async def test_streamed_body_to_s3_is_not_covered() -> None:
    """A body that is not there yet is signed as such, unless its hash was given."""
    streamed = request("https://b.s3.us-west-2.amazonaws.com/k", None)
    await signer("s3").sign(streamed)
    assert streamed.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    hashed = request("https://b.s3.us-west-2.amazonaws.com/k", None, x_amz_content_sha256="ab" * 32)
    await signer("s3").sign(hashed)
    assert hashed.headers["x-amz-content-sha256"] == "ab" * 32
    assert "x-amz-content-sha256" in str(hashed.headers["authorization"])


async def test_presigned_url_is_botocores() -> None:
    """A signed address is the one that botocore makes, whatever the order of its parts."""
    url = "https://b.s3.us-west-2.amazonaws.com/Data/a%20b?response-content-type=x%2Fy"
    with time_machine.travel(NOW, tick=False):
        ours = await signer("s3").presigned(url, expires=600)
        reference = AWSRequest("GET", url)
        S3SigV4QueryAuth(THEIRS, "s3", "us-west-2", 600).add_auth(reference)
    assert urlsplit(ours)[:3] == urlsplit(reference.url)[:3]
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(reference.url).query)


async def test_signing_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at the most talkative level does a key or token reach a log."""
    with caplog.at_level(logging.DEBUG):
        await signer("deadline").sign(request("https://example.com/"))
        await signer("s3").presigned("https://example.com/k", expires=5)
    assert "the-session-token" not in caplog.text
    assert "K7MDENG" not in caplog.text


# -- temporary keys ------------------------------------------------------------------------------------------


def lasting(minutes: float) -> Keys:
    return Keys("AKID", Secret("secret-key"), expires=datetime.now(UTC) + timedelta(minutes=minutes))


async def test_keys_are_fetched_once_for_all_tasks() -> None:
    """Fifty tasks that need keys at once cause one request for them."""
    fetched = []

    async def fetch() -> Keys:
        fetched.append(lasting(60))
        await anyio.sleep(0.01)
        return fetched[-1]

    credentials = TemporaryCredentials(fetch)
    got: list[Keys] = []

    async def use() -> None:
        got.append(await credentials.keys())

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(use)
    assert (len(fetched), got) == (1, [fetched[0]] * 50)
    await credentials.renew(fetched[0])
    await credentials.renew(fetched[0])  # the keys that were refused are gone by now
    assert len(fetched) == 2


async def test_keys_are_renewed_a_quarter_of_an_hour_early() -> None:
    """Keys are replaced in time; a failure then does no harm, and is not tried again at once."""
    answers: list[Callable[[], Keys]] = [lambda: lasting(16), lambda: lasting(60)]
    asked = 0

    async def fetch() -> Keys:
        nonlocal asked
        asked += 1
        if not answers:
            raise Unavailable("down")
        return answers.pop(0)()

    credentials = TemporaryCredentials(fetch)
    with time_machine.travel(NOW, tick=False) as clock:
        first = await credentials.keys()
        assert await credentials.keys() is first
        clock.shift(timedelta(minutes=2))
        second = await credentials.keys()
        assert second is not first
        clock.shift(timedelta(minutes=50))
        assert await credentials.keys() is second
        assert await credentials.keys() is second
        assert asked == 3
        clock.shift(timedelta(minutes=2))
        assert await credentials.keys() is second
        assert asked == 4
        clock.shift(timedelta(minutes=8))
        with pytest.raises(Unavailable):
            await credentials.keys()


# -- refusals ------------------------------------------------------------------------------------------------


def refusal(code: str, date: datetime) -> bytes:
    body = json.dumps({"message": "no"}).encode()
    headers = {"x-amzn-errortype": f"{code}:http://internal/", "date": format_datetime(date, usegmt=True)}
    return answer(403, body, headers=headers)


async def test_wrong_clock_is_set_by_the_servers_once() -> None:
    """A clock that is 20 minutes late is found out by the first refusal, and never again."""
    theirs = datetime.now(UTC) + timedelta(minutes=20)
    seen: list[datetime] = []

    def play(line: Line) -> None:
        while True:
            stamp = line.request().headers["x-amz-date"]
            signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            seen.append(signed)
            late = abs(signed - theirs) > timedelta(minutes=5)
            line.send(refusal("InvalidSignatureException", theirs) if late else answer(200, b"{}"))

    with FaultServer(play) as server:
        async with Http(server.url, provider="deadline", auth=signer("deadline")) as http:
            for _ in range(3):
                await http.send("GET", "/2023-10-12/farms")
    assert [abs(signed - theirs) < timedelta(minutes=1) for signed in seen] == [False, True, True, True]


def told(method: str, status: int, code: str | None, minutes: float) -> Answer:
    """Return an answer of a server whose clock is so many minutes ahead."""
    headers = {"date": format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)}
    body = b"" if code is None else json.dumps({"__type": code}).encode()
    return Answer(method, Url.parse("https://example.com/"), status, headers, body)


EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken")
UNKNOWN = ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId")
SKEWED = (
    *("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "AccessDenied"),
    *("InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"),
)


@pytest.mark.parametrize(
    ("method", "status", "codes", "minutes", "refused"),
    [
        ("GET", 403, (*EXPIRED, *UNKNOWN), 0, True),
        ("GET", 500, EXPIRED, 0, False),
        ("GET", 403, SKEWED, 20, True),
        ("GET", 403, SKEWED, -5, True),
        ("GET", 403, SKEWED, 3, False),
        ("GET", 403, ("AccessDeniedException", None), 20, False),
        ("HEAD", 400, (None,), 0, True),
        ("HEAD", 403, (None,), 20, True),
        ("HEAD", 403, (None,), 0, False),
    ],
)
def test_what_other_keys_or_another_clock_might_mend(
    method: str, status: int, codes: tuple[str | None, ...], minutes: float, *, refused: bool
) -> None:
    """Expired keys are known by AWS's words, a wrong clock by the server's; to HEAD, S3 says nothing."""
    found = {code: signer("s3").refused(told(method, status, code, minutes)) for code in codes}
    assert found == dict.fromkeys(codes, refused)


async def test_a_clock_is_set_and_keys_are_renewed_each_for_itself() -> None:
    """A wrong clock costs no keys, is set for links, too, and expired keys leave the clock alone."""
    fetched: list[Keys] = []

    async def fetch() -> Keys:
        fetched.append(lasting(60))
        return fetched[-1]

    auth = Signer(TemporaryCredentials(fetch), service="s3", region="us-west-2")
    with time_machine.travel(NOW, tick=False):
        sent = request("https://example.com/")
        await auth.sign(sent)
        await auth.refresh(told("GET", 403, "ExpiredToken", 20))
        await auth.sign(sent)
        assert (len(fetched), sent.headers["x-amz-date"]) == (2, "20260102T030405Z")
        await auth.refresh(told("GET", 403, "RequestTimeTooSkewed", 20))
        await auth.sign(sent)
        assert (len(fetched), sent.headers["x-amz-date"]) == (2, "20260102T032405Z")
        link = await auth.presigned("https://example.com/k", expires=600)
        assert "X-Amz-Date=20260102T032405Z" in link


async def test_expired_keys_are_renewed_once_for_all_tasks() -> None:
    """Tasks that are all refused with the same keys ask for others once, and none of them fails."""
    current = 1
    fetched = 0
    lock = threading.Lock()

    async def fetch() -> Keys:
        nonlocal fetched, current
        fetched += 1
        with lock:
            return Keys(f"KEY{current}", Secret("secret-key"))

    def play(line: Line) -> None:
        while True:
            used = line.request().headers["authorization"]
            with lock:
                good = f"Credential=KEY{current}/" in used
            line.send(answer(200, b"{}") if good else refusal("ExpiredTokenException", datetime.now(UTC)))

    auth = Signer(TemporaryCredentials(fetch), service="deadline", region="us-west-2")
    with FaultServer(play) as server:
        async with Http(server.url, provider="deadline", auth=auth) as http:
            await http.send("GET", "/")
            with lock:
                current = 2
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(http.send, "GET", "/")
    assert fetched == 2


async def test_a_plain_no_renews_nothing() -> None:
    """Somebody who is not allowed to do a thing is told so after one request."""
    with FaultServer(always_denied) as server:
        async with Http(server.url, provider="deadline", auth=signer("deadline")) as http:
            with pytest.raises(Denied):
                await http.send("GET", "/")
        assert len(server.requests) == 1


def always_denied(line: Line) -> None:
    while True:
        line.request()
        line.send(refusal("AccessDeniedException", datetime.now(UTC)))


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-amzn-errortype": "ns#ValidationException:http://x/"}, b"{}", "ValidationException"),
        ({}, b'{"__type":"com.amazon#ThrottlingException"}', "ThrottlingException"),
        ({}, b'{"code":"Throttling"}', "Throttling"),
        ({}, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        ({}, b"<html>", None),
        ({}, b"{broken", None),
        ({}, b"", None),
    ],
)
def test_error_code_is_found_wherever_it_stands(
    headers: dict[str, str], body: bytes, code: str | None
) -> None:
    """AWS's word for an error is read from header, JSON or XML."""
    assert error_code(Answer("GET", Url.parse("https://example.com/"), 400, headers, body)) == code


# -- what the user has set up --------------------------------------------------------------------------------


@pytest.fixture
def aws_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give AWS's libraries an empty home."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


async def opened(**settings: Any) -> Aws:
    aws = Aws(**settings)
    await aws.open()
    return aws


async def test_settings_come_from_the_profile(aws_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, region and endpoint of a named profile are found, and a service's own endpoint goes first."""
    (aws_home / "config").write_text(
        "[profile farm]\nregion = eu-west-1\nservices = here\nendpoint_url = https://all.example.com\n"
        "[services here]\ndeadline =\n  endpoint_url = https://farm.example.com/\n"
    )
    (aws_home / "credentials").write_text("[farm]\naws_access_key_id = AK\naws_secret_access_key = SK-long\n")
    aws = await opened(profile="farm")
    found = await aws.credentials.keys()
    assert (found.access_key, found.secret_key.reveal(), found.token) == ("AK", "SK-long", None)
    assert aws.region == "eu-west-1"
    assert await aws.endpoint("deadline") == "https://farm.example.com"
    assert await aws.endpoint("s3", Bucket="films") == "https://films.all.example.com"
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert [(await opened(profile="farm", region=one)).region for one in (None, "us-west-1")] == [
        "us-east-1",
        "us-west-1",
    ]


async def test_endpoints_follow_the_rules_of_the_service(
    aws_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any setting AWS's own rules decide, for each partition and kind of address."""
    aws = await opened(region="us-west-2")
    assert await aws.endpoint("deadline") == "https://deadline.us-west-2.amazonaws.com"
    assert await aws.endpoint("deadline", UseDualStack=True) == "https://deadline.us-west-2.api.aws"
    assert await aws.endpoint("s3", Bucket="films") == "https://films.s3.us-west-2.amazonaws.com"
    assert await aws.endpoint("s3", "http://127.0.0.1:9/", Bucket="films") == "http://127.0.0.1:9/films"
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    safe = await opened(region="us-west-2")
    assert await safe.endpoint("deadline") == "https://deadline-fips.us-west-2.api.aws"
    monkeypatch.delenv("AWS_USE_DUALSTACK_ENDPOINT")
    monkeypatch.delenv("AWS_USE_FIPS_ENDPOINT")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8300")
    assert await aws.endpoint("deadline") == "http://127.0.0.1:8300"
    monkeypatch.setenv("AWS_ENDPOINT_URL_DEADLINE", "http://127.0.0.1:8301")
    assert await aws.endpoint("deadline") == "http://127.0.0.1:8301"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert await (await opened(region="us-west-2")).endpoint("deadline") == (
        "https://deadline.us-west-2.amazonaws.com"
    )


@pytest.mark.parametrize(
    ("url", "prefixed"),
    [
        ("https://deadline.us-west-2.amazonaws.com", True),
        ("https://proxy.example.com:8443", True),
        ("http://127.0.0.1:8300", False),
        ("http://[::1]:8300", False),
        ("http://localhost:8300", False),
    ],
)
async def test_prefix_is_for_names_that_can_have_one(aws_home: Path, url: str, prefixed: bool) -> None:
    """An address of this machine, or of numbers, gets no prefix that nobody could resolve."""
    assert (await opened()).inject_prefix(url) is prefixed


async def test_prefix_can_be_turned_off(aws_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's own switch is obeyed."""
    monkeypatch.setenv("AWS_DISABLE_HOST_PREFIX_INJECTION", "true")
    assert not (await opened()).inject_prefix("https://deadline.us-west-2.amazonaws.com")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({}, "credentials: there are none"), ({"profile": "nobody"}, "profile: .*nobody")],
)
async def test_what_is_missing_is_named(aws_home: Path, settings: dict[str, str], message: str) -> None:
    """A missing profile or key is an error that names the setting."""
    with pytest.raises(ConfigError, match=message):
        await (await opened(**settings)).credentials.keys()


async def test_missing_region_is_named(aws_home: Path) -> None:
    """Without a region nothing can be found, and the error says how to give one."""
    with pytest.raises(ConfigError, match="region"):
        await (await opened()).endpoint("deadline")


async def test_program_that_has_no_keys_is_a_denial(aws_home: Path) -> None:
    """A login that has ended is told as such, with what the program said."""
    (aws_home / "config").write_text("[default]\ncredential_process = /bin/false\n")
    with pytest.raises((Denied, ConfigError), match="credential"):
        await (await opened()).credentials.keys()


class Program:
    """A source of keys as botocore has them, for so many seconds each."""

    method = "a program"
    lives = 3600.0
    number = 0
    ended = False

    def refresh_needed(self, early: float) -> bool:
        """Tell whether the keys end in less than that."""
        return self.lives < early

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the next keys."""
        self.number += 1
        if self.ended:
            raise RuntimeError("log in again")
        return ReadOnlyCredentials(f"KEY{self.number}", "secret-key", f"session-token-{self.number}")


async def test_keys_of_a_program_are_renewed_in_time(aws_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are asked for before they end, not at each request; refused ones are looked for anew, once."""
    aws, programs = await opened(region="us-west-2"), list[Program]()

    def load() -> Program:
        programs.append(Program())
        return programs[-1]

    monkeypatch.setattr(aws, "load_credentials", load)
    with time_machine.travel(NOW, tick=False) as clock:
        first = await aws.credentials.keys()
        clock.shift(timedelta(hours=1))
        assert await aws.credentials.keys() is first
        programs[0].lives = 14 * 60
        second = await aws.credentials.keys()
        assert (second.access_key, await aws.credentials.keys()) == ("KEY2", second)
        assert second.token is not None
        assert second.token.reveal() == "session-token-2"
        clock.shift(timedelta(seconds=61))
        third = await aws.credentials.keys()
        assert third.access_key == "KEY3"
        programs[0].lives = 9 * 60
        assert (await aws.credentials.keys()).access_key == "KEY4"
        programs[0].lives = 3600
        fourth = await aws.credentials.keys()
        await aws.credentials.renew(fourth)
        await aws.credentials.renew(fourth)  # it is gone by now
    assert [program.number for program in programs] == [4, 1]
    monkeypatch.setattr(Program, "ended", True)
    with pytest.raises(Denied, match=r"cannot be had \(a program\): log in again"):
        await aws.credentials.renew(None)
