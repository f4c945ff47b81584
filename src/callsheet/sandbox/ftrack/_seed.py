"""What an ftrack sandbox holds from the start: users, locations, and the jobs that were asked for."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from callsheet.sandbox.ftrack import _values
from callsheet.sandbox.ftrack._store import Document

if TYPE_CHECKING:
    from callsheet.sandbox.ftrack import Ftrack

__all__ = ["API_KEY", "API_USER", "SERVER_LOCATION", "fixed_id", "plant"]

API_USER = "sandbox"
API_KEY = "sandbox-key"

SERVER_LOCATION = "3a372bde-05bc-11e4-8908-20c9d081909b"

# The vendor's clients know these ids by heart: ftrack_api.symbol.
LOCATIONS = {
    "ftrack.origin": "ce9b348f-8809-11e3-821c-20c9d081909b",
    "ftrack.unmanaged": "cb268ecc-8809-11e3-a7e2-20c9d081909b",
    "ftrack.review": "cd41be70-8809-11e3-b98a-20c9d081909b",
    "ftrack.server": SERVER_LOCATION,
    "ftrack.connect": "07b82a97-8cf9-11e3-9383-20c9d081909b",
}

# `jenkins` is the user of the vendor's own tests.
JENKINS = "d07ae5d0-66e1-11e1-b5e9-f23c91df25eb"
ARTISTS = ["jane", "ada", "bela", "chen", "dora", "emil", "fay", "goro", "hana", "ines", "jules"]

WORK = ["Publish", "Transcode", "Render", "Ingest", "Review"]
STATUSES = ["queued", "running", "done", "failed"]


def plant(part: Ftrack) -> None:
    """Fill an empty store."""
    for name, location_id in LOCATIONS.items():
        put(part, "Location", id=location_id, name=name, label=name, description="")
    for username in (API_USER, "jenkins", *ARTISTS):
        put(
            part,
            "User",
            id=JENKINS if username == "jenkins" else fixed_id(username),
            username=username,
            first_name=username.title(),
            last_name="Sandbox",
            email=f"{username}@studio.example",
            is_active=True,
            resource_type="user",
        )
    for number in range(part.world.settings.jobs):
        plant_job(part, number)


def plant_job(part: Ftrack, number: int) -> None:
    """Add one ready-made job. What has not ended yet goes on, and ends, on the sandbox's clock."""
    chance, now = part.world.chance, part.world.clock.now()
    status = STATUSES[number % len(STATUSES)]
    created = now - timedelta(minutes=number + 10)
    job_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    name = f"{chance.choice(WORK)} sh{number:05}"
    put(
        part,
        "Job",
        id=job_id,
        type="api_job",
        status=status,
        data=json.dumps({"description": name}),
        user_id=fixed_id(chance.choice(ARTISTS)),
        created_at=_values.stamp(created),
        finished_at=_values.stamp(created + timedelta(minutes=5)) if status in {"done", "failed"} else None,
    )
    if status in {"queued", "running"}:
        starts = 60 * (1 + chance.random())
        end = chance.choices(["done", "failed"], [4, 1])[0]
        part.run_job(job_id, starts=starts, ends=starts + 240 * (1 + chance.random()), status=end)


def put(part: Ftrack, entity_type: str, /, **values: str | bool | None) -> None:
    """Add one document as it stands."""
    document: Document = {"__entity_type__": entity_type, **values}
    part.store.put(document)


def fixed_id(username: str) -> str:
    """Return the id that a user has in every sandbox."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{username}.callsheet.invalid"))
