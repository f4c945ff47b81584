"""What a Vidispine sandbox holds from the start: users, storages, shape tags, jobs if any were asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from callsheet.sandbox.vidispine._users import ADMINISTRATOR
from callsheet.sandbox.vidispine._values import whole

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["PASSWORD", "USER", "plant"]

USER = "admin"
PASSWORD = "admin"  # noqa: S105 - it guards a sandbox, and is printed in its docs

ARTISTS = ["jane", "ada", "bela", "chen", "dora", "emil", "fay", "goro", "hana", "ines", "jules"]

STORAGES = {"originals": "file:///srv/originals/", "proxies": "file:///srv/proxies/"}
TAGS = ("original", "lowres", "highres", "web", "document")
TERABYTE = 10**12

TYPES = ["RAW_IMPORT", "TRANSCODE", "SHAPE_IMPORT", "THUMBNAIL", "STUDIO_RENDER"]
STATES = ["READY", "STARTED", "FINISHED", "FAILED_TOTAL"]


def plant(part: Vidispine) -> None:
    """Fill an empty server."""
    part.users.add(USER, PASSWORD, roles=(ADMINISTRATOR, "_job_read", "_job_write"))
    for name in ARTISTS:
        part.users.add(name, name, roles=("_job_read", "_job_write"))
    for name, uri in STORAGES.items():
        storage = part.storages.add(
            {
                "capacity": TERABYTE,
                "method": [{"uri": uri}],
                "metadata": {"field": [{"key": "name", "value": name}]},
                "lowWatermarkPercentage": 90,
                "highWatermarkPercentage": 75,
            }
        )
        part.storages.scan(storage)
    part.tags.update({name: {"name": name} for name in TAGS})
    for number in reversed(range(part.world.settings.jobs)):
        plant_job(part, number)


def plant_job(part: Vidispine, number: int) -> None:
    """Add one ready-made job. What has not ended yet goes on, and ends, on the sandbox's clock."""
    chance = part.world.chance
    started = whole(part.now() - timedelta(minutes=number + 10))
    job = part.jobs.add(chance.choice(TYPES), chance.choice(ARTISTS), {}, held=True)
    job.started = started
    job.data |= {"item": f"VX-{number + 1}", "itemId": f"VX-{number + 1}"}
    job.data["originalFilename"] = f"sh{number:05}.mov"
    job.plan = [each for each in job.plan if each["method"] in {"setUp", "work", "cleanUp", "mediaCheck"}]
    state = STATES[number % len(STATES)]
    if state == "READY":
        part.engine.release(job)
    elif state == "STARTED":
        part.engine.go(job)
    else:
        part.engine.start(job)
        if state == "FAILED_TOTAL":
            part.engine.fail(job, "The media could not be read")
        else:
            part.engine.complete(job)
        job.finished = started + timedelta(minutes=5)
