"""Where a queue keeps the files of its jobs: a bucket, and a prefix in it."""

from __future__ import annotations

import re

import anyio

from callsheet._errors import InvalidRequest
from callsheet._models import Location
from callsheet._s3 import Bucket
from callsheet._signing import Signer
from callsheet.providers.deadline._server import Server
from callsheet.providers.deadline.details import JobAttachmentSettings

__all__ = ["Storage", "data_key"]

_ACCOUNT = re.compile(r"arn:[\w-]+:iam::(\d{12}):role/")


class Storage:
    """The bucket and prefix of one queue, reached with the queue's own role.

    Nothing is asked for before it is needed: who makes jobs without files needs no rights to the bucket.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._bucket: Bucket | None = None
        self.open()

    def open(self) -> None:
        """Get ready, on the event loop that is current from now on."""
        self._opening = anyio.Lock(fast_acquire=True)

    async def settings(self) -> JobAttachmentSettings:
        """Return the name of the bucket, and the prefix.

        Raises:
            InvalidRequest: The queue keeps no files.
        """
        found = (await self._server.settings()).job_attachment_settings
        if found is None or not found.s3_bucket_name:
            raise InvalidRequest(
                f"files: the queue {self._server.queue} keeps none: it has no job attachments bucket",
                provider="deadline",
            )
        return found

    async def exists(self) -> bool:
        """Tell whether the queue keeps files."""
        found = (await self._server.settings()).job_attachment_settings
        return found is not None and bool(found.s3_bucket_name)

    async def bucket(self) -> Bucket:
        """Return the bucket, open.

        Raises:
            InvalidRequest: The queue keeps no files.
            ConfigError: The endpoint of S3 is unusable.
        """
        async with self._opening:
            if self._bucket is None:
                self._bucket = await self._opened()
        return self._bucket

    async def aclose(self) -> None:
        """Close it, if it was opened; it may be used again."""
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            await bucket.aclose()

    async def location(self) -> Location:
        """Return the bucket and prefix as the place where files live."""
        settings = await self.settings()
        name, prefix = settings.s3_bucket_name, settings.root_prefix
        return Location(
            id=f"{name}/{prefix}",
            name=name,
            kind="bucket",
            raw={"s3BucketName": name, "rootPrefix": prefix},
            reader=_read_settings,
        )

    async def data_key(self, hash_: str) -> str:
        """Return the key of a content."""
        return data_key(await self.settings(), hash_)

    async def manifest_key(self, path: str) -> str:
        """Return the key of a manifest, from the path that jobs and actions give."""
        return f"{(await self.settings()).root_prefix}/Manifests/{path}"

    async def _opened(self) -> Bucket:
        server = self._server
        name = (await self.settings()).s3_bucket_name
        account = _ACCOUNT.match((await server.settings()).role_arn or "")
        bucket = Bucket(
            await server.aws.endpoint("s3", Bucket=name),
            provider="deadline",
            signer=Signer(server.role(), service="s3", region=server.region),
            options=server.options,
            owner=account[1] if account else None,
        )
        await bucket.open()
        return bucket


def data_key(settings: JobAttachmentSettings, hash_: str) -> str:
    """Return the key of a content."""
    return f"{settings.root_prefix}/Data/{hash_}.xxh128"


def _read_settings(location: Location) -> JobAttachmentSettings:
    return JobAttachmentSettings(
        s3_bucket_name=location.raw["s3BucketName"], root_prefix=location.raw["rootPrefix"]
    )
