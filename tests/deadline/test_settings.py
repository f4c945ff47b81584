"""How Deadline Cloud is reached: addresses, credentials, endpoints, and what is said when one is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import callsheet
from callsheet import Client, ConfigError, Denied, InvalidResponse, JobState, NotFound, TransportError
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox
from support.deadlinehand import FARM, QUEUE, TEMPLATE
from support.roads import QUICK
from support.tables import raises_for

ADDRESS = f"deadline://{FARM}/{QUEUE}"


class Recorder:
    """Carries requests nowhere, notes where they would go, and answers that the queue is there."""

    def __init__(self, status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> None:
        self.requests: list[Any] = []
        self.answer = (status, {"queueId": QUEUE} if body is None else body, headers or {})

    async def handle_async_request(self, request: Any, /) -> Any:
        self.requests.append(request)
        status, body, headers = self.answer
        return httpx.Response(status, json=body, headers=headers)

    async def aclose(self) -> None:
        pass


async def test_an_address_is_enough(sandbox: Sandbox) -> None:
    """Farm and queue stand in the address, the rest is found where AWS's own tools find it."""
    async with callsheet.connect(f"{ADDRESS}?region=us-west-2") as client:
        job = await client.jobs.create("x", template=TEMPLATE)
        assert job.tracker == client.provider.tracker == f"{ADDRESS}?region=us-west-2"
        assert job.state is JobState.QUEUED
    async with callsheet.connect(ADDRESS, endpoint=sandbox.url, region="us-west-2", timeout=9) as client:
        assert client.provider.tracker == (
            f"{ADDRESS}?region=us-west-2&endpoint={sandbox.url.replace(':', '%3A').replace('/', '%2F')}"
        )
        again = callsheet.connect(client.provider.tracker)
    async with again as client:
        assert (await client.jobs.get(job.id)).name == "x"


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("deadline:farm/queue", {}, "deadline://FARM/QUEUE"),
        (f"deadline://{FARM}", {}, "deadline://FARM/QUEUE"),
        (f"{ADDRESS}/more", {}, "deadline://FARM/QUEUE"),
        (f"{ADDRESS}?colour=red", {}, "'colour'"),
        (f"{ADDRESS}?region=us-west-2", {"region": "eu-west-1"}, "region: it is in the address already"),
        (f"{ADDRESS}?endpoint=ftp://x", {}, "endpoint"),
        (ADDRESS, {"timeout": -1}, "timeout"),
        (ADDRESS, {"endpoint": "http://farm.example.com"}, "endpoint"),
    ],
)
async def test_addresses_that_cannot_be_used(
    sandbox: Sandbox, url: str, options: dict[str, Any], words: str
) -> None:
    """What is wrong with an address or option is told by its name."""
    with pytest.raises(ConfigError, match=words):
        async with callsheet.connect(url, **options):
            pytest.fail("it must not open")


async def test_no_region(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region nobody knows where the farm is."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ConfigError, match="region"):
        async with callsheet.connect(ADDRESS):
            pytest.fail("it must not open")


async def test_what_is_not_there_is_told_as_it_opens(sandbox: Sandbox) -> None:
    """A queue that is not there, or may not be seen, is told before anything is done."""
    with pytest.raises(NotFound, match="queue"):
        async with Client(DeadlineProvider(FARM, f"queue-{9:032x}")):
            pytest.fail("it must not open")


async def test_wrong_credentials(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret is refused, and no error repeats it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    with pytest.raises(Denied) as denied:
        async with Client(DeadlineProvider(FARM, QUEUE)):
            pytest.fail("it must not open")
    assert denied.value.status == 403
    assert "canary" not in repr(denied.value)
    assert denied.value.request_id


async def test_nobody_there(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint at which nobody listens is tried for a while, then told of as no connection."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DEADLINE", "http://127.0.0.1:1")
    provider = DeadlineProvider(FARM, QUEUE)
    provider._server.options = attrs.evolve(provider._server.options, retry=QUICK)
    with pytest.raises(TransportError, match="no connection"):
        async with Client(provider):
            pytest.fail("it must not open")


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        (None, "management.deadline.us-west-2.amazonaws.com"),
        (
            "https://vpce-1.deadline.us-west-2.vpce.amazonaws.com",
            "management.vpce-1.deadline.us-west-2.vpce.amazonaws.com",
        ),
        ("https://10.0.0.1:8443", "10.0.0.1:8443"),
    ],
)
async def test_the_word_before_the_host(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, endpoint: str | None, host: str
) -> None:
    """AWS's hosts want a word before their name, which is signed with it; an address gets none."""
    for name in ("AWS_ENDPOINT_URL_DEADLINE", "AWS_DISABLE_HOST_PREFIX_INJECTION"):
        monkeypatch.delenv(name)
    recorder = Recorder()
    async with Client(DeadlineProvider(FARM, QUEUE, endpoint=endpoint, transport=recorder)):
        pass
    (request,) = recorder.requests
    assert request.headers["host"] == host
    assert str(request.url) == f"https://{host}/2023-10-12/farms/{FARM}/queues/{QUEUE}"
    assert "SignedHeaders=host;x-amz-date" in request.headers["authorization"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "facts"),
    [
        (
            429,
            {"x-amzn-errortype": "ThrottlingException", "retry-after": "99999"},
            {"message": "slower", "quotaCode": "L-1"},
            callsheet.RateLimited,
            {"code": "ThrottlingException", "message": "slower (L-1)", "retry_after": 99999.0},
        ),
        (
            402,
            {"x-amzn-errortype": "ServiceQuotaExceededException"},
            {"message": "full", "reason": "SERVICE_QUOTA_EXCEEDED_EXCEPTION", "quotaCode": "L-2"},
            callsheet.QuotaExceeded,
            {"status": 402, "message": "full (SERVICE_QUOTA_EXCEEDED_EXCEPTION; L-2)"},
        ),
        (
            400,
            {"x-amzn-errortype": "ValidationException:http://x/"},
            {
                "message": "bad",
                "reason": "FIELD_VALIDATION_FAILED",
                "fieldList": [{"name": "a", "message": "b"}],
            },
            callsheet.ResponseError,
            {"code": "ValidationException", "message": "bad (FIELD_VALIDATION_FAILED; a: b)"},
        ),
        (409, {}, {"__type": "x#ConflictException", "message": "m"}, callsheet.Conflict, {"message": "m"}),
        (403, {}, {"Message": "no"}, Denied, {"message": "no", "code": None}),
        (404, {}, [1], NotFound, {"status": 404}),
        (200, {}, [1], InvalidResponse, {"status": 200}),
        (200, {}, {"status": "IDLE"}, InvalidResponse, {"status": 200}),
    ],
)
async def test_errors_by_their_names(
    sandbox: Sandbox,
    status: int,
    headers: dict[str, str],
    body: Any,
    error: type[Exception],
    facts: dict[str, Any],
) -> None:
    """Each of Deadline's errors is one of callsheet's, with its code, text, and what stands beside it."""
    recorder = Recorder(status, body, {"x-amzn-requestid": "r-1", **headers})
    with pytest.raises(error) as caught:
        async with Client(DeadlineProvider(FARM, QUEUE, transport=recorder)):
            pytest.fail("it must not open")
    assert {name: getattr(caught.value, name) for name in facts} == facts
    assert (caught.value.request_id, caught.value.provider) == ("r-1", "deadline")  # type: ignore[attr-defined]  # each has them


async def test_keys_that_end_are_fetched_anew(sandbox: Sandbox) -> None:
    """The queue's own keys are asked for when they are needed, and again before they end."""
    sandbox.configure("deadline", role_seconds=600)
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        role = client.provider._server.role()
        first = await role.keys()
        assert first.token is not None
        assert len(sandbox.requests("*/user-roles")) == 1
        assert await role.keys() is first  # they are too short for more, and were just asked for
        await role.renew(first)
        assert await role.keys() is not first
        assert len(sandbox.requests("*/user-roles")) == 2


async def test_keys_that_are_not_whole(sandbox: Sandbox) -> None:
    """Keys without an end would be used until they are refused: they are none, and no error repeats them."""
    keys = {"accessKeyId": "canary-key", "secretAccessKey": "canary-secret", "sessionToken": "canary-token"}
    keys |= {"expiration": "2030-01-01T00:00:00Z"}
    answers: list[Any] = [{}, {"credentials": None}, {"credentials": "canary"}]
    for name in keys:
        answers += [{"credentials": {**keys, name: value}} for value in (None, 1e30)]
        answers.append({"credentials": {other: text for other, text in keys.items() if other != name}})
    headers = {"content-type": "application/json"}
    async with Client(DeadlineProvider(FARM, QUEUE)) as client:
        for answer in answers:
            sandbox.faults.clear()
            body = json.dumps(answer)
            sandbox.faults.add("answer", path="*/user-roles", status=200, headers=headers, body=body)
            with raises_for(answer, InvalidResponse, match="credentials that are not whole") as caught:
                await client.provider._server.role().keys()
            assert "canary" not in f"{caught.value!r} {vars(caught.value)}"


async def test_a_closed_client_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    """Before it is open, and after it was closed, the provider says so; it may be opened again."""
    provider = DeadlineProvider(FARM, QUEUE)

    async def refuses() -> None:
        job = f"job-{7:032x}"
        for call in (
            provider.queue,
            lambda: provider.arn(job),
            lambda: provider.download_outputs(job, tmp_path),
            lambda: provider.get_location("bucket"),
        ):
            with pytest.raises(ConfigError, match="closed"):
                await call()

    await refuses()
    async with Client(provider) as client:
        await client.jobs.count()
    await refuses()
    await provider.aclose()
    async with Client(provider) as client:
        assert await client.jobs.count() == 0


@pytest.mark.parametrize("interval", [0, -1.0, float("nan"), "often"])
def test_an_interval_of_no_use(interval: Any) -> None:
    """How often to look must be a number of seconds."""
    with pytest.raises(ConfigError, match="watch_interval"):
        DeadlineProvider(FARM, QUEUE, watch_interval=interval)
