"""What only Vidispine can do: steps of job types, problems, and any call of its API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet import _checks
from callsheet._errors import InvalidRequest
from callsheet.providers.vidispine._arguments import mapping, texts, whole
from callsheet.providers.vidispine._notifications import NotificationCalls
from callsheet.providers.vidispine._server import JSON, LARGE, Row
from callsheet.providers.vidispine._shape import entries
from callsheet.providers.vidispine.details import VidispineProblem, VidispineTaskDefinition, read_document

__all__ = ["MoreCalls"]


class MoreCalls(NotificationCalls):
    """Calls that no other tracker has."""

    async def task_definitions(self, type: str) -> list[VidispineTaskDefinition]:  # noqa: A002 - as Vidispine says
        """Return the steps that jobs of a type have, in the server's order.

        Raises:
            NotFound: There is no such type.
        """
        path = "task-definition", "jobtype", _checks.text(type, "type")
        return await self._documents(path, "task", VidispineTaskDefinition)

    async def remove_task_definition(self, id: int) -> None:  # noqa: A002 - as Vidispine says
        """Remove a step; jobs made from now on do not have it.

        Raises:
            NotFound: There is none of that id.
        """
        number = whole(id, "id", 0, 2**63)
        await self._server.remove("task-definition", str(number))

    async def problems(self) -> list[VidispineProblem]:
        """Return what jobs wait for at present: each problem once, with all jobs that it holds up."""
        return await self._documents(("job", "problem"), "problem", VidispineProblem)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: str = JSON,
        repeatable: bool | None = None,
    ) -> Any:
        """Make any call of Vidispine's API, with our login, deadlines, retries and errors.

        Args:
            method: In capitals.
            path: Below `/API`, unescaped, such as `item/VX-1/shape`.
            query: Parameters; a list gives a name several times, truth values are written in small letters.
            json: What to send.
            headers: More headers.
            accept: The media type wanted.
            repeatable: It may be made twice if its answer is lost; by default only a GET.

        Returns:
            What came, decoded if it is JSON; a text if it is anything else; `None` if there was nothing.

        Raises:
            CallsheetError: With `outcome` saying what happened on the server.
        """
        answer = await self._server.call(
            method,
            *_checks.text(path, "path").strip("/").split("/"),
            query=_pairs(mapping(query, "query")),
            accept=accept,
            content=json,
            headers=texts(headers, "headers"),
            repeatable=repeatable,
        )
        if not answer.body.strip():
            return None
        if "json" not in answer.headers.get("content-type", ""):
            return answer.body.decode(errors="replace")
        return await self._server.aside(len(answer.body) > LARGE, answer.json)

    async def _documents(self, path: tuple[str, ...], member: str, kind: type[Any]) -> list[Any]:
        """Return the documents of a list, each as one of that class."""
        answer = await self._server.call("GET", *path)
        document: Row = await self._server.document(answer)
        found: list[Any] = []
        try:
            for one in entries(document.get(member)):
                found.append(read_document(one, kind))  # noqa: PERF401 - the error tells how far it came
        except Exception as exc:
            where = f"$.{member}[{len(found)}]"
            raise answer.unreadable(f"a document that cannot be read ({exc!r})", path=where) from exc
        return found


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, given in query.items():
        _checks.text(name, "query")
        for value in given if isinstance(given, list | tuple) else [given]:
            if not isinstance(value, str | int | float):
                raise InvalidRequest(f"query: {name!r} must be a text or a number, not {value!r}")
            pairs.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    return pairs
