"""An ASGI service that awaits the client: start jobs over HTTP, and see how they get on.

    pip install 'callsheet[local]' starlette uvicorn
    CALLSHEET_URL=local:./jobs uvicorn --app-dir examples service:app

    curl -X POST localhost:8000/jobs -d '{"name": "Publish sh010"}'
    curl localhost:8000/jobs?state=done

One client serves all requests: it is opened when the service starts and closed when it stops.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import callsheet
from callsheet import Client, Job, JobState

logger = logging.getLogger("service")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """Keep one client, and the work that outlives a request, for as long as the service runs."""
    async with callsheet.connect() as client, anyio.create_task_group() as work:
        yield {"client": client, "work": work}
        work.cancel_scope.cancel()


async def create(request: Request) -> JSONResponse:
    """Start a job in the background and answer at once, with a link to it."""
    client: Client[Any] = request.state.client
    work: TaskGroup = request.state.work
    body: Any = json.loads(await request.body())
    name: Any = body.get("name") if isinstance(body, dict) else body  # the client says what is no name
    job = await client.jobs.create(name, idempotency_key=request.headers.get("Idempotency-Key"))
    if job.state is JobState.QUEUED:  # a request that is repeated finds its job under way, or done
        work.start_soon(publish, client, job)
    return JSONResponse(shown(job), status_code=202, headers={"Location": f"/jobs/{job.id}"})


async def publish(client: Client[Any], job: Job) -> None:
    """Do the work: here, nothing but progress."""
    try:
        async with client.jobs.track(job=job) as tracked:
            for step in range(1, 6):
                await anyio.sleep(0.01)
                tracked.progress(step / 5, f"step {step} of 5")
    except callsheet.CallsheetError as error:
        # One job's trouble, such as a worker that has it already, must not end the service.
        logger.warning("job %s was left: %s", job.id, error)


async def listing(request: Request) -> JSONResponse:
    """List the newest jobs, a page at a time."""
    client: Client[Any] = request.state.client
    states = request.query_params.getlist("state") or None
    found = client.jobs.list(states=states, page_size=20, cursor=request.query_params.get("cursor"))
    page = await anext(found.pages())
    return JSONResponse({"jobs": [shown(job) for job in page.items], "cursor": page.cursor})


async def show(request: Request) -> JSONResponse:
    """Show one job; with `?wait=SECONDS`, as soon as it has ended."""
    client: Client[Any] = request.state.client
    id_ = request.path_params["id"]
    seconds = float(request.query_params.get("wait", 0))
    try:
        job = await (client.jobs.wait(id_, timeout=seconds) if seconds else client.jobs.get(id_))
    except callsheet.WaitTimeout as late:
        return JSONResponse({"error": str(late)}, status_code=504)
    return JSONResponse(shown(job))


async def refused(request: Request, error: Exception) -> JSONResponse:
    """Tell the caller what was wrong, by the class of callsheet's error."""
    status: dict[type[Exception], int] = {
        callsheet.NotFound: 404,
        callsheet.Conflict: 409,
        callsheet.Unavailable: 503,
    }
    wrong = isinstance(error, ValueError | callsheet.InvalidCursor)
    return JSONResponse({"error": str(error)}, status_code=400 if wrong else status.get(type(error), 500))


def shown(job: Job) -> dict[str, Any]:
    """Return what the service tells of a job."""
    return {"id": job.id, "name": job.name, "state": job.state, "progress": job.progress}


app = Starlette(
    routes=[
        Route("/jobs", create, methods=["POST"]),
        Route("/jobs", listing),
        Route("/jobs/{id}", show),
    ],
    lifespan=lifespan,
    exception_handlers={callsheet.CallsheetError: refused, ValueError: refused},
)
