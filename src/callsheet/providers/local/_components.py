"""What can be done with components, one plain function a transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import attrs
from sqlalchemy import Connection, Select, func, null, select

from callsheet._errors import Conflict, NotFound
from callsheet._models import Component, Position, Slice
from callsheet.providers.local._database import Transaction
from callsheet.providers.local._keys import Keys, targets
from callsheet.providers.local._queries import in_chunks, place
from callsheet.providers.local._rows import LOCATION, component_of
from callsheet.providers.local._schema import components, jobs, links
from callsheet.providers.local._stamps import new_ids

__all__ = [
    "NewFile",
    "delete",
    "find",
    "get",
    "link",
    "link_rows",
    "made",
    "members",
    "page",
    "remove_orphans",
    "store",
]

Row: TypeAlias = dict[str, Any]

FRAME = "frame"


def missing_component(component_id: str) -> NotFound:
    return NotFound(f"there is no component {component_id!r}", provider="local")


# -- reading -------------------------------------------------------------------------------------------------


def get(db: Connection, ids: Sequence[str]) -> dict[str, Component]:
    """Return those of the components that exist, by id, with the first job that has them."""
    found: dict[str, Component] = {}
    for chunk in in_chunks(ids):
        rows = db.execute(_with_first_job().where(components.c.id.in_(chunk)))
        found |= {row[0]: component_of(row) for row in rows}
    return found


def page(db: Connection, job_id: str | None, after: Position | None, size: int) -> Slice[Component]:
    """Return one page in the order of the ids, which sort by time."""
    if job_id is None:
        query = _with_first_job().where(components.c.parent_id.is_(None))
        here = components.c.id
    else:
        query = _of_job(job_id)
        here = links.c.component_id
    there = place(after)
    if there is not None:
        query = query.where(here > there.id)
    rows = db.execute(query.order_by(here).limit(size + 1)).all()
    if job_id is not None and not rows:
        _check_job(db, job_id)
    listed = [component_of(row) for row in rows[:size]]
    if len(rows) <= size:
        return Slice(listed)
    last = listed[-1]
    assert last.created_at is not None
    return Slice(listed, Position(last.created_at.isoformat(), (last.id,)))


def members(db: Connection, component_id: str) -> list[Component]:
    """Return the frames of a sequence, in order."""
    query = select(components, null().label("job_id"), null().label("role"))
    query = query.where(components.c.parent_id == component_id).order_by(components.c.id)
    return [component_of(row) for row in db.execute(query)]


def digests(db: Connection) -> set[str]:
    """Return the SHA-256 of all content that a component refers to."""
    query = select(components.c.checksum).where(components.c.checksum.is_not(None)).distinct()
    return {checksum.removeprefix("sha256:") for checksum in db.execute(query).scalars()}


def find(db: Connection, key: str, request: str) -> Component | None:
    """Return the component that an upload with this key has made, or `None` if there was none.

    Raises:
        Conflict: The key was used with another request, or its component has been deleted.
    """
    target = Keys(db, [key]).target(key, request)
    if target is None:
        return None
    found = get(db, [target])
    if target not in found:
        raise _deleted(key, target)
    return found[target]


def made(db: Connection, keys: Sequence[str]) -> list[Component | None]:
    """Return what an upload with each key has made, as far as it is still there."""
    known = targets(db, keys)
    found = get(db, list(known.values()))
    return [found.get(known.get(key, "")) for key in keys]


def _with_first_job() -> Select[Any]:
    others = links.alias()
    first = (
        select(func.min(others.c.position)).where(others.c.component_id == components.c.id).scalar_subquery()
    )
    joined = components.outerjoin(links, links.c.position == first)
    return select(components, links.c.job_id, links.c.role).select_from(joined)


def _of_job(job_id: str) -> Select[Any]:
    joined = links.join(components, links.c.component_id == components.c.id)
    query = select(components, links.c.job_id, links.c.role).select_from(joined)
    return query.where(links.c.job_id == job_id)


def _check_job(db: Connection, job_id: str) -> None:
    if db.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is None:
        raise NotFound(f"there is no job {job_id!r}", provider="local")


# -- making --------------------------------------------------------------------------------------------------


@attrs.frozen
class NewFile:
    """An uploaded file, or a sequence with its frames: name, size and checksum of each."""

    key: str
    request: str
    name: str
    size: int
    checksum: str | None
    frames: Sequence[tuple[str, int, str]] = ()


def store(transaction: Transaction, wanted: list[NewFile]) -> list[Component | Exception]:
    """Note files whose bytes are at their final names."""
    known = Keys(transaction.db, (new.key for new in wanted))
    rows: list[Row] = []
    answers: list[str | Exception] = []
    for new in wanted:
        try:
            target = known.target(new.key, new.request)
        except Conflict as exc:
            answers.append(exc)
            continue
        if target is None:
            added = _rows(transaction, new)
            target = added[0]["id"]
            known.use(new.key, new.request, target)
            rows += added
        answers.append(target)
    if rows:
        transaction.db.execute(components.insert(), rows)
    known.save()
    found = get(transaction.db, [answer for answer in answers if isinstance(answer, str)])
    return [
        answer if isinstance(answer, Exception) else _kept(transaction.db, new, answer, found.get(answer))
        for new, answer in zip(wanted, answers, strict=True)
    ]


def _kept(db: Connection, new: NewFile, target: str, found: Component | None) -> Component | Exception:
    """Return what is kept under the key, if that is this file: two uploads may have begun with one key."""
    if found is None:
        return _deleted(new.key, target)
    frames = [(frame.name, frame.size, frame.checksum) for frame in members(db, target)] if new.frames else []
    if (found.checksum, frames) != (new.checksum, list(new.frames)):
        return Conflict(f"the idempotency key {new.key!r} was used with another file", provider="local")
    return found


def _rows(transaction: Transaction, new: NewFile) -> list[Row]:
    ids = new_ids(1 + len(new.frames), transaction.now)
    common: Row = {"location_id": LOCATION.id, "created_at": transaction.now}
    whole: Row = {"parent_id": None, "kind": "sequence" if new.frames else "file"}
    whole |= {"id": ids[0], "name": new.name, "size": new.size, "checksum": new.checksum}
    frames: list[Row] = [
        {"id": id_, "parent_id": ids[0], "kind": FRAME, "name": name, "size": size, "checksum": checksum}
        for id_, (name, size, checksum) in zip(ids[1:], new.frames, strict=True)
    ]
    return [row | common for row in (whole, *frames)]


def _deleted(key: str, target: str) -> Conflict:
    return Conflict(
        f"the idempotency key {key!r} was used for component {target}, which has been deleted",
        provider="local",
    )


def link(
    transaction: Transaction, wanted: list[tuple[str, Sequence[str]]]
) -> list[list[Component] | Exception]:
    """Attach components to jobs; each call all or none."""
    db = transaction.db
    answers: list[list[Component] | Exception] = []
    for job_id, ids in wanted:
        try:
            _check_job(db, job_id)
            check(db, ids)
        except NotFound as exc:
            answers.append(exc)
            continue
        link_rows(db, job_id, ids, role="output")
        answers.append(_linked(db, job_id, ids))
    return answers


def check(db: Connection, ids: Sequence[str]) -> None:
    """Raise `NotFound` for the first of the components that does not exist."""
    there: set[str] = set()
    for chunk in in_chunks(ids):
        there.update(db.execute(select(components.c.id).where(components.c.id.in_(chunk))).scalars())
    for id_ in ids:
        if id_ not in there:
            raise missing_component(id_)


def link_rows(db: Connection, job_id: str, component_ids: Sequence[str], *, role: str) -> None:
    """Attach the components to the job, where they are not yet."""
    there: set[str] = set()
    for chunk in in_chunks(component_ids):
        query = select(links.c.component_id)
        there.update(
            db.execute(query.where(links.c.job_id == job_id, links.c.component_id.in_(chunk))).scalars()
        )
    new = [id_ for id_ in dict.fromkeys(component_ids) if id_ not in there]
    if new:
        db.execute(links.insert(), [{"job_id": job_id, "component_id": id_, "role": role} for id_ in new])


def _linked(db: Connection, job_id: str, ids: Sequence[str]) -> list[Component]:
    found: dict[str, Component] = {}
    for chunk in in_chunks(ids):
        rows = db.execute(_of_job(job_id).where(links.c.component_id.in_(chunk))).all()
        found |= {row[0]: component_of(row) for row in rows}
    return [found[id_] for id_ in ids]


# -- removing ------------------------------------------------------------------------------------------------


def delete(transaction: Transaction, wanted: list[str]) -> list[Exception | None]:
    """Remove components, from their jobs too. Their bytes stay until garbage is collected."""
    db = transaction.db
    kinds: dict[str, str] = {}
    for chunk in in_chunks(wanted):
        query = select(components.c.id, components.c.kind).where(components.c.id.in_(chunk))
        kinds |= {row[0]: row[1] for row in db.execute(query)}
    whole = [id_ for id_, kind in kinds.items() if kind != FRAME]
    for chunk in in_chunks(whole):
        db.execute(components.delete().where(components.c.id.in_(chunk)))
    _remove_rest(db, whole)
    answers: list[Exception | None] = []
    for id_ in wanted:
        answers.append(_removed(id_, kinds.get(id_)))
        kinds.pop(id_, None)
    return answers


def _removed(id_: str, kind: str | None) -> Exception | None:
    if kind is None:
        return missing_component(id_)
    if kind == FRAME:
        return Conflict(f"component {id_} is a frame; delete its sequence", provider="local")
    return None


def remove_orphans(db: Connection, ids: Collection[str]) -> None:
    """Remove those of the components that no job has any more."""
    for chunk in in_chunks(ids):
        held = set(db.execute(select(links.c.component_id).where(links.c.component_id.in_(chunk))).scalars())
        orphans = [id_ for id_ in chunk if id_ not in held]
        db.execute(components.delete().where(components.c.id.in_(orphans), components.c.kind != FRAME))
        _remove_rest(db, orphans)


def _remove_rest(db: Connection, ids: Sequence[str]) -> None:
    for chunk in in_chunks(ids):
        db.execute(components.delete().where(components.c.parent_id.in_(chunk)))
        db.execute(links.delete().where(links.c.component_id.in_(chunk)))
