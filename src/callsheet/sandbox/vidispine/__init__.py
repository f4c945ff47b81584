"""The Vidispine part of a sandbox: what a server answers about jobs, items, files and storages."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.routing import BaseRoute, Mount

from callsheet.sandbox._frame import World
from callsheet.sandbox._options import FLAG, Kind, Options, number, one_of
from callsheet.sandbox.vidispine import (
    _acts,
    _definition_calls,
    _file_calls,
    _imports,
    _item_calls,
    _job_calls,
    _notifications,
    _receiving,
    _shape_calls,
    _storage_calls,
    _system,
    _user_calls,
)
from callsheet.sandbox.vidispine._definitions import Definitions
from callsheet.sandbox.vidispine._door import Door
from callsheet.sandbox.vidispine._engine import Engine
from callsheet.sandbox.vidispine._errors import not_found
from callsheet.sandbox.vidispine._files import Files
from callsheet.sandbox.vidispine._items import Items
from callsheet.sandbox.vidispine._jobs import Jobs
from callsheet.sandbox.vidispine._links import Links
from callsheet.sandbox.vidispine._notifications import Notifications
from callsheet.sandbox.vidispine._problems import Problems
from callsheet.sandbox.vidispine._receiving import Transfers
from callsheet.sandbox.vidispine._seed import PASSWORD, USER, plant
from callsheet.sandbox.vidispine._storages import Storages
from callsheet.sandbox.vidispine._users import Users
from callsheet.sandbox.vidispine._values import Document

__all__ = ["Vidispine"]

TABLES = (
    _system,
    _user_calls,
    _notifications,
    _job_calls,
    _definition_calls,
    _imports,
    _receiving,
    _storage_calls,
    _file_calls,
    _item_calls,
    _shape_calls,
)

VERSION = Kind(
    lambda value: isinstance(value, str) and all(each.isdigit() for each in value.split(".")),
    "numbers with dots between them",
)
TYPES = Kind(
    lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "a list of job types",
)

OPTIONS: Options = Options(
    "vidispine",
    {
        "version": VERSION,
        "parameters": one_of("both", "matrix", "query"),
        "runs": FLAG | TYPES,
        "step_seconds": number(),
        "abort_seconds": number(),
        "abort_state": one_of("ABORTED_PENDING", "ABORT_PENDING"),
        "abort_document": FLAG,
        "strict_states": FLAG,
        "chunk_status": one_of(200, 204),
        "hashes": FLAG,
        "ranges": FLAG,
        "redirect_data": FLAG,
        "callbacks_reversed": FLAG,
    },
)

KEPT_LOG = 10_000


class Vidispine:
    """A Vidispine server in memory.

    Attributes:
        version: What it says it is; jobs are filtered by time from 4.10 on.
        parameters: Where `/job` looks for the parameters that moved from the matrix to the query with 5.0.
        runs: Whether jobs go on by themselves; or the types of those that do.
        step_seconds: How long each step of a job takes.
        abort_seconds: How long a job takes to end that was asked to.
        abort_state: The word for such a job; documents of 5.0 have the other one.
        abort_document: Whether an abort is answered with the job.
        strict_states: Whether a filter for a state that nobody knows is refused.
        chunk_status: How a chunk is answered after which others are to come.
        hashes: Whether files get a hash.
        ranges: Whether parts of files can be read.
        redirect_data: Whether files are read from another address, without a login.
        callbacks_reversed: Whether of callbacks that come together the newest comes first.
        tags: The shape tags by name.
        pool: How many jobs run at once.
        log: The audit log, oldest first.
    """

    name = "vidispine"

    def __init__(self, world: World) -> None:
        self.world = world
        self.version = "4.17.9"
        self.parameters = "both"
        self.runs: bool | list[str] = True
        self.step_seconds: float = 0.5
        self.abort_seconds: float = 0.5
        self.abort_state = "ABORTED_PENDING"
        self.abort_document = False
        self.strict_states = True
        self.chunk_status = 200
        self.hashes = True
        self.ranges = True
        self.redirect_data = False
        self.callbacks_reversed = False
        self.tags: dict[str, Document] = {}
        self.pool: Document = {}
        self.log: deque[Document] = deque(maxlen=KEPT_LOG)
        self._counters: dict[str, itertools.count[int]] = {}
        self.users: Users = Users(self)
        self.definitions: Definitions = Definitions()
        self.notifications: Notifications = Notifications(self)
        self.problems: Problems = Problems()
        self.engine: Engine = Engine(self)
        self.jobs: Jobs = Jobs(self)
        self.storages: Storages = Storages(self)
        self.files: Files = Files(self, world.folder / self.name)
        self.transfers: Transfers = Transfers(self)
        self.items: Items = Items(self)
        self.links: Links = Links(self)
        plant(self)

    def routes(self) -> list[BaseRoute]:
        """Return what it answers."""
        table = [row for module in TABLES for row in module.TABLE]
        free = [*_system.OPEN_TABLE, *_imports.OPEN_TABLE, *_file_calls.OPEN_TABLE]
        return [
            Mount("/API", Door(self, table, guarded=True)),
            Mount("/APInoauth", Door(self, free, guarded=False)),
        ]

    def environment(self, url: str) -> Mapping[str, str]:
        """Return the variables by which Vidispine's clients find it."""
        return {"VIDISPINE_URL": url, "VIDISPINE_USER": USER, "VIDISPINE_PASSWORD": PASSWORD}

    @property
    def options(self) -> dict[str, Any]:
        """What can be changed while it runs."""
        return OPTIONS.read(self)

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change options.

        Raises:
            ValueError: An option is unknown or has no such value; names it.
        """
        OPTIONS.write(self, options)

    def act(self, action: str, words: Mapping[str, Any]) -> Any:
        """Make jobs (`new`), or let jobs go on, fail, wait or vanish (`jobs`).

        Raises:
            ValueError: There is no such action, or one of its words will not do; the message names it.
        """
        return _acts.act(self, action, words)

    def now(self) -> datetime:
        """Return the time."""
        return self.world.clock.now()

    def new_id(self, kind: str) -> str:
        """Return the next id of a kind of things: each kind has numbers of its own."""
        return f"VX-{next(self._counters.setdefault(kind, itertools.count(1)))}"

    def moves(self, kind: str) -> bool:
        """Tell whether jobs of a type go on by themselves."""
        return self.runs if isinstance(self.runs, bool) else kind in self.runs

    def at_least(self, *version: int) -> bool:
        """Tell whether the server is as new as that."""
        return tuple(map(int, self.version.split(".")[: len(version)])) >= version

    def check_tag(self, tag: str) -> None:
        """See that there is a shape tag.

        Raises:
            VidispineError: There is none of that name.
        """
        if tag not in self.tags:
            raise not_found("shape-tag", tag)
