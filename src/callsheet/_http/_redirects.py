"""The way of one request through redirects: what it may carry where, and where it may not go at all."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from callsheet._http._urls import Url

__all__ = ["Refused", "Way"]

STATUSES = {301, 302, 303, 307, 308}
MOST = 5
HARMLESS = {"accept", "accept-encoding", "if-match", "if-none-match", "if-range", "range", "user-agent"}
"""The headers that may go along to another origin."""


class Refused(Exception):
    """A redirect that is not followed; says why."""


@attrs.define
class Way:
    """Where a request goes now.

    Attributes:
        url: The next stop.
        trusted: The origins that get credentials.
        bare: It has left its first origin: credentials, cookies and all other headers stay behind for good.
    """

    url: Url
    trusted: frozenset[str]
    bare: bool = False
    _visited: list[str] = attrs.field(factory=list)

    @property
    def home(self) -> bool:
        """Whether credentials may go along."""
        return not self.bare and self.url.origin in self.trusted

    def may_carry(self, header: str) -> bool:
        """Tell whether a header of the caller's may go along."""
        return not self.bare or header in HARMLESS

    @staticmethod
    def turns(status: int, headers: Mapping[str, str]) -> bool:
        """Tell whether the answer sends us elsewhere."""
        return status in STATUSES and "location" in headers

    def follow(self, method: str, status: int, location: str, *, empty: bool) -> None:
        """Go where the answer points.

        Raises:
            Refused: It leads in circles, from https to http, to no proper URL, or would take a body to
                another origin or drop it.
        """
        try:
            target = self.url.join(location)
        except ValueError as exc:
            raise Refused(f"the redirect's target {exc}") from None
        self._check(target, method, status, empty=empty)
        self._visited.append(str(self.url))
        if str(target) in self._visited:
            raise Refused("the redirects lead in circles")
        if len(self._visited) > MOST:
            raise Refused(f"more than {MOST} redirects")
        self.bare = self.bare or not self._at_home(target)
        self.url = target

    def _check(self, target: Url, method: str, status: int, *, empty: bool) -> None:
        if self.url.scheme == "https" and target.scheme == "http":
            raise Refused(f"the redirect leads from https to plain {target.origin}")
        fetches = method in {"GET", "HEAD"} and empty
        if not fetches and not self._at_home(target):
            raise Refused(f"the server has moved to {target.origin}; set that as its address")
        if not fetches and status not in {307, 308}:
            raise Refused(f"a {method} was redirected ({status}), which would drop its body")

    def _at_home(self, target: Url) -> bool:
        return target.origin == self.url.origin or {target.origin, self.url.origin} <= self.trusted
