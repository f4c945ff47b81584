"""Credentials that are renewed once for all the tasks that found them out of date."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from callsheet._errors import CallsheetError, Denied

__all__ = ["Renewal"]


class Renewal:
    """Lets one task at a time renew, and tells the others how it went.

    Attributes:
        epoch: Grows with each renewal; note it when signing, and give it back when the signature is refused.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._lock = anyio.Lock(fast_acquire=True)
        self._failed: tuple[int, CallsheetError] | None = None

    async def renew(self, epoch: int, refresh: Callable[[], Awaitable[None]]) -> None:
        """Return when the credentials of that epoch have been replaced, by this task or another.

        Raises:
            CallsheetError: The renewal failed; all who asked for that epoch are told, and none tries again.
        """
        async with self._lock:
            if self.epoch == epoch:
                try:
                    await refresh()
                except CallsheetError as error:
                    self._failed = (epoch, error)
                    self.epoch += 1
                    raise
                self.epoch += 1
            elif self._failed is not None and self._failed[0] == epoch:
                failed = self._failed[1]
                raise Denied(str(failed), request_id=failed.request_id) from failed
