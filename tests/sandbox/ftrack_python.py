"""What ftrack's own Python client does against a server; run where that is installed, with a scenario's name.

Prints what it saw as JSON. The server and the credentials come from the environment, as for any user of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import ftrack_api
import ftrack_api.accessor.disk
import ftrack_api.structure.id


def connect(hub: bool = False) -> Any:
    """Return a session that caches no schemas."""
    return ftrack_api.Session(auto_connect_event_hub=hub, schema_cache_path=False)


def handshake() -> Any:
    """Start a session twice with a cache of schemas; a wrong key starts none."""
    with tempfile.TemporaryDirectory() as cache:
        sessions = [ftrack_api.Session(schema_cache_path=cache) for _ in range(2)]
        server = sessions[0].server_information
        try:
            ftrack_api.Session(api_key="wrong", schema_cache_path=False)
        except ftrack_api.exception.ServerError as error:
            refused = str(error)
        return {"version": server["version"], "types": sorted(sessions[1].types), "refused": refused}


def jobs() -> Any:
    """Make a job, change it, read it in another session, change many at once, delete them."""
    session, other = connect(), connect()
    user = session.query('User where username is "jane"').one()
    data = json.dumps({"description": "Bake"})
    job = session.create("Job", {"user": user, "status": "running", "data": data})
    session.commit()
    seen = other.get("Job", job["id"])
    told = {name: seen[name] for name in ("type", "status", "data")} | {"user": seen["user"]["username"]}
    job["status"] = "done"
    job["user"] = session.query('User where username is "ada"').one()
    session.commit()
    other.populate([seen], "status, finished_at, user.username")
    told["then"] = [seen["status"], seen["finished_at"] is not None, seen["user"]["username"]]
    told["again"] = [job["status"], job["user"]["username"], job["finished_at"] == seen["finished_at"]]
    more = [session.create("Job", {"user": user, "status": "queued"}) for _ in range(5)]
    session.commit()
    for each in more:
        each["status"] = "failed"
    session.delete(more[0])
    session.commit()
    told["many"] = len(other.query("Job where status is failed").all())
    for each in session.query("Job"):
        session.delete(each)
    session.commit()
    told["left"] = len(connect().query("Job").all())
    try:
        session.create("Job", {"type": "encode"})
    except ValueError as error:
        told["type"] = str(error)
    return told


def rollback() -> Any:
    """A commit with one mistake changes nothing, and can be rolled back."""
    session = connect()
    job = session.create("Job", {"status": "sleeping"})
    session.create("Job", {"status": "queued"})
    try:
        session.commit()
    except ftrack_api.exception.ServerError as error:
        refused = str(error)
    session.rollback()
    job = session.create("Job", {"status": "queued"})
    session.commit()
    return {"refused": refused, "jobs": [each["id"] for each in connect().query("Job")] == [job["id"]]}


def components() -> Any:
    """Attach files to a job through `ftrack.server`, fetch them by link, and remove one."""
    session = connect()
    server = session.query('Location where name is "ftrack.server"').one()
    job = session.create("Job", {"status": "running"})
    session.commit()
    sizes = {"plate.mov": 3_000_000, "notes.txt": 5, "empty": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in sizes.items():
            path = Path(folder) / name
            path.write_bytes(name[:1].encode() * size)
            component = session.create_component(str(path), data={"name": path.stem}, location=server)
            session.create("JobComponent", {"component_id": component["id"], "job_id": job["id"]})
        session.commit()
    links = connect().get("Job", job["id"])["job_components"]
    told: dict[str, Any] = {"files": [], "where": []}
    for link in links:
        component, url = link["component"], link["url"]["value"]
        with urlopen(url) as answer:
            body = answer.read()
        facts = [component["name"], component["file_type"], component["size"], component["system_type"]]
        told["files"].append([*facts, len(body), sorted(set(body))])
        with urlopen(server.get_url(component)) as answer:
            told["where"].append([answer.read() == body, server.get_component_availability(component)])
    first = session.get("FileComponent", links[0]["component_id"])
    server.remove_component(first)
    told["removed"] = server.get_component_availability(first)
    return told


def sequences() -> Any:
    """A sequence of frames is one component with members; each frame has its bytes."""
    session = connect()
    server = session.query('Location where name is "ftrack.server"').one()
    with tempfile.TemporaryDirectory() as folder:
        for frame in range(1, 4):
            (Path(folder) / f"a.{frame:04}.exr").write_bytes(b"f" * frame)
        session.create_component(f"{folder}/a.%04d.exr [1-3]", {"name": "a"}, location=server)
    (sequence,) = connect().query("select members, padding from SequenceComponent")
    members = [[each["name"], each["file_type"], each["size"]] for each in sequence["members"]]
    server.remove_component(session.query("SequenceComponent").one())
    return {"padding": sequence["padding"], "size": sequence["size"], "members": sorted(members)}


def locations() -> Any:
    """The five well-known locations are there; new ones can be made, used and deleted."""
    session = connect()
    known = sorted(each["name"] for each in session.query("Location"))
    disk = session.create("Location", {"name": "disk"})
    session.commit()
    with tempfile.TemporaryDirectory() as folder:
        disk.accessor = ftrack_api.accessor.disk.DiskAccessor(prefix=folder)
        disk.structure = ftrack_api.structure.id.IdStructure()
        source = Path(folder) / "source.txt"
        source.write_bytes(b"text")
        component = session.create_component(str(source), location=disk)
        stored = Path(disk.get_filesystem_path(component)).read_bytes()
        other = session.query('Location where name is "ftrack.server"').one()
        other.add_component(component, disk)
        both = component.get_availability([disk, other])
        try:
            session.delete(disk)
            session.commit()
        except ftrack_api.exception.ServerError as error:
            refused = "IntegrityError" in str(error)
            session.rollback()
        disk.remove_component(component)
    session.delete(disk)
    session.commit()
    left = connect().query('Location where name is "disk"').first()
    return {
        "known": known,
        "stored": stored.decode(),
        "both": sorted(both.values()),
        "refused": refused,
        "left": left,
    }


def queries() -> Any:
    """Read many jobs page by page, by conditions, with relations filled in later; ensure and metadata."""
    session = connect()
    everything = session.query("select id, status, user.username from Job order by created_at desc")
    names = {job["user"]["username"] for job in everything}
    done = session.query('Job where status is "done" and user.username in ("jane", "ada")')
    lazy = {job["user"]["username"] for job in done}
    bela = session.ensure("User", {"username": "bela", "first_name": "B"}, ["username"])
    new = session.ensure("User", {"username": "zoe"}, ["username"])
    new["metadata"]["phone"] = "1"
    new["metadata"]["room"] = "2"
    session.commit()
    new["metadata"]["phone"] = "3"
    del new["metadata"]["room"]
    session.commit()
    again = connect().query('select metadata from User where metadata any (key is "phone")').one()
    return {
        "jobs": len(set(everything)),
        "owners": len(names) > 5,
        "lazy": lazy <= {"jane", "ada"},
        "ensured": connect().get("User", bela["id"])["first_name"],
        "metadata": [again["username"], dict(again["metadata"])],
        "first": session.query("Job where status is nothing").first(),
    }


def events() -> Any:
    """One session hears what another changes, and answers a question it asks."""
    listening, acting = connect(hub=True), connect(hub=True)
    heard: list[Any] = []
    answers: list[Any] = []

    def note(event: Any) -> None:
        heard.extend(
            [each["entity_type"], each["action"], each["keys"]] for each in event["data"]["entities"]
        )

    hubs = [listening.event_hub, acting.event_hub]
    wait(lambda: all(hub.connected for hub in hubs), [])
    listening.event_hub.subscribe("topic=ftrack.update and source.user.username=sandbox", note)
    listening.event_hub.subscribe("topic=studio.question", lambda event: event["data"]["number"] * 2)
    listening.event_hub.publish(ftrack_api.event.base.Event("studio.ready"), synchronous=True)
    wait(lambda: ask(acting, answers), hubs)
    job = acting.create("Job", {"status": "queued"})
    acting.commit()
    job["status"] = "done"
    acting.commit()
    wait(lambda: len(heard) >= 2, hubs)
    return {"heard": heard, "answers": sorted(set(answers))}


def ask(session: Any, answers: list[Any]) -> bool:
    """Ask a question until somebody answers: a subscription may still be on its way."""
    event = ftrack_api.event.base.Event("studio.question", data={"number": 21})
    session.event_hub.publish(event, on_reply=lambda reply: answers.append(reply["data"]))
    return bool(answers)


def wait(done: Callable[[], bool], hubs: list[Any]) -> None:
    """Let hubs work until something is done."""
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        for hub in hubs:
            hub.wait(0.1)
        time.sleep(0.01)


SCENARIOS = [handshake, jobs, rollback, components, sequences, locations, queries, events]

if __name__ == "__main__":
    (scenario,) = (each for each in SCENARIOS if each.__name__ == sys.argv[1])
    print(json.dumps(scenario()))
