"""What can be done with ftrack's components and locations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from typing import Any, TypeVar

import attrs

from callsheet._errors import (
    CallsheetError,
    Conflict,
    InvalidRequest,
    NotFound,
    ResponseError,
    TransportError,
    Unavailable,
    Unsupported,
)
from callsheet._files import File, FrameSequence
from callsheet._models import Component, Location, Position, Slice
from callsheet.abc import Progress, Provider
from callsheet.providers.ftrack import _wire
from callsheet.providers.ftrack._downloads import reading, signed_link
from callsheet.providers.ftrack._frames import store_frames
from callsheet.providers.ftrack._operations import Operation, create, delete, query
from callsheet.providers.ftrack._query import ALWAYS, Condition, Query, all_of, field
from callsheet.providers.ftrack._record import decoded, part
from callsheet.providers.ftrack._registering import file_operations, sequence_operations
from callsheet.providers.ftrack._server import PAGE, Server
from callsheet.providers.ftrack._uploads import WHOLE, Existing, Stored, Uploads

__all__ = ["ComponentCalls"]

Row = dict[str, Any]
T = TypeVar("T")

_NEEDED = {"name", "file_type", "size", "component_locations", "metadata"}
_FIRST = datetime.min.replace(tzinfo=UTC)
_OF_A_LINK = ["component_id", "job_id", *(f"component.{path}" for path in _wire.COMPONENT)]


class ComponentCalls(Provider):
    """The calls of `callsheet.abc.Provider` that are about components and locations."""

    memory_per_upload = WHOLE
    _server: Server

    # -- uploading -------------------------------------------------------------------------------------------

    async def upload(
        self, file: File | FrameSequence, *, location: str | None, key: str, progress: Progress
    ) -> Component:
        """Send a file, or frames as one component with members, to `ftrack.server`.

        The component is made once all its bytes are there. An upload in parts that was cut off goes on, for
        as long as ftrack's links live, when the same file is uploaded again within a week; it then keeps the
        id that its first key gave it.

        Raises:
            Unsupported: Another location than `ftrack.server`: its bytes go where only its own tools reach.
            NotFound: There is no such location.
            Conflict: The key was used with another file.
            IntegrityError: The source changed while it was read.
            OSError: The source cannot be read.
        """
        await self._check_location(location)
        try:
            return await self._upload(file, key, progress)
        except _Refused:
            return await self._upload(file, key, progress)

    async def _upload(self, file: File | FrameSequence, key: str, progress: Progress) -> Component:
        server = self._server
        id_ = server.id_of("file", key)
        there = _component(id_)
        async with AsyncExitStack() as stack:
            if isinstance(file, File):
                found = await Uploads(server).store_new(file, id_, there, stack, progress)
                if isinstance(found, Existing):
                    return _same(found, file.name, await file.measure(server.threads), key)
                made = await self._made(file_operations(server, found), found.id, [found])
                return _same(Existing(made, found.checksum), found.name, found.size, key)
            size = await file.measure(server.threads)
            if known := (await server.find(there)).read(0, _wire.component_of):
                return _same(Existing(known[0]), file.name, size, key)
            frames = await store_frames(server, file, key, stack, progress)
            made = await self._made(sequence_operations(server, file, id_, frames), id_, frames)
            return _same(Existing(made), file.name, size, key)

    async def _made(self, operations: Sequence[Operation], id_: str, stored: Sequence[Stored]) -> Component:
        """Make the component of bytes that are stored, and return it."""
        there = _component(id_)
        try:
            results = await self._server.call([*operations, query(there)], name="create component")
            made: list[Component | None] = results.read(len(operations), _whole)
        except CallsheetError as error:
            # Perhaps it is there, by the same key elsewhere or by this call, whose answer was lost.
            made = list(await self._server.still(there, _wire.component_of, error))
            if not made and _is_final(error) and any(one.resumed for one in stored):
                await self._forget(stored)
                raise _Refused from error
            if not made:
                raise
        await self._forget(stored)
        found = made[0] if made else None
        if found is None:
            found = next(iter((await self._server.find(there)).read(0, _wire.component_of)), None)
        if found is None:
            raise NotFound(f"component {id_!r} is gone", provider=self.name)
        return found

    async def _forget(self, stored: Sequence[Stored]) -> None:
        for one in stored:
            if one.journal is not None:
                await self._server.threads.run(one.journal.remove)

    async def _check_location(self, location: str | None) -> None:
        if location not in (None, _wire.SERVER_LOCATION, "ftrack.server"):
            known = await self.get_location(str(location))
            if known.id != _wire.SERVER_LOCATION:
                raise Unsupported("upload(location=)", hint="location='ftrack.server'", provider=self.name)

    async def made_components(self, keys: Sequence[str]) -> list[Component | None]:
        """Return what was uploaded under each key, `None` where nothing is there: ids follow from keys."""
        ids = [self._server.id_of("file", key) for key in keys]
        wanted = Query("Component", _wire.COMPONENT, where=field("id").one_of(ids), limit=PAGE)
        found = {one.id: one for one in (await self._server.find(wanted)).read(0, _wire.component_of)}
        return [found.get(id_) for id_ in ids]

    # -- linking ---------------------------------------------------------------------------------------------

    async def link(self, job_id: str, components: Sequence[Component]) -> list[Component]:
        """Attach the components to the job in one request, all or none.

        Raises:
            NotFound: The job or a component does not exist.
        """
        ids = list(dict.fromkeys(component.id for component in components))
        try:
            await self._server.call([_link(job_id, id_) for id_ in ids], name="link")
        except CallsheetError as error:
            await self._link_rest(job_id, ids, error)
        return [attrs.evolve(component, job_id=job_id, role="output") for component in components]

    async def _link_rest(self, job_id: str, ids: Sequence[str], error: CallsheetError) -> None:
        """Attach those that are not yet attached; raise the error if that was not what was wrong."""
        try:
            linked = set(await self._linked(field("job_id").is_(job_id) & field("component_id").one_of(ids)))
            there = await self._server.all(Query("Component", ["id"], where=field("id").one_of(ids)), _id_of)
            job = (
                await self._server.find(Query("Job", ["id"], where=field("id").is_(job_id), limit=1))
            ).rows(0)
        except CallsheetError:
            raise error from None
        if not job:
            raise NotFound(
                f"there is no job {job_id!r}", outcome=error.outcome, provider=self.name
            ) from error
        gone = next((id_ for id_ in ids if id_ not in set(there)), None)
        if gone is not None:
            raise NotFound(
                f"there is no component {gone!r}", outcome=error.outcome, provider=self.name
            ) from error
        missing = [id_ for id_ in ids if (id_, job_id) not in linked]
        if len(missing) == len(ids):
            raise error
        if missing:
            await self._server.call([_link(job_id, id_) for id_ in missing], name="link")

    async def _linked(self, where: Condition) -> list[tuple[str, str]]:
        links = Query("JobComponent", ["component_id", "job_id"], where=where)
        return await self._server.all(links, _key_of_link, key=["component_id", "job_id"])

    # -- finding ---------------------------------------------------------------------------------------------

    async def page_components(
        self, *, job_id: str | None, location_id: str | None, after: Position | None, size: int
    ) -> Slice[Component]:
        """Return one page of components, without the members of sequences.

        Those of a job come in the order of their making, as far as callsheet made them (the job's inputs
        first, as they were given); else they come by id: ftrack does not know when a component was made.

        Raises:
            NotFound: The job or location does not exist.
        """
        if job_id is not None:
            return _slice_of(await self._of_job(job_id, location_id), after, size)
        last = None if after is None else after.ids[-1]
        where = all_of(
            [
                field("container_id").is_(None),
                ALWAYS if location_id is None else field("component_locations.location_id").is_(location_id),
                ALWAYS if last is None else field("id") > last,
            ]
        )
        page = Query("Component", _wire.COMPONENT, where=where, order_by=["id"], limit=size)
        results = await self._server.find(page, _location(location_id or _wire.SERVER_LOCATION))
        components = results.read(0, _wire.component_of)
        if location_id is not None and not results.rows(1):
            raise _no_location(location_id)
        if results.next_offset(0) is None or not components:
            return Slice(components)
        return Slice(components, _behind(components[-1]))

    async def _of_job(self, job_id: str, location_id: str | None) -> list[Component]:
        """Return the components of a job: inputs first, then by the time of their making."""
        jobs = await self._server.find(_job(job_id), _location(location_id or _wire.SERVER_LOCATION))
        found_job = jobs.read(0, _inputs_of)
        if not found_job:
            raise _no_job(job_id)
        if location_id is not None and not jobs.rows(1):
            raise _no_location(location_id)
        inputs = found_job[0]

        def read(row: Row) -> Component:
            role = "input" if row["component_id"] in inputs else "output"
            return _wire.component_of(row["component"], job_id=job_id, role=role)

        links = Query("JobComponent", _OF_A_LINK, where=field("job_id").is_(job_id))
        found = await self._server.all(links, read, key=["component_id"])
        last = len(inputs)
        found = [one for one in found if location_id in (None, one.location_id)]
        return sorted(found, key=lambda one: (inputs.get(one.id, last), one.created_at or _FIRST, one.id))

    async def get_component(self, component_id: str) -> Component:
        """Return the component, with the oldest job that has it.

        Raises:
            NotFound: There is none of that id.
        """
        where = field("component_id").is_(component_id)
        order = ["job.created_at", "job_id"]
        links = Query("JobComponent", ["job_id", "job.data"], where=where, order_by=order, limit=1)
        results = await self._server.find(_component(component_id), links)
        found = results.read(0, _wire.component_of)
        if not found:
            raise _no_component(component_id)
        jobs = results.read(1, lambda row: (row["job_id"], _inputs_of(row.get("job") or {})))
        if not jobs:
            return found[0]
        job_id, inputs = jobs[0]
        return attrs.evolve(found[0], job_id=job_id, role="input" if component_id in inputs else "output")

    async def members(self, component: Component) -> Sequence[Component] | None:
        """Return the members of a sequence, by number, or of a container; `None` for a plain file."""
        known = component if component.raw else await self.get_component(component.id)
        if not _wire.is_container(known.raw):
            return None
        wanted = Query("Component", _wire.COMPONENT, where=field("container_id").is_(known.id))
        found = await self._server.all(
            wanted, lambda row: (_wire.frame_number(row), _wire.member_of(row, known.raw))
        )
        return [member for _, member in sorted(found, key=lambda pair: (pair[0], pair[1].name))]

    def read(
        self, component: Component, *, start: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the component's bytes from `start` on, by a signed link that is asked for then."""
        return reading(self._server, component, start)

    async def component_url(self, component: Component, *, expires: float) -> str:
        """Return a signed link to the bytes. How long it lives is ftrack's to say, whatever `expires` is.

        Raises:
            InvalidRequest: It is a frame sequence; its members have links.
            NotFound: None of its locations gives out links.
        """
        if _wire.is_container(component.raw):
            raise InvalidRequest(f"{component.name} is a frame sequence: its frames have links, it has none")
        return await signed_link(self._server, component)

    # -- removing --------------------------------------------------------------------------------------------

    async def delete_component(self, component_id: str) -> None:
        """Remove the component, and a sequence's members, from ftrack and from every job.

        Raises:
            NotFound: There is none of that id.
        """
        found = (await self._server.find(_component(component_id))).read(0, _wire.component_of)
        if not found:
            raise _no_component(component_id)
        await self._server.remove(await self._removing(found), unless=_component(component_id))

    async def _unlinking(self, job_id: str) -> list[Operation]:
        """Return what unties a job from its components, and removes those of callsheet's that only it has."""
        found = await self._of_job(job_id, None)
        own = [one for one in found if _wire.note_of(one.raw) and one.raw.get("version_id") is None]
        elsewhere: set[str] = set()
        for start in range(0, len(own), PAGE):
            ids = [one.id for one in own[start : start + PAGE]]
            elsewhere |= {
                id_ for id_, job in await self._linked(field("component_id").one_of(ids)) if job != job_id
            }
        links = [delete("JobComponent", [one.id, job_id]) for one in found]
        return [*links, *await self._removing([one for one in own if one.id not in elsewhere])]

    async def _removing(self, components: Sequence[Component]) -> list[Operation]:
        operations: list[Operation] = []
        for one in components:
            if _wire.is_container(one.raw):
                wanted = Query("Component", ["id"], where=field("container_id").is_(one.id))
                operations += await self._server.all(wanted, _delete)
            operations.append(_delete(one.raw))
        return operations

    # -- locations -------------------------------------------------------------------------------------------

    async def page_locations(self, *, after: Position | None, size: int) -> Slice[Location]:
        """Return one page of locations, by name. All are read for it: a studio has few."""
        found = await self._server.all(Query("Location", _wire.LOCATION), _wire.location_of)
        place = ("", "") if after is None else (after.key, after.ids[-1])
        left = sorted((location.name, location.id) for location in found)
        wanted = [key for key in left if key > place][: size + 1]
        by_id = {location.id: location for location in found}
        page = [by_id[id_] for _, id_ in wanted[:size]]
        more = len(wanted) > size
        return Slice(page, Position(page[-1].name, (page[-1].id,)) if more else None)

    async def get_location(self, name_or_id: str) -> Location:
        """Return the location of that id or, if there is none, of that name.

        Raises:
            NotFound: There is none.
        """
        by_name = Query(
            "Location", _wire.LOCATION, where=field("name").is_(name_or_id), order_by=["id"], limit=1
        )
        results = await self._server.find(_location(name_or_id), by_name)
        found = results.read(0, _wire.location_of) or results.read(1, _wire.location_of)
        if not found:
            raise _no_location(name_or_id)
        return found[0]


def _whole(row: Row) -> Component | None:
    """Return the component, if the server told all of it in the very request that made it."""
    return _wire.component_of(row) if row.keys() >= _NEEDED else None


class _Refused(Exception):
    """The server would not finish an upload that an earlier call began; it is forgotten now."""


def _is_final(error: CallsheetError) -> bool:
    return isinstance(error, ResponseError) and not isinstance(error, Unavailable | TransportError)


def _same(found: Existing, name: str, size: int, key: str) -> Component:
    component = found.component
    differs = found.checksum is not None and component.checksum not in (None, found.checksum)
    if (component.name, component.size) != (name, size) or differs:
        raise Conflict(f"the idempotency key {key!r} was used with another file", provider="ftrack")
    return component


def _component(id_: str) -> Query:
    return Query("Component", _wire.COMPONENT, where=field("id").is_(id_), limit=1)


def _location(id_: str) -> Query:
    return Query("Location", _wire.LOCATION, where=field("id").is_(id_), limit=1)


def _link(job_id: str, component_id: str) -> Operation:
    return create("JobComponent", {"component_id": component_id, "job_id": job_id})


def _delete(row: Mapping[str, Any]) -> Operation:
    return delete(row.get("__entity_type__", "Component"), row["id"])


def _id_of(row: Row) -> str:
    return str(row["id"])


def _key_of_link(row: Row) -> tuple[str, str]:
    return row["component_id"], row["job_id"]


def _slice_of(found: Sequence[Component], after: Position | None, size: int) -> Slice[Component]:
    start = 0
    if after is not None:
        place = (after.key, after.ids[-1])
        start = next((i + 1 for i, one in enumerate(found) if one.id == place[1]), 0) or next(
            (i for i, one in enumerate(found) if (_behind(one).key, one.id) > place), len(found)
        )
    page = found[start : start + size]
    return Slice(page, _behind(page[-1]) if start + size < len(found) else None)


def _inputs_of(job: Row) -> dict[str, int]:
    inputs = part(decoded(job.get("data"))).get("inputs")
    return {id_: index for index, id_ in enumerate(inputs)} if isinstance(inputs, list) else {}


def _behind(component: Component) -> Position:
    key = "" if component.created_at is None else component.created_at.isoformat()
    return Position(key, (component.id,))


def _job(id_: str) -> Query:
    return Query("Job", ["id", "data"], where=field("id").is_(id_), limit=1)


def _no_job(id_: str) -> NotFound:
    return NotFound(f"there is no job {id_!r}", provider="ftrack")


def _no_component(id_: str) -> NotFound:
    return NotFound(f"there is no component {id_!r}", provider="ftrack")


def _no_location(name: str) -> NotFound:
    return NotFound(f"there is no location {name!r}", provider="ftrack")
