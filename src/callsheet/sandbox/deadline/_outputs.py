"""What finished tasks leave in S3: files under their hashes, and the manifests that name them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from callsheet.sandbox.deadline._documents import Action, Document, Task

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["BUCKET", "Outputs"]

BUCKET = "callsheet-sandbox"
PATIENCE = 30
"""Seconds to wait for the S3 server."""


class Outputs:
    """Makes manifests of the format 2023-03-03, and puts objects into S3 before anybody is told of them."""

    def __init__(self, part: Deadline) -> None:
        self._part = part
        self._pending: list[tuple[str, bytes, dict[str, str]]] = []

    @property
    def pending(self) -> bool:
        """Whether something is still to be put."""
        return bool(self._pending)

    def produce(self, action: Action, task: Task, files: Mapping[str, Any] | None) -> None:
        """Make the outputs of a task that ended well.

        Args:
            action: What ran it.
            task: Which one.
            files: Contents by paths below the job's first root: a text, `{"base64": ...}` or `{"size": n}`.
                None makes one small file in the first output directory of each root.
        """
        roots = (task.step.job.document.get("attachments") or {}).get("manifests", [])
        told = []
        for number, root in enumerate(roots):
            wanted = _usual(root, task) if files is None else (files if number == 0 else {})
            told.append(self._manifest(action, task, root, dict(wanted)) if wanted else {})
        if any(told):
            action.document["manifests"] = told

    def _manifest(self, action: Action, task: Task, root: Document, files: dict[str, Any]) -> Document:
        now = self._part.world.clock.now()
        paths = []
        for path, words in sorted(files.items(), key=lambda item: item[0].encode("utf-16-be")):
            content = _content(words)
            name = _hash(content)
            self.put(f"{self._part.root_prefix}/Data/{name}.xxh128", content)
            mtime = int(now.timestamp() * 1_000_000)
            paths.append({"hash": name, "mtime": mtime, "path": path, "size": len(content)})
        manifest = json.dumps(
            {
                "hashAlg": "xxh128",
                "manifestVersion": "2023-03-03",
                "paths": paths,
                "totalSize": sum(each["size"] for each in paths),
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
        location = root.get("fileSystemLocationName", "")
        job = task.step.job
        key = "/".join(
            (
                *(job.queue.farm.id, job.queue.id, job.id, task.step.id, task.id),
                f"{now:%Y-%m-%dT%H:%M:%S.%f}Z_{action.document['sessionActionId']}",
                f"{_hash((location + root['rootPath']).encode())}_output",
            )
        )
        self.put(f"{self._part.root_prefix}/Manifests/{key}", manifest, _metadata(root["rootPath"], location))
        return {"outputManifestPath": key, "outputManifestHash": _hash(manifest)}

    def put(
        self, key: str, content: bytes, metadata: Mapping[str, str] | None = None, bucket: str = BUCKET
    ) -> None:
        """Note an object that `flush` will put."""
        headers = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
        self._pending.append((quote(f"/{bucket}/{key}"), content, headers))

    def flush(self) -> None:
        """Put what was noted; blocks.

        Raises:
            OSError: The S3 server refuses, or is not there.
        """
        while self._pending:
            path, content, metadata = self._pending.pop(0)
            headers = self._signed(path, content, metadata)
            connection = http.client.HTTPConnection(urlsplit(self._part.s3).netloc, timeout=PATIENCE)
            try:
                connection.request("PUT", path, content, headers)
                answer = connection.getresponse()
                told = answer.read()
            finally:
                connection.close()
            if answer.status != 200:
                raise OSError(f"PUT {path}: {answer.status} {told.decode(errors='replace')}")

    def _signed(self, path: str, content: bytes, headers: dict[str, str]) -> dict[str, str]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("PUT", self._part.s3 + path, headers, content)
        S3SigV4Auth(Credentials(*self._part.keys), "s3", self._part.region).add_auth(request)
        return dict(request.headers)


def _usual(root: Document, task: Task) -> dict[str, Any]:
    """Return what a task makes that was not told what to make."""
    folders = root.get("outputRelativeDirectories") or []
    if not folders:
        return {}
    number = int(task.id.rpartition("-")[2])
    folder = folders[0].replace("\\", "/").strip("/")
    name = f"{task.step.document['name']}-{number:04}.txt"
    return {name if folder in {"", "."} else f"{folder}/{name}": f"output of {task.id}\n"}


def _content(words: Any) -> bytes:
    if isinstance(words, str):
        return words.encode()
    if isinstance(words, Mapping) and isinstance(words.get("base64"), str):
        return base64.b64decode(words["base64"], validate=True)
    if isinstance(words, Mapping) and isinstance(words.get("size"), int):
        return b"".join(_noise(words["size"]))
    raise ValueError(f"files: {words!r} is neither a text, nor {{base64}}, nor {{size}}")


def _noise(size: int) -> Iterator[bytes]:
    """Yield so many bytes, the same ones each time, that do not repeat within 1 MiB."""
    piece = hashlib.shake_128(str(size).encode()).digest(min(size, 1024 * 1024))
    for start in range(0, size, len(piece) or 1):
        yield piece[: size - start]


def _hash(content: bytes) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(content)


def _metadata(root: str, location: str) -> dict[str, str]:
    metadata = {"asset-root": root} if root.isascii() else {"asset-root-json": json.dumps(root)}
    return metadata | ({"file-system-location-name": location} if location else {})
