"""Vidispine's files, storages and items, in callsheet's words and as typed details."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from callsheet import Component, InvalidResponse, Location
from callsheet.providers.vidispine import _files_wire as wire
from callsheet.providers.vidispine.file_details import (
    VidispineFile,
    VidispineFileComponent,
    VidispineFileItem,
    VidispineFileShape,
    VidispineStorage,
    VidispineStorageMethod,
)

SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
NOON = datetime(2020, 10, 2, 12, tzinfo=UTC)

FILE = json.loads(
    """{"id":"VX-16","path":"a/b.mp4","uri":["file:///srv/media/a/b.mp4"],"state":"CLOSED","size":123,
    "hash":"da39a3ee5e6b4b0d3255bfef95601890afd80709","timestamp":"2020-10-02T13:00:00.000+0000","refreshFlag":1,
    "storage":"VX-1","metadata":{"field":[{"key":"created","value":"2020-10-02T12:00:00.000Z"}]},
    "item":[{"id":"VX-5","shape":[{"id":"VX-7","component":[{"id":"VX-9"}]}]}],"newer":{"member":true}}"""
)

STORAGE = json.loads(
    """{"id":"VX-31","state":"NONE","type":"LOCAL","capacity":1500000,"freeCapacity":1500000,
    "timestamp":"2020-10-02T12:00:00.000+0000",
    "method":[{"id":"VX-29","uri":"ftp://user:pass@store/media1/","read":true,"write":true,"browse":true,
    "lastSuccess":"2020-10-02T12:00:00.000+0000","type":"NONE"}],
    "metadata":{"field":[{"key":"name","value":"test_storage"}]},"lowWatermark":1350000,"highWatermark":1125000,
    "lowWatermarkPercentage":90,"highWatermarkPercentage":75,"showImportables":true}"""
)


# -- files ---------------------------------------------------------------------------------------------------


def test_a_file() -> None:
    """Every common field of a file is read, and its record is kept whole."""
    component = wire.component_of(FILE, job_id="VX-3", role="input")
    assert component == Component(
        id="VX-16",
        name="b.mp4",
        size=123,
        checksum=f"sha1:{SHA1}",
        role="input",
        job_id="VX-3",
        location_id="VX-1",
        created_at=NOON,
    )
    assert component.raw == FILE


def test_the_details_of_a_file() -> None:
    """Every documented member of a file is typed; its addresses are not shown; it survives pickling."""
    component: Component = pickle.loads(pickle.dumps(wire.component_of(FILE)))
    shape = VidispineFileShape(id="VX-7", component=(VidispineFileComponent(id="VX-9"),))
    assert component.details == VidispineFile(
        id="VX-16",
        path="a/b.mp4",
        uri=("file:///srv/media/a/b.mp4",),
        state="CLOSED",
        size=123,
        hash=SHA1,
        timestamp=datetime(2020, 10, 2, 13, tzinfo=UTC),
        refresh_flag=1,
        storage="VX-1",
        metadata={"created": "2020-10-02T12:00:00.000Z"},
        item=(VidispineFileItem(id="VX-5", shape=(shape,)),),
    )
    assert "srv" not in repr(component.details)


def test_a_file_of_few_words() -> None:
    """A file of which hardly anything is told is one, too."""
    component = wire.component_of({"id": "VX-1"})
    assert component == Component(id="VX-1", name="VX-1")
    assert component.details == VidispineFile(id="VX-1")


def test_single_members_without_a_list() -> None:
    """Old servers leave out the list around a single member."""
    lonely = {
        "id": "VX-1",
        "uri": "file:///a",
        "metadata": {"field": {"key": "k", "value": "v"}},
        "item": {"id": "VX-5", "shape": {"id": "VX-7"}},
    }
    item = VidispineFileItem(id="VX-5", shape=(VidispineFileShape(id="VX-7"),))
    assert wire.component_of(lonely).details == VidispineFile(
        id="VX-1", uri=("file:///a",), metadata={"k": "v"}, item=(item,)
    )


@pytest.mark.parametrize(
    ("row", "name", "expected"),
    [
        ({"path": "a/b.mp4"}, None, "b.mp4"),
        ({"path": "VX-16.mp4"}, "holiday.mp4", "holiday.mp4"),
        ({"metadata": {"field": [{"key": wire.NAME, "value": "a/b"}]}, "path": "x/a_b"}, None, "a/b"),
        ({"path": "folder/"}, None, "folder"),
        ({"path": ""}, None, "VX-16"),
        ({"path": 7}, None, "VX-16"),
    ],
)
def test_names(row: dict[str, Any], name: str | None, expected: str) -> None:
    """A file is called what was noted on it, what it was called before it came, or what its path says."""
    assert wire.component_of({"id": "VX-16", **row}, name=name).name == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 0), ("12", 12), (-1, None), (None, None), (1 << 60, 1 << 60), ("9" * 5000, None)],
)
def test_sizes(size: Any, expected: int | None) -> None:
    """A size is a number, also as a text; one that is not known yet is `None`."""
    assert wire.component_of({"id": "VX-1", "size": size}).size == expected


@pytest.mark.parametrize(
    ("hash_", "checksum"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", "md5:d41d8cd98f00b204e9800998ecf8427e"),
        (SHA1.upper(), f"sha1:{SHA1}"),
        ("ab" * 32, "sha256:" + "ab" * 32),
        ("ab" * 64, "sha512:" + "ab" * 64),
        ("abc", None),
        ("x" * 40, None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_hashes(hash_: Any, checksum: str | None) -> None:
    """The length of a hash tells its algorithm; what is none is no checksum."""
    assert wire.checksum_of(hash_) == checksum


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2020-10-02T12:00:00.000+0000", NOON),
        ("2020-10-02T14:00:00+02:00", NOON),
        ("2020-10-02T12:00:00Z", NOON),
        ("2020-10-02T12:00:00", NOON),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_times(moment: Any, expected: datetime | None) -> None:
    """Times of any zone are read as UTC; what is none is not known."""
    assert wire.component_of({"id": "VX-1", "timestamp": moment}).created_at == expected


@pytest.mark.parametrize(
    ("state", "is_gone", "is_whole"),
    [
        ("CLOSED", False, True),
        ("MISSING", False, True),
        ("BEING_READ", False, True),
        ("ARCHIVED", False, True),
        ("SOMETHING_NEW", False, True),
        (None, False, True),
        ("OPEN", False, False),
        ("TO_APPEAR", False, False),
        ("TO_BE_DELETED", True, False),
        ("LOST", True, False),
    ],
)
def test_states(state: str | None, is_gone: bool, is_whole: bool) -> None:
    """Files that are still written are not whole, and those that will be deleted are as good as gone."""
    row = {"id": "VX-1", "state": state}
    assert (wire.is_gone(row), wire.is_whole(row)) == (is_gone, is_whole)


def test_the_order_of_ids() -> None:
    """Ids come in the order of their numbers, whatever stands in front; last what has none."""
    ids = ["VX-100", "VX-9", "x", "VX-10", "KP-11"]
    assert sorted(ids, key=wire.number_of) == ["VX-9", "VX-10", "KP-11", "VX-100", "x"]


@pytest.mark.parametrize(
    ("name", "path", "note"),
    [
        ("plate.mov", "plate.mov", {}),
        ("größe ü.exr", "größe ü.exr", {}),
        ("../../etc/passwd", "__.._etc_passwd", {wire.NAME: "../../etc/passwd"}),
        ("a/b", "a_b", {wire.NAME: "a/b"}),
        (".", "_", {wire.NAME: "."}),
    ],
)
def test_names_on_a_storage(name: str, path: str, note: dict[str, str]) -> None:
    """A name that no path can hold is noted on the file instead."""
    assert wire.file_name_of(name) == (path, note)


@pytest.mark.parametrize(
    ("uris", "link"),
    [
        (["file:///a", "http://host/API/x?key=1", "https://host/y"], "http://host/API/x?key=1"),
        ("https://host/y", "https://host/y"),
        (["https://user:pass@host/y", "https://user@host/y"], None),
        (["ftp://host/y", 7, None], None),
        ([], None),
        (None, None),
    ],
)
def test_links(uris: Any, link: str | None) -> None:
    """Only an address that anybody can follow, with no credentials in it, is handed out."""
    assert wire.link_of(uris) == link


def test_documents_that_are_sent() -> None:
    """Metadata is written as Vidispine has it, of files and of items."""
    assert wire.fields({"a": "1", "b": "2"}) == {
        "field": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    }
    assert wire.item_metadata({"title": "x"}) == {
        "timespan": [
            {"start": "-INF", "end": "+INF", "field": [{"name": "title", "value": [{"value": "x"}]}]}
        ]
    }
    assert wire.item_metadata({}) == {}


# -- files of jobs and items ---------------------------------------------------------------------------------


def data(**values: str) -> dict[str, Any]:
    return {"jobId": "VX-3", "data": [{"key": key, "value": value} for key, value in values.items()]}


@pytest.mark.parametrize(
    ("job", "own"),
    [
        ({}, wire.OwnFiles()),
        (
            data(fileId="VX-1", item="VX-5", filePathMap="VX-1=VX-1.mp4", originalFilename="a.mp4"),
            wire.OwnFiles(inputs=("VX-1",), item="VX-5", name="a.mp4"),
        ),
        (
            data(sourceFileId="VX-1", itemId="VX-5", item="VX-6", filePathMap="VX-2=b,c.mp4,VX-4=d"),
            wire.OwnFiles(inputs=("VX-1",), outputs=("VX-2", "VX-4"), item="VX-5"),
        ),
        (
            data(fileId="VX-1", sourceFileId="VX-1", bestEffortFilename="b.mp4", filePathMap=""),
            wire.OwnFiles(inputs=("VX-1",), name="b.mp4"),
        ),
    ],
)
def test_the_files_of_a_job(job: dict[str, Any], own: wire.OwnFiles) -> None:
    """A job's metadata names what it works on, and what it has made."""
    assert wire.own_files(job) == own


def test_roles() -> None:
    """What a job works on is its input; all else of its item, its output."""
    own = wire.OwnFiles(inputs=("VX-1", "VX-2"), outputs=("VX-3",), name="a.mp4")
    assert [own.role_of(id_) for id_ in ("VX-1", "VX-2", "VX-3", "VX-4")] == [
        *("input", "input"),
        *("output", "output"),
    ]
    assert [own.name_of(id_) for id_ in ("VX-1", "VX-2", "VX-3")] == ["a.mp4", None, None]


def test_the_files_of_an_item() -> None:
    """Files of all components of all shapes are found, each once; a single one may stand without a list."""
    item = {
        "id": "VX-5",
        "shape": [
            {
                "id": "VX-7",
                "tag": ["original"],
                "containerComponent": {"id": "VX-9", "file": [{"id": "VX-1", "storage": "VX-31"}]},
                "videoComponent": [{"id": "VX-10", "file": [{"id": "VX-1"}]}],
                "audioComponent": [{"file": {"id": "VX-2"}}, {"id": "VX-11"}, "odd"],
            },
            {"id": "VX-8", "binaryComponent": {"file": [{"id": "VX-3"}, {"path": "no id"}, None]}},
            None,
        ],
    }
    assert wire.files_of_item(item) == [{"id": "VX-1", "storage": "VX-31"}, {"id": "VX-2"}, {"id": "VX-3"}]
    assert wire.files_of_item({"id": "VX-5"}) == []


# -- storages ------------------------------------------------------------------------------------------------


def test_a_storage() -> None:
    """A storage is a location, called what its metadata say; its address, which may hold a password, is not
    shown."""
    location = wire.location_of(STORAGE)
    assert location == Location(id="VX-31", name="test_storage", kind="LOCAL")
    method = VidispineStorageMethod(
        id="VX-29",
        uri="ftp://user:pass@store/media1/",
        read=True,
        write=True,
        browse=True,
        type="NONE",
        last_success=NOON,
    )
    assert location.details == VidispineStorage(
        id="VX-31",
        state="NONE",
        type="LOCAL",
        capacity=1500000,
        free_capacity=1500000,
        timestamp=NOON,
        method=(method,),
        metadata={"name": "test_storage"},
        low_watermark=1350000,
        high_watermark=1125000,
        low_watermark_percentage=90,
        high_watermark_percentage=75,
        show_importables=True,
    )
    assert "pass" not in repr(location) + repr(location.details)


def test_a_storage_without_a_name() -> None:
    """A storage without a name is called by its id."""
    assert wire.location_of({"id": "VX-1"}) == Location(id="VX-1", name="VX-1", kind="storage")


def test_details_that_cannot_be_read() -> None:
    """A member of another kind than is documented does not hide the file; only its details cannot be read."""
    part = wire.component_of(FILE | {"size": "many", "storage": 7})
    assert (part.id, part.size, part.location_id) == ("VX-16", None, None)
    with pytest.raises(InvalidResponse, match="size"):
        _ = part.details
    place = wire.location_of(STORAGE | {"capacity": "much"})
    with pytest.raises(InvalidResponse, match="capacity"):
        _ = place.details
