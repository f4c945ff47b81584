"""What the tests of the ftrack provider look at: the batches it sends, and what a server keeps."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from callsheet import Client
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox

__all__ = ["KEY", "actions", "batches", "data_of", "rows"]

KEY = "sandbox-key"
"""The sandbox's one key."""


def batches(sandbox: Sandbox) -> list[list[dict[str, Any]]]:
    """Return the operations of each request to the API, in order."""
    return [json.loads(request.body) for request in sandbox.requests("/api")]


def actions(sandbox: Sandbox) -> list[Counter[str]]:
    """Return, for each request to the API, how often it has each action, with the type it is about."""
    return [
        Counter(f"{one['action']} {one.get('entity_type', '')}".strip() for one in batch)
        for batch in batches(sandbox)
    ]


async def rows(client: Client[FtrackProvider], text: str) -> list[dict[str, Any]]:
    """Return what a query finds."""
    return await client.provider.query(text)


async def data_of(client: Client[FtrackProvider], job_id: str) -> dict[str, Any]:
    """Return a job's `data`, decoded."""
    (row,) = await client.provider.query(f'select data from Job where id is "{job_id}"')
    found: dict[str, Any] = json.loads(row["data"])
    return found
