"""Spans: one a call and one a tracked job, and no secret in any."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from callsheet import _errors as errors
from callsheet._otel import span
from callsheet._redaction import Secret
from faultserver import FaultServer, Line, always, answer
from support.roads import Road

CANARY = Secret("canary-in-a-span")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect spans in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", lambda name: provider.get_tracer(name))
    yield exporter
    provider.shutdown()


def shown(one: ReadableSpan) -> tuple[str, SpanKind, dict[str, object], StatusCode, str | None]:
    assert not one.events
    return one.name, one.kind, dict(one.attributes or {}), one.status.status_code, one.status.description


async def test_one_span_a_call(road: Road, exporter: InMemorySpanExporter) -> None:
    """A call of two attempts, a failed one and a download make one span each, with no secret or stack."""

    def play(line: Line) -> None:
        line.request()
        line.answer(503, b"", {"Retry-After": "0"})
        line.request()
        line.answer(200, b"fine")
        line.request()
        line.answer(404, b"no canary-in-a-span here")
        always(answer(200, b"data"))(line)

    with FaultServer(play) as server:
        async with road(server.url, headers={"x-key": CANARY}) as http:
            await http.send("GET", "/canary-in-a-span/jobs?key=canary-in-a-span", operation="list jobs")
            with pytest.raises(errors.NotFound):
                await http.send("POST", "/job", body=b"{}")
            async with http.download("/file") as download:
                assert [chunk async for chunk in download] == [b"data"]
        about = {"server.address": "127.0.0.1", "server.port": server.port, "callsheet.provider": "test"}
    assert [shown(one) for one in exporter.get_finished_spans()] == [
        (
            "test list jobs",
            SpanKind.CLIENT,
            about | {"http.request.method": "GET", "url.path": "/***/jobs", "http.response.status_code": 200},
            StatusCode.UNSET,
            None,
        ),
        (
            "test POST",
            SpanKind.CLIENT,
            about | {"http.request.method": "POST", "url.path": "/job", "error.type": "NotFound"},
            StatusCode.ERROR,
            "NotFound",
        ),
        (
            "test GET",
            SpanKind.CLIENT,
            about | {"http.request.method": "GET", "url.path": "/file", "http.response.status_code": 200},
            StatusCode.UNSET,
            None,
        ),
    ]


async def test_one_span_a_tracked_job(road: Road, exporter: InMemorySpanExporter) -> None:
    """A job's span holds those of the calls made inside it, and is cleaned of secrets."""
    with FaultServer(always(answer(200))) as server:
        async with road(server.url) as http:
            with span("track", {"callsheet.job": "canary-in-a-span", "callsheet.nothing": None}) as tracked:
                await http.send("POST", "/job")
                tracked.set("callsheet.state", "done")
    call, job = exporter.get_finished_spans()
    assert shown(job) == (
        "track",
        SpanKind.INTERNAL,
        {"callsheet.job": "***", "callsheet.state": "done"},
        StatusCode.UNSET,
        None,
    )
    assert call.parent is not None
    assert call.parent.span_id == job.context.span_id


async def test_without_opentelemetry(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody has imported OpenTelemetry, calls go on without it."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    with FaultServer(always(answer(200, b"fine"))) as server:
        async with road(server.url) as http:
            assert (await http.send("GET", "/")).body == b"fine"
    with pytest.raises(KeyError), span("x", {}):
        raise KeyError
