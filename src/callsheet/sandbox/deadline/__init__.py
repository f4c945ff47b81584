"""The AWS part of a sandbox: what Deadline Cloud answers about jobs and their files, and a little of STS."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import anyio
import anyio.to_thread
from starlette.routing import BaseRoute

from callsheet.sandbox._frame import World
from callsheet.sandbox._options import FLAG, NULL, Options, number
from callsheet.sandbox.deadline import _acts, _model
from callsheet.sandbox.deadline._documents import Job
from callsheet.sandbox.deadline._errors import NotThere
from callsheet.sandbox.deadline._outputs import Outputs
from callsheet.sandbox.deadline._pace import Pace
from callsheet.sandbox.deadline._running import Fleet
from callsheet.sandbox.deadline._seed import ACCESS_KEY, FARM, QUEUE, SECRET_KEY, USERS, plant
from callsheet.sandbox.deadline._signatures import Key
from callsheet.sandbox.deadline._statuses import Statuses
from callsheet.sandbox.deadline._store import Store
from callsheet.sandbox.deadline._web import Kept, routes

__all__ = ["Deadline"]

OPTIONS: Options = Options(
    "deadline",
    {
        "workers": number(whole=True),
        "pick_up_seconds": number(),
        "start_seconds": number(),
        "task_seconds": number(),
        "create_seconds": number(),
        "update_seconds": number(),
        "interrupt_seconds": number(),
        "search_lag_seconds": number(),
        "role_seconds": number(),
        "requests_per_second": number() | NULL,
        "retry_after": number(whole=True),
        "job_quota": number(whole=True) | NULL,
        "check_clock": FLAG,
    },
)


class Deadline:
    """Deadline Cloud in memory: one account, one region, one farm.

    Attributes:
        workers: How many tasks run at once by the clock; with 0 nothing starts by itself.
        pick_up_seconds: Until a worker takes up a task that is ready.
        start_seconds: Until it runs, then.
        task_seconds: How long it runs.
        create_seconds: How long a job is CREATE_IN_PROGRESS.
        update_seconds: How long it is UPDATE_IN_PROGRESS.
        interrupt_seconds: How long a running task is INTERRUPTING.
        search_lag_seconds: How far searches are behind.
        role_seconds: How long the credentials of a queue's role live.
        requests_per_second: How many requests are answered, on average; None answers all.
        retry_after: The seconds that are told to those that are not.
        job_quota: How many jobs a queue may have.
        check_clock: Whether signatures of another time than the sandbox's are refused.
    """

    name = "deadline"
    account = "123456789012"
    region = "us-west-2"
    service = "deadline.amazonaws.com"
    farm_id = FARM
    queue_id = QUEUE
    keys: tuple[str, str] = (ACCESS_KEY, SECRET_KEY)

    def __init__(self, world: World) -> None:
        self.world = world
        self.s3: str = world.s3
        # Several sandboxes may share an S3 server.
        self.root_prefix: str = f"deadline-{uuid.uuid4().hex[:8]}"
        seed = world.settings.seed
        self.chance: random.Random = random.Random(seed)  # noqa: S311 - repeatable by design
        self.workers = 4
        self.pick_up_seconds: float = 1
        self.start_seconds: float = 1
        self.task_seconds: float = 5
        self.create_seconds: float = 0.5
        self.update_seconds: float = 0
        self.interrupt_seconds: float = 1
        self.search_lag_seconds: float = 0
        self.role_seconds: float = 3600
        self.requests_per_second: float | None = None
        self.retry_after = 1
        self.job_quota: int | None = None
        self.check_clock = False
        self.temporary_keys: dict[str, Key] = {}
        self.tokens: dict[tuple[str, str, str], Kept] = {}
        self.outputs: Outputs = Outputs(self)
        self.flushing: anyio.Lock = anyio.Lock()
        self.pace: Pace = Pace(self)
        self.statuses: Statuses = Statuses(self)
        self.fleet: Fleet = Fleet(self)
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """All there is; planted when it is first looked at, as most sandboxes are not asked about it."""
        if self._store is None:
            self._store = Store()
            plant(self)
        return self._store

    @property
    def model(self) -> _model.Model:
        """The vendor's description of the service; `prepare` loads it."""
        return _model.load()

    async def prepare(self) -> None:
        """Load what answering needs: the first time, it takes a while."""
        if not _model.load.cache_info().currsize:
            await anyio.to_thread.run_sync(_model.load)

    def routes(self) -> list[BaseRoute]:
        """Return what it answers."""
        return routes(self)

    def environment(self, url: str) -> Mapping[str, str]:
        """Return the variables by which AWS's own clients find it."""
        return {
            "AWS_ENDPOINT_URL_DEADLINE": url,
            "AWS_ENDPOINT_URL_STS": url,
            **({"AWS_ENDPOINT_URL_S3": self.s3} if self.s3 else {}),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "DEADLINE_CLOUD_TELEMETRY_OPT_OUT": "true",
        }

    @property
    def options(self) -> dict[str, Any]:
        """What can be changed while it runs."""
        return OPTIONS.read(self)

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change options.

        Raises:
            ValueError: An option is unknown or has no such value; names it.
        """
        OPTIONS.write(self, options)
        if self._store is not None:
            self.fleet.dispatch()

    def act(self, action: str, words: Mapping[str, Any]) -> Any:
        """Do by another program's hand what clients cannot ask for.

        Raises:
            ValueError: The action or one of its words will not do; the message names it.
        """
        return _acts.act(self, action, words)

    # -- what the operations share --------------------------------------------------------------------------

    def new_id(self, kind: str) -> str:
        """Return an id that nothing has."""
        return f"{kind}-{self.chance.getrandbits(128):032x}"

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something when the sandbox's clock has gone on by so much."""
        self.world.clock.call_at(self.world.clock.now() + timedelta(seconds=seconds), do)

    def index(self, job: Job) -> None:
        """Let searches see a job as it is now, or will have been when they get to it."""
        if not self.search_lag_seconds:
            job.indexed = job.told()
            return
        seen = {**job.told(), "taskRunStatusCounts": dict(job.document["taskRunStatusCounts"])}

        def indexed() -> None:
            job.indexed = seen

        self.after(self.search_lag_seconds, indexed)

    def key(self, access_key: str) -> Key | None:
        """Return an access key that the sandbox knows."""
        return Key(access_key, SECRET_KEY) if access_key in USERS else self.temporary_keys.get(access_key)

    def arn_of(self, user: str) -> str:
        """Return the name of a user as AWS tells it."""
        return f"arn:aws:iam::{self.account}:user/{user}"

    def arn_of_job(self, job: Job) -> str:
        """Return the name of a job as AWS tells it."""
        place = f"farm/{job.queue.farm.id}/queue/{job.queue.id}/job/{job.id}"
        return f"arn:aws:deadline:{self.region}:{self.account}:{place}"

    def tags_of(self, arn: str) -> dict[str, str]:
        """Return the tags of a job, a queue or a farm, to be changed in place.

        Raises:
            NotThere: There is no such thing.
        """
        kinds = arn.split(":", 5)[-1].split("/")
        words = {f"{kind}Id": name for kind, name in zip(kinds[::2], kinds[1::2], strict=False)}
        found = {2: self.store.farm, 4: self.store.queue, 6: self.store.job}.get(len(kinds))
        if found is None or "farmId" not in words:
            raise NotThere("resource", arn)
        found(words)
        return self.store.tags.setdefault(arn, {})
