"""The Deadline Cloud sandbox answers whatever it is asked, in words that the service knows."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import httpx
import pytest

from callsheet.sandbox import Sandbox
from callsheet.sandbox.deadline._web import OPERATIONS
from support import scale
from support.deadlinecalls import FARM, QUEUE, Farm, Refused, model, shapes, template

ODD: list[Any] = [None, 1, "x", [], {}, True, -5, 3.5, "\ud800", "a" * 3000]
WORDS = ["NAME", "CREATED_AT", "PRIORITY", "TASK_RUN_STATUS", "2026-01-01T00:00:00Z", "1", "x y", "Öß"]
MOMENTS = ["2026-01-01T00:00:00Z", "2026-11-22T16:00:00.123456+02:00", 1_700_000_000, 1.5e9]
STEP = {
    "name": "A",
    "parameterSpace": {"taskParameterDefinitions": [{"name": "F", "type": "INT", "range": "1-3"}]},
}
TEMPLATES = [template(), template(STEP), "{", "steps: [1]", template(name="{{Param.X}}", jobEnvironments=5)]


USUAL = {"ResourceNotFoundException", "ValidationException"}


class Asker:
    """Makes up what an operation is given: mostly what its description allows."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.known: dict[str, list[str]] = {
            "FarmId": [FARM],
            "QueueId": [QUEUE, QUEUE, f"queue-{2:032x}"],
            "JobTemplate": TEMPLATES,
            "S3BucketName": ["callsheet-sandbox"],
            "StorageProfileId": [f"sp-{1:032x}", f"sp-{9:032x}"],
            "IdentityCenterPrincipalId": ["0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"],
        }

    def learn(self, farm: Farm) -> None:
        """Look which ids there are."""
        jobs = [job["jobId"] for job in farm.call("ListJobs")["jobs"]]
        one = self.chance.choice(jobs)
        steps = farm.call("ListSteps", jobId=one)["steps"]
        sessions = farm.call("ListSessions", jobId=one)["sessions"]
        self.known["JobId"] = [*jobs, *[one] * len(jobs)]
        if steps:
            self.known["StepId"] = [step["stepId"] for step in steps]
            tasks = farm.call("ListTasks", jobId=one, stepId=steps[0]["stepId"])["tasks"]
            self.known["TaskId"] = [task["taskId"] for task in tasks]
        if sessions:
            self.known["SessionId"] = [session["sessionId"] for session in sessions]

    def make(self, name: str, depth: int = 0) -> Any:
        """Return a value of a shape, or something quite different."""
        shape = shapes()[name]
        if depth and self.chance.random() < 0.01:
            return self.chance.choice(ODD)
        if name in self.known or "enum" in shape:
            return self.chance.choice(self.known.get(name) or shape["enum"])
        made = getattr(self, f"_{shape['type']}", None)
        return made(shape, depth) if made else self._number(shape)

    def _structure(self, shape: Any, depth: int) -> Any:
        members = shape["members"]
        if shape.get("union"):
            wanted = [self.chance.choice(list(members))]
        else:
            often = 0.5 if depth < 4 else 0.1
            required = shape.get("required", ())
            wanted = [each for each in members if each in required or self.chance.random() < often]
        return {each: self.make(members[each]["shape"], depth + 1) for each in wanted}

    def _list(self, shape: Any, depth: int) -> Any:
        number = self.chance.randint(shape.get("min", 0), min(shape.get("max", 3), 3))
        return [self.make(shape["member"]["shape"], depth + 1) for _ in range(number)]

    def _map(self, shape: Any, depth: int) -> Any:
        return {each: self.make(shape["value"]["shape"], depth + 1) for each in self.chance.sample("ABC", 2)}

    def _string(self, shape: Any, depth: int) -> Any:
        return self.chance.choice(WORDS)

    def _timestamp(self, shape: Any, depth: int) -> Any:
        return self.chance.choice(MOMENTS)

    def _number(self, shape: Any) -> int:
        return self.chance.randint(shape.get("min", 0), min(shape.get("max", 100), 200))


@pytest.mark.parametrize("seed", range(scale(1, 20)))
def test_anything_is_answered(callsheet_sandbox: Sandbox, still_farm: Farm, seed: int) -> None:
    """Each request is done, or refused by an error with a code, while jobs go on; nothing fails by itself."""
    callsheet_sandbox.configure("deadline", workers=2)
    for text in TEMPLATES:
        still_farm.job(template=text)
    asker, codes = Asker(seed), Counter[str]()
    operations = sorted(set(OPERATIONS) - {"CopyJobTemplate"})  # which needs S3
    for number in range(240):
        if number % 40 == 0:
            callsheet_sandbox.clock.advance(3)
            asker.learn(still_farm)
        name = asker.chance.choice(operations)
        shape = model().operation_model(name).input_shape
        words = asker.make(shape.name) if shape else {}
        try:
            answer = still_farm.send(name, **words)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # botocore cannot write that down
        codes[told(still_farm, name, answer)] += 1
    assert {"", *USUAL} <= set(codes) <= {"", *USUAL, "ConflictException"}


def told(farm: Farm, name: str, answer: httpx.Response) -> str:
    """Return the code of an error, or nothing."""
    try:
        farm.read(name, answer)
    except Refused as error:
        return error.code
    return ""
