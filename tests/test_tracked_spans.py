"""A tracked job is one span, with its end state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import callsheet

pytestmark = pytest.mark.anyio


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect the spans of one test, without touching the process's own tracer provider."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield memory
    provider.shutdown()


async def test_a_tracked_job_is_one_span(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    """The span covers the block, holds the user's own, and ends with the state and kind of error."""
    ids = []
    async with callsheet.connect(f"local:{tmp_path}/jobs") as client:
        async with client.jobs.track("works") as tracked:
            with trace.get_tracer("user").start_as_current_span("render"):
                ids.append(tracked.job.id)

        async def fail() -> None:
            async with client.jobs.track("fails") as tracked:
                ids.append(tracked.job.id)
                raise KeyError("secret-in-a-message")

        with pytest.raises(KeyError):
            await fail()

    def facts(state: str, **more: Any) -> dict[str, Any]:
        return {"callsheet.provider": "local", "callsheet.job": ids.pop(0), "callsheet.state": state, **more}

    inner, works, fails = exporter.get_finished_spans()
    assert inner.parent is not None
    assert inner.parent.span_id == works.context.span_id
    assert (works.name, dict(works.attributes or {})) == ("track", facts("done"))
    failed = facts("failed", **{"error.type": "KeyError"})
    assert (fails.name, dict(fails.attributes or {})) == ("track", failed)
    assert [works.status.status_code, fails.status.status_code] == [StatusCode.UNSET, StatusCode.ERROR]
    assert "secret-in-a-message" not in works.to_json() + fails.to_json()
