"""What jobs wait for: the problems of a Vidispine server."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from callsheet.sandbox.vidispine._jobs import Job
from callsheet.sandbox.vidispine._values import Document, pairs

__all__ = ["Problems"]


class Problems:
    """Every problem that is not solved yet."""

    def __init__(self) -> None:
        self._found: list[Document] = []
        self._numbers = itertools.count(1)

    def add(self, kind: str, data: Mapping[str, str], job: Job) -> None:
        """Let a job wait for a problem: one that is there, or a new one."""
        for problem in self._found:
            if (problem["type"], problem["data"]) == (kind, pairs(data)):
                problem["job"] = list(dict.fromkeys([*problem["job"], job.id]))
                return
        self._found.append({"id": next(self._numbers), "type": kind, "data": pairs(data), "job": [job.id]})

    def leave(self, job: Job) -> None:
        """Let a job wait no more; a problem that nobody waits for is solved."""
        for problem in self._found:
            problem["job"] = [each for each in problem["job"] if each != job.id]
        self._found = [problem for problem in self._found if problem["job"]]

    def document(self, job: Job | None) -> Document:
        """Write the problems, or those of one job."""
        found = [each for each in self._found if job is None or job.id in each["job"]]
        return {"problem": found} if found else {}
