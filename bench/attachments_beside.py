"""AWS's own library of job attachments, and boto3, doing what is measured; run where those are installed.

    python -m bench.attachments_beside CLIENT WORK FOLDER URL

Prints wall time and CPU in seconds, and how much the highest memory grew in MB, as JSON.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.meter import Meter

__all__: list[str] = []

KEYS = {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox-secret", "AWS_REGION": "us-west-2"}


def library(work: str, folder: Path, url: str) -> str:
    """Hash the files with AWS's library, and upload them unless only that is measured."""
    upload = importlib.import_module("deadline.job_attachments.upload")
    models = importlib.import_module("deadline.job_attachments.models")
    boto3 = importlib.import_module("boto3")
    settings = models.JobAttachmentS3Settings(s3BucketName="bucket", rootPrefix="root")
    manager = upload.S3AssetManager("farm-1", "queue-1", settings, session=boto3.Session())
    files = [str(path) for path in folder.iterdir()]
    with tempfile.TemporaryDirectory() as cache:
        meter = Meter()
        groups = manager.prepare_paths_for_upload(files, [], [])
        _, manifests = manager.hash_assets_and_create_manifest(
            groups.asset_groups, groups.total_input_files, groups.total_input_bytes, cache
        )
        if work == "hashing":
            for manifest in manifests:
                manifest.asset_manifest.encode()
        else:
            manager.upload_assets(manifests, s3_check_cache_dir=cache)
        return meter.stop()


def boto3(work: str, folder: Path, url: str) -> str:
    """Upload the files with boto3's own transfers; it knows no hashes."""
    client: Any = importlib.import_module("boto3").client("s3")
    transfer: Any = importlib.import_module("boto3.s3.transfer")
    meter = Meter()
    with transfer.create_transfer_manager(client, transfer.TransferConfig()) as manager:
        for future in [manager.upload(str(path), "bucket", path.name) for path in folder.iterdir()]:
            future.result()
    return meter.stop()


if __name__ == "__main__":
    name, what, where, url = sys.argv[1:]
    os.environ.update(KEYS, AWS_ENDPOINT_URL=url, AWS_EC2_METADATA_DISABLED="true")
    print({"library": library, "boto3": boto3}[name](what, Path(where), url))
