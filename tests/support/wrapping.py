"""A provider around another: notes every call, and lets a test stand in for some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio

from callsheet.abc import Provider

__all__ = ["Wrapping", "wrap"]

StandIn = Callable[..., Any]


def _passed_on(name: str) -> Any:
    def call(self: Wrapping, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((name, args, kwargs))
        self.made[name] += 1
        self._called.set()
        self._called = anyio.Event()
        original = getattr(self.inner, name)
        stand_in = self.on.get(name)
        return original(*args, **kwargs) if stand_in is None else stand_in(original, *args, **kwargs)

    return call


class Wrapping(Provider):
    """Passes every call on to `inner`; made by `wrap`.

    Attributes:
        calls: Name, arguments and keyword arguments of each call, in order.
        made: How often each call was made.
        on: By name of a call, what is called instead, with the real call first and then its arguments.
    """

    inner: Provider
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]
    made: Counter[str]
    on: dict[str, StandIn]
    _called: anyio.Event

    open = _passed_on("open")
    aclose = _passed_on("aclose")
    create_jobs = _passed_on("create_jobs")
    made_job = _passed_on("made_job")
    get_jobs = _passed_on("get_jobs")
    page_jobs = _passed_on("page_jobs")
    count_jobs = _passed_on("count_jobs")
    update_jobs = _passed_on("update_jobs")
    cancel_job = _passed_on("cancel_job")
    rerun_job = _passed_on("rerun_job")
    delete_job = _passed_on("delete_job")
    job_problem = _passed_on("job_problem")
    allows = _passed_on("allows")
    sweep = _passed_on("sweep")
    claim_job = _passed_on("claim_job")
    beat_job = _passed_on("beat_job")
    upload = _passed_on("upload")
    made_components = _passed_on("made_components")
    link = _passed_on("link")
    page_components = _passed_on("page_components")
    get_component = _passed_on("get_component")
    delete_component = _passed_on("delete_component")
    members = _passed_on("members")
    folders = _passed_on("folders")
    read = _passed_on("read")
    component_url = _passed_on("component_url")
    page_locations = _passed_on("page_locations")
    get_location = _passed_on("get_location")

    @property
    def tracker(self) -> str:
        return self.inner.tracker

    @property
    def user(self) -> str:
        return self.inner.user

    def as_user(self, name: str) -> Any:
        other = wrap(self.inner.as_user(name))
        other.calls, other.made, other.on = self.calls, self.made, self.on
        return other

    async def next_calls(self, name: str, number: int = 1) -> None:
        """Return when that call has begun so many more times."""
        wanted = self.made[name] + number
        while self.made[name] < wanted:
            await self._called.wait()

    def arguments(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of each such call."""
        return [args for called, args, _ in self.calls if called == name]


def wrap(inner: Provider, **facts: Any) -> Wrapping:
    """Return a provider that is like `inner`, but for the class facts given (`capabilities=` and so on)."""
    shared = ("name", "capabilities", "hints", "page_size", "batch_size", "memory_per_upload", "total_order")
    kind = type("Wrapping", (Wrapping,), {fact: getattr(inner, fact) for fact in shared} | facts)
    wrapping: Wrapping = kind()
    wrapping.inner, wrapping.calls, wrapping.made, wrapping.on = inner, [], Counter(), {}
    wrapping._called = anyio.Event()
    wrapping.watch_interval = inner.watch_interval
    wrapping.progress_interval = inner.progress_interval
    return wrapping
