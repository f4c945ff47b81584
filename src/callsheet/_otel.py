"""Spans for those who collect them: one for each call to a server, one for each tracked job.

OpenTelemetry is never imported here. Who wants spans has imported and configured it; for all others this
costs one look into a dictionary.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from callsheet._redaction import clean

__all__ = ["Span", "span"]

Attribute = str | int | float | bool


class Span:
    """The span of one piece of work; without OpenTelemetry it takes everything and does nothing."""

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner

    def set(self, name: str, value: Attribute | None) -> None:
        """Set an attribute, cleaned of secrets; `None` sets nothing."""
        if self._inner is not None and value is not None:
            self._inner.set_attribute(name, clean(value) if isinstance(value, str) else value)


@contextmanager
def span(name: str, attributes: Mapping[str, Attribute | None], *, client: bool = False) -> Iterator[Span]:
    """Trace what happens inside; an exception marks the span as failed with its type and nothing more.

    Args:
        name: What is done, with no ids or names in it.
        attributes: What is known at the beginning.
        client: Whether it is a request to another machine.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield Span()
        return
    tracer = trace.get_tracer("callsheet")
    kind = trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL
    # Its own record of an exception would hold the message and the stack of every cause.
    with tracer.start_as_current_span(
        name, kind=kind, record_exception=False, set_status_on_exception=False
    ) as inner:
        made = Span(inner)
        for key, value in attributes.items():
            made.set(key, value)
        try:
            yield made
        except BaseException as exc:
            kind_of_error = type(exc).__name__
            made.set("error.type", kind_of_error)
            inner.set_status(trace.Status(trace.StatusCode.ERROR, kind_of_error))
            raise
