"""A queue with a bucket on a small store, for tests that need no Deadline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from callsheet._http._options import HttpOptions
from callsheet._http._retry import Retry
from callsheet._s3 import Bucket
from callsheet.providers.deadline._attachments import Attachments
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline.details import JobAttachmentSettings

__all__ = ["QUICK", "Place", "attachments"]

QUICK = HttpOptions(proxy="", retry=Retry(base=0.001, throttled=0.001))

SERVER: Any = SimpleNamespace(farm="farm-1", queue="queue-1")


class Place(Storage):
    """The bucket that it is given, with the prefix `root`."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(SERVER)
        self._bucket = bucket

    async def settings(self) -> JobAttachmentSettings:
        return JobAttachmentSettings(s3_bucket_name="bucket", root_prefix="root")


def attachments(bucket: Bucket, cache: HashCache) -> Attachments:
    """Return what puts files into the bucket."""
    return Attachments(SERVER, Place(bucket), cache)
