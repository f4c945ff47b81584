"""Listings of files: by offsets, as Vidispine has them, but held to the ids that were seen."""

from __future__ import annotations

from collections.abc import Sequence

from callsheet._models import Component, Position, Slice
from callsheet.providers.vidispine._files_wire import component_of, is_whole, number_of
from callsheet.providers.vidispine._server import Row, Server
from callsheet.providers.vidispine._shape import entries

__all__ = ["Files"]


class Files:
    """The files at one path of the server, by the numbers of their ids.

    A file that goes moves all behind it one place to the front, so each page begins with the last file of the
    page before: where that is not found, the page is looked for further in front.
    """

    def __init__(self, server: Server, path: Sequence[str]) -> None:
        self._server = server
        self._path = path

    async def page(self, after: Position | None, size: int) -> Slice[Component]:
        """Return at most `size` files behind a position.

        Raises:
            NotFound: There is no such path.
        """
        last = -1.0 if after is None else number_of(after.ids[-1])
        first = 0 if after is None else await self._place_of(after, last)
        rows, hits = await self._read(first, size + 1)
        while first > 0 and not (rows and number_of(rows[0]["id"]) <= last):
            first = max(0, first - size)
            rows, hits = await self._read(first, size + 1)
        new = [(index, row) for index, row in enumerate(rows) if number_of(row["id"]) > last][:size]
        found = [component_of(row) for _, row in new if is_whole(row)]
        end = new[-1][0] if new else len(rows) - 1
        if not rows or first + end + 1 >= hits:
            return Slice(found)
        seen = new[-1][1]["id"] if new or after is None else after.ids[-1]
        return Slice(found, Position(f"@{first + end}", (seen,)))

    async def _place_of(self, after: Position, last: float) -> int:
        """Return where the last file is, or was, that came before."""
        if after.key.startswith("@") and after.key[1:].isdecimal():
            return int(after.key[1:])
        low, high = 0, (await self._read(0, 1))[1]
        while low < high:
            middle = (low + high) // 2
            rows, _ = await self._read(middle, 1)
            if rows and number_of(rows[0]["id"]) <= last:
                low = middle + 1
            else:
                high = middle
        return max(0, low - 1)

    async def _read(self, first: int, number: int) -> tuple[list[Row], int]:
        asked = [("first", str(first)), ("number", str(number)), ("sort", "fileId asc")]
        document = await self._server.read(*self._path, query=asked)
        rows = [row for row in entries(document.get("file")) if isinstance(row.get("id"), str)]
        hits = document.get("hits")
        if isinstance(hits, int):
            return rows, hits
        return rows, first + len(rows) + (len(rows) >= number)
