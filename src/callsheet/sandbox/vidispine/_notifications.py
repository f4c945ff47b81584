"""Notifications of a Vidispine server: who wants to hear what, and the calls about them."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import attrs

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._callbacks import Callbacks
from callsheet.sandbox.vidispine._errors import invalid, not_found
from callsheet.sandbox.vidispine._values import Document, pairs, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine
    from callsheet.sandbox.vidispine._door import Table
    from callsheet.sandbox.vidispine._jobs import Job

__all__ = ["TABLE", "Notifications"]

ENTITIES = (
    *("item", "collection", "job", "storage", "file", "storage/file", "quota", "group", "document"),
    "deletion-lock",
)
EVENTS = ("create", "update", "stop", "finished", "fail")


@attrs.frozen
class Notification:
    """One wish to hear something.

    Attributes:
        entity: About what kind of things; empty for placeholders.
        about: The id of the only thing it is about, if it is about one.
        document: As it was given.
    """

    id: str
    entity: str
    about: str | None
    document: Document

    @property
    def trigger(self) -> Document:
        """What about jobs it wants to hear; empty if nothing."""
        trigger: Document = self.document["trigger"].get("job") or {}
        return trigger

    def event(self, action: str, status: str) -> str | None:
        """Return the event that it wants to hear and that a change of a job is, if it is one."""
        happened = {"CREATE": {"create"}, "UPDATE": {"update"}, "STOP": {"update", "stop"}}[action]
        if action == "STOP":
            happened |= {"finished"} if status.startswith("FINISHED") else set()
            happened |= {"fail"} if status == "FAILED_TOTAL" else set()
        return next((event for event in EVENTS if event in self.trigger and event in happened), None)

    def concerns(self, job: Job) -> bool:
        """Tell whether it is about a job at all."""
        if self.about not in {None, job.id}:
            return False
        if str(self.trigger.get("placeholder")).lower() == "true" or not self.entity:
            return job.notification is not None and job.notification[0] == self.id
        wanted = self.trigger.get("filter") or {}
        types = {each.strip() for each in str(wanted.get("type") or "").split(",")} - {""}
        return (not types or job.type in types) and has_data(job, wanted.get("jobdata"))


def has_data(job: Job, wanted: Any) -> bool:
    """Tell whether a job's data are such as a filter wants."""
    if not wanted:
        return True
    listed = wanted if isinstance(wanted, list) else [wanted]
    return all(job.data.get(str(each.get("key"))) == each.get("value") for each in listed)


class Notifications:
    """Every notification; tells those that want to hear."""

    def __init__(self, part: Vidispine) -> None:
        self.by_id: dict[str, Notification] = {}
        self._part = part
        self._callbacks = Callbacks()
        self._numbers = itertools.count(1)

    def tell(self, job: Job, action: str) -> None:
        """Tell about a change of a job: CREATE, UPDATE or STOP."""
        self._callbacks.newest_first = self._part.callbacks_reversed
        for each in self.by_id.values():
            event = each.event(action, job.status) if each.concerns(job) else None
            if event is not None:
                fields = self._fields(job, action, each)
                self._callbacks.send(each.id, each.document["action"].get("http") or {}, {"field": fields})

    def _fields(self, job: Job, action: str, notification: Notification) -> list[Document]:
        current = job.current or {}
        facts = {
            "jobId": job.id,
            "action": action,
            "status": job.status,
            "type": job.type,
            "user": job.user,
            # Notifications spell times otherwise than all else.
            "started": stamp(job.started).replace("+0000", "Z"),
            "currentStepNumber": str(current["number"]) if current else None,
            "currentStepStatus": current.get("status"),
            "totalSteps": None if job.total is None else str(job.total),
            "sequenceNumber": str(next(self._numbers)),
            "notificationData": job.notification[1] if job.notification else None,
        }
        known = {name: value for name, value in facts.items() if value is not None}
        wanted = (notification.trigger.get("contentFilters") or {}).get("contentFilter")
        told = {**job.data, **known}
        return pairs({name: told[name] for name in wanted if name in told} if wanted else told)


def checked(document: Document) -> Document:
    """Return a notification's document.

    Raises:
        VidispineError: It lacks what to do or when, or wants several things at once.
    """
    action, trigger = document.get("action"), document.get("trigger")
    if not isinstance(action, dict) or not isinstance(trigger, dict):
        raise invalid("notification", "An action and a trigger are required")
    if "http" in action and not is_call(action["http"]):
        raise invalid("notification", "An action needs a URL, and numbers for its timeout and retry")
    if "job" in trigger and not is_trigger(trigger["job"]):
        raise invalid("notification", f"A trigger for jobs is one of {', '.join(EVENTS)}")
    return document


def is_call(action: Any) -> bool:
    """Tell whether somebody can be called so."""
    if not isinstance(action, dict) or not isinstance(action.get("url"), str) or not action["url"]:
        return False
    return all(re.fullmatch(r"\d{1,9}", str(action.get(name) or 0)) for name in ("timeout", "retry"))


def is_trigger(trigger: Any) -> bool:
    """Tell whether it names one event, and a filter that is one."""
    if not isinstance(trigger, dict) or sum(event in trigger for event in EVENTS) != 1:
        return False
    return isinstance(trigger.get("filter") or {}, dict)


class Room:
    """The calls about the notifications of one kind of entity.

    Args:
        entity: The kind; empty for placeholders.
        single: Whether about single things of that kind.
    """

    def __init__(self, entity: str, *, single: bool) -> None:
        self._entity = entity
        self._single = single

    def table(self) -> Table:
        """Return the calls with their paths."""
        base = f"/{self._entity}" if self._entity else ""
        base += "/{about:id}/notification" if self._single else "/notification"
        return [
            ("GET", base, self.show),
            ("POST", base, self.create),
            ("DELETE", base, self.clear),
            ("GET", f"{base}/{{notification:id}}", self.get),
            ("PUT", f"{base}/{{notification:id}}", self.replace),
            ("DELETE", f"{base}/{{notification:id}}", self.delete),
        ]

    async def show(self, call: Call) -> Reply:
        """List the ids."""
        found = [each.id for each in self._here(call)]
        return _answering.lines(found) if call.plain else {"uri": found} if found else {}

    async def create(self, call: Call) -> Reply:
        """Add one; its id is the answer."""
        document = checked(await call.document())
        if self._single and self._entity == "job":
            call.part.jobs.get(call.id("about"))
        identity = call.part.new_id("notification")
        call.part.notifications.by_id[identity] = Notification(
            identity, self._entity, self._about(call), document
        )
        return _answering.lines([identity]) if call.plain else {"uri": [identity]}

    async def clear(self, call: Call) -> None:
        """Delete all of them."""
        for each in self._here(call):
            del call.part.notifications.by_id[each.id]

    async def get(self, call: Call) -> Reply:
        """Return one."""
        return self._named(call).document

    async def replace(self, call: Call) -> Reply:
        """Put another in place of one."""
        changed = attrs.evolve(self._named(call), document=checked(await call.document()))
        call.part.notifications.by_id[changed.id] = changed
        return changed.document

    async def delete(self, call: Call) -> None:
        """Delete one."""
        del call.part.notifications.by_id[self._named(call).id]

    def _about(self, call: Call) -> str | None:
        about: str | None = call.request.path_params.get("about")
        return about

    def _here(self, call: Call) -> list[Notification]:
        key = (self._entity, self._about(call))
        return [each for each in call.part.notifications.by_id.values() if (each.entity, each.about) == key]

    def _named(self, call: Call) -> Notification:
        for each in self._here(call):
            if each.id == call.id("notification"):
                return each
        raise not_found("notification", call.id("notification"))


TABLE: Table = [
    *Room("", single=False).table(),
    *(row for entity in ENTITIES for single in (False, True) for row in Room(entity, single=single).table()),
]
