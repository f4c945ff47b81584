"""An S3 server for many tests: it takes a second to start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from callsheet.sandbox import Sandbox

__all__ = ["BUCKET", "get_object", "s3_server"]

BUCKET = "callsheet-sandbox"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run the server beside a sandbox; yield its URL, which `Sandbox(s3=...)` takes."""
    with Sandbox() as sandbox:
        url = sandbox.environment["AWS_ENDPOINT_URL_S3"]
        httpx.get(url, verify=False, timeout=60)  # it starts when it is first connected to
        yield url


def get_object(url: str, key: str, bucket: str = BUCKET) -> httpx.Response:
    """Return an object; moto wants to be asked by somebody, whoever it is."""
    words = (
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=0"
    )
    path = httpx.URL(f"{url}/{bucket}").join(f"/{bucket}/{key}")
    return httpx.get(path, headers={"Authorization": words}, verify=False, timeout=60)
