"""The tables, and how a database is recognised, made and refused."""

from __future__ import annotations

import uuid

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)

from callsheet._errors import ConfigError

__all__ = [
    "VERSION",
    "components",
    "counters",
    "jobs",
    "keys",
    "links",
    "make",
    "meta",
    "recognise",
    "tombstones",
]

VERSION = 1
"""The version of this schema. A database of a newer one is refused."""

APPLICATION = "callsheet"

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What the database is: `application`, `schema` (its version) and `tracker` (an id of its own)."""

counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""`seq`, bumped once by each transaction that changes jobs; it stamps every job that it changed."""

# Times are integer microseconds since 1970, UTC. The lease's deadline alone is on the monotonic clock of the
# boot named beside it, so that nobody who sets the wall clock can end a lease or make it last.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("type", Text),
    Column("priority", Integer),
    Column("progress", Float),
    Column("message", Text),
    Column("description", Text, nullable=False),
    Column("problem", Text),
    Column("user", Text, nullable=False),
    Column("item", Text),
    Column("source_id", String),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("attributes", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("lease_until", BigInteger),
    Column("lease_length", BigInteger),
    Column("boot", String),
)

Index("jobs_seq", jobs.c.seq)
Index("jobs_created", jobs.c.created_at, jobs.c.id)
Index("jobs_state", jobs.c.state, jobs.c.created_at, jobs.c.id)
Index("jobs_user", jobs.c.user, jobs.c.created_at, jobs.c.id)
for _rare in (jobs.c.type, jobs.c.item):
    _given = _rare.is_not(None)
    Index(
        f"jobs_{_rare.name}",
        _rare,
        jobs.c.created_at,
        jobs.c.id,
        sqlite_where=_given,
        postgresql_where=_given,
    )
_leased = jobs.c.lease_until.is_not(None)
for _name, _moment in {"until": jobs.c.lease_until, "from": jobs.c.lease_until - jobs.c.lease_length}.items():
    Index(f"jobs_lease_{_name}", jobs.c.boot, _moment, sqlite_where=_leased, postgresql_where=_leased)

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", String, primary_key=True),
    Column("seq", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)
"""Deleted jobs, so that a sweep can tell that they are gone."""

components = Table(
    "components",
    metadata,
    Column("id", String, primary_key=True),
    Column("parent_id", String),
    Column("kind", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("checksum", String),
    Column("location_id", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""Files (`kind` "file"), frame sequences ("sequence"), and the frames ("frame", with their `parent_id`)."""

_framed = components.c.parent_id.is_not(None)
Index(
    "components_parent",
    components.c.parent_id,
    components.c.id,
    sqlite_where=_framed,
    postgresql_where=_framed,
)
Index("components_checksum", components.c.checksum)

links = Table(
    "links",
    metadata,
    # SQLite numbers only a column of exactly this type by itself.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job_id", String, nullable=False),
    Column("component_id", String, nullable=False, index=True),
    Column("role", String, nullable=False),
    UniqueConstraint("job_id", "component_id"),
)
"""Which component belongs to which job, in the order of attaching."""

keys = Table(
    "keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request", String, nullable=False),
    Column("target_id", String, nullable=False),
    sqlite_with_rowid=False,
)
"""Idempotency keys with a hash of their request and what they made. Kept for good."""


def recognise(db: Connection, where: str) -> bool:
    """Return whether the database is ours already; it may also be empty.

    Raises:
        ConfigError: The database is not callsheet's, or of a newer version.
    """
    names = set(inspect(db).get_table_names())
    if not names:
        return False
    facts = {}
    if {"meta", "counters", "jobs"} <= names:
        facts = {row.name: row.value for row in db.execute(select(meta))}
    if facts.get("application") != APPLICATION or not facts.get("schema", "").isdecimal():
        raise ConfigError(f"{where} is a database, but not one of callsheet", provider="local")
    if int(facts["schema"]) > VERSION:
        raise ConfigError(
            f"{where} has schema version {facts['schema']}, this callsheet knows versions up to {VERSION};"
            " install a newer callsheet",
            provider="local",
        )
    return True


def make(db: Connection) -> None:
    """Make the tables in an empty database. Call it inside a transaction: all of them or none."""
    metadata.create_all(db)
    facts = {"application": APPLICATION, "schema": str(VERSION), "tracker": uuid.uuid4().hex}
    db.execute(meta.insert(), [{"name": name, "value": value} for name, value in facts.items()])
    db.execute(counters.insert(), [{"name": "seq", "value": 0}])
