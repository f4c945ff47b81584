"""A queue with a bucket on a small store, for tests that need no Deadline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from callsheet._http._options import HttpOptions
from callsheet._http._retry import Retry
from callsheet._s3 import Bucket
from callsheet.providers.deadline._attachments import Uploads
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline.details import JobAttachmentSettings, StorageProfile

__all__ = ["PROFILES", "QUICK", "Place", "uploads"]

QUICK = HttpOptions(proxy="", retry=Retry(base=0.001, throttled=0.001))

PROFILES: dict[str, StorageProfile] = {}
"""Storage profiles by their path."""


async def get(path: str, kind: type, *, operation: str) -> StorageProfile:
    """Return a storage profile."""
    assert (kind, operation) == (StorageProfile, "GetStorageProfileForQueue")
    return PROFILES[path]


SERVER: Any = SimpleNamespace(farm="farm-1", queue="queue-1", path=lambda *parts: "/".join(parts), get=get)


class Place(Storage):
    """The bucket that it is given, with the prefix `root`."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(SERVER)
        self._bucket = bucket

    async def exists(self) -> bool:
        return True

    async def settings(self) -> JobAttachmentSettings:
        return JobAttachmentSettings(s3_bucket_name="bucket", root_prefix="root")


def uploads(bucket: Bucket, cache: HashCache) -> Uploads:
    """Return what puts files into the bucket."""
    return Uploads(SERVER, Place(bucket), cache)
