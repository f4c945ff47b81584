"""Job attachments: a new job's files, sent into the queue's bucket before the job is made."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from callsheet._errors import AttachError, InvalidRequest, Outcome
from callsheet._http._urls import segment
from callsheet._threads import Threads
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import AT_ONCE
from callsheet.providers.deadline._inputs import Input, Inputs, absolute, find_inputs
from callsheet.providers.deadline._manifests import hash_of, manifest_name, write_manifest
from callsheet.providers.deadline._roots import FORMAT, Places, Root, below, roots_of
from callsheet.providers.deadline._sending import Flight, NotSent, send
from callsheet.providers.deadline._server import Server
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline._templates import References
from callsheet.providers.deadline.details import StorageProfile

__all__ = ["LOOSE_ROOT", "Uploads"]

FILE_SYSTEMS = ("COPIED", "VIRTUAL")

LOOSE_ROOT = "C:\\callsheet" if FORMAT == "windows" else "/callsheet"
"""Where files are said to be that have no place of their own; a job's paths may name it."""


class Uploads:
    """What puts files into the bucket of one queue.

    Args:
        server: The queue.
        storage: Its bucket.
        cache: What is known from earlier jobs.
    """

    def __init__(self, server: Server, storage: Storage, cache: HashCache | None = None) -> None:
        self._server = server
        self._storage = storage
        self._cache = cache or HashCache()
        self._flights: dict[str, Flight] = {}

    async def prepare(
        self,
        files: Sequence[Any] = (),
        references: References = References(),  # noqa: B008 - frozen, and empty
        outputs: Sequence[Any] = (),
        *,
        key: str,
        file_system: str | None = None,
        profile: str | None = None,
        checked: bool = False,
    ) -> dict[str, Any] | None:
        """Send a new job's files, and return the `attachments` for CreateJob; `None` if it needs none.

        Files that the bucket has are not sent again. Repeating it with the key and the same files returns the
        same, so that the repeated CreateJob is the same request.

        Args:
            files: The user's own.
            references: What the template, its parameters and its bundle name.
            outputs: Folders to collect.
            key: The job's idempotency key.
            file_system: `"COPIED"` or `"VIRTUAL"`; by default the first.
            profile: The id of the job's storage profile, whose locations decide what travels how.
            checked: Ask the bucket for each file, also where it was seen there of late.

        Raises:
            AttachError: A file is missing, has changed or could not be sent; it stands in `.failed`.
            InvalidRequest: The queue keeps no files, or an argument makes no sense.
        """
        if file_system not in {None, *FILE_SYSTEMS}:
            raise InvalidRequest(f"vendor: fileSystem must be COPIED or VIRTUAL, not {file_system!r}")
        folders = _folders(outputs)
        if not (files or references or folders):
            return None
        if not (files or folders) and not await self._storage.exists():
            return None  # what a template names may be where the workers see it, too
        await self._storage.settings()
        threads = Threads(AT_ONCE)
        places = await self._places(profile)
        inputs = await find_inputs(
            files, references, cache=self._cache, threads=threads, shared=places.shared
        )
        if inputs.failed:
            raise _error(inputs.failed, len(files))
        collected = [absolute(path) for path in (*references.outputs, *folders)]
        spoken_of = [*inputs.empty, *(absolute(path) for path in references.referenced)]
        look = partial(roots_of, places=places, spare=1 if inputs.loose else 0)
        roots = await threads.run(look, inputs.placed, collected, spoken_of)
        if not roots and not inputs.loose:
            return None
        await self._send(inputs, roots, threads, checked=checked)
        manifests = [await self._manifest(root, _placed(root, inputs), key, threads) for root in roots]
        if inputs.loose:
            loose = ((one.path, one) for one in inputs.loose)
            manifests.append(await self._manifest(Root(LOOSE_ROOT), loose, key, threads))
        return {"fileSystem": file_system or "COPIED", "manifests": manifests}

    async def _places(self, profile: str | None) -> Places:
        if profile is None:
            return Places()
        path = self._server.path("storage-profiles", segment(profile, "storageProfileId"))
        operation = "GetStorageProfileForQueue"
        found = await self._server.get(path, StorageProfile, operation=operation)
        return Places.of(found.file_system_locations)

    async def _send(self, inputs: Inputs, roots: Sequence[Root], threads: Threads, *, checked: bool) -> None:
        travelling = [inputs.placed[path] for root in roots for path in root.inputs]
        try:
            await send(
                [*travelling, *inputs.loose],
                storage=self._storage,
                cache=self._cache,
                threads=threads,
                flights=self._flights,
                checked=checked,
            )
        except NotSent as error:
            raise _error(
                {error.content.called: error.cause}, len(inputs.placed) + len(inputs.loose)
            ) from error.cause

    async def _manifest(
        self, root: Root, files: Iterable[tuple[str, Input]], key: str, threads: Threads
    ) -> dict[str, Any]:
        """Put the manifest of a root into the bucket, and return its properties."""
        properties: dict[str, Any] = {"rootPath": root.path, "rootPathFormat": FORMAT}
        if root.location is not None:
            properties["fileSystemLocationName"] = root.location
        if root.outputs:
            properties["outputRelativeDirectories"] = root.relative_outputs
        entries = await threads.run(lambda: [one.entry(path) for path, one in files])
        if entries:
            data = await threads.run(write_manifest, entries)
            # Named for key and content, a repeated call writes the same object, and no other call's.
            unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{key}/{root.path}/{hash_of(data)}").hex
            farm, queue = self._server.farm, self._server.queue
            path = f"{farm}/{queue}/Inputs/{unique}/{manifest_name(root.path)}"
            bucket = await self._storage.bucket()
            await bucket.put(await self._storage.manifest_key(path), data)
            properties |= {"inputManifestPath": path, "inputManifestHash": hash_of(data)}
        return properties


def _placed(root: Root, inputs: Inputs) -> Iterable[tuple[str, Input]]:
    return ((below(path, root.path), inputs.placed[path]) for path in root.inputs)


def _folders(outputs: Sequence[Any]) -> list[str]:
    if isinstance(outputs, str | os.PathLike) or not all(
        isinstance(one, str | os.PathLike) for one in outputs
    ):
        raise InvalidRequest("outputs must be a list of folders")
    return [os.fspath(one) for one in outputs]


def _error(failed: Mapping[Any, Exception], total: int) -> AttachError:
    what, why = next(iter(failed.items()))
    return AttachError(
        f"{len(failed)} of {max(total, len(failed))} files could not be sent, so no job was made;"
        f" the first is {getattr(what, 'name', what)}: {why}",
        attached=[],
        failed=failed,
        outcome=Outcome.NOT_DONE,
        provider="deadline",
    )
