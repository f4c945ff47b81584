"""`client.locations`: where a tracker keeps bytes."""

from __future__ import annotations

from typing import Any

from callsheet import _checks
from callsheet._door import Door
from callsheet._listing import Listing, Query
from callsheet._models import Location

__all__ = ["Locations"]


class Locations:
    """The places of one tracker."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self) -> Listing[Location]:
        """Return the locations by name."""
        self._door.require("locations.list")
        query = Query(
            fetch=self._page,
            key=_name,
            tracker=self._door.provider.tracker,
            fingerprint="locations",
            size=self._door.provider.page_size,
        )
        return Listing(query)

    async def get(self, name_or_id: str) -> Location:
        """Return the location of that id or, if there is none, of that name.

        Raises:
            NotFound: There is none.
        """
        wanted = _checks.text(name_or_id, "location")
        self._door.require("locations.get")
        with self._door.calling():
            return await self._door.provider.get_location(wanted)

    async def _page(self, after: Any, size: int) -> Any:
        with self._door.calling():
            return await self._door.provider.page_locations(after=after, size=size)


def _name(location: Location) -> str:
    return location.name
