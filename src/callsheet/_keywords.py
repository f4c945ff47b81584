"""The keywords that calls share, for editors and type checkers; what is given is checked by `_checks`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from callsheet._models import JobState, Unset

__all__ = ["Changes", "Filters"]


class Changes(TypedDict, total=False):
    """What can be changed of a job, as by `jobs.update`."""

    state: JobState | Unset
    progress: float | Unset | None
    message: str | Unset | None
    problem: str | Unset | None
    description: str | Unset
    priority: int | Unset | None
    name: str | Unset
    attributes: Mapping[str, Any] | Unset


class Filters(TypedDict, total=False):
    """Which jobs are meant, as by `jobs.list`."""

    states: Iterable[JobState | str] | None
    types: Iterable[str] | None
    user: str | None
    item: str | None
    attributes: Mapping[str, Any] | None
    created_after: datetime | None
    created_before: datetime | None
