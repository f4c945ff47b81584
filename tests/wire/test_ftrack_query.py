"""ftrack's query language: what the builder writes, and that nothing said by a user leaves its quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import InvalidRequest
from callsheet.providers.ftrack._query import ALWAYS, Query, all_of, any_of, field, quoted


def test_a_whole_query() -> None:
    """Every part of a query stands in the order of the grammar."""
    query = Query(
        "Job",
        ["id", "user.username"],
        where=field("status").one_of(["done", "failed"]) & (field("user.username").is_("jane")),
        order_by=["-created_at", "id"],
        offset=20,
        limit=500,
    )
    assert str(query) == (
        'select id, user.username from Job where status in ("done", "failed") and user.username is "jane"'
        " order by created_at descending, id ascending offset 20 limit 500"
    )


def test_the_smallest_query() -> None:
    """A query needs no more than a type of entity; a limit of 0 is one."""
    assert str(Query("Location")) == "Location"
    assert str(Query("Location", limit=0)) == "Location limit 0"


def test_brackets() -> None:
    """Conditions are bracketed where the language would tie them otherwise, and only there."""
    a, b, c = field("a").is_(1), field("b") > "x", field("c").none_of(["y"])
    assert (a & b & c).text == '(a is 1 and b > "x") and c not_in ("y")'
    assert all_of([a, b, c]).text == 'a is 1 and b > "x" and c not_in ("y")'
    assert ((a | b) & ~c).text == '(a is 1 or b > "x") and (not c not_in ("y"))'
    assert (~(a | b)).text == 'not (a is 1 or b > "x")'
    assert all_of([ALWAYS, a, ALWAYS]).text == "a is 1"
    assert not all_of([ALWAYS, ALWAYS])


@pytest.mark.parametrize("conditions", [[], [ALWAYS], [field("a").is_(1), ALWAYS]])
def test_one_of_no_conditions(conditions: list[object]) -> None:
    """An `or` without anything to choose from is a mistake, not a query that finds everything."""
    with pytest.raises(ValueError, match="any_of"):
        any_of(conditions)  # type: ignore[arg-type]  # a list of these


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "None"),
        (True, "True"),
        (7, "7"),
        ("", '""'),
        ("sh010", '"sh010"'),
        ('say "no"', r'"say \"no\""'),
        ("back\\slash", r'"back\\slash"'),
        ('\\"', r'"\\\""'),
        ("limit 5 offset 3", '"limit 5 offset 3"'),
        ("Ünï\n", '"Ünï\n"'),
    ],
)
def test_literals(value: str | int | None, literal: str) -> None:
    """Each kind of value has its literal; texts keep what looks like the language inside their quotes."""
    assert quoted(value) == literal


def unquoted(literal: str) -> str:
    """Read a literal as a server does: to the first quote that no backslash stands before."""
    assert literal[0] == literal[-1] == '"'
    text, place = "", 1
    while place < len(literal) - 1:
        assert literal[place] != '"', "the text ends early"
        place += literal[place] == "\\"
        text += literal[place]
        place += 1
    assert place == len(literal) - 1, "the text swallows its own end"
    return text


@given(st.text(st.characters(exclude_characters="\0")))
def test_any_text_stays_inside_its_quotes(text: str) -> None:
    """Whatever a text holds, a server reads just that text."""
    assert unquoted(quoted(text)) == text


def test_a_nul_is_refused() -> None:
    """No query can hold a NUL."""
    with pytest.raises(InvalidRequest, match="NUL"):
        quoted("a\0b")


@pytest.mark.parametrize("name", ["", "id from User", "a-b", "a..b", ".a", "a.", "ä", "id\n"])
def test_names_that_are_none(name: str) -> None:
    """What cannot be a name is refused wherever a name stands."""
    with pytest.raises(InvalidRequest, match="name"):
        field(name)
    for query in (Query(name), Query("Job", [name]), Query("Job", order_by=[f"-{name}"])):
        with pytest.raises(InvalidRequest, match="name"):
            str(query)
