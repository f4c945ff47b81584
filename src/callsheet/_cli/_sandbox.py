"""`callsheet sandbox`: servers of all vendors on this machine."""

from __future__ import annotations

import math
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

__all__ = ["sandbox"]


def sandbox(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lt=65536), show_default=True)] = 8300,
    jobs: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    latency: Annotated[float, Parameter(validator=Number(gte=0, lt=math.inf))] = 0.0,
    seed: int | None = None,
    s3: str | None = None,
) -> None:
    """Serve stand-ins of the trackers' servers until interrupted: for trying things out, and for tests.

    It prints the variables by which callsheet and the vendors' own clients find it, then `ready`. Everything
    is kept in memory and in a temporary folder, and gone at the end.

    Args:
        host: The address to listen on.
        port: Where; 0 takes a free one. S3 is on the next one.
        jobs: How many ready-made jobs each tracker has.
        latency: Milliseconds before each answer.
        seed: A number that makes all that is random repeatable.
        s3: The URL of an S3 server to use instead of starting one.
    """
    from callsheet.sandbox import Settings, run

    run(Settings(host=host, port=port, jobs=jobs, latency=latency, seed=seed, s3=s3))
