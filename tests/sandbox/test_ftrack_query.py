"""ftrack's query language in the sandbox: every shape that clients send, and what it selects."""

from __future__ import annotations

from typing import Any

import pytest

from callsheet.sandbox import Sandbox
from support.ftrackcalls import Refused, Studio, create

DAYS = [f"2024-05-0{day}T10:00:00" for day in range(1, 7)]
STATUSES = ["queued", "running", "done", "failed", "queued", "running"]


@pytest.fixture
def jobs(studio: Studio) -> list[str]:
    """Six jobs of six days, the first three with files; the last is nobody's and has no data."""
    jane, ada = studio.values('select id from User where username in ("jane", "ada") order by username desc')
    owners = [jane, ada, jane, ada, jane, None]
    ids = [f"j-{number}" for number in range(1, 7)]
    texts = ["Bake", 'Say "hi"', "100%", "under_score", "a and b", None]
    studio.call(
        *(
            create("Job", id=job, status=status, user_id=owner, data=text, created_at=day)
            for job, status, owner, text, day in zip(ids, STATUSES, owners, texts, DAYS, strict=True)
        ),
        *(
            create("FileComponent", id=f"c-{number}", name=f"plate{number}", size=number)
            for number in range(3)
        ),
        *(
            create("JobComponent", job_id=job, component_id=component)
            for job, component in [("j-1", "c-0"), ("j-1", "c-1"), ("j-2", "c-1"), ("j-3", "c-2")]
        ),
    )
    return ids


CONDITIONS = {
    "status is running": "26",
    'status = "running"': "26",
    "status is_not queued": "2346",
    "status != queued": "2346",
    'status in ("queued", "running")': "1256",
    "status in (queued,running)": "1256",
    "status not_in (queued, running)": "34",
    "status in ()": "",
    "status not_in ()": "123456",
    "id in (j-1,j-3, j-3, nope)": "13",
    '(id is "j-4")': "4",
    "id is j-4 and status is queued": "",
    "created_at after 2024-05-04": "456",
    'created_at > "2024-05-04T10:00:00"': "56",
    'created_at greater_than "2024-05-04T10:00:00.5Z"': "56",
    'created_at >= "2024-05-04T12:00:00+02:00"': "456",
    'created_at before "2024-05-02T10:00:00Z"': "1",
    'created_at less_than "2024-05-02T10:00:00.000001"': "12",
    'created_at <= "2024-05-02T10:00:00"': "12",
    "finished_at is None": "1256",
    "finished_at is_not none": "34",
    "data is null": "6",
    'data is "None"': "",
    'data like "%a%"': "125",
    'data not_like "%a%"': "34",
    'data like "100\\%"': "3",
    'data like "under\\_score"': "4",
    'data like "unde__score"': "4",
    'data is "Say \\"hi\\""': "2",
    "data is 'Say \"hi\"'": "2",
    'data is "a and b"': "5",
    'user.username is "ada"': "24",
    'user.username is_not "ada"': "1356",
    "user.username is None": "6",
    'user has (username is "ada" and is_active is True)': "24",
    "user has ()": "12345",
    "user is None": "6",
    "not user has ()": "6",
    "job_components any ()": "123",
    "not job_components any ()": "456",
    'job_components.component.name is "plate1"': "12",
    'job_components any (component.name is "plate1")': "12",
    "job_components.component.size > 1": "3",
    # Any of two links may hold for each condition; with `any` one link must hold both.
    'job_components.component.name is "plate0" and job_components.component.size is 1': "1",
    'job_components any (component.name is "plate0" and component.size is 1)': "",
    'user_id in (select id from User where username is "ada")': "24",
    'user.id not_in (select id from User where username is "ada")': "1356",
    "id in (select job_id from JobComponent where component.size > 0)": "123",
    "status is queued or status is running and user.username is ada": "125",
    "(status is queued or status is running) and user.username is ada": "2",
    "not status is queued and not (status is done or status is failed)": "26",
    "not (not status is queued)": "15",
    "created_at is 2024-05-01T10:00:00 or(id is j-2)": "12",
}
"""Conditions, and the numbers of the jobs they select."""


def test_conditions_select(studio: Studio, jobs: list[str]) -> None:
    """Each condition selects the jobs that it says."""
    found = {
        condition: "".join(job[-1] for job in studio.values(f"select id from Job where {condition}"))
        for condition in CONDITIONS
    }
    assert found == CONDITIONS


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("order by created_at", "123456"),
        ("order by created_at desc", "654321"),
        ("order by status asc, created_at descending", "345162"),
        ("order by status ascending, id descending", "345162"),
        ("order by user.username, id", "624135"),
        ("order by user.username descending, id", "135246"),
    ],
)
def test_orders_hold(studio: Studio, jobs: list[str], order: str, found: str) -> None:
    """Each order is kept, key by key, empty values first."""
    assert studio.values(f"select id from Job {order}") == [f"j-{digit}" for digit in found]
    # An order is remembered only until jobs change.
    studio.delete("Job", "j-4")
    assert studio.values(f"select id from Job {order}") == [f"j-{digit}" for digit in found if digit != "4"]


@pytest.mark.parametrize(
    ("page", "found", "following"),
    [
        ("offset 0 limit 4", "1234", 4),
        ("limit 4 offset 0", "1234", 4),
        ("offset 4 limit 2", "56", None),
        ("offset 3 limit 2", "45", 5),
        ("limit 100", "123456", None),
        ("offset 100 limit 2", "", None),
        ("limit 0", "", None),
        ("offset 2", "3456", None),
    ],
)
def test_pages_tell_what_follows(
    studio: Studio, jobs: list[str], page: str, found: str, following: int | None
) -> None:
    """The next page's offset is null exactly on the last page, also when that is full."""
    (answer,) = studio.call({"action": "query", "expression": f"select id from Job order by id {page}"})
    assert [row["id"] for row in answer["data"]] == [f"j-{digit}" for digit in found]
    assert answer["metadata"] == {"next": {"offset": following}}
    assert answer["action"] == "query"


def reference(entity_type: str, **values: Any) -> dict[str, Any]:
    """Return an entity as it stands in an answer."""
    return {"__entity_type__": entity_type, **values}


def test_projections_follow_paths(studio: Studio, jobs: list[str]) -> None:
    """Paths lead through references and collections; keys and concrete types come along; null stays null."""
    expression = "select status, user.username, job_components.component.name from Job where id in (j-3, j-6)"
    jane = studio.values("select id from User where username is jane")[0]
    component = reference("FileComponent", id="c-2", system_type="file", version_id=None, name="plate2")
    link = reference("JobComponent", component_id="c-2", job_id="j-3", component=component)
    assert studio.query(expression) == [
        reference(
            "Job",
            id="j-3",
            status="done",
            user=reference("User", id=jane, resource_type="user", username="jane"),
            job_components=[link],
        ),
        reference("Job", id="j-6", status="running", user=None, job_components=[]),
    ]


def test_without_projections_a_schema_says_what_comes(studio: Studio, jobs: list[str]) -> None:
    """A query without `select` answers the type's default projections."""
    assert studio.query("Job where id is j-1") == [reference("Job", id="j-1")]
    assert studio.query("FileComponent where id is c-1") == [
        reference("FileComponent", id="c-1", system_type="file", version_id=None)
    ]


def test_types_include_their_kinds(studio: Studio, jobs: list[str]) -> None:
    """A base type finds all its kinds, each under its own name; users are resources."""
    studio.create("SequenceComponent", id="s-1")
    studio.create("ContainerComponent", id="k-1")
    rows = studio.query("select id from Component where id in (c-1, s-1, k-1)")
    assert [(row["__entity_type__"], row["id"]) for row in rows] == [
        ("FileComponent", "c-1"),
        ("SequenceComponent", "s-1"),
        ("ContainerComponent", "k-1"),
    ]
    assert studio.values("ContainerComponent") == ["s-1", "k-1"]
    assert studio.values("SequenceComponent") == ["s-1"]
    assert studio.values("Resource") == studio.values("User")


def test_an_entity_is_spelled_out_once(studio: Studio, jobs: list[str]) -> None:
    """In one answer a second mention shrinks to type and key, across operations too, unless told not to."""
    expression = {"action": "query", "expression": "select user.username from Job where id in (j-1, j-3)"}
    jane = studio.values("select id from User where username is jane")[0]
    whole = reference("User", id=jane, resource_type="user", username="jane")
    bare = reference("User", id=jane)

    def users(**headers: str) -> list[Any]:
        answers = studio.call(expression, expression, **headers)
        return [row["user"] for answer in answers for row in answer["data"]]

    assert users() == [whole, bare, bare, bare]
    for options in ("strict:1;denormalize:1", "denormalize=true; strict=true"):
        assert users(ftrack_api_options=options) == [whole] * 4


def test_what_was_not_told_is_told(studio: Studio, jobs: list[str]) -> None:
    """A second mention that asks for more than the first is spelled out, and rows always are."""
    first, second = studio.call(
        {"action": "query", "expression": "select user.username from Job where id is j-1"},
        {"action": "query", "expression": "select id, user.email from Job where id is j-1"},
    )
    assert "email" in second["data"][0]["user"]
    assert second["data"][0]["id"] == "j-1"
    assert "email" not in first["data"][0]["user"]


def test_normalising_can_be_switched_off(studio: Studio, jobs: list[str], callsheet_sandbox: Sandbox) -> None:
    """With the option off, every mention is spelled out."""
    callsheet_sandbox.configure("ftrack", normalise=False)
    rows = studio.query("select user.username from Job where user.username is jane")
    assert [row["user"]["username"] for row in rows] == ["jane"] * 3


def test_a_limit_inside_a_text_is_text(studio: Studio) -> None:
    """Text that looks like a limit inside a value is left alone."""
    studio.create("Job", id="j-1", data="limit 5")
    assert studio.values('Job where data like "%limit 5%" limit 5') == ["j-1"]


MISTAKES = {
    "": "expected an entity type, found the end",
    "Nope": "Unknown entity type 'Nope'",
    "select id Job": "expected 'from', found 'Job'",
    "select nope from Job": "Job has no attribute 'nope'",
    "select user.nope from Job": "User has no attribute 'nope'",
    "select status.id from Job": "status of Job leads to no entity",
    "Job where": "expected an attribute, found the end",
    "Job where status": "expected an operator, found the end",
    "Job where status equals x": "expected an operator, found 'equals'",
    'Job where status "x"': "expected an operator, found '\"x\"'",
    "Job where status is": "expected a value, found the end",
    "Job where status is )": "expected a value, found ')'",
    "Job where (status is done": "expected ')', found the end",
    "Job where status in done": "expected '(', found 'done'",
    "Job where status is done limit x": "expected a number, found 'x'",
    "Job order created_at": "expected 'by', found 'created_at'",
    "Job where data is 'open": "cannot read on at",
    "Job where status is done done": "expected the end, found 'done'",
    "Job where created_at > soon": "'soon' is no datetime for created_at",
    "Job where created_at > None": "created_at: nothing is > None",
    "User where is_active is maybe": "'maybe' is no boolean for is_active",
    "FileComponent where size is big": "'big' is no integer for size",
    "Job where status any ()": "status leads to no entity",
    "Job where id in (select id, status from Job)": "selects one attribute",
    "Job order by nope": "Job has no attribute 'nope'",
}
"""Queries, and what the server says about them."""


def test_mistakes_in_queries_are_named(studio: Studio) -> None:
    """A query that cannot be read, or names what there is not, is refused by name."""
    answers = {}
    for expression in MISTAKES:
        with pytest.raises(Refused) as caught:
            studio.query(expression or " ")
        (answers[expression],) = caught.value.args
    assert {answer["exception"] for answer in answers.values()} == {"ValidationError"}
    assert [text for text, said in MISTAKES.items() if said not in answers[text]["content"]] == []
