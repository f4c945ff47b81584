"""AWS's own library of job attachments, asked what it would write, and shown what callsheet has written.

python attachments_beside.py FOLDER QUESTIONS

QUESTIONS is a JSON file with a `manifest`, and `cases` of paths to group. The last line of output is JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from deadline.job_attachments.asset_manifests.decode import decode_manifest
from deadline.job_attachments.caches import HashCache
from deadline.job_attachments.upload import S3AssetManager, S3AssetUploader


def manager() -> S3AssetManager:
    """Return the library's manager, which needs no account for what is done here."""
    # An uploader that is made in full looks for credentials.
    uploader = S3AssetUploader.__new__(S3AssetUploader)
    return S3AssetManager(farm_id="farm", queue_id="queue", asset_uploader=uploader)


def written(folder: Path) -> list[dict[str, str]]:
    """Return root and manifest of each group of the files below the folder, as the library writes them."""
    files = [str(path) for path in folder.rglob("*") if path.is_file()]
    groups = manager().prepare_paths_for_upload(files, [], []).asset_groups
    with tempfile.TemporaryDirectory() as cache, HashCache(cache) as hashes:
        return [
            {
                "root": group.root_path,
                "manifest": manager()
                ._create_manifest_file(sorted(group.inputs), group.root_path, hashes)
                .encode(),
            }
            for group in groups
        ]


def grouped(case: dict[str, Any]) -> list[list[object]]:
    """Return the groups of the paths, as the library makes them."""
    groups = manager()._get_asset_groups(
        set(case["inputs"]),
        set(case["outputs"]),
        set(case["references"]),
        dict(case["local"]),
        dict.fromkeys(case["shared"], "shared"),
    )
    return [
        [
            group.root_path,
            group.file_system_location_name,
            sorted(map(str, group.inputs)),
            sorted(map(str, group.outputs)),
        ]
        for group in groups
    ]


given = json.loads(Path(sys.argv[2]).read_text())
print(
    json.dumps(
        {
            "written": written(Path(sys.argv[1])),
            "read": decode_manifest(given["manifest"]).encode(),
            "groups": [grouped(case) for case in given["cases"]],
        }
    )
)
