"""What a job's tasks brought forth: which manifests count, of all that its sessions have written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import attrs

from callsheet.providers.deadline._manifests import manifest_name
from callsheet.providers.deadline.details import (
    DeadlineSessionAction,
    ManifestProperties,
    OutputManifest,
    TaskRun,
)

__all__ = ["Written", "chosen", "filled_in", "missing", "written"]

NEVER = datetime.min.replace(tzinfo=UTC)

_KEY = re.compile(r"(?:.*[/_])?(sessionaction-[0-9a-f]{32}-[0-9]+)/([0-9a-f]{32}_output)")


@attrs.frozen
class Written:
    """A manifest that a task has written.

    Attributes:
        index: Of the root, among those of the job.
        path: Relative to `Manifests/` under the queue's prefix.
        hash: Of its bytes, where Deadline tells it.
        at: When the task had ended.
    """

    index: int
    path: str
    hash: str | None
    at: datetime | None


def chosen(actions: Iterable[DeadlineSessionAction]) -> list[DeadlineSessionAction]:
    """Return the actions whose outputs count, oldest first: of each task, the last that succeeded."""
    newest: dict[tuple[str, str], DeadlineSessionAction] = {}
    for action in sorted(actions, key=_end):
        task = action.definition
        if action.status == "SUCCEEDED" and isinstance(task, TaskRun):
            # A run of several tasks at once names none; each such run has outputs of its own.
            newest[task.step_id, task.task_id or action.session_action_id] = action
    return sorted(newest.values(), key=_end)


def missing(actions: Iterable[DeadlineSessionAction]) -> bool:
    """Tell whether an action does not say which manifests it wrote, as those of older workers."""
    return any(not action.manifests for action in actions)


def filled_in(
    actions: Iterable[DeadlineSessionAction],
    roots: Sequence[ManifestProperties],
    keys: Iterable[str],
    prefix: str,
) -> list[DeadlineSessionAction]:
    """Return the actions with the manifests that they do not tell of, from what is in the bucket.

    Args:
        actions: Those that count.
        roots: Of the job.
        keys: Of all manifests of the job.
        prefix: What the keys begin with, up to and with `Manifests/`.
    """
    found: dict[tuple[str, str], str] = {}
    for key in keys:
        path = key.removeprefix(prefix)
        if match := _KEY.fullmatch(path):
            found[match[1], match[2]] = path
    names = [
        manifest_name(root.root_path, "output", location=root.file_system_location_name) for root in roots
    ]
    return [action if action.manifests else _with_manifests(action, names, found) for action in actions]


def written(actions: Iterable[DeadlineSessionAction]) -> list[Written]:
    """Return the manifests of the actions, in their order."""
    return [
        Written(index, manifest.output_manifest_path, manifest.output_manifest_hash, action.ended_at)
        for action in actions
        for index, manifest in enumerate(action.manifests)
        if manifest.output_manifest_path
    ]


def _with_manifests(
    action: DeadlineSessionAction, names: Sequence[str], found: Mapping[tuple[str, str], str]
) -> DeadlineSessionAction:
    paths = (found.get((action.session_action_id, name)) for name in names)
    return attrs.evolve(action, manifests=tuple(OutputManifest(output_manifest_path=path) for path in paths))


def _end(action: DeadlineSessionAction) -> tuple[datetime, str]:
    return action.ended_at or NEVER, action.session_action_id
