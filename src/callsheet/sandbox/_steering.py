"""What steers a sandbox from outside: its clock, its faults, what it saw, and its parts."""

from __future__ import annotations

import json
from typing import Any

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from callsheet.sandbox._faults import Rule
from callsheet.sandbox._frame import Frame

__all__ = ["steering_routes"]


def steering_routes() -> list[BaseRoute]:
    """Return the routes below `/_sandbox`."""
    return [
        Route("/", describe),
        Route("/clock", read_clock, methods=["GET"]),
        Route("/clock", move_clock, methods=["POST"]),
        Route("/faults", read_faults, methods=["GET"]),
        Route("/faults", replace_faults, methods=["PUT"]),
        Route("/faults", add_faults, methods=["POST"]),
        Route("/faults", clear_faults, methods=["DELETE"]),
        Route("/requests", read_requests, methods=["GET"]),
        Route("/requests", clear_requests, methods=["DELETE"]),
        Route("/{part}", read_options, methods=["GET"]),
        Route("/{part}", change_options, methods=["PUT"]),
        Route("/{part}/{action}", act, methods=["POST"]),
    ]


async def describe(request: Request) -> Response:
    """Say where the sandbox is and how real clients find it."""
    frame = frame_of(request)
    environment = {name: value for part in frame.parts for name, value in part.environment(frame.url).items()}
    return JSONResponse({"url": frame.url, "environment": environment})


async def read_clock(request: Request) -> Response:
    """Tell the time."""
    clock = frame_of(request).world.clock
    return JSONResponse({"now": clock.now().isoformat(), "frozen": clock.frozen})


async def move_clock(request: Request) -> Response:
    """Freeze the clock or let it run (`frozen`), then move it on (`seconds`)."""
    clock = frame_of(request).world.clock
    wanted = await mapping_of(request)
    if unknown := sorted(set(wanted) - {"seconds", "frozen"}):
        raise refused(f"{unknown[0]}: a clock knows only frozen, seconds")
    frozen, seconds = wanted.get("frozen", clock.frozen), wanted.get("seconds", 0)
    if not isinstance(frozen, bool):
        raise refused(f"frozen: {frozen!r} is neither true nor false")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise refused(f"seconds: {seconds!r} is not a number")
    clock.freeze(frozen)
    try:
        clock.advance(seconds)
    except ValueError as exc:
        raise refused(str(exc)) from exc
    return await read_clock(request)


async def read_faults(request: Request) -> Response:
    """List the rules in force, with how many requests they saw and struck."""
    rules = frame_of(request).faults.rules
    return JSONResponse([{**rule.words, "seen": rule.seen, "struck": rule.struck} for rule in rules])


async def replace_faults(request: Request) -> Response:
    """Put one rule, a list of rules, or `{"seed": n, "faults": [...]}` in force."""
    words = await decoded(request)
    seed = None
    if isinstance(words, dict) and "faults" in words:
        if unknown := sorted(set(words) - {"seed", "faults"}):
            raise refused(f"{unknown[0]}: only faults and seed belong together")
        seed, words = words.get("seed"), words["faults"]
        if isinstance(seed, bool) or not isinstance(seed, int | None):
            raise refused(f"seed: {seed!r} is not a whole number")
    frame_of(request).faults.replace(rules_of(words), seed)
    return await read_faults(request)


async def add_faults(request: Request) -> Response:
    """Add one rule, or a list of rules, behind those in force."""
    rules = rules_of(await decoded(request))
    frame_of(request).faults.rules.extend(rules)
    return await read_faults(request)


async def clear_faults(request: Request) -> Response:
    """Let every request pass again."""
    frame_of(request).faults.replace([])
    return Response(status_code=204)


async def read_requests(request: Request) -> Response:
    """Tell what arrived, oldest first, and over how many connections."""
    frame = frame_of(request)
    return JSONResponse(
        {
            "count": frame.requests,
            "connections": attrs.asdict(frame.census),
            "requests": [attrs.asdict(record) for record in frame.log],
        }
    )


async def clear_requests(request: Request) -> Response:
    """Forget what arrived."""
    frame = frame_of(request)
    frame.log.clear()
    frame.requests = 0
    frame.census.reset()
    return Response(status_code=204)


async def read_options(request: Request) -> Response:
    """Tell the options of one part."""
    return JSONResponse(part_of(request).options)


async def change_options(request: Request) -> Response:
    """Change options of one part."""
    try:
        part_of(request).configure(await mapping_of(request))
    except ValueError as exc:
        raise refused(str(exc)) from exc
    return await read_options(request)


async def act(request: Request) -> Response:
    """Let one part do something by another program's hand, after what is due by now."""
    frame_of(request).world.clock.tick()
    try:
        told = part_of(request).act(request.path_params["action"], await mapping_of(request))
    except ValueError as exc:
        raise refused(str(exc)) from exc
    return JSONResponse(told)


def frame_of(request: Request) -> Frame:
    """Return the sandbox that the request steers."""
    frame: Frame = request.app.state.frame
    return frame


def part_of(request: Request) -> Any:
    """Return the part that the path names."""
    for part in frame_of(request).parts:
        if part.name == request.path_params["part"]:
            return part
    there = ", ".join(part.name for part in frame_of(request).parts)
    raise HTTPException(404, f"nothing here is called {request.path_params['part']}; there are {there}")


def rules_of(words: Any) -> list[Rule]:
    """Read rules from decoded JSON, one or many."""
    try:
        return [Rule.read(each) for each in (words if isinstance(words, list) else [words])]
    except ValueError as exc:
        raise refused(str(exc)) from exc


async def decoded(request: Request) -> Any:
    """Return the request's JSON."""
    try:
        return json.loads(await request.body() or b"{}", parse_constant=no_constant)
    except ValueError as exc:
        raise refused(f"not JSON: {exc}") from exc


def no_constant(word: str) -> None:
    """Refuse what JSON has no word for, though Python writes it."""
    raise ValueError(f"{word} is no number that will do")


async def mapping_of(request: Request) -> dict[str, Any]:
    """Return the request's JSON object."""
    words = await decoded(request)
    if not isinstance(words, dict):
        raise refused(f"an object is needed, not {words!r}")
    return words


def refused(message: str) -> HTTPException:
    """Return what tells the caller about a mistake."""
    return HTTPException(400, message)
