"""Manifests of job attachments, version 2023-03-03: which file is where below a root, and by which content.

https://github.com/aws-deadline/deadline-cloud/blob/mainline/docs/design/job-attachments-manifests.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from xxhash import xxh3_128_hexdigest

from callsheet._errors import IntegrityError, InvalidResponse

__all__ = ["Entry", "hash_of", "manifest_name", "read_manifest", "write_manifest"]

VERSION = "2023-03-03"
ALGORITHM = "xxh128"

_TIMES = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Microseconds since 1970 that are a time: those of the years 1 to 9999."""

_HASH = re.compile(r"[a-zA-Z0-9]{1,128}")
_DRIVE = re.compile(r"[a-zA-Z]:")


class Entry(NamedTuple):
    """One file of a manifest.

    Attributes:
        path: Below the root, with `/` between its parts on every system.
        hash: The content's xxh128, in hex.
        size: In bytes.
        mtime: When it was last changed, in microseconds since 1970.
    """

    path: str
    hash: str
    size: int
    mtime: int


def hash_of(data: bytes) -> str:
    """Return the hash that names a content, and that a manifest is checked by."""
    return xxh3_128_hexdigest(data)


def manifest_name(root: str, kind: str = "input", *, location: str | None = None) -> str:
    """Return the last part of the key of a root's manifest.

    Args:
        root: The root's path.
        kind: `"input"` or `"output"`.
        location: The name of the root's file system location, which counts for outputs only.
    """
    named = f"{location or ''}{root}" if kind == "output" else root
    return f"{hash_of(named.encode(errors='surrogatepass'))}_{kind}"


def write_manifest(entries: Iterable[Entry]) -> bytes:
    """Return the manifest of the files, the same bytes for the same files in any order."""
    # The order of UTF-16 code units, as RFC 8785 has it for the names of an object.
    ordered = sorted(entries, key=lambda entry: entry.path.encode("utf-16-be", "surrogatepass"))
    document = {
        "hashAlg": ALGORITHM,
        "manifestVersion": VERSION,
        "paths": [
            {"hash": entry.hash, "mtime": entry.mtime, "path": entry.path, "size": entry.size}
            for entry in ordered
        ],
        "totalSize": sum(entry.size for entry in ordered),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read_manifest(data: bytes, name: str) -> list[Entry]:
    """Return the files of a manifest, in its order.

    Raises:
        IntegrityError: A path would lead out of its root.
        InvalidResponse: It is no manifest, or of a version that is not known here.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _wrong(name, f"is no JSON ({exc})") from None
    if not isinstance(document, dict):
        raise _wrong(name, "is no object")
    if document.get("manifestVersion") != VERSION or document.get("hashAlg") != ALGORITHM:
        raise _wrong(
            name,
            f"has version {document.get('manifestVersion')!r} with {document.get('hashAlg')!r},"
            f" where only {VERSION} with {ALGORITHM} is known",
            "$.manifestVersion",
        )
    paths = document.get("paths")
    if not isinstance(paths, list):
        raise _wrong(name, "has no paths", "$.paths")
    return [_entry(name, index, found) for index, found in enumerate(paths)]


def _entry(name: str, index: int, found: Any) -> Entry:
    try:
        path, hash_, size, mtime = found["path"], found["hash"], found["size"], found["mtime"]
    except (TypeError, KeyError) as exc:
        raise _wrong(name, f"has a file without {exc}", f"$.paths[{index}]") from None
    for value, kind, word in (
        (path, str, "path"),
        (hash_, str, "hash"),
        (size, int, "size"),
        (mtime, int, "mtime"),
    ):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _wrong(name, f"has {value!r} for a {word}", f"$.paths[{index}].{word}")
    if size < 0:
        raise _wrong(name, f"has {size} for a size", f"$.paths[{index}].size")
    if mtime not in _TIMES:
        raise _wrong(name, f"has {mtime} for an mtime", f"$.paths[{index}].mtime")
    if not _HASH.fullmatch(hash_):
        raise _wrong(name, f"has {hash_!r} for a hash", f"$.paths[{index}].hash")
    if leads_away(path):
        raise IntegrityError(f"manifest {name}: the path {path!r} leads out of its root")
    return Entry(path, hash_, size, mtime)


def leads_away(path: str) -> bool:
    """Tell whether the path of a manifest might name something that is not below its root."""
    parts = path.replace("\\", "/").split("/")
    return "\0" in path or _DRIVE.match(path) is not None or bool({"", ".", ".."} & set(parts))


def _wrong(name: str, why: str, path: str = "$") -> InvalidResponse:
    return InvalidResponse(f"manifest {name} {why}", path=path, provider="deadline")
