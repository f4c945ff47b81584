"""What can be done with Vidispine's files, as components, and with its storages, as locations."""

from __future__ import annotations

from callsheet._errors import Unsupported
from callsheet._models import NewJob
from callsheet.abc import Provider
from callsheet.providers.vidispine._server import Pairs, Row, Server

__all__ = ["ComponentCalls"]


class ComponentCalls(Provider):
    """The calls of `callsheet.abc.Provider` that are about components and locations."""

    _server: Server

    async def _imported(self, server: Server, new: NewJob, query: Pairs) -> Row:
        """Upload the one file of a job *as* the job, and return Vidispine's document of it.

        Args:
            server: Acts for the job's user.
            new: The job, with its one file; its key is `new.idempotency_key`.
            query: What the import takes along: `priority` and each `jobmetadata`, the key's among them.
        """
        raise Unsupported("create(files=)", provider=self.name)
