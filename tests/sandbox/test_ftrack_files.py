"""Bytes in the sandbox's ftrack: uploads whole and in parts, downloads, and links that expire."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import httpx
import pytest

from callsheet.sandbox import Sandbox
from support.ftrackcalls import Refused, Studio, create

DATA = os.urandom(300_000)
CREDENTIALS = {"username": "sandbox", "apiKey": "sandbox-key"}


def link_to(studio: Studio, component_id: str = "c-1") -> str:
    """Return the signed link that the server tells for a component."""
    (row,) = studio.query(f"select url from JobComponent where component_id is {component_id}")
    url = row["url"]["value"]
    assert "sandbox-key" not in url
    return str(url)


def stored(studio: Studio, component_id: str = "c-1") -> httpx.Response:
    """Ask for a component's bytes by its id."""
    return studio.http.get("/component/get", params={"id": component_id, **CREDENTIALS})


@pytest.fixture
def component(studio: Studio) -> str:
    """A component with bytes, on a job."""
    assert studio.upload("c-1", DATA).status_code == 200
    studio.call(
        create("Job", id="j-1"),
        create("FileComponent", id="c-1", name="plate", file_type=".mov", size=len(DATA)),
        create("JobComponent", job_id="j-1", component_id="c-1"),
    )
    return "c-1"


def test_what_was_uploaded_comes_back(studio: Studio, component: str) -> None:
    """Bytes put before the component existed come back by its link, without credentials, under its name."""
    answer = studio.bare.get(link_to(studio))
    assert answer.content == DATA
    assert answer.headers["content-disposition"] == 'attachment; filename="plate.mov"'
    (told,) = studio.call({"action": "generate_signed_url", "component_id": component})
    assert studio.bare.get(told["signed_url"]).content == DATA


def test_uploads_name_their_headers(studio: Studio) -> None:
    """The headers to send are texts; an empty file has no length among them, and may come in chunks."""
    operation = {"action": "get_upload_metadata", "component_id": "c-1", "file_name": "a.txt"}
    full, empty = studio.call({**operation, "file_size": 5}, {**operation, "file_size": 0})
    common = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="a.txt"',
    }
    assert full["headers"] == {**common, "Content-Length": "5"}
    assert empty["headers"] == common
    assert studio.bare.put(empty["url"], content=iter([b""]), headers=common).status_code == 200
    studio.create("FileComponent", id="c-1", name="b", file_type=".txt", size=7)
    (stored,) = studio.call({"action": "get_upload_metadata", "component_id": "c-1"})
    assert stored["headers"]["Content-Disposition"] == 'attachment; filename="b.txt"'
    assert stored["headers"]["Content-Length"] == "7"


@pytest.mark.parametrize(
    ("told", "sent", "text"),
    [
        (b"right", b"wrong", "BadDigest"),
        (b"right", b"righ", "IncompleteBody"),
        (b"", b"more", "IncompleteBody"),
    ],
)
def test_other_bytes_than_announced_are_refused(studio: Studio, told: bytes, sent: bytes, text: str) -> None:
    """Bytes of another size or checksum are refused, and what was there before stays."""
    studio.upload("c-1", b"before")
    (metadata,) = studio.call(
        {
            "action": "get_upload_metadata",
            "component_id": "c-1",
            "file_name": "a",
            "file_size": len(told),
            "checksum": "ApVjRrWonlE6IBWAp9OPmg==" if told else None,
        }
    )
    answer = studio.bare.put(metadata["url"], content=sent)
    assert (answer.status_code, text in answer.text) == (400, True)
    assert stored(studio).content == b"before"


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=299990-", 299_990, 300_000)],
)
def test_ranges_are_served(studio: Studio, component: str, wanted: str, start: int, end: int) -> None:
    """A range is answered by 206 with just those bytes."""
    answer = studio.bare.get(link_to(studio), headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, DATA[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


def test_ranges_beyond_the_end_are_refused(studio: Studio, component: str) -> None:
    """A range that begins after the last byte is answered by 416."""
    answer = studio.bare.get(link_to(studio), headers={"Range": "bytes=300000-"})
    assert answer.status_code == 416


def test_links_expire_by_the_clock(studio: Studio, component: str, callsheet_sandbox: Sandbox) -> None:
    """A link, or an upload's URL, is good until its time is over; a new one is good again."""
    callsheet_sandbox.clock.freeze()
    callsheet_sandbox.configure("ftrack", link_seconds=60)
    url = link_to(studio)
    (told,) = studio.call(
        {"action": "get_upload_metadata", "component_id": "c-1", "file_name": "a", "file_size": 1}
    )
    callsheet_sandbox.clock.advance(59)
    assert studio.bare.get(url).status_code == 200
    callsheet_sandbox.clock.advance(1)
    assert studio.bare.get(url).status_code == 403
    assert studio.bare.put(told["url"], content=b"x").status_code == 403
    assert studio.bare.get(link_to(studio)).content == DATA


@pytest.mark.parametrize(
    "forge",
    [
        lambda url: url.copy_set_param("id", "c-2"),
        lambda url: url.copy_set_param("expires", "99999999999"),
        lambda url: url.copy_remove_param("signature"),
        lambda url: url.copy_set_param("signature", "0" * 64),
        lambda url: url.copy_set_param("signature", "ü"),
    ],
)
def test_forged_links_are_refused(studio: Studio, component: str, forge: Any) -> None:
    """A link whose words were changed is no link."""
    url = forge(httpx.URL(link_to(studio)))
    assert studio.bare.get(url).status_code == 403
    assert studio.bare.put(url, content=b"x").status_code in {403, 405}


def test_gets_want_credentials(studio: Studio, component: str) -> None:
    """`/component/get`, `/remove` and `/thumbnail` take credentials from the query and no others."""
    for action in ("get", "remove", "thumbnail"):
        for wrong in ({"apiKey": "wrong"}, {"username": "nobody"}):
            answer = studio.http.get(f"/component/{action}", params={"id": "c-1", **CREDENTIALS, **wrong})
            assert (answer.status_code, answer.json()["exception"]) == (401, "InvalidCredentialsError")
    answer = studio.http.get("/component/thumbnail", params={"id": "c-1", "size": 300, **CREDENTIALS})
    assert answer.content == DATA


def test_bytes_can_be_removed(studio: Studio, component: str) -> None:
    """Removed bytes are gone; removing none is no mistake; what never was is not found."""
    assert stored(studio).status_code == 200
    for name in ("c-1", "c-1", "never"):
        params = {"id": name, **CREDENTIALS}
        assert studio.http.get("/component/remove", params=params).status_code == 200
    assert stored(studio).status_code == 404
    assert studio.bare.get(link_to(studio)).status_code == 404


def test_bytes_go_with_their_component(studio: Studio, component: str) -> None:
    """Deleting a component removes its bytes, unless the batch it is deleted in fails."""
    delete = {"action": "delete", "entity_type": "FileComponent", "entity_key": ["c-1"]}
    with pytest.raises(Refused):
        studio.call(delete, {"action": "nope"})
    assert stored(studio).status_code == 200
    studio.call(delete)
    assert stored(studio).status_code == 404


def test_ids_never_become_paths(studio: Studio) -> None:
    """An id that looks like a path is a name like any other."""
    for name in ("../../etc/passwd", "/etc/passwd", "a/b", "\0"):
        assert studio.upload(name, name.encode()).status_code == 200
    for name in ("../../etc/passwd", "/etc/passwd", "a/b", "\0"):
        answer = stored(studio, name)
        assert answer.content == name.encode()


class Parts:
    """An upload of `DATA` in three parts."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        (told,) = studio.call(
            {
                "action": "get_upload_metadata",
                "component_id": "c-1",
                "file_name": "a",
                "file_size": len(DATA),
                "parts": 3,
            }
        )
        self.upload_id = told["upload_id"]
        self.urls = {each["part_number"]: each["signed_url"] for each in told["urls"]}
        self.pieces = {number: DATA[100_000 * (number - 1) : 100_000 * number] for number in self.urls}

    def put(self, number: int, data: bytes | None = None) -> str:
        """Send one part and return its tag, without the quotes it must come in."""
        answer = self.studio.bare.put(
            self.urls[number], content=self.pieces[number] if data is None else data
        )
        tag = answer.headers["etag"]
        assert tag == f'"{tag[1:-1]}"'
        return str(tag[1:-1])

    def complete(self, tags: dict[int, str]) -> list[Any]:
        """Ask to put the parts together."""
        return self.studio.call(
            {
                "action": "complete_multipart_upload",
                "component_id": "c-1",
                "upload_id": self.upload_id,
                "parts": [{"part_number": number, "e_tag": tag} for number, tag in tags.items()],
            }
        )


def test_parts_come_in_any_order(studio: Studio) -> None:
    """Parts sent in any order, one of them twice, make up the whole; the later one counts."""
    parts = Parts(studio)
    assert sorted(parts.urls) == [1, 2, 3]
    parts.put(2, b"wrong")
    tags = {number: parts.put(number) for number in (3, 2, 1)}
    assert tags[2] == hashlib.md5(parts.pieces[2]).hexdigest()
    (answer,) = parts.complete(tags)
    assert (answer["action"], answer["component_id"]) == ("complete_multipart_upload", "c-1")
    assert studio.bare.get(answer["url"]).content == DATA
    assert studio.bare.put(parts.urls[1], content=b"late").status_code == 404


def test_incomplete_uploads_are_not_completed(studio: Studio) -> None:
    """A part that is missing, not named, or another one is refused, and the upload can still be completed."""
    parts = Parts(studio)
    tags = {number: parts.put(number) for number in (1, 3)}
    wrong = [tags, {**tags, 2: "0" * 32}, {**tags, 2: tags[1]}, {**tags, 4: tags[1]}]
    for each in wrong:
        with pytest.raises(Refused, match="ValidationError"):
            parts.complete(each)
    with pytest.raises(Refused, match="a list of part_number and e_tag is needed"):
        studio.call(
            {"action": "complete_multipart_upload", "component_id": "c-1", "upload_id": parts.upload_id}
        )
    tags[2] = parts.put(2)
    (answer,) = parts.complete(tags)
    assert studio.bare.get(answer["url"]).content == DATA
    with pytest.raises(Refused, match="No upload"):
        parts.complete(tags)


def test_a_failed_batch_completes_nothing(studio: Studio) -> None:
    """When another operation of the batch fails, the upload stays open and the component has no bytes."""
    parts = Parts(studio)
    tags = {number: parts.put(number) for number in parts.urls}
    words = [{"part_number": number, "e_tag": tag} for number, tag in tags.items()]
    completion = {"action": "complete_multipart_upload", "component_id": "c-1", "parts": words}
    with pytest.raises(Refused):
        studio.call({**completion, "upload_id": parts.upload_id}, create("Nope"))
    assert stored(studio).status_code == 404
    parts.complete(tags)
