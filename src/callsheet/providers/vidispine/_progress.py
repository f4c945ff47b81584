"""How far a job has come: from its steps, since Vidispine itself never says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from callsheet.providers.vidispine._shape import entries
from callsheet.providers.vidispine._words import ENDED

__all__ = ["attempts_of", "progress_of", "tasks_of"]

UNENDED = 0.999
"""The most that a job has done which has not finished well."""

DONE = {"FINISHED", "FINISHED_WARNING"}


def tasks_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that a job has begun so far, a repeated one several times."""
    log = row.get("log")
    return entries(log.get("task")) if isinstance(log, Mapping) else []


def attempts_of(row: Mapping[str, Any]) -> int:
    """Return how many attempts at steps have failed so far: with each, progress may go back."""
    return int(sum(_number(task.get("attempts")) for task in _latest(tasks_of(row))))


def progress_of(row: Mapping[str, Any], data: Mapping[str, str]) -> float | None:
    """Return the progress of a job that came with its steps, from 0.0 to 1.0; `None` if nothing tells it.

    Each step counts alike. A job that ended otherwise than well keeps what it had done.
    """
    status = row["status"]
    if status in DONE:
        return 1.0
    tasks = tasks_of(row)
    if status == "READY" and not tasks:
        return 0.0
    total = _number(row.get("totalSteps"))
    if total < 1:
        return _percent(data.get("transcodeProgress"))
    latest = _latest(tasks)
    done = float(sum(task.get("status") == "FINISHED" for task in latest))
    if not tasks:
        current = row.get("currentStep")
        done = _number(current.get("number")) - 1 if isinstance(current, Mapping) else 0.0
    if status not in ENDED:
        done = min(done, total - 1)
    under_way = sum(_fraction(task) for task in latest if task.get("status") != "FINISHED")
    return round(min(max((done + min(under_way, 1.0)) / total, 0.0), UNENDED), 6)


def _latest(tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last attempt at each step."""
    ordered = sorted(tasks, key=lambda task: (_number(task.get("attempts")), _number(task.get("id"))))
    return list({task.get("step", index): task for index, task in enumerate(ordered)}.values())


def _fraction(task: Mapping[str, Any]) -> float:
    if task.get("status") == "FINISHED":
        return 1.0
    told = task.get("progress")
    if isinstance(told, Mapping):
        value, total = _number(told.get("value")), _number(told.get("total"))
        if total <= 0 and told.get("unit") == "percent":
            total = 100.0
        if total > 0:
            return min(max(value / total, 0.0), 1.0)
    subtasks = entries(task.get("subTask"))
    if not subtasks:
        return 0.0
    number = max(_number(task.get("totalSubTasks")), len(subtasks))
    return min(sum(map(_fraction, subtasks)) / number, 1.0)


def _percent(text: str | None) -> float | None:
    try:
        value = float(text or "") / 100
    except ValueError:
        return None
    return round(min(max(value, 0.0), UNENDED), 6) if value == value else None  # NaN equals nothing


def _number(value: Any) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable and 0 <= value < 1e15 else 0.0
