"""Bare calls to a Deadline Cloud server, each answer held to AWS's own description of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import attrs
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import create_serializer

__all__ = ["FARM", "QUEUE", "Farm", "Refused", "model", "shapes", "sign", "template"]

FARM = f"farm-{1:032x}"
QUEUE = f"queue-{1:032x}"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "double": (int, float),
    "float": (int, float),
    "timestamp": (str,),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.code = answer.headers["x-amzn-errortype"]
        self.body = answer.json()
        super().__init__(self.code, self.body)


@attrs.frozen
class Farm:
    """Calls one server with one key.

    Attributes:
        key: Access key, secret, and perhaps a session token.
    """

    http: httpx.Client
    key: tuple[str, ...] = ("sandbox", "sandbox-secret")

    def send(self, operation: str, **parameters: Any) -> httpx.Response:
        """Send an operation; the farm and the queue are the sandbox's if none are named."""
        shape = model().operation_model(operation)
        wanted = shape.input_shape.members if shape.input_shape else {}
        for name, value in (("farmId", FARM), ("queueId", QUEUE), ("queueIds", [QUEUE])):
            if name in wanted and wanted[name].serialization.get("location") in {"uri", None}:
                parameters.setdefault(name, value)
        words = _serializer().serialize_to_request(parameters, shape)
        url = words["url_path"]
        if words["query_string"]:
            pairs = words["query_string"].items()
            many = [(key, each) for key, value in pairs for each in _listed(value)]
            url += "?" + "&".join(f"{key}={quote(str(value), safe='-_.~')}" for key, value in many)
        return self.ask(words["method"], url, words["body"] or b"", words["headers"])

    def ask(self, method: str, url: str, body: bytes = b"", headers: Any = None) -> httpx.Response:
        """Send a signed request."""
        headers = sign(self.key, method, str(self.http.base_url.join(url)), body, headers)
        return self.http.request(method, url, content=body or None, headers=headers)

    def call(self, operation: str, **parameters: Any) -> Any:
        """Send an operation and return its answer, which must be one that the service could give.

        Raises:
            Refused: The service refused.
        """
        return self.read(operation, self.send(operation, **parameters))

    def read(self, operation: str, answer: httpx.Response) -> Any:
        """Return what an operation was answered, as `call` does."""
        if answer.status_code >= 400:
            raise Refused(answer)
        shape = model().operation_model(operation)
        assert answer.status_code == shape.http["responseCode"]
        told = answer.json() if answer.content else {}
        assert list(flaws(shape.output_shape.name, told, operation)) == []
        return told

    def job(self, **parameters: Any) -> str:
        """Make a job of one task; return its id."""
        words = {"template": template(), "templateType": "JSON", "priority": 50, **parameters}
        job_id: str = self.call("CreateJob", **words)["jobId"]
        return job_id

    def status(self, job_id: str) -> str:
        """Return how a job's tasks are."""
        status: str = self.call("GetJob", jobId=job_id)["taskRunStatus"]
        return status

    def refusal(self, operation: str, **parameters: Any) -> tuple[str, int, Any]:
        """Return code, status and body of the error that an operation meets, one that the service knows."""
        answer = self.send(operation, **parameters)
        assert answer.status_code >= 400, answer.text
        told = Refused(answer)
        if told.code in {shape.name for shape in model().operation_model(operation).error_shapes}:
            assert list(flaws(told.code, told.body, told.code)) == []
        return told.code, told.status, told.body


def template(*steps: dict[str, Any], name: str = "job", **more: Any) -> str:
    """Return a template, of one step with one task if no steps are named."""
    script = {"actions": {"onRun": {"command": "true"}}}
    whole = [{"script": script, **step} for step in steps or ({"name": "Step"},)]
    return json.dumps({"specificationVersion": "jobtemplate-2023-09", "name": name, "steps": whole, **more})


def sign(
    key: tuple[str, ...], method: str, url: str, body: bytes, headers: Any = None, service: str = "deadline"
) -> dict[str, str]:
    """Return a request's headers with a signature among them."""
    request = AWSRequest(method, url, headers, body)
    SigV4Auth(Credentials(*key), service, "us-west-2").add_auth(request)
    return dict(request.headers)


def flaws(name: str, value: Any, path: str) -> Iterator[str]:
    """Yield what an answer has, or lacks, that AWS's description of its shape does not allow."""
    shape = shapes()[name]
    if not _fits(shape["type"], value):
        yield f"{path}: {value!r} is no {shape['type']}"
    elif shape["type"] == "structure":
        yield from _flaws_of_structure(shape, value, path)
    elif shape["type"] == "list":
        for index, each in enumerate(value):
            yield from flaws(shape["member"]["shape"], each, f"{path}[{index}]")
    elif shape["type"] == "map":
        for key, each in value.items():
            yield from flaws(shape["key"]["shape"], key, f"{path} key")
            yield from flaws(shape["value"]["shape"], each, f"{path}.{key}")
    else:
        yield from _flaws_of_scalar(shape, value, path)


def _fits(kind: str, value: Any) -> bool:
    return isinstance(value, TYPES[kind]) and not isinstance(value, bool)


def _flaws_of_structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    if shape.get("document"):
        return
    if missing := set(shape.get("required", ())) - set(value):
        yield f"{path}: {sorted(missing)} missing"
    if shape.get("union") and len(value) != 1:
        yield f"{path}: {sorted(value)} is not one tag"
    for name, each in value.items():
        if name not in shape["members"]:
            yield f"{path}.{name}: unknown"
        else:
            yield from flaws(shape["members"][name]["shape"], each, f"{path}.{name}")


def _flaws_of_scalar(shape: Any, value: Any, path: str) -> Iterator[str]:
    if "enum" in shape and value not in shape["enum"]:
        yield f"{path}: {value!r} is not among {shape['enum']}"
    if shape["type"] == "timestamp" and not MOMENT.fullmatch(value):
        yield f"{path}: {value!r} has another form than the service's"
    if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
        yield f"{path}: {value!r} is not {shape['pattern']}"
    size = len(value) if isinstance(value, str) else value
    if not shape.get("min", size) <= size <= shape.get("max", size):
        yield f"{path}: {value!r} is too large or too small"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def model() -> ServiceModel:
    """Return AWS's description of the service."""
    return ServiceModel(_document())


@cache
def _document() -> Any:
    return Loader().load_service_model("deadline", "service-2")


def shapes() -> Any:
    """Return AWS's description of all that operations take and answer, by name."""
    return _document()["shapes"]


@cache
def _serializer() -> Any:
    return create_serializer("rest-json", include_validation=False)
