"""Imports about to be made: what goes along with each, and by what it is known again."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any

import attrs

from callsheet import _checks
from callsheet._door import new_key
from callsheet._errors import Conflict
from callsheet._files import File
from callsheet._models import NewJob
from callsheet._transfers import as_file
from callsheet.providers.vidispine._chunks import Destination
from callsheet.providers.vidispine._once import made_job
from callsheet.providers.vidispine._server import Pairs, Row, Server, address
from callsheet.providers.vidispine._shape import pairs_of
from callsheet.providers.vidispine._words import HASH, KEY, NAME, priority_word

__all__ = ["Import", "Order", "as_job", "destination_of", "graded"]


@attrs.frozen(kw_only=True)
class Import:
    """An import about to be made.

    Attributes:
        path: The segments of its path; for bytes from here, `raw` comes behind.
        query: What goes along.
        by: The parameter that names a file that is in Vidispine already.
        in_chunks: A large file may be sent; else only its suffix is told, not its name.
    """

    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    by: str = "fileId"
    in_chunks: bool = True

    def query_of(self, order: Order, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Return what goes along with an order.

        Raises:
            InvalidRequest: It is too long for a URL; the message says what of it.
        """
        query = (*self.query, *more, *order.metadata)
        address(*self.path, query=query)
        return query

    def name_of(self, file: File) -> tuple[str, str]:
        """Return the parameter that says what a file is called."""
        if self.in_chunks:
            return "filename", file.name
        return "fileExtension", file.name.rpartition(".")[2]


@attrs.frozen(kw_only=True)
class Order:
    """That an import is wanted once.

    Attributes:
        key: Its idempotency key.
        hash: Of all that was asked for.
        name: What people see of the job.
    """

    key: str
    hash: str
    name: str

    @classmethod
    def of(cls, wanted: Import, name: str, key: str | None, more: Any = None) -> Order:
        """Return an order, under a new key if there is none; `more` is what else tells it from others."""
        known = _checks.optional_text(key, "idempotency_key") or new_key()
        request = json.dumps([wanted.path, wanted.query, name, more], sort_keys=True)
        return cls(key=known, hash=hashlib.sha256(request.encode()).hexdigest()[:32], name=name)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the job shall keep of it."""
        kept = {KEY: self.key, HASH: self.hash, NAME: self.name}
        return tuple(("jobmetadata", f"{name}={value}") for name, value in kept.items())

    def check(self, row: Row) -> None:
        """Raise `Conflict` if the job that was made under this key is another one."""
        if pairs_of(row.get("data")).get(HASH, self.hash) != self.hash:
            raise Conflict(
                f"the idempotency key {self.key!r} was used with another request, which made {row['jobId']}",
                provider="vidispine",
            )


def as_job(server: Server, new: NewJob, query: Pairs) -> tuple[File, str, Destination]:
    """Return the file that a job is to be, its key, and where it goes."""
    file, key = as_file(new.files[0]), new.idempotency_key
    assert isinstance(file, File)
    assert key is not None
    return file, key, destination_of(server, ("import", "raw"), (("filename", file.name), *query), key)


def destination_of(
    server: Server, path: tuple[str, ...], query: tuple[tuple[str, str], ...], key: str
) -> Destination:
    """Return where the bytes of an import go, which makes a job."""
    return Destination(
        path=path,
        query=lambda _: query,
        find=partial(made_job, server),
        named="jobId",
        wish=tuple(f"{name}={value}" for name, value in query if value != f"{KEY}={key}"),
    )


def graded(priority: int | None) -> tuple[tuple[str, str], ...]:
    """Return the parameter for a priority, if there is one."""
    known = _checks.priority(priority)
    return () if known is None else (("priority", priority_word(known)),)
