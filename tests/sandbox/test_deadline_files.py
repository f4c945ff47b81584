"""Files of jobs in the Deadline Cloud sandbox: what tasks leave in S3, and the server that keeps it."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import xxhash

from callsheet.sandbox import Sandbox
from support.deadlinecalls import FARM, QUEUE, Farm, template
from support.leaks import held
from support.s3beside import BUCKET, get_object, s3_server

pytestmark = pytest.mark.timeout(120)  # moto takes a second to load, more on a busy machine

ROOTS: list[dict[str, Any]] = [
    {"rootPath": "/mnt/show", "rootPathFormat": "posix", "outputRelativeDirectories": ["renders", "logs"]},
    {"rootPath": "/mnt/lib", "rootPathFormat": "posix"},
    {
        "rootPath": "C:\\Projekte\\Ö",
        "rootPathFormat": "windows",
        "fileSystemLocationName": "Show",
        "outputRelativeDirectories": ["."],
    },
]
FRAMES = {"taskParameterDefinitions": [{"name": "F", "type": "INT", "range": "1-2"}]}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server for the tests of this module."""
    with s3_server() as url:
        yield url


@pytest.fixture
def sandbox(s3: str) -> Iterator[Sandbox]:
    """A sandbox that keeps files there."""
    with Sandbox(s3=s3) as sandbox:
        sandbox.configure("deadline", workers=0, create_seconds=0)
        yield sandbox


@pytest.fixture
def farm(sandbox: Sandbox) -> Iterator[Farm]:
    """Its farm."""
    with httpx.Client(base_url=sandbox.url, verify=False, timeout=60) as http:
        yield Farm(http)


def runs(farm: Farm, job_id: str) -> list[dict[str, Any]]:
    """Return the actions that ran a job's tasks, from the oldest."""
    found = []
    for session in farm.call("ListSessions", jobId=job_id)["sessions"]:
        told = farm.call("ListSessionActions", jobId=job_id, sessionId=session["sessionId"])["sessionActions"]
        found += [action for action in told if "taskRun" in action["definition"]]
    return found


def digest(content: bytes) -> str:
    """Return the name that contents have in S3."""
    return xxhash.xxh3_128_hexdigest(content)


def test_each_task_leaves_a_manifest(sandbox: Sandbox, farm: Farm, s3: str) -> None:
    """A task that ended well names one manifest a root with outputs; it and the files are in S3 by then."""
    frames = template({"name": "Render", "parameterSpace": FRAMES})
    job_id = farm.job(template=frames, attachments={"manifests": ROOTS})
    assert farm.call("GetJob", jobId=job_id)["attachments"] == {"fileSystem": "COPIED", "manifests": ROOTS}
    sandbox.act("deadline", "finish", job=job_id)
    prefix = farm.call("GetQueue")["jobAttachmentSettings"]["rootPrefix"]
    for number, action in enumerate(runs(farm, job_id)):
        task = action["definition"]["taskRun"]
        first, none, third = action["manifests"]
        assert none == {}
        place = f"{FARM}/{QUEUE}/{job_id}/{task['stepId']}/{task['taskId']}/"
        for told, root, folder, location in (
            (first, ROOTS[0], "renders/", ""),
            (third, ROOTS[2], "", "Show"),
        ):
            path = told["outputManifestPath"]
            name = digest((location + str(root["rootPath"])).encode())
            assert path.startswith(place)
            assert path.endswith(f"Z_{action['sessionActionId']}/{name}_output")
            answer = get_object(s3, f"{prefix}/Manifests/{path}")
            assert digest(answer.content) == told["outputManifestHash"]
            manifest = answer.json()
            content = f"output of {task['taskId']}\n".encode()
            (entry,) = manifest["paths"]
            assert {**entry, "mtime": 0} == {
                "hash": digest(content),
                "mtime": 0,
                "path": f"{folder}Render-{number:04}.txt",
                "size": len(content),
            }
            canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
            assert answer.content == canonical
            assert get_object(s3, f"{prefix}/Data/{entry['hash']}.xxh128").content == content
            metadata = {key: value for key, value in answer.headers.items() if key.startswith("x-amz-meta")}
            if location:
                root_told = json.dumps(root["rootPath"])
                assert metadata == {
                    "x-amz-meta-asset-root-json": root_told,
                    "x-amz-meta-file-system-location-name": "Show",
                }
            else:
                assert metadata == {"x-amz-meta-asset-root": "/mnt/show"}


def test_a_hand_says_what_a_task_makes(sandbox: Sandbox, farm: Farm, s3: str) -> None:
    """The last task makes the files it is told to, sorted as the format wants it; the others none."""
    frames = template({"name": "Render", "parameterSpace": FRAMES})
    job_id = farm.job(template=frames, attachments={"manifests": ROOTS[:1]})
    files = {
        "b": "text",
        "a/\uffff": {"base64": base64.b64encode(b"\x00").decode()},
        "a/\U0001f600": {"size": 70_000},
    }
    sandbox.act("deadline", "finish", job=job_id, files=files)
    first, last = runs(farm, job_id)
    assert "manifests" not in first
    prefix = farm.call("GetQueue")["jobAttachmentSettings"]["rootPrefix"]
    manifest = get_object(s3, f"{prefix}/Manifests/{last['manifests'][0]['outputManifestPath']}").json()
    # In UTF-16, as the format sorts, the surrogates of the emoji come before U+FFFF.
    assert [(each["path"], each["size"]) for each in manifest["paths"]] == [
        ("a/\U0001f600", 70_000),
        ("a/\uffff", 1),
        ("b", 4),
    ]
    assert manifest["totalSize"] == 70_005
    for each in manifest["paths"]:
        content = get_object(s3, f"{prefix}/Data/{each['hash']}.xxh128").content
        assert (len(content), digest(content)) == (each["size"], each["hash"])
    with pytest.raises(ValueError, match="files"):
        sandbox.act("deadline", "finish", job=farm.job(attachments={"manifests": ROOTS}), files={"c": 1})


def test_failed_and_bare_tasks_leave_nothing(sandbox: Sandbox, farm: Farm) -> None:
    """A task that failed, or a job without attachments, has no manifests."""
    failed, bare = farm.job(attachments={"manifests": ROOTS}), farm.job()
    sandbox.act("deadline", "fail", job=failed)
    with pytest.raises(ValueError, match=f"^files: {bare} has no attachments; let a client make it with "):
        sandbox.act("deadline", "finish", job=bare, files={"a.exr": "lost"})
    sandbox.act("deadline", "finish", job=bare)
    assert ["manifests" in action for job_id in (failed, bare) for action in runs(farm, job_id)] == [
        False,
        False,
    ]


def test_templates_are_copied(farm: Farm, s3: str) -> None:
    """A job's template is put where it is asked for, over what was there, and an error of S3 is told."""
    text = template(name="ä")
    job_id = farm.job(template=text)
    for _ in range(2):
        place = {"bucketName": BUCKET, "key": "copies/ä b.json"}
        assert farm.call("CopyJobTemplate", jobId=job_id, targetS3Location=place) == {"templateType": "JSON"}
        assert get_object(s3, "copies/ä b.json").text == text
    nowhere = {"bucketName": "nowhere", "key": "a"}
    code, status, body = farm.refusal("CopyJobTemplate", jobId=job_id, targetS3Location=nowhere)
    assert (code, status) == ("InternalServerErrorException", 500)
    assert "NoSuchBucket" in body["message"]
    assert farm.call("GetJob", jobId=job_id)


def test_a_queue_without_a_bucket_takes_no_files(farm: Farm) -> None:
    """Attachments are refused where there is no place for them."""
    words = {
        "template": template(),
        "templateType": "JSON",
        "priority": 1,
        "attachments": {"manifests": ROOTS},
    }
    assert farm.refusal("CreateJob", **words, queueId=f"queue-{2:032x}")[0] == "ValidationException"


def test_sandboxes_can_share_a_server(farm: Farm, s3: str) -> None:
    """Each keeps its files under a prefix of its own."""
    with Sandbox(s3=s3) as other, httpx.Client(base_url=other.url, verify=False, timeout=60) as http:
        told = [each.call("GetQueue")["jobAttachmentSettings"] for each in (farm, Farm(http))]
        assert other.environment["AWS_ENDPOINT_URL_S3"] == s3
    assert [each["s3BucketName"] for each in told] == [BUCKET] * 2
    assert told[0]["rootPrefix"] != told[1]["rootPrefix"]


def test_the_server_starts_when_it_is_needed(capfd: pytest.CaptureFixture[str]) -> None:
    """No process runs until the first connection; then it has the bucket, and ends with the sandbox."""
    before = held().children
    with Sandbox() as sandbox:
        url = sandbox.environment["AWS_ENDPOINT_URL_S3"]
        assert held().children == before
        assert "<Code>NoSuchKey</Code>" in get_object(url, "a").text
        assert len(held().children - before) == 1
    assert held().children == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=False, timeout=60)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_server_ends_with_its_sandbox(number: signal.Signals) -> None:
    """However the sandbox's process ends, nothing goes on; where it is asked to, it says nothing."""
    command = [sys.executable, "-m", "callsheet.sandbox", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        told = [line.removeprefix("export ").strip() for line in iter(process.stdout.readline, "ready\n")]
        url = dict(each.split("=", 1) for each in told)["AWS_ENDPOINT_URL_S3"]
        assert "<Code>NoSuchKey</Code>" in get_object(url, "a").text
        process.send_signal(number)
        # The server has the same output, so that this also waits for it.
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == (-number if number == signal.SIGKILL else 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=False, timeout=60)


def test_the_next_port_is_for_the_server() -> None:
    """Where the sandbox has a port of its own choice, S3 is on the next one, which must be free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - 1
        with pytest.raises(OSError, match=f"{port}|{port + 1}"), Sandbox(port=port):
            pytest.fail("the block must not begin")
    with on_two_free_ports() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        assert sandbox.environment["AWS_ENDPOINT_URL_S3"] == f"http://127.0.0.1:{port + 1}"


def on_two_free_ports() -> Sandbox:
    """Return a sandbox on a port whose next one is free, too, as far as one can tell."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = one.getsockname()[1]
            with suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return Sandbox(port=port)


def test_it_costs_other_vendors_nothing() -> None:
    """A sandbox that is asked only about other trackers loads nothing of AWS's."""
    code = """
import json, sys, urllib.request
from callsheet.sandbox import Sandbox
with Sandbox(jobs=5) as sandbox:
    operation = json.dumps([{"action": "query", "expression": "select id from Job"}]).encode()
    headers = {"ftrack-user": "sandbox", "ftrack-api-key": "sandbox-key"}
    request = urllib.request.Request(sandbox.environment["FTRACK_SERVER"] + "/api", operation, headers)
    assert len(json.load(urllib.request.urlopen(request))[0]["data"]) == 5
print(sorted({"botocore", "boto3", "moto", "flask", "yaml", "xxhash"} & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
