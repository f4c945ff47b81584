"""The calls about the server itself: its version, its audit log, its job pools, and who may do what."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import forbidden, invalid, not_found
from callsheet.sandbox.vidispine._items import Item
from callsheet.sandbox.vidispine._values import Document, documents, moment

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["OPEN_TABLE", "TABLE"]

LEVELS = ("NONE", "READ", "WRITE", "ALL", "OWNER")


async def get_version(call: Call) -> Reply:
    """Tell the server's version."""
    return {"component": [{"name": "API", "version": f"{call.part.version}-sandbox"}]}


async def is_online(call: Call) -> Reply:
    """Say that the server is there."""
    return _answering.text("OK")


async def read_log(call: Call) -> Reply:
    """List requests, newest first."""
    found = [each for each in reversed(call.part.log) if logged(call, each)]
    first, rows = max(call.number("first", 1), 1), call.number("rows", 100)
    document: Document = {"entry": found[first - 1 : first - 1 + rows]}
    return {"count": len(found), **document} if call.flag("performCount") else document


def logged(call: Call, entry: Document) -> bool:
    """Tell whether an entry of the log is asked for."""
    path = call.text("path")
    if path and not fnmatch.fnmatchcase(entry["path"], f"{path}*" if call.flag("wildcard") else path):
        return False
    time, since, until = (
        moment("timestamp", entry["timestamp"]),
        call.moment("starttime"),
        call.moment("endtime"),
    )
    return (
        call.text("method") in {"", entry["method"]}
        and call.text("username") in {"", entry["username"]}
        and (since is None or since <= time)
        and (until is None or time <= until)
    )


async def get_pools(call: Call) -> Reply:
    """Return how many jobs run at once."""
    return call.part.pool


async def put_pools(call: Call) -> Reply:
    """Change how many jobs run at once."""
    if not call.part.users.administrates(call.user):
        raise forbidden("configuration", "only for administrators")
    document = await call.document()
    limit: Any = document.get("concurrentJobs")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise invalid("concurrentJobs", "not a number of jobs", str(limit))
    documents("pool", document.get("pool"))
    call.part.pool = document
    return document


async def delete_pools(call: Call) -> None:
    """Let jobs run without a limit."""
    call.part.pool = {}


async def delete_pool(call: Call) -> None:
    """Take the pool of a priority away."""
    pools = call.part.pool.get("pool", [])
    if all(each.get("priorityThreshold") != call.id("priority") for each in pools):
        raise not_found("job-pool", call.id("priority"))
    kept = [each for each in pools if each.get("priorityThreshold") != call.id("priority")]
    call.part.pool = {**call.part.pool, "pool": kept}


async def add_access(call: Call) -> Reply:
    """Let a user do something with an item."""
    item, document = call.part.items.get(call.id("item")), await call.document()
    if document.get("permission") not in LEVELS:
        raise invalid("access", "There is no such permission", str(document.get("permission")))
    entry = {
        "id": call.part.new_id("access"),
        "type": document.get("type", "GENERIC"),
        "permission": document["permission"],
        "user": document.get("user", call.user),
    }
    item.access.append(entry)
    return entry


async def list_access(call: Call) -> Reply:
    """List who may do what with an item."""
    item = call.part.items.get(call.id("item"))
    owner = {"id": "", "type": "GENERIC", "permission": "OWNER", "user": item.owner}
    return {"access": [owner, *item.access]}


async def merged_access(call: Call) -> Reply:
    """Tell what users may do with an item in the end: all, or one, and whether it is what is wanted."""
    item, name = call.part.items.get(call.id("item")), call.text("username")
    kind, wanted = call.text("type", "GENERIC"), call.text("permission", "READ")
    if wanted not in LEVELS:
        raise invalid("permission", "There is no such permission", wanted)
    names = [call.part.users.get(name).name] if name else list(call.part.users.by_name)
    found = [
        merged_entry(number, grant, wanted)
        for each in names
        for number, grant in enumerate(grants(call, item, each), start=1)
    ]
    query = {"item": item.id, "username": name, "type": kind, "permission": wanted}
    return ({"query": query} if name else {}) | ({"access": found} if found else {})


def grants(call: Call, item: Item, name: str) -> list[Document]:
    """Return what gives a user access to an item, the strongest first."""
    given = [each for each in item.access if each["user"] == name]
    if name == item.owner:
        given.append({"id": "", "type": "GENERIC", "permission": "OWNER", "user": name})
    if call.part.users.administrates(name):
        given.append({"id": "", "type": "GENERIC", "permission": "ALL", "user": name, "superUser": True})
    return sorted(given, key=lambda each: -LEVELS.index(each["permission"]))


def merged_entry(number: int, grant: Document, wanted: str) -> Document:
    """Write a grant; newer servers say `rank` where older ones say `priority`."""
    return {
        **({"id": grant["id"]} if grant["id"] else {}),
        "username": grant["user"],
        "permission": grant["permission"],
        "effectivePermission": grant["permission"],
        "type": grant["type"],
        "priority": number,
        "rank": number,
        "matches": LEVELS.index(grant["permission"]) >= LEVELS.index(wanted),
        **({"superUser": True} if grant.get("superUser") else {}),
    }


TABLE: Table = [
    ("GET", "/version", get_version),
    ("GET", "/is-online", is_online),
    ("GET", "/log", read_log),
    ("GET", "/configuration/job-pool", get_pools),
    ("PUT", "/configuration/job-pool", put_pools),
    ("DELETE", "/configuration/job-pool", delete_pools),
    ("DELETE", "/configuration/job-pool/{priority}", delete_pool),
    ("GET", "/item/{item:id}/access", list_access),
    ("POST", "/item/{item:id}/access", add_access),
    ("GET", "/item/{item:id}/merged-access", merged_access),
]

OPEN_TABLE: Table = [("GET", "/is-online", is_online)]
"""What is answered without a login."""
