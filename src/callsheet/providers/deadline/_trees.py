"""A job's outputs as the folders that they were written into: where each file goes, and which are there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from callsheet._errors import IntegrityError
from callsheet._models import Component
from callsheet._names import safe_name
from callsheet.providers.deadline._hashing import hash_file, look

__all__ = ["folders_of", "left_over", "places_of", "set_time"]


def folders_of(components: Iterable[Component]) -> list[str]:
    """Return the folder of each file below one for all: the one below its root, each part made harmless.

    Files of several roots lie in a folder for each, named like the root's last part.
    """
    facts = [one.raw for one in components]
    roots = dict.fromkeys((raw["rootPath"], raw["rootPathFormat"]) for raw in facts)
    names = dict.fromkeys(roots, "") if len(roots) == 1 else _root_names(list(roots))
    folders = []
    for raw in facts:
        root = names[raw["rootPath"], raw["rootPathFormat"]]
        parts = [safe_name(part) for part in raw["path"].split("/")[:-1]]
        folders.append("/".join(filter(None, [root, *parts])))
    return folders


def places_of(components: Sequence[Component], folder: Path) -> dict[Path, Component]:
    """Return where each file goes below a folder.

    Raises:
        IntegrityError: Two files would be the same.
    """
    places: dict[Path, Component] = {}
    for one, below in zip(components, folders_of(components), strict=True):
        place = folder / below / safe_name(one.name)
        if place in places:
            raise IntegrityError(f"{one.id} and {places[place].id} would both be the file {str(place)!r}")
        places[place] = one
    return places


def left_over(
    places: dict[Path, Component], *, overwrite: bool, is_stopped: Callable[[], bool] = lambda: False
) -> dict[Path, Component]:
    """Return the files that are not there yet; those that are, and are the same, need not be had again.

    It reads files, so it is called in a thread, which ends soon once `is_stopped` says so.

    Raises:
        FileExistsError: Something else is in a place, and `overwrite` is false.
    """
    rest: dict[Path, Component] = {}
    for place, component in places.items():
        if not os.path.lexists(place):
            rest[place] = component
        elif not _is_same(place, component, is_stopped):
            if not overwrite:
                raise FileExistsError(
                    errno.EEXIST, "it exists already; overwrite=True replaces it", str(place)
                )
            rest[place] = component
    return rest


def set_time(place: Path, component: Component) -> None:
    """Give a file the time that its manifest has for it."""
    os.utime(place, ns=(component.raw["mtime"] * 1000,) * 2)


def _is_same(place: Path, component: Component, is_stopped: Callable[[], bool]) -> bool:
    if place.is_symlink() or not place.is_file():
        return False
    if look(str(place)).size != component.size:
        return False
    return f"xxh128:{hash_file(str(place), is_stopped).hash}" == component.checksum


def _root_names(roots: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a folder's name for each root; the second of a name has a number behind it."""
    names: dict[tuple[str, str], str] = {}
    for root, kind in roots:
        path = PureWindowsPath(root) if kind == "windows" else PurePosixPath(root)
        base = name = safe_name(path.name or "root")
        number = 1
        while name in names.values():
            number += 1
            name = f"{base} {number}"
        names[root, kind] = name
    return names
