"""JSON is the same whether or not orjson decodes it."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet._http import _json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_orjson_is_used_where_it_is() -> None:
    """The extra `fast`, which the tests have, decodes."""
    assert vars(_json)["_quickly"] is orjson.loads


@given(value=VALUES, spaced=st.booleans(), plain=st.booleans())
def test_what_orjson_says_json_says(*, value: Any, spaced: bool, plain: bool) -> None:
    """However a value was written, it is read the same, to the types of its numbers."""
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=plain).encode()
    assert repr(_json.decoded(text)) == repr(_json._decoded(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"cut \\ud83d"', "cut \ud83d"),
        (b"\xef\xbb\xbf[1]", [1]),
        ("[1]".encode("utf-16"), [1]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"1e400", math.inf),
        (b"[" * 1100 + b"]" * 1100, None),
        (b"NaN", None),
        (b"[Infinity]", None),
        (b'"\xff"', None),
        (b"1 2", None),
        (b"", None),
    ],
)
def test_what_only_json_takes(monkeypatch: pytest.MonkeyPatch, text: bytes, value: Any) -> None:
    """What orjson refuses is json's to judge, and with its words."""
    told = []
    for quickly in (orjson.loads, _json._decoded):
        monkeypatch.setattr(_json, "_quickly", quickly)
        try:
            told.append(repr(_json.decoded(text)))
        except (ValueError, RecursionError) as exc:
            told.append(f"{type(exc).__name__}: {exc}")
    assert told[0] == told[1]
    assert (told[0] == repr(value)) is (value is not None)


def test_whole_numbers_of_more_than_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what the two differ in, and the docstring says so."""
    text = str(2**64).encode()
    assert repr(_json.decoded(text)) == repr(float(2**64))
    monkeypatch.setattr(_json, "_quickly", _json._decoded)
    assert repr(_json.decoded(text)) == repr(2**64)
