"""How requests enter the Deadline Cloud sandbox: who signed them, what they may hold, what is done once."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from callsheet.sandbox import Sandbox
from support.deadlinecalls import FARM, QUEUE, Farm, Refused, sign, template

ABSENT = f"job-{0:032x}"
JOBS = f"/2023-10-12/farms/{FARM}/queues/{QUEUE}/jobs"


def told(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an answer."""
    return answer.status_code, answer.headers.get("x-amzn-errortype", "")


def test_only_good_signatures_pass(still_farm: Farm) -> None:
    """No signature, nobody's key, a wrong secret and a foreign token are each told in AWS's words."""
    http = still_farm.http
    missing = http.get("/2023-10-12/farms")
    assert told(missing) == (403, "MissingAuthenticationTokenException")
    assert missing.json() == {"message": "Missing Authentication Token"}
    assert len(missing.headers["x-amzn-requestid"]) == 36
    for key, code in (
        (("nobody", "sandbox-secret"), "UnrecognizedClientException"),
        (("sandbox", "sandbox-secret", "token"), "UnrecognizedClientException"),
        (("sandbox", "wrong"), "InvalidSignatureException"),
    ):
        assert told(Farm(http, key).send("ListFarms")) == (403, code)
    assert Farm(http, ("jane", "sandbox-secret")).call("ListFarms")["farms"]


def test_a_signature_covers_the_request(still_farm: Farm) -> None:
    """Another body, path, query, region or service under a good signature is refused."""
    http, url = still_farm.http, f"{still_farm.http.base_url}/2023-10-12/batch-get-job"
    body = b'{"identifiers": []}'
    headers = sign(still_farm.key, "POST", url, body)
    assert told(http.post(url, content=body, headers=headers))[1] == "ValidationException"
    tight = {
        **headers,
        "Authorization": headers["Authorization"].replace(", ", ","),
    }  # as some clients write it
    assert told(http.post(url, content=body, headers=tight))[1] == "ValidationException"
    refused = [
        http.post(url, content=body + b" ", headers=headers),
        http.post(url.replace("job", "step"), content=body, headers=headers),
        http.post(f"{url}?a=b", content=body, headers=headers),
        http.put(url, content=body, headers=headers),
        http.post(url, content=body, headers={**headers, "x-amz-date": "20260101T000000Z"}),
    ]
    for changed in ("us-east-1/deadline", "us-west-2/s3"):
        words = headers["Authorization"].replace("us-west-2/deadline", changed)
        refused.append(http.post(url, content=body, headers={**headers, "Authorization": words}))
    words = headers["Authorization"].replace("host;", "")
    refused.append(http.post(url, content=body, headers={**headers, "Authorization": words}))
    assert [told(answer) for answer in refused] == [(403, "InvalidSignatureException")] * len(refused)


def test_a_signature_has_its_time(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Where clocks are compared, a signature may be five minutes off; the answer tells the server's time."""
    callsheet_sandbox.configure("deadline", check_clock=True)
    assert still_farm.call("ListFarms")
    callsheet_sandbox.clock.freeze()
    callsheet_sandbox.clock.advance(400)
    answer = still_farm.send("ListFarms")
    assert told(answer) == (403, "InvalidSignatureException")
    assert answer.json()["message"].startswith("Signature expired: ")
    assert answer.headers["date"] == f"{callsheet_sandbox.clock.now():%a, %d %b %Y %H:%M:%S} GMT"


def test_temporary_keys_end(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """A queue's role gives keys that are good with their token, for as long as they say."""
    given = still_farm.call("AssumeQueueRoleForUser")["credentials"]
    assert given["accessKeyId"] != still_farm.call("AssumeQueueRoleForRead")["credentials"]["accessKeyId"]
    key = given["accessKeyId"], given["secretAccessKey"], given["sessionToken"]
    assert Farm(still_farm.http, key).call("GetQueue")
    assert told(Farm(still_farm.http, key[:2]).send("GetQueue"))[1] == "UnrecognizedClientException"
    callsheet_sandbox.clock.advance(3601)
    assert told(Farm(still_farm.http, key).send("GetQueue")) == (403, "ExpiredTokenException")


def test_paths_are_read_as_they_came(still_farm: Farm) -> None:
    """A slash that is part of a label stays there, and a request may name the whole URL."""
    job_id = still_farm.job(tags={"a": "b"})
    arn = f"arn:aws:deadline:us-west-2:123456789012:farm/{FARM}/queue/{QUEUE}/job/{job_id}"
    assert still_farm.call("ListTagsForResource", resourceArn=arn) == {"tags": {"a": "b"}}
    url = f"{still_farm.http.base_url}/2023-10-12/farms"
    headers = {**sign(still_farm.key, "GET", url, b""), "Host": still_farm.http.base_url.netloc.decode()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    place = still_farm.http.base_url.host, still_farm.http.base_url.port or 80
    with socket.create_connection(place, timeout=10) as line:
        line.sendall(f"GET {url} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"farms":' in answer


def test_what_is_not_there_is_unknown(still_farm: Farm) -> None:
    """A path without an operation, and an operation that the sandbox lacks, are told as such."""
    for label in ("", "{}", "farm-1"):
        answer = still_farm.ask("GET", f"/2023-10-12/farms/{label}/queues")
        assert told(answer) == (400, "ValidationException")
    for method, path in (
        ("GET", "/2023-10-12/nothing"),
        ("DELETE", JOBS),
        ("GET", f"/2023-10-12/farms/{FARM}/budgets"),
    ):
        assert told(still_farm.ask(method, path)) == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    ("operation", "parameters", "field"),
    [
        ("GetJob", {"jobId": "job-1"}, "jobId"),
        ("CreateJob", {"priority": -1}, "priority"),
        ("CreateJob", {"priority": 1, "maxWorkerCount": -2}, "maxWorkerCount"),
        ("CreateJob", {"priority": 1, "template": "{}", "templateType": "XML"}, "templateType"),
        ("CreateJob", {"priority": 1, "parameters": {"A": {}}}, "parameters.A.member"),
        ("CreateJob", {"priority": 1, "nameOverride": ""}, "nameOverride"),
        ("CreateJob", {"priority": 1, "nameOverride": "\ud800"}, "nameOverride"),
        ("CreateJob", {"priority": 1, "clientToken": "x" * 65}, "clientToken"),
        ("CreateJob", {"priority": 1, "attachments": {"manifests": []}}, "attachments.manifests"),
        ("SearchJobs", {"itemOffset": 10_001}, "itemOffset"),
        ("SearchJobs", {"itemOffset": 0, "pageSize": 0}, "pageSize"),
        ("BatchGetJob", {"identifiers": []}, "identifiers"),
        ("UpdateJob", {"jobId": ABSENT, "lifecycleStatus": "CREATE_COMPLETE"}, "lifecycleStatus"),
        ("ListJobs", {"maxResults": 0}, "maxResults"),
    ],
)
def test_each_member_has_its_limits(
    still_farm: Farm, operation: str, parameters: dict[str, Any], field: str
) -> None:
    """A value beyond what the service's description allows is refused with the member's name."""
    code, status, body = still_farm.refusal(operation, **parameters)
    assert (code, status, body["reason"]) == ("ValidationException", 400, "FIELD_VALIDATION_FAILED")
    assert [each["name"] for each in body["fieldList"]] == [field]
    assert body["message"].startswith(
        f"1 validation error detected: Value at '{field}' failed to satisfy constraint: "
    )


def test_bodies_are_objects(still_farm: Farm) -> None:
    """What is not JSON, no object, of a wrong type or lacks a member is refused; nulls are nothing."""
    for body, reason in (
        (b"{", "CANNOT_PARSE"),
        (b"[]", "CANNOT_PARSE"),
        (b"{}", "FIELD_VALIDATION_FAILED"),
        (b'{"priority": "1"}', "FIELD_VALIDATION_FAILED"),
        (b'{"priority": true}', "FIELD_VALIDATION_FAILED"),
        (b'{"priority": null}', "FIELD_VALIDATION_FAILED"),
    ):
        answer = still_farm.ask("POST", JOBS, body)
        assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    words = {
        "template": template(),
        "templateType": "JSON",
        "priority": 1,
        "nameOverride": None,
        "nonsense": 1,
    }
    assert still_farm.ask("POST", JOBS, json.dumps(words).encode()).status_code == 201


def test_a_token_makes_one_job(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """The same request under the same token has the same answer for a day; another request is refused."""
    callsheet_sandbox.faults.add("lost", path=JOBS, nth=1)
    with pytest.raises(httpx.TransportError):
        still_farm.job(clientToken="t")
    first = still_farm.job(clientToken="t")
    assert still_farm.job(clientToken="t") == first
    assert len(still_farm.call("ListJobs")["jobs"]) == 1
    with pytest.raises(Refused, match="ValidationException"):
        still_farm.job(clientToken="t", priority=1)
    callsheet_sandbox.clock.advance(24 * 3600 + 1)
    assert still_farm.job(clientToken="t") != first
    update = {"jobId": first, "clientToken": "t"}
    still_farm.call("UpdateJob", **update, priority=2)
    still_farm.call("UpdateJob", jobId=first, priority=3)
    still_farm.call("UpdateJob", **update, priority=2)
    assert still_farm.call("GetJob", jobId=first)["priority"] == 3
    code, _, body = still_farm.refusal("UpdateJob", **update, priority=4)
    assert (code, body["resourceType"]) == ("ConflictException", "clientToken")


def test_too_much_at_once_is_throttled(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """Beyond the rate requests are refused, with the seconds to wait; the rate is of the sandbox's time."""
    callsheet_sandbox.clock.freeze()
    callsheet_sandbox.configure("deadline", requests_per_second=2, retry_after=7)
    statuses = [still_farm.send("ListFarms").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    answer = still_farm.send("ListFarms")
    assert told(answer) == (429, "ThrottlingException")
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["quotaCode"]
    callsheet_sandbox.clock.advance(0.5)
    assert [still_farm.send("ListFarms").status_code for _ in range(2)] == [200, 429]
    callsheet_sandbox.configure("deadline", requests_per_second=None)
    assert still_farm.call("ListFarms")


def test_callers_learn_who_they_are(still_farm: Farm) -> None:
    """STS tells account and user to whoever signed for it, and refuses others."""
    http = still_farm.http
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = sign(still_farm.key, "POST", f"{http.base_url}", body, headers, service="sts")
    answer = http.post("/", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert "<Arn>arn:aws:iam::123456789012:user/sandbox</Arn>" in answer.text
    assert "<Account>123456789012</Account>" in answer.text
    refused = http.post("/", content=body, headers={})
    assert (refused.status_code, "<Code>MissingAuthenticationTokenException</Code>" in refused.text) == (
        403,
        True,
    )
    other = b"Action=GetSessionToken&Version=2011-06-15"
    headers = sign(still_farm.key, "POST", f"{http.base_url}", other, service="sts")
    assert http.post("/", content=other, headers=headers).status_code == 404


def test_telemetry_is_taken(still_farm: Farm) -> None:
    """What the vendor's clients report about their use needs no signature."""
    assert still_farm.http.post("/2023-10-12/telemetry", content=b"{}").status_code == 200


def test_options_and_actions_are_checked(callsheet_sandbox: Sandbox, still_farm: Farm) -> None:
    """What is unknown or does not fit is refused by name, and changes nothing."""
    job_id = still_farm.job()
    for option in (
        {"worker": 1},
        {"workers": -1},
        {"workers": True},
        {"check_clock": 1},
        {"task_seconds": "1"},
    ):
        with pytest.raises(ValueError, match=next(iter(option))):
            callsheet_sandbox.configure("deadline", **option)
    for action, words, named in (
        ("explode", {}, "explode"),
        ("start", {"task": "x"}, "task"),
        ("start", {"job": 1}, "job"),
        ("start", {}, "job"),
        ("start", {"job": ABSENT}, ABSENT),
        ("refuse", {"job": job_id, "code": "Nonsense"}, "code"),
        ("make", {"queue": "queue-1"}, "queue"),
        ("fail", {"job": job_id, "attempts": 0}, "attempts"),
    ):
        with pytest.raises(ValueError, match=named):
            callsheet_sandbox.act("deadline", action, **words)
    with pytest.raises(ValueError, match="ftrack knows no actions"):
        callsheet_sandbox.act("ftrack", "start")
    assert still_farm.status(job_id) == "READY"
