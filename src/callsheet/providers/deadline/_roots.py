"""Roots of job attachments: files and folders that travel together, one manifest for each.

Grouped as AWS's own library does it (`job_attachments/upload.py`, `_get_asset_groups`), so that paths are
mapped on the workers in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from callsheet._errors import InvalidRequest
from callsheet.providers.deadline.details import FileSystemLocation

__all__ = ["FORMAT", "Places", "Root", "below", "is_below_any", "roots_of"]

MAX_ROOTS = 10
MAX_OUTPUTS = 100

FORMAT = "windows" if os.name == "nt" else "posix"
"""How this machine writes paths, in Deadline's word."""


@attrs.frozen
class Places:
    """The file system locations of a storage profile.

    Attributes:
        local: Names by path: what is below travels as a root of that name.
        shared: Paths that the workers mount, too: nothing below travels.
    """

    local: Mapping[str, str] = attrs.field(factory=dict)
    shared: Sequence[str] = ()

    @classmethod
    def of(cls, locations: Iterable[FileSystemLocation]) -> Places:
        """Return the locations of a storage profile by their types."""
        found = [place for place in locations if place.path]
        return cls(
            {place.path: place.name for place in found if place.type == "LOCAL"},
            [place.path for place in found if place.type == "SHARED"],
        )


@attrs.frozen
class Root:
    """What travels together.

    Attributes:
        path: The folder that all of it is in.
        location: The name of the file system location, if it is below one.
        inputs: Files.
        outputs: Folders that the job writes to.
    """

    path: str
    location: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def relative_outputs(self) -> list[str]:
        """The outputs as they are below the root, in this machine's spelling; `.` for the root itself."""
        return [path[len(self.path.rstrip(os.sep)) + 1 :] or "." for path in self.outputs]


@attrs.define
class _Group:
    location: str | None = None
    inputs: list[str] = attrs.field(factory=list)
    outputs: list[str] = attrs.field(factory=list)
    references: list[str] = attrs.field(factory=list)

    def root(self) -> Root:
        folders = {path.rpartition(os.sep)[0] or os.sep for path in self.inputs}
        path = Path(os.path.commonpath([*folders, *self.outputs, *self.references]))
        if path.is_file():
            path = path.parent
        return Root(str(path), self.location, tuple(sorted(self.inputs)), tuple(sorted(self.outputs)))


def roots_of(
    inputs: Iterable[str],
    outputs: Iterable[str] = (),
    references: Iterable[str] = (),
    places: Places | None = None,
    *,
    spare: int = 0,
) -> list[Root]:
    """Return the roots of what a job needs, writes and speaks of, by path.

    It looks at the file system, so it is called in a thread.

    Args:
        inputs: Files that are there; absolute, without dot segments, as are all.
        outputs: Folders that the job writes to, whether they are there or not.
        references: Paths that the job speaks of, which decide where the root is.
        places: The locations of the storage profile.
        spare: Roots that the job has besides.

    Raises:
        InvalidRequest: There are more roots, or outputs of one, than Deadline takes.
    """
    places = places or Places()
    groups: dict[tuple[str, str | None], _Group] = {}
    for kind, paths in (("inputs", inputs), ("outputs", outputs), ("references", references)):
        for path in dict.fromkeys(paths):
            if is_below_any(path, places.shared):
                continue
            group = groups.setdefault(_place_of(path, places.local), _Group())
            getattr(group, kind).append(path)
    for (_, location), group in groups.items():
        group.location = location
    roots = sorted(
        (group.root() for group in groups.values()), key=lambda root: (root.path, root.location or "")
    )
    _check(roots, spare)
    return roots


def _check(roots: Sequence[Root], spare: int) -> None:
    if len(roots) + spare > MAX_ROOTS:
        besides = ", and some have no place of their own" if spare else ""
        raise InvalidRequest(
            f"files and outputs lie on {len(roots)} drives or locations{besides};"
            f" Deadline takes {MAX_ROOTS} roots for a job"
        )
    for root in roots:
        if len(root.outputs) > MAX_OUTPUTS:
            raise InvalidRequest(
                f"outputs: {len(root.outputs)} folders below {root.path}; Deadline takes {MAX_OUTPUTS}"
            )


def _place_of(path: str, local: Mapping[str, str]) -> tuple[str, str | None]:
    """Return what the path is grouped by: the innermost location it is below, else its drive."""
    inside = [place for place in local if is_below(path, place)]
    if inside:
        place = max(inside, key=len)
        return place, local[place]
    return os.path.normcase(os.path.splitdrive(path)[0] + os.sep), None


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path, links followed, is a folder or in it."""
    real, place = os.path.normcase(os.path.realpath(path)), os.path.normcase(os.path.realpath(folder))
    return real == place or real.startswith(place.rstrip(os.sep) + os.sep)


def is_below_any(path: str, folders: Iterable[str]) -> bool:
    """Tell whether a path, links followed, is one of the folders or in one."""
    return any(is_below(path, folder) for folder in folders)


def below(path: str, root: str) -> str:
    """Return a path as it is written in the manifest of its root."""
    return path[len(root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
