"""What can be done with Vidispine's jobs."""

from __future__ import annotations

from callsheet.providers.vidispine._components import ComponentCalls

__all__ = ["JobCalls"]


class JobCalls(ComponentCalls):
    """The calls of `callsheet.abc.Provider` that are about jobs."""
