"""What AWS's own clients, boto3 and the `deadline` command, do against a server; run where those are.

Takes a scenario's name, and prints what it saw as JSON. Server and credentials come from the environment.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

FARM = f"farm-{1:032x}"
QUEUE = f"queue-{1:032x}"
PLACE = {"farmId": FARM, "queueId": QUEUE}
OF = ("--farm-id", FARM, "--queue-id", QUEUE)

STEP = {"name": "Render", "script": {"actions": {"onRun": {"command": "render"}}}}
TEMPLATE = {
    "specificationVersion": "jobtemplate-2023-09",
    "name": "{{Param.Shot}} render",
    "parameterDefinitions": [{"name": "Shot", "type": "STRING", "default": "sh010"}],
    "steps": [
        {
            **STEP,
            "parameterSpace": {"taskParameterDefinitions": [{"name": "F", "type": "INT", "range": "1-2"}]},
        }
    ],
}
SPEC: dict[str, Any] = {"template": json.dumps(TEMPLATE), "templateType": "JSON", "priority": 50}
OFTEN = {"Delay": 1, "MaxAttempts": 30}


def jobs() -> Any:
    """Make a job, read it, change it, find it, list it in pages, end it."""
    deadline = boto3.client("deadline")
    job_id = deadline.create_job(**PLACE, **SPEC, parameters={"Shot": {"string": "sh020"}})["jobId"]
    others = [deadline.create_job(**PLACE, **SPEC)["jobId"] for _ in range(4)]
    job = {**PLACE, "jobId": job_id}
    deadline.get_waiter("job_create_complete").wait(**job, WaiterConfig=OFTEN)
    told = {"name": deadline.get_job(**job)["name"]}
    deadline.update_job(**job, priority=80, name="urgent")
    deadline.update_job(**job, targetTaskRunStatus="SUSPENDED")
    seen = deadline.get_job(**job)
    told["changed"] = [seen["name"], seen["priority"], seen["lifecycleStatus"], seen["taskRunStatus"]]
    pages = deadline.get_paginator("list_jobs").paginate(**PLACE, PaginationConfig={"PageSize": 2})
    told["pages"] = [len(page["jobs"]) for page in pages]
    name = {"stringFilter": {"name": "NAME", "operator": "EQUAL", "value": "urgent"}}
    filters = {"filters": [name], "operator": "AND"}
    found = deadline.search_jobs(farmId=FARM, queueIds=[QUEUE], itemOffset=0, filterExpressions=filters)
    told["found"] = [found["totalResults"], [each["jobId"] == job_id for each in found["jobs"]]]
    both = deadline.batch_get_job(identifiers=[job, {**job, "jobId": f"job-{0:032x}"}])
    told["batch"] = [len(both["jobs"]), [each["code"] for each in both["errors"]]]
    for each in others:
        deadline.update_job(**PLACE, jobId=each, targetTaskRunStatus="CANCELED")
        deadline.get_waiter("job_complete").wait(**PLACE, jobId=each, WaiterConfig=OFTEN)
    try:
        deadline.get_waiter("job_succeeded").wait(**PLACE, jobId=others[0], WaiterConfig=OFTEN)
    except WaiterError as error:
        told["waited"] = error.last_response["taskRunStatus"]
    return told


def errors() -> Any:
    """Be refused: for a wrong secret, a wrong value, a job that is not there, a token that is used."""
    deadline = boto3.client("deadline")
    wrong = boto3.client("deadline", aws_access_key_id="sandbox", aws_secret_access_key="wrong")
    asked: dict[str, Callable[[], Any]] = {
        "secret": wrong.list_farms,
        "value": lambda: deadline.create_job(**PLACE, **{**SPEC, "priority": 101}),
        "absent": lambda: deadline.get_job(**PLACE, jobId=f"job-{0:032x}"),
        "first": lambda: deadline.create_job(**PLACE, **SPEC, clientToken="token"),
        "again": lambda: deadline.create_job(**PLACE, **SPEC, clientToken="token"),
        "other": lambda: deadline.create_job(**PLACE, **{**SPEC, "priority": 1}, clientToken="token"),
    }
    told: dict[str, Any] = {}
    for name, ask in asked.items():
        try:
            told[name] = ask().get("jobId")
        except ClientError as error:
            told[name] = [
                error.response["Error"]["Code"],
                error.response["ResponseMetadata"]["HTTPStatusCode"],
            ]
    told["again"] = told.pop("first") == told["again"]
    return told


def bundle() -> Any:
    """Submit a bundle with files by the command, wait for it, look at it, and download what it made."""
    with tempfile.TemporaryDirectory() as home:
        show = Path(home, "show")
        submitted = submit(Path(home), show)
        command("job", "wait", "--job-id", submitted)
        command("job", "download-output", "--job-id", submitted, "--yes")
        command("job", "trace-schedule", "--job-id", submitted)
        files = {
            str(path.relative_to(show)): path.stat().st_size for path in show.rglob("*") if path.is_file()
        }
        (show / "scene.ma").unlink()
        command("job", "download-input", "--job-id", submitted, "--yes")
        return {
            "listed": submitted in command("job", "list"),
            "files": files,
            "scene": (show / "scene.ma").read_text(),
        }


def cancel() -> Any:
    """Submit a bundle and cancel it; waiting for it tells so by its exit code."""
    with tempfile.TemporaryDirectory() as home:
        submitted = submit(Path(home), Path(home, "show"))
        command("job", "cancel", "--job-id", submitted, "--yes")
        waited = json.loads(command("job", "wait", "--job-id", submitted, code=3))
        command("job", "requeue-tasks", "--job-id", submitted, "--yes")
        status = boto3.client("deadline").get_job(**PLACE, jobId=submitted)["taskRunStatus"]
        return {"waited": waited["status"], "requeued": status}


def around() -> Any:
    """Look at farm, queue and job by the command, get credentials, and bring home all that is new."""
    with tempfile.TemporaryDirectory() as home:
        show = Path(home, "show")
        submitted = submit(Path(home), show)
        command("job", "wait", "--job-id", submitted)
        state = str(Path(home, "state"))
        Path(state).mkdir()
        since = ("--bootstrap-lookback-minutes", "10", "--checkpoint-dir", state)
        command("queue", "sync-output", "--ignore-storage-profiles", *since)
        credentials = json.loads(command("queue", "export-credentials"))
        return {
            "farm": [FARM in command("farm", "list", of=()), "Sandbox" in command("farm", "get", of=OF[:2])],
            "queue": [QUEUE in command("queue", "list", of=OF[:2]), "Shows" in command("queue", "get")],
            "job": [
                submitted in command("job", "get", *words) for words in (("--job-id", submitted), ("h010",))
            ],
            "absent": "does not exist" in command("job", "get", "--job-id", f"job-{0:032x}", code=1),
            "access": json.loads(command("auth", "status", of=()))["status"],
            "credentials": sorted(credentials),
            "outputs": sorted(path.name for path in (show / "renders").iterdir()),
        }


def submit(home: Path, show: Path) -> str:
    """Submit a bundle with two input files and an output folder."""
    (show / "tex").mkdir(parents=True)
    (show / "scene.ma").write_text("scene")
    (show / "tex" / "a.tx").write_bytes(bytes(1000))
    inputs = {"filenames": [str(show / "scene.ma"), str(show / "tex" / "a.tx")], "directories": []}
    references = {"inputs": inputs, "outputs": {"directories": [str(show / "renders")]}}
    folder = home / "bundle"
    folder.mkdir()
    (folder / "template.json").write_text(json.dumps(TEMPLATE))
    (folder / "asset_references.json").write_text(json.dumps({"assetReferences": references}))
    told = command("bundle", "submit", str(folder), "--yes", "--known-asset-path", str(show))
    found = re.search(r"job-[0-9a-f]{32}", told)
    assert found, told
    return found[0]


def command(*words: str, of: tuple[str, ...] = OF, code: int = 0) -> str:
    """Run the `deadline` command in this process, as starting it takes longer than what it does."""
    answer = CliRunner().invoke(main, [*words, *of])
    assert answer.exit_code == code, (words, answer.exit_code, answer.output, answer.exception)
    return answer.output


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as settings:
        # Read when it is imported.
        os.environ |= {"HOME": settings, "DEADLINE_CONFIG_FILE_PATH": f"{settings}/config"}
        from click.testing import CliRunner
        from deadline.client.cli import main

        print(json.dumps(globals()[sys.argv[1]]()))
