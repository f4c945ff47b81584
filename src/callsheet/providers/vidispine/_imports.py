"""How media comes into Vidispine: as a new item, into a placeholder, as a shape of an item, or beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

from callsheet import _checks
from callsheet._door import Door
from callsheet._errors import InvalidRequest, NotFound, Unsupported
from callsheet._files import File, FrameSequence
from callsheet._http._trail import done
from callsheet._models import Component, Job, NewJob
from callsheet._transfers import OnProgress, as_file, checked_options, reporting
from callsheet.providers.vidispine._arguments import texts, whole, words
from callsheet.providers.vidispine._chunks import CHUNK, Destination, forget, send
from callsheet.providers.vidispine._components import ComponentCalls
from callsheet.providers.vidispine._files_wire import item_metadata, own_files
from callsheet.providers.vidispine._once import looked_for, made_job, once
from callsheet.providers.vidispine._orders import Import, Order, as_job, destination_of, graded
from callsheet.providers.vidispine._server import Pairs, Row, Server, path_of
from callsheet.providers.vidispine._shape import bare
from callsheet.providers.vidispine._words import OURS

__all__ = ["ImportCalls", "Slot"]

PARENT = f"{OURS}parent"
"""The key of job metadata under which an import says for which job it was made."""

Slot: TypeAlias = Literal["container", "video", "audio", "binary"]
"""What a file is in a placeholder."""


class ImportCalls(ComponentCalls):
    """Vidispine's own calls that bring media in."""

    async def create_placeholder(
        self,
        title: str,
        *,
        container: int = 1,
        video: int = 0,
        audio: int = 0,
        binary: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Make an item without media, to import into, and return its id. There is no job yet.

        It takes no key: if the outcome of an error is UNKNOWN, look for the title before you repeat the call.

        Args:
            title: Of the item.
            container: Files with everything in them that it has room for.
            video: Files with video only.
            audio: Files with audio only.
            binary: Files of any other kind.
            metadata: More fields of the item, by the names that the server has for them.
        """
        given = {"title": _checks.text(title, "title")} | texts(metadata, "metadata")
        counts = {"container": container, "video": video, "audio": audio, "binary": binary}
        query = [(name, str(whole(count, name, 0, 1000))) for name, count in counts.items()]
        with Door(self).calling():
            answer = await self._server.call(
                "POST", "import", "placeholder", query=query, content=item_metadata(given)
            )
            id_ = (await self._server.document(answer)).get("id")
            if not isinstance(id_, str):
                raise answer.unreadable("no id of the item", path="$.id")
            return id_

    async def import_placeholder(
        self,
        item: str,
        file: Any,
        *,
        component: Slot = "container",
        priority: int | None = None,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """Import a file into a placeholder, and return the PLACEHOLDER_IMPORT job.

        Where there are several, the container, or the first one, should go before the others.

        Args:
            item: The placeholder's id.
            file: A path or `File`, or a `Component` that is on one of Vidispine's storages.
            component: What the file is in it.
            priority: 0 to 100.
            idempotency_key: Repeating an import with its key returns the same job.
            on_progress: Called (and awaited, if async) with a `Transfer` as the file goes on.

        Raises:
            NotFound: There is no such item.
            ResponseError: No such file is missing in it.
            Conflict: The key was used for something else.
        """
        path = ("import", "placeholder", _checks.text(item, "item"), _checks.text(component, "component"))
        wanted = Import(path=path, query=graded(priority))
        return await self._import(wanted, file, key=idempotency_key, on_progress=on_progress)

    async def import_shape(
        self,
        job: Job | str | None,
        file: Any,
        *,
        tag: str,
        item: str | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """Import a file as another shape of an item, and return the SHAPE_IMPORT job.

        That is as near as Vidispine comes to a file attached to a job: it belongs to the item that the job
        works on, and only the new job's metadata (`callsheet_parent`) tells for which job it came.

        Args:
            job: The job whose item it is; `None` if `item` is given.
            file: A path or `File`, or a `Component` that is on one of Vidispine's storages.
            tag: The shape tag that the new shape gets; the server must know it.
            item: The item's id, instead of a job.
            priority: 0 to 100.
            idempotency_key: Repeating an import with its key returns the same job.
            on_progress: Called (and awaited, if async) with a `Transfer` as the file goes on.

        Raises:
            Unsupported: The job works on no item.
            NotFound: There is no such job or item.
            Conflict: The key was used for something else.
        """
        known, parent = await self._item_of(job, item, "import_shape")
        query = (("tag", _checks.text(tag, "tag")), *parent, *graded(priority))
        wanted = Import(path=("item", known, "shape"), query=query)
        return await self._import(wanted, file, key=idempotency_key, on_progress=on_progress)

    async def import_sidecar(
        self,
        job: Job | str | None,
        file: Any,
        *,
        item: str | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """Import subtitles, XMP or the like into an item's metadata, and return the SIDECAR_IMPORT job.

        Args:
            job: The job whose item it is; `None` if `item` is given.
            file: A path or `File` of at most 8 MiB, whose suffix tells its kind; or a `Component` that is on
                one of Vidispine's storages.
            item: The item's id, instead of a job.
            priority: 0 to 100.
            idempotency_key: Repeating an import with its key returns the same job.
            on_progress: Called (and awaited, if async) with a `Transfer` as the file goes on.

        Raises:
            Unsupported: The job works on no item.
            NotFound: There is no such job or item.
            Conflict: The key was used for something else.
        """
        known, parent = await self._item_of(job, item, "import_sidecar")
        query = (*parent, *graded(priority))
        wanted = Import(path=("import", "sidecar", known), query=query, by="sidecar", in_chunks=False)
        return await self._import(wanted, file, key=idempotency_key, on_progress=on_progress)

    async def import_uri(
        self,
        uri: str,
        *,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        transcode: Sequence[str] = (),
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Import what the server itself can reach as a new item, and return the IMPORT job.

        Args:
            uri: Where it is. It is not looked at before the job runs, which fails if nothing is there.
            name: What people see of the job; by default the URI's last part.
            metadata: Fields of the item, by the names that the server has for them.
            transcode: Shape tags that it shall be transcoded to.
            priority: 0 to 100.
            idempotency_key: Repeating an import with its key returns the same job.

        Raises:
            Conflict: The key was used for something else.
        """
        shown = bare(_checks.text(uri, "uri"))  # which people see, and may hold a password
        called = _checks.optional_text(name, "name") or shown.rstrip("/").rpartition("/")[2] or shown
        tags = [("tag", tag) for tag in words(transcode, "transcode")]
        wanted = Import(path=("import",), query=(("uri", uri), *tags, *graded(priority)))
        content = item_metadata(texts(metadata, "metadata"))
        order = Order.of(wanted, called, idempotency_key, content)
        query = wanted.query_of(order)
        return await self._ordered(order, partial(self._post, wanted.path, query, order.key, content=content))

    # -- steps of them ---------------------------------------------------------------------------------------

    async def _imported(self, server: Server, new: NewJob, query: Pairs) -> Row:
        """Upload the one file of a job *as* the job, and return Vidispine's document of it.

        Args:
            server: Acts for the job's user.
            new: The job, with its one file; its key is `new.idempotency_key`.
            query: What the import takes along: `priority` and each `jobmetadata`, the key's among them.

        Raises:
            IntegrityError: The file changed while it was read; there is no job.
            OSError: The file cannot be read.
        """
        file, key, destination = as_job(server, new, query)
        sent = await send(server, file, destination, key=key, progress=reporting(None, file.name, 0))
        return sent.document

    async def _forget_import(self, server: Server, new: NewJob, query: Pairs) -> None:
        """Forget the upload of a job that is there already."""
        file, key, destination = as_job(server, new, query)
        await forget(server, file, destination, key=key)

    async def _import(
        self, wanted: Import, given: Any, *, key: str | None, on_progress: OnProgress | None
    ) -> Job:
        """Import a file, or a component by its id, and return the job."""
        file = as_file(given)
        checked_options(None, None, on_progress)
        if isinstance(file, FrameSequence):
            raise InvalidRequest(
                f"file {file.name!r} is a frame sequence; Vidispine imports files one by one"
            )
        if isinstance(file, Component):
            order = Order.of(wanted, file.name, key, file.id)
            query = wanted.query_of(order, (wanted.by, file.id))
            return await self._ordered(order, partial(self._post, wanted.path, query, order.key))
        order = Order.of(wanted, file.name, key)
        query = wanted.query_of(order, wanted.name_of(file))
        destination = destination_of(self._server, (*wanted.path, "raw"), query, order.key)
        return await self._ordered(
            order,
            partial(self._send, wanted, file, destination, order.key, on_progress),
            partial(forget, self._server, file, destination, key=order.key),
        )

    async def _ordered(
        self,
        order: Order,
        make: Callable[[], Awaitable[Row]],
        known: Callable[[], Awaitable[None]] | None = None,
    ) -> Job:
        """Return the job of an order: the one that `make` makes now, or one of before, after `known`."""
        with Door(self).calling(order.key):
            async with self._server.lock(order.key):
                row = await looked_for(self._server, order.key, partial(made_job, self._server, order.key))
                if row is None:
                    row = await make()
                else:
                    order.check(row)
                    if known is not None:
                        await known()
            with done():
                job = (await self.get_jobs([row["jobId"]]))[0]
                if job is None:
                    raise NotFound(f"job {row['jobId']} is gone already", provider=self.name)
                return job

    async def _post(self, path: Sequence[str], query: Pairs, key: str, *, content: Any = None) -> Row:
        """Ask for an import that needs no bytes from here, and return Vidispine's document of the job."""
        server = self._server

        async def post() -> Row:
            answer = await server.call("POST", *path, query=query, content=content, key=key)
            document = await server.document(answer)
            if not isinstance(document.get("jobId"), str):
                raise answer.unreadable("no job", path="$.jobId")
            return document

        return await once(server, post, partial(made_job, server, key))

    async def _send(
        self,
        wanted: Import,
        file: File,
        destination: Destination,
        key: str,
        on_progress: OnProgress | None,
    ) -> Row:
        """Send the bytes of an import, and return Vidispine's document of the job."""
        server = self._server
        size = await file.measure(server.threads)
        if size > CHUNK and not wanted.in_chunks:
            raise InvalidRequest(
                f"file {file.name!r} has {size} bytes, of which {CHUNK} can be sent; upload it, and give"
                " the component instead"
            )
        progress = reporting(on_progress, file.name, size)
        return (await send(server, file, destination, key=key, progress=progress)).document

    async def _item_of(
        self, job: Job | str | None, item: str | None, call: str
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Return an item's id, and what an import for a job of it takes along."""
        if (job is None) is (item is None):
            raise InvalidRequest("job: give a job, or None and item=")
        if job is None:
            return _checks.text(item, "item"), ()
        id_ = _checks.job_id(job, self.tracker)
        with Door(self).calling():
            known = own_files(await self._server.read(*path_of(id_), query=[("metadata", "true")])).item
        if known is None:
            raise Unsupported(call, hint=f"item=; the job {id_} works on none", provider=self.name)
        return known, (("jobmetadata", f"{PARENT}={id_}"),)
