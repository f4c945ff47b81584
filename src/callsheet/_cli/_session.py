"""The tracker that a command works on, and the options that most commands share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from callsheet import Client, connect
from callsheet._cli._messages import say
from callsheet._connecting import own_directory

__all__ = ["SHOWN", "WHERE", "Shown", "Where"]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Where:
    """Options of every command."""

    url: Annotated[
        str | None,
        Parameter(help="The tracker, such as local:./jobs; by default CALLSHEET_URL, else one of your own."),
    ] = None

    def client(self) -> Client[Any]:
        """Return a client of the tracker, to be opened by `async with`.

        Raises:
            ConfigError: The address cannot be used.
        """
        if self.url is not None or os.environ.get("CALLSHEET_URL"):
            return connect(self.url)
        _tell_whose(own_directory())
        return connect("local:")


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Shown(Where):
    """Options of commands that show jobs or files."""

    json: Annotated[
        bool, Parameter(help="Write JSON lines, as is done anyway when standard output is no terminal.")
    ] = False
    ids: Annotated[bool, Parameter(help="Write nothing but ids, one a line.")] = False


@cache
def _tell_whose(directory: Path) -> None:
    """Say it once, however often a client is made."""
    say(f"neither --url nor CALLSHEET_URL is given: using your own tracker in {directory}")


WHERE = Where()
SHOWN = Shown()
