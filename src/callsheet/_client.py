"""The client: a provider, opened and closed, behind three namespaces."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

import anyio
import attrs

from callsheet._checks import text
from callsheet._components import Components
from callsheet._door import Door
from callsheet._errors import InvalidRequest
from callsheet._jobs import Jobs
from callsheet._locations import Locations
from callsheet._threads import Threads
from callsheet._watching import Sweeper
from callsheet.abc import Provider

__all__ = ["Client", "Deferred"]

P = TypeVar("P", bound=Provider)


@attrs.frozen
class Deferred(Generic[P]):
    """A provider that is made as its client is opened: in a thread, since its libraries take long to load."""

    address: str
    load: Callable[[], P]


class Client(Generic[P]):
    """Jobs, components and locations of one tracker.

    Opened and closed by `async with`, in the event loop (asyncio or trio) that uses it; any number of tasks
    of that loop may share it.

        async with Client(LocalProvider("./jobs")) as client:
            job = await client.jobs.create("Publish sh010")

    Attributes:
        jobs: Make, find, change, follow and track jobs.
        components: The files that the tracker keeps.
        locations: Where it keeps them.
    """

    def __init__(self, provider: P | Deferred[P]) -> None:
        if not isinstance(provider, Provider | Deferred):
            raise InvalidRequest(f"provider: {provider!r} is none; for an address, use connect()")
        self._given = provider
        self._door = Door(None if isinstance(provider, Deferred) else provider)
        self._sweeper = Sweeper(self._door)
        self._borrows = False
        self.jobs: Jobs = Jobs(self._door, self._sweeper)
        self.components: Components = Components(self._door)
        self.locations: Locations = Locations(self._door)

    def __repr__(self) -> str:
        given = self._given
        return f"<Client of {given.address if isinstance(given, Deferred) else given.tracker}>"

    @property
    def provider(self) -> P:
        """The tracker's provider, for what only that tracker can do; of `connect()`, once it is open."""
        return cast("P", self._door.provider)

    async def __aenter__(self) -> Self:
        if self._borrows:
            self._door.check_open()
            return self
        if self._door.is_open:
            raise InvalidRequest("the client is open already")
        if isinstance(self._given, Deferred):
            self._door.enter(await Threads(1).run(self._given.load))
        await self.provider.open()
        self._sweeper.open()
        self.provider.listen(self._sweeper.nudge)
        self._door.settle()
        self._door.is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close everything; whoever still waits is told so. May be called twice."""
        self._sweeper.close()
        if self._door.is_open and not self._borrows:
            with anyio.CancelScope(shield=True):
                await self.provider.aclose()
        self._door.is_open = False

    def as_user(self, name: str) -> Client[P]:
        """Return a client that acts for another user over the same connections.

        It is open for as long as this one is, with or without `async with`; closing it leaves this one open.
        """
        other = Client(self.provider.as_user(text(name, "user")))
        other._borrows = other._door.is_open = True
        other._door.parent = self._door
        other.provider.listen(other._sweeper.nudge)
        return other
