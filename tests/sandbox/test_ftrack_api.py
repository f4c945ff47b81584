"""The sandbox's ftrack API, held to the protocol."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.ftrackcalls import Refused, Studio, create, delete, update

INFORMATION = {"action": "query_server_information"}
SCHEMAS = {"action": "query_schemas"}

SERVER_LOCATION = "3a372bde-05bc-11e4-8908-20c9d081909b"


def error_of(studio: Studio, *operations: Any) -> tuple[str, str]:
    """Return the name and the text of the error that operations are answered with."""
    with pytest.raises(Refused) as caught:
        studio.call(*operations)
    (answer,) = caught.value.args
    assert set(answer) == {"exception", "content", "error_code"}
    return answer["exception"], answer["content"]


def test_answers_come_in_the_order_of_operations(studio: Studio) -> None:
    """A list of operations is answered by a list of the same length and order; none by none."""
    assert studio.call() == []
    names = [f"ftrack.{name}" for name in ("review", "origin", "server")]
    queries = [
        {"action": "query", "expression": f'select name from Location where name is "{name}"'}
        for name in names
    ]
    assert [answer["data"][0]["name"] for answer in studio.call(*queries)] == names


def test_a_batch_is_all_or_nothing(studio: Studio) -> None:
    """When the third operation fails, the first two leave no trace, and one error object is the answer."""
    before = studio.query("select id, username, first_name from User")
    user = before[0]["id"]
    error = error_of(
        studio,
        create("Job", id="j-1"),
        update("User", user, first_name="Other"),
        create("Job", id="j-2", status="sleeping"),
    )
    assert error == (
        "ValidationError",
        "status must be one of queued, running, done, failed, not 'sleeping'",
    )
    assert studio.query("select id from Job") == []
    assert studio.query("select id, username, first_name from User") == before


@pytest.mark.parametrize(
    "headers", [{"ftrack_api_key": "wrong"}, {"ftrack_user": "nobody"}, {"ftrack_user": ""}]
)
@pytest.mark.parametrize(("strict", "status"), [("true", 401), ("false", 200), ("", 200)])
def test_bad_credentials_are_refused(
    studio: Studio, headers: dict[str, str], strict: str, status: int
) -> None:
    """A wrong user or key is an error object, with 401 in strict mode and 200 otherwise."""
    answer = studio.post(INFORMATION, **headers, ftrack_strict_api=strict)
    assert answer.status_code == status
    assert answer.json() == {
        "exception": "InvalidCredentialsError",
        "content": "The supplied API key is not valid for this user",
        "error_code": "api_credentials_invalid",
    }


def test_header_names_have_no_case(studio: Studio) -> None:
    """Credentials and strictness are found however their headers are written."""
    named = {"FTRACK-User": "sandbox", "Ftrack-API-Key": "wrong", "FTRACK-STRICT-API": "true"}
    answer = studio.http.post("/api", content=b"[]", headers=named)
    assert answer.status_code == 401


MISTAKES: list[tuple[Any, str, str]] = [
    ({"action": "x"}, "ValidationError", "Invalid action u'x'"),
    ("text", "ValidationError", "An operation is an object, not 'text'"),
    ({"action": "query"}, "ValidationError", "query needs expression"),
    (create("Nope"), "ValidationError", "Unknown entity type 'Nope'"),
    (create("Job", nope=1), "ValidationError", "Job has no attribute 'nope'"),
    (
        create("Job", type="encode"),
        "ValidationError",
        'Invalid job type "encode". Must be "api_job"',
    ),
    (create("Job", user={"id": None}), "IntegrityError", "user_id of Job: there is no User 'None'"),
    (create("Job", user="jane"), "ValidationError", "user: 'jane' is no reference to User"),
    (create("Job", user_id="u-0"), "IntegrityError", "user_id of Job: there is no User 'u-0'"),
    (create("Job", created_at="soon"), "ValidationError", "'soon' is no datetime for created_at"),
    (create("JobComponent", job_id="j-1"), "ValidationError", "JobComponent needs component_id"),
    (update("Job", "j-0", status="done"), "NoResultFound", "There is no Job 'j-0'"),
    (delete("Job", "j-0"), "NoResultFound", "There is no Job 'j-0'"),
    (
        {"action": "reset_remote", "reset_type": "password"},
        "ValidationError",
        "Invalid reset_type 'password'",
    ),
    (delete("JobComponent", "j-0"), "ValidationError", "'j-0' is no key of JobComponent"),
    (update("Job", "j-0"), "NoResultFound", "There is no Job 'j-0'"),
    (
        {"action": "create", "entity_type": "Job"},
        "ValidationError",
        "create needs an object as entity_data",
    ),
    (
        {"action": "get_upload_metadata", "component_id": "c", "parts": 0.5},
        "ValidationError",
        "parts: 0.5 is not between 1 and 10000",
    ),
    (
        {"action": "get_upload_metadata", "component_id": "c"},
        "NoResultFound",
        "There is no Component 'c'",
    ),
]
"""Operations, and the error they are answered with."""


def test_mistakes_are_named(studio: Studio) -> None:
    """What cannot be done is answered with an error that names the culprit."""
    told = [(operation, *error_of(studio, operation)) for operation, _, _ in MISTAKES]
    assert told == MISTAKES


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[NaN]", "is not JSON: unexpected NaN"),
        (b"{}", "is no list of operations"),
    ],
)
def test_other_bodies_are_refused(studio: Studio, body: bytes, text: str) -> None:
    """A body that is no JSON list is an error object too."""
    answer = studio.http.post("/api", content=body).json()
    assert answer["exception"] == "ValidationError"
    assert text in answer["content"]


def test_schemas_match_their_hash(studio: Studio) -> None:
    """The hash that clients compare is the MD5 of the schemas as Python writes them, and stays the same."""
    information, schemas = studio.call(INFORMATION, SCHEMAS)
    text = json.dumps(schemas, sort_keys=True)
    assert information["schema_hash"] == hashlib.md5(text.encode()).hexdigest()
    assert (information["version"], information["is_timezone_support_enabled"]) == ("25.1.0", True)
    assert studio.call({**INFORMATION, "values": ["version", "nope"]}) == [{"version": "25.1.0"}]


def test_schemas_lead_nowhere_else(studio: Studio) -> None:
    """No schema refers to a type without a schema: the vendor's client fails on such a reference."""
    (schemas,) = studio.call(SCHEMAS)
    names = {schema["id"] for schema in schemas}
    assert set(re.findall(r'"\$ref": "(\w+)"', json.dumps(schemas))) <= names
    assert names == {
        *("Job", "JobComponent", "User", "Resource", "Location", "ComponentLocation", "Metadata"),
        *("Component", "FileComponent", "ContainerComponent", "SequenceComponent"),
    }


def test_create_fills_in_and_echoes(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """A new job has an id, defaults and a date; what was sent comes back as it was; nulls are left out."""
    clock = callsheet_sandbox.clock
    clock.freeze()
    jane = studio.values('select id from User where username is "jane"')[0]
    job = studio.create("Job", user={"__entity_type__": "User", "id": jane}, data='{"description": "Bake"}')
    assert job == {
        "__entity_type__": "Job",
        "id": job["id"],
        "type": "api_job",
        "status": "queued",
        "data": '{"description": "Bake"}',
        "created_at": {"__type__": "datetime", "value": f"{clock.now():%Y-%m-%dT%H:%M:%S}"},
        "user_id": jane,
    }
    sent = {"__type__": "datetime", "value": "2024-05-01T12:00:00.123456+02:00"}
    job = studio.create("Job", created_at=sent)
    assert job["created_at"] == sent
    (row,) = studio.query(f"select created_at from Job where id is {job['id']}")
    assert row["created_at"] == {"__type__": "datetime", "value": "2024-05-01T10:00:00"}


def test_create_twice_is_refused(studio: Studio) -> None:
    """An id that is taken, by any kind of component too, is refused."""
    studio.create("FileComponent", id="c-1")
    for entity_type in ("FileComponent", "ContainerComponent"):
        assert error_of(studio, create(entity_type, id="c-1")) == (
            "IntegrityError",
            f"Duplicate entry 'c-1' for {entity_type}",
        )


def test_update_answers_what_changed(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """An update answers the key and what changed, with what the server changed beside it."""
    callsheet_sandbox.clock.freeze()
    studio.create("Job", id="j-1")
    now = f"{callsheet_sandbox.clock.advance(60):%Y-%m-%dT%H:%M:%S}"
    assert studio.update("Job", ["j-1"], status="done") == {
        "__entity_type__": "Job",
        "id": "j-1",
        "status": "done",
        "finished_at": {"__type__": "datetime", "value": now},
    }
    assert studio.update("Job", "j-1", status="running")["finished_at"] is None
    assert error_of(studio, update("Job", "j-1", type="encode"))[0] == "ValidationError"


def test_reference_and_foreign_key_are_the_same(studio: Studio) -> None:
    """An owner can be set, changed and asked for by reference and by foreign key."""
    jane, ada = studio.values('select id from User where username in ("jane", "ada") order by username desc')
    studio.create("Job", id="j-1", user_id=jane)
    studio.create("Job", id="j-2", user={"id": ada})
    assert studio.values(f"Job where user_id is {jane}") == ["j-1"]
    assert studio.values(f"Job where user.id is {jane}") == ["j-1"]
    assert studio.values(f"Job where user is {ada}") == ["j-2"]
    assert studio.update("Job", "j-1", user={"id": ada})["user_id"] == ada
    assert studio.values(f"Job where user.id is {ada}") == ["j-1", "j-2"]
    studio.update("Job", "j-2", user=None)
    assert studio.values("Job where user is None") == ["j-2"]


def test_delete_takes_along_what_cannot_be_without(studio: Studio) -> None:
    """Links go with the job or component; a location that holds components stays; owners are let go."""
    user = studio.create("User", username="new")["id"]
    studio.create("Job", id="j-1", user_id=user)
    for component_id in ("c-1", "c-2"):
        studio.create("FileComponent", id=component_id)
        studio.create("JobComponent", job_id="j-1", component_id=component_id)
        studio.create("ComponentLocation", component_id=component_id, location_id=SERVER_LOCATION)
    studio.delete("FileComponent", "c-1")
    assert studio.values("JobComponent", "component_id") == ["c-2"]
    assert studio.values("ComponentLocation", "component_id") == ["c-2"]
    assert error_of(studio, delete("Location", SERVER_LOCATION))[0] == "IntegrityError"
    studio.delete("User", user)
    assert studio.query("select user_id from Job") == [
        {"__entity_type__": "Job", "id": "j-1", "user_id": None}
    ]
    studio.delete("Job", "j-1")
    assert studio.query("JobComponent") == []
    assert error_of(studio, delete("Job", "j-1"))[0] == "NoResultFound"
    studio.delete("FileComponent", "c-2")
    studio.delete("Location", SERVER_LOCATION)


def test_links_have_keys_of_two_parts(studio: Studio) -> None:
    """A job's component is addressed by component and job, in that order, in operations and in queries."""
    studio.create("Job", id="j-1")
    studio.create("FileComponent", id="c-1")
    studio.create("JobComponent", job_id="j-1", component_id="c-1")
    row = {"__entity_type__": "JobComponent", "component_id": "c-1", "job_id": "j-1"}
    assert studio.query('JobComponent where (component_id is "c-1"and job_id is "j-1")') == [row]
    studio.delete("JobComponent", ["c-1", "j-1"])
    assert studio.query("JobComponent") == []


def test_a_sequence_is_made_in_one_batch(studio: Studio) -> None:
    """A container, its frames and the list of its members go in one POST; a shorter list lets frames go."""
    frames = [f"f-{number}" for number in range(3)]
    reference = {"__entity_type__": "SequenceComponent", "id": "s-1"}

    def members(*ids: str) -> list[dict[str, str]]:
        return [{"__entity_type__": "FileComponent", "id": each} for each in ids]

    studio.call(
        create("SequenceComponent", id="s-1", padding=4, members=[]),
        *(create("FileComponent", id=each, container=reference) for each in frames),
        update("SequenceComponent", "s-1", members=members(*frames)),
    )
    assert studio.query("select members, padding from SequenceComponent") == [
        {
            "__entity_type__": "SequenceComponent",
            "id": "s-1",
            "system_type": "sequence",
            "version_id": None,
            "padding": 4,
            "members": [{**each, "system_type": "file", "version_id": None} for each in members(*frames)],
        }
    ]
    studio.update("SequenceComponent", "s-1", members=members("f-2", "f-0"))
    assert studio.values("Component where container_id is s-1") == ["f-0", "f-2"]
    assert sorted(studio.values("Component")) == ["f-0", "f-1", "f-2", "s-1"]


def test_metadata_come_and_go(studio: Studio) -> None:
    """Metadata are rows of their own: added, changed, and removed after the owner's list was emptied."""
    user = studio.values("select id from User")[0]
    entry = {"parent_id": user, "parent_type": "User", "key": "phone", "value": "12"}
    reference = {"__entity_type__": "Metadata", "parent_id": user, "key": "phone"}
    studio.call(create("Metadata", **entry), update("User", user, metadata=[reference]))
    studio.update("Metadata", [user, "phone"], value="13")
    rows = studio.query(f"select metadata from User where id is {user}")
    assert rows[0]["metadata"] == [{"__entity_type__": "Metadata", **entry, "value": "13"}]
    assert studio.values('User where metadata any (key is "phone" and value is "13")') == [user]
    studio.call(update("User", user, metadata=[]), delete("Metadata", [user, "phone"]))
    assert studio.query("Metadata") == []


def test_server_jobs_run_on_the_clock(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """A job of the server's own waits, runs and ends as time goes on, at the moments that were due."""
    callsheet_sandbox.clock.freeze()
    (answer,) = studio.call({"action": "delayed_job", "job_type": "SYNC"})
    assert (answer["data"]["type"], answer["data"]["status"]) == ("delayed_job", "queued")
    assert studio.values("select status from Job", "status") == ["queued"]
    callsheet_sandbox.clock.advance(5)
    assert studio.values("select status from Job", "status") == ["running"]
    end = callsheet_sandbox.clock.advance(5)
    callsheet_sandbox.clock.advance(3600)
    (row,) = studio.query("select status, finished_at from Job")
    assert (row["status"], row["finished_at"]["value"]) == ("done", f"{end:%Y-%m-%dT%H:%M:%S}")


@pytest.mark.callsheet_sandbox(jobs=12, seed=1)
def test_ready_made_jobs_go_on(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Ready-made jobs are of every state, the same for the same seed, and all have ended some time later."""
    statuses = studio.values("select status from Job order by created_at desc", "status")
    assert statuses == ["queued", "running", "done", "failed"] * 3
    with Sandbox(jobs=12, seed=1) as twin:
        ids = studio.values("Job")
        response = studio.http.post(
            f"{twin.url}/api", json=[{"action": "query", "expression": "select id from Job"}]
        )
    assert [row["id"] for row in response.json()[0]["data"]] == ids
    callsheet_sandbox.clock.advance(3600)
    assert set(studio.values("select status from Job", "status")) == {"done", "failed"}


def test_a_new_key_is_good_for_its_user(studio: Studio) -> None:
    """A reset key works for that user beside the sandbox's own, and for nobody else."""
    jane = studio.values('select id from User where username is "jane"')[0]
    (answer,) = studio.call(
        {"action": "reset_remote", "reset_type": "api_key", "entity_type": "User", "entity_key": jane}
    )
    key = answer["data"]["api_key"]
    assert studio.call(ftrack_user="jane", ftrack_api_key=key) == []
    assert studio.call(ftrack_user="jane") == []
    assert studio.post(ftrack_user="ada", ftrack_api_key=key).json()["exception"] == "InvalidCredentialsError"


def test_a_server_without_time_zones_speaks_local_time(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """Without time zone support naive times, sent, asked for and answered, are the server's own."""
    callsheet_sandbox.configure("ftrack", utc_offset=2)
    assert studio.call(INFORMATION)[0]["is_timezone_support_enabled"] is False
    for name, value in {"j-1": "2024-05-01T12:00:00", "j-2": "2024-05-01T10:00:00Z"}.items():
        studio.create("Job", id=name, created_at={"__type__": "datetime", "value": value})
    rows = studio.query('select created_at from Job where created_at is "2024-05-01T12:00:00"')
    assert [(row["id"], row["created_at"]["value"]) for row in rows] == [
        ("j-1", "2024-05-01T12:00:00"),
        ("j-2", "2024-05-01T12:00:00"),
    ]


def test_unknown_options_are_named(studio: Studio, callsheet_sandbox: Sandbox) -> None:
    """An option or value that ftrack does not know is refused by its name, and nothing changes."""
    known = "normalise, utc_offset, link_seconds, events, heartbeat_seconds"
    seconds = "a number from 0 to 1,000,000,000"
    wrong: dict[str, dict[str, Any]] = {
        f"nope: ftrack knows only {known}": {"normalise": False, "nope": 1},
        "normalise: 1 is not true or false": {"events": False, "normalise": 1},
        f"link_seconds: true is not {seconds}": {"link_seconds": True},
        f"link_seconds: -1 is not {seconds}": {"link_seconds": -1},
        "utc_offset: 25 is not a number from -24 to 24, or null": {"utc_offset": 25},
        f'heartbeat_seconds: "5" is not {seconds}': {"heartbeat_seconds": "5"},
    }
    before = studio.http.get("/_sandbox/ftrack").json()
    for words, options in wrong.items():
        with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
            callsheet_sandbox.configure("ftrack", **options)
    assert studio.http.get("/_sandbox/ftrack").json() == before
    with pytest.raises(ValueError, match="nothing here is called shotgrid; there are ftrack, "):
        callsheet_sandbox.configure("shotgrid", normalise=False)
