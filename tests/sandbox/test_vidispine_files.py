"""The sandbox's Vidispine imports, items, files and storages, held to the protocol."""

from __future__ import annotations

import hashlib
import socket
from typing import Any

import httpx
import pytest

from callsheet.sandbox import Sandbox
from support.vidispinecalls import Archive

CLIP = bytes(range(256)) * 40

MADE = ["jobId", "user", "started", "status", "type", "priority"]


def ended(archive: Archive, sandbox: Sandbox, job: dict[str, Any]) -> dict[str, Any]:
    """Let time pass until a job has finished; return it."""
    sandbox.clock.advance(60)
    found = archive.job(job["jobId"])
    assert found["status"] == "FINISHED", found
    return found


def chunk(
    archive: Archive,
    start: int,
    end: int,
    *,
    name: str = "t-1",
    size: int = len(CLIP),
    path: str = "/import/raw",
) -> Any:
    """Send a chunk of the clip; return the answer."""
    headers = {"Size": str(size), "Index": str(start)}
    return archive.ask(
        "POST", f"{path}?transferId={name}&filename=a.mov", content=CLIP[start:end], headers=headers
    )


# -- importing -----------------------------------------------------------------------------------------------


def test_a_raw_import_leaves_an_item_with_a_file(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Bytes become a job, and that an item with a shape with a file, whose ids are in the job's data."""
    made = archive.upload(CLIP, "jobmetadata=shot%3Dsh010&transferId=t-1")
    assert (list(made), made["type"], made["status"]) == (MADE, "RAW_IMPORT", "READY")
    before = archive.job(made["jobId"])["data"]
    assert archive.get(f"/file/{before['fileId']}")["state"] == "OPEN"
    data = ended(archive, callsheet_sandbox, made)["data"]
    item, file_id = data["itemId"], data["fileId"]
    progress = {name for name in data if name.startswith("progress-")}
    assert {name: value for name, value in data.items() if name not in progress} == {
        "item": item,
        "itemId": item,
        "fileId": file_id,
        "destinationStorageId": "VX-1",
        "originalFilename": "a.mov",
        "bestEffortFilename": "a.mov",
        "username": "admin",
        "shot": "sh010",
        "filePathMap": f"{file_id}={file_id}.mov",
        "bytesWritten": str(len(CLIP)),
        "shapeIds": data["shapeIds"],
    }
    file = archive.get(f"/file/{file_id}?includeItem=true")
    assert (file["state"], file["size"], file["path"]) == ("CLOSED", len(CLIP), f"{file_id}.mov")
    assert file["uri"] == [f"file:///srv/originals/{file_id}.mov"]
    assert file["hash"] == hashlib.sha1(CLIP).hexdigest()
    shape = archive.get(f"/item/{item}/shape/{data['shapeIds']}")
    assert (shape["tag"], shape["containerComponent"]["file"][0]["id"]) == (["original"], file_id)
    component = {"id": shape["containerComponent"]["id"]}
    assert file["item"] == [{"id": item, "shape": [{"id": shape["id"], "component": [component]}]}]
    assert archive.ask("GET", f"/file/{file_id}/data").content == CLIP


@pytest.mark.parametrize("status", [200, 204])
def test_chunks_come_in_any_order_and_twice(
    archive: Archive, callsheet_sandbox: Sandbox, status: int
) -> None:
    """Chunks are answered with nothing until all bytes are there; a repeated one takes its own place."""
    callsheet_sandbox.configure("vidispine", chunk_status=status)
    for start, end in ((8000, 10240), (0, 4000), (0, 4000), (3000, 5000)):
        answer = chunk(archive, start, end)
        assert (answer.status_code, answer.content) == (status, b"")
    transfer = archive.get("/transfer/t-1")
    file_id = transfer["fileId"]
    assert transfer == {
        "name": "t-1",
        "state": "TRANSFERRING",
        "priority": "500",
        "transferred": 2240 + 5000,
        "fileId": file_id,
    }
    assert archive.get("/transfer") == {"transfer": [transfer]}
    assert archive.get("/job") == {"hits": 0}
    made = chunk(archive, 5000, 8000).json()
    assert ended(archive, callsheet_sandbox, made)["data"]["fileId"] == file_id
    assert archive.ask("GET", f"/file/{file_id}/data").content == CLIP
    assert archive.get("/transfer") == {}
    assert archive.get("/transfer/t-1")["state"] == "FINISHED"


def test_a_completed_transfer_begins_anew(archive: Archive) -> None:
    """The completing chunk, sent again, begins another transfer; if it is the only one, a second job."""
    chunk(archive, 0, 5000)
    first = chunk(archive, 5000, len(CLIP)).json()
    assert chunk(archive, 5000, len(CLIP)).content == b""
    assert archive.get("/transfer/t-1")["transferred"] == len(CLIP) - 5000
    second, third = (chunk(archive, 0, len(CLIP), name="t-2").json() for _ in range(2))
    assert archive.ids() == [third["jobId"], second["jobId"], first["jobId"]]


@pytest.mark.parametrize(
    "headers",
    [{"size": "5", "index": "0"}, {"size": "x"}, {"index": "-1", "size": "20"}, {"size": "5", "index": "6"}],
)
def test_wrong_chunks_are_refused(archive: Archive, headers: dict[str, str]) -> None:
    """A chunk outside of its file is refused, and leaves nothing."""
    answer = archive.refused("POST", "/import/raw?transferId=t-1", content=b"0123456789", headers=headers)
    assert (answer[0], list(answer[1])) == (400, ["invalidInput"])
    assert archive.get("/storage/file") == {"hits": 0}


@pytest.mark.parametrize(
    "words", ["priority=URGENT", "jobmetadata=shot", "importTag=callsheet", "tag=callsheet"]
)
def test_wrong_words_take_no_bytes(archive: Archive, words: str) -> None:
    """What is wrong with an import's words is told first: no file, no job, no place of a placeholder."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    path = f"/import/placeholder/{item}/container"
    for target in ("/import/raw", f"{path}/raw"):
        status, told = archive.refused("POST", f"{target}?{words}", content=CLIP)
        assert (status, len(told)) == (404 if "callsheet" in words else 400, 1)
    assert archive.refused("POST", f"{path}?uri=a&{words}")[0] == status
    assert (archive.get("/storage/file"), archive.ids()) == ({"hits": 0}, [])
    assert archive.post(f"{path}?uri=a")["type"] == "PLACEHOLDER_IMPORT"


def test_placeholders_take_documents(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A document names a placeholder's container by its URI, once; what else it may name is not done."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    path = f"/import/placeholder/{item}"
    archive.post("/storage/VX-1/file/data?path=a.mov", content=CLIP)
    other = {"container": "file:///srv/originals/a.mov", "video": ["file:///srv/originals/a.mov"]}
    assert archive.refused("POST", path, json=other) == (501, {"notYetImplemented": {}})
    made = archive.post(path, json={"container": "file:///srv/originals/a.mov"})
    assert ended(archive, callsheet_sandbox, made)["data"]["itemId"] == item
    assert (
        archive.refused("POST", path, json={"container": "file:///a"})[1]["invalidInput"]["context"] == "job"
    )


def test_half_a_chunk_is_none(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A chunk whose sender breaks off counts for nothing, and is no trouble for the server."""
    chunk(archive, 0, 4000)
    host, port = callsheet_sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = "POST /API/import/raw?transferId=t-1 HTTP/1.1\r\nHost: x\r\n"
        head += "Authorization: Basic YWRtaW46YWRtaW4=\r\n"
        line.sendall(f"{head}Size: {len(CLIP)}\r\nIndex: 4000\r\nContent-Length: 6240\r\n\r\n".encode())
        line.sendall(CLIP[4000:8000])
    assert archive.get("/transfer/t-1")["transferred"] == 4000
    assert chunk(archive, 4000, len(CLIP)).json()["type"] == "RAW_IMPORT"


def test_an_empty_file_is_a_file(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """No bytes at all, with or without a size, are whole at once."""
    for headers in ({}, {"size": "0", "index": "0"}):
        made = archive.post("/import/raw?filename=a.txt", content=b"", headers=headers)
        file_id = ended(archive, callsheet_sandbox, made)["data"]["fileId"]
        assert archive.ask("GET", f"/file/{file_id}/data").content == b""


def test_bodies_of_unknown_length_are_taken(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A body that comes in pieces, without a length, is a whole file."""
    made = archive.post("/import/raw", content=iter([CLIP[:5000], CLIP[5000:]]))
    file_id = ended(archive, callsheet_sandbox, made)["data"]["fileId"]
    assert archive.ask("GET", f"/file/{file_id}/data").content == CLIP


def test_placeholders_take_what_they_have_place_for(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A placeholder's components come one by one, by id, bytes or adoption, and join one shape."""
    item = archive.post("/import/placeholder?container=1&audio=1&video=1", json={})["id"]
    path = f"/import/placeholder/{item}"
    file_id = archive.post("/storage/VX-1/file/data?path=a.mov", content=CLIP)["id"]
    by_id = archive.post(f"{path}/container?fileId={file_id}")
    by_bytes = archive.upload(b"sound", path=f"{path}/audio/raw")
    archive.call("POST", f"{path}/video/adopt/{file_id}")
    assert [by_id["type"], by_bytes["type"]] == ["PLACEHOLDER_IMPORT"] * 2
    full = {"context": "job", "id": None, "explanation": "No more components of that type is accepted"}
    for component, word in (("container", "CONTAINER"), ("binary", "BINARY"), ("colour", "COLOUR")):
        told = {"invalidInput": {**full, "value": f"{word}_COMPONENT"}}
        assert archive.refused("POST", f"{path}/{component}?fileId={file_id}") == (400, told)
    missing = {"notFound": {"type": "Item", "id": "VX-99", "context": None}}
    assert archive.refused("POST", "/import/placeholder/VX-99/colour?uri=a") == (404, missing)
    ended(archive, callsheet_sandbox, by_id)
    (shape_id,) = archive.get(f"/item/{item}/shape")["uri"]
    shape = archive.get(f"/item/{item}/shape/{shape_id}")
    assert shape["containerComponent"]["file"][0]["id"] == file_id
    assert [len(shape[name]) for name in ("audioComponent", "videoComponent")] == [1, 1]


def test_placeholders_without_a_login(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Whoever has the links of a placeholder brings its components; a wrong passkey, or none, is unknown."""
    item = archive.post("/import/placeholder?container=1&audio=1", json={})["id"]
    links = archive.post(f"/import/placeholder/{item}/raw-passkey")["uri"]
    with httpx.Client(verify=False, timeout=60) as bare:
        for link in links:
            answer = bare.post(f"{link[:-1]}x", content=CLIP)
            assert (answer.status_code, answer.json()["notFound"]["type"]) == (404, "passkey")
            made = bare.post(link, content=CLIP).json()
            assert (made["type"], made["user"]) == ("PLACEHOLDER_IMPORT", "admin")
    paths = [link.partition(f"/{item}/")[2].partition("?")[0] for link in links]
    assert paths == ["container/raw", "audio/raw"]
    assert ended(archive, callsheet_sandbox, made)["data"]["itemId"] == item
    assert archive.post(f"/import/placeholder/{item}/raw-passkey") == {}
    other = archive.post("/import/placeholder?container=1", json={})["id"]
    with httpx.Client(base_url=archive.http.base_url, verify=False, timeout=60) as bare:
        path = f"/APInoauth/import/placeholder/{other}/container/raw"
        assert bare.post(f"{path}?passkey=", content=CLIP).status_code == 404


def test_what_a_uri_leads_to_is_seen_by_the_job(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A URI is never refused: one of a file on a storage is imported, any other one fails in the job."""
    archive.post("/storage/VX-1/file/data?path=shots/a b.mov", content=CLIP)
    found = archive.post("/import?uri=file:///srv/originals/shots/a%2520b.mov&importTag=web", json={})
    lost = archive.post("/import?uri=tests%2Fa.mov&tag=lowres", json={})
    data = ended(archive, callsheet_sandbox, found)["data"]
    assert archive.get(f"/item/{data['itemId']}?content=shape")["shape"][0]["tag"] == ["web"]
    assert archive.ask("GET", f"/file/{data['fileId']}/data").content == CLIP
    assert data["sourceUri"] == "file:///srv/originals/shots/a%20b.mov"
    failed = archive.job(lost["jobId"])
    assert (failed["status"], failed["data"]["errorMessage"]) == (
        "FAILED_TOTAL",
        "Could not find the source tests/a.mov",
    )
    assert [task["status"] for task in failed["log"]["task"]] == ["FINISHED", "FAILED_FATAL"]


def test_shapes_are_imported_under_a_tag(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A shape's tag must exist; its bytes, or a file's, become another shape of the item."""
    item = ended(archive, callsheet_sandbox, archive.upload(CLIP))["data"]["itemId"]
    missing = {"notFound": {"type": "shape-tag", "id": "callsheet", "context": None}}
    path = f"/item/{item}/shape/raw"
    assert archive.refused("POST", f"{path}?tag=callsheet", content=CLIP) == (404, missing)
    archive.call("PUT", "/shape-tag/callsheet", json={})
    made = archive.upload(b"notes", "tag=callsheet&jobmetadata=callsheet_parent%3DVX-1", path=path)
    data = ended(archive, callsheet_sandbox, made)["data"]
    assert (made["type"], data["itemId"], data["callsheet_parent"]) == ("SHAPE_IMPORT", item, "VX-1")
    assert archive.get(f"/item/{item}/shape?tag=callsheet") == {"uri": [data["shapeIds"]]}
    again = ended(archive, callsheet_sandbox, archive.post(f"/item/{item}/shape?fileId={data['fileId']}"))
    assert len(archive.get(f"/item/{item}/shape")["uri"]) == 3
    archive.call("DELETE", f"/item/{item}/shape/{again['data']['shapeIds']}")
    assert archive.get(f"/file/{data['fileId']}")["state"] == "CLOSED"
    assert archive.ask("DELETE", f"/item/{item}/shape/").status_code == 204
    assert archive.refused("GET", f"/file/{data['fileId']}")[0] == 404
    assert archive.get(f"/item/{item}/shape") == {}


def test_versions_and_sidecars(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A new essence version is a shape with the next number; a sidecar adds none."""
    item = ended(archive, callsheet_sandbox, archive.upload(CLIP))["data"]["itemId"]
    version = archive.upload(CLIP[:9], path=f"/item/{item}/shape/essence/raw")
    shape = ended(archive, callsheet_sandbox, version)["data"]["shapeIds"]
    assert (version["type"], archive.get(f"/item/{item}/shape/{shape}")["essenceVersion"]) == (
        "ESSENCE_VERSION",
        1,
    )
    sidecar = archive.post(f"/import/sidecar/{item}/raw?fileExtension=srt", content=b"1\n")
    by_id = archive.post(f"/import/sidecar/{item}?sidecar=VX-1")
    ended(archive, callsheet_sandbox, sidecar)
    ended(archive, callsheet_sandbox, by_id)
    assert sidecar["type"] == by_id["type"] == "SIDECAR_IMPORT"
    assert len(archive.get(f"/item/{item}/shape")["uri"]) == 2


def test_transcoding_needs_media(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A transcode makes a shape for each tag; without media it is accepted, and fails."""
    item = ended(archive, callsheet_sandbox, archive.upload(CLIP, "tag=web"))["data"]["itemId"]
    assert len(archive.get(f"/item/{item}/shape?tag=web")["uri"]) == 1
    made = archive.post(f"/item/{item}/transcode?tag=lowres&tag=highres&priority=LOWEST")
    assert (made["type"], made["priority"]) == ("TRANSCODE", "LOWEST")
    data = ended(archive, callsheet_sandbox, made)["data"]
    assert (len(data["shapeIds"].split(",")), data["transcodeProgress"]) == (2, "100.0")
    bare = archive.post("/import/placeholder?container=1", json={})["id"]
    job = archive.post(f"/item/{bare}/transcode?tag=lowres")["jobId"]
    callsheet_sandbox.clock.advance(60)
    assert archive.job(job)["status"] == "FAILED_TOTAL"
    assert archive.job(job)["data"]["errorMessage"] == f"There is no media to transcode in {bare}"


def test_an_import_without_a_login(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Whoever has the passkey of an import brings its bytes, once."""
    asked = archive.post("/import/raw-passkey?transferId=t-1&jobmetadata=shot%3Dsh010", json={})
    ((key, passkey),) = ((each["key"], each["value"]) for each in asked["data"])
    assert key == "passkey"
    callsheet_sandbox.clock.advance(60)
    assert archive.job(asked["jobId"])["status"] == "READY"
    url = f"{callsheet_sandbox.url}/APInoauth/import/raw?transferId=t-1&passkey="
    assert httpx.post(f"{url}wrong", content=CLIP, verify=False, timeout=60).status_code == 404
    brought = httpx.post(url + passkey, content=CLIP, verify=False, timeout=60).json()
    assert brought["jobId"] == asked["jobId"]
    assert ended(archive, callsheet_sandbox, brought)["data"]["shot"] == "sh010"
    assert httpx.post(url + passkey, content=CLIP, verify=False, timeout=60).status_code == 404


def test_metadata_of_items(archive: Archive) -> None:
    """Fields keep their values until named again; a deleted item has another name with metadata."""
    field = {"name": "title", "value": [{"value": "One"}]}
    span = {"start": "-INF", "end": "+INF", "field": [field]}
    item = archive.post("/import/placeholder?container=1", json={"timespan": [span]})["id"]
    other = {"name": "note", "value": [{"value": "Two"}]}
    archive.call("PUT", f"/item/{item}/metadata", json={"timespan": [{**span, "field": [other]}]})
    (told,) = archive.get(f"/item/{item}?content=metadata")["metadata"]["timespan"]
    assert told == {**span, "group": [], "field": [field, other]}
    wrong: Any = {"timespan": [{"field": [{"value": []}]}]}
    assert archive.refused("PUT", f"/item/{item}/metadata", json=wrong)[0] == 400
    deleted = archive.ask("DELETE", f"/item/{item}")
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert deleted.headers["content-type"] == "application/json"
    for path, kind in ((f"/item/{item}?content=metadata", "item"), (f"/item/{item}/shape", "Item")):
        missing = {"notFound": {"type": kind, "id": item, "context": None}}
        assert archive.refused("GET", path) == (404, missing)


# -- files ---------------------------------------------------------------------------------------------------


def test_files_are_written_and_read(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A file's path is its own, its bytes can be put in place of others, and read in parts."""
    file = archive.post("/storage/VX-2/file/data?path=shots/a.bin", content=CLIP)
    assert (file["storage"], file["path"], file["state"], file["size"]) == (
        "VX-2",
        "shots/a.bin",
        "CLOSED",
        10240,
    )
    taken = {"fileAlreadyExists": {"storageId": "VX-2", "fileId": file["id"], "path": "shots/a.bin"}}
    assert archive.refused("POST", "/storage/VX-2/file/data?path=shots/a.bin", content=CLIP) == (409, taken)
    data = f"/file/{file['id']}/data"
    part = archive.ask("GET", data, headers={"Range": "bytes=10000-"})
    assert (part.status_code, part.content) == (206, CLIP[10000:])
    callsheet_sandbox.configure("vidispine", ranges=False)
    whole = archive.ask("GET", data, headers={"Range": "bytes=10000-"})
    assert (whole.status_code, whole.content) == (200, CLIP)
    changed = archive.post(data, content=b"other")
    assert (changed["id"], changed["size"], changed["hash"]) == (
        file["id"],
        5,
        hashlib.sha1(b"other").hexdigest(),
    )
    assert archive.ask("GET", f"/storage/VX-2/file/{file['id']}/data").content == b"other"
    assert archive.refused("GET", f"/storage/VX-1/file/{file['id']}")[0] == 404


def test_chunks_make_files_too(archive: Archive) -> None:
    """A file on a storage, new or not, is also brought in chunks; the last one is answered with the file."""
    path = "/storage/VX-1/file/data"
    assert chunk(archive, 0, 6000, path=path).content == b""
    file = chunk(archive, 6000, len(CLIP), path=path).json()
    assert (file["state"], file["size"], file["path"]) == ("CLOSED", len(CLIP), f"{file['id']}.mov")
    assert chunk(archive, 0, 6000, name="t-2", path=f"/file/{file['id']}/data").content == b""
    assert archive.get(f"/file/{file['id']}")["id"] == file["id"]
    assert chunk(archive, 6000, len(CLIP), name="t-2", path=f"/file/{file['id']}/data").json()["size"] == len(
        CLIP
    )


def test_a_server_may_send_readers_elsewhere(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Reading may be answered with another address, which needs no login and does not last."""
    file_id = archive.post("/storage/VX-1/file/data", content=CLIP)["id"]
    callsheet_sandbox.configure("vidispine", redirect_data=True)
    answer = archive.ask("GET", f"/file/{file_id}/data")
    (link,) = archive.post(f"/file/{file_id}/uri?duration=1")["uri"]
    assert answer.status_code == 303
    assert link.startswith(f"{callsheet_sandbox.url}/APInoauth/")
    for url in (answer.headers["location"], link):
        assert httpx.get(url, verify=False, timeout=60).content == CLIP
    callsheet_sandbox.clock.advance(60)
    assert httpx.get(link, verify=False, timeout=60).status_code == 403
    assert httpx.get(answer.headers["location"], verify=False, timeout=60).content == CLIP
    for minutes in (0, 721, "long"):
        assert archive.refused("POST", f"/file/{file_id}/uri?duration={minutes}")[0] == 400


def test_files_are_listed_from_zero(archive: Archive) -> None:
    """Files are counted from 0, ten at a time unless asked otherwise, or followed by a cursor to the end."""
    ids = [
        archive.post(f"/storage/VX-1/file/data?path=a/{number}", content=b"")["id"] for number in range(12)
    ]
    elsewhere = archive.post("/storage/VX-2/file/data?path=b/a", content=b"x")["id"]

    def listed(query: str) -> list[str]:
        return [file["id"] for file in archive.get(f"/storage/file?{query}").get("file", [])]

    assert listed("") == ids[:10]
    assert listed("first=10") == [*ids[10:], elsewhere]
    assert archive.get("/storage/VX-2/file?count=false").keys() == {"file"}
    found, cursor = [], "*"
    while cursor:
        page = archive.get(f"/storage/file?cursor={cursor}&number=5")
        assert page["hits"] == 13
        found += [file["id"] for file in page["file"]]
        cursor = page.get("nextCursor", "")
    assert found == [*ids, elsewhere]
    assert archive.refused("GET", "/storage/file?cursor=zz")[0] == 400
    assert listed("path=a&number=100") == ids
    assert listed("path=b/*&wildcard=true") == listed("storage=VX-2") == [elsewhere]
    assert listed("sort=size desc,fileId desc&number=2") == [elsewhere, ids[-1]]
    assert listed(f"id={ids[3]},{elsewhere}") == [ids[3], elsewhere]
    assert archive.get("/storage/VX-1/file/path/a%2F7")["id"] == ids[7]
    uri = "file%3A%2F%2F%2Fsrv%2Foriginals%2Fa%2F7"
    assert archive.get(f"/storage/VX-1/file/uri/{uri}")["id"] == ids[7]
    assert archive.refused("GET", f"/storage/VX-2/file/uri/{uri}")[1]["notFound"]["type"] == "File"


def test_files_are_moved_copied_and_deleted_by_jobs(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A copy is another file, a move the same one; a deleted file is gone when its job has ended."""
    file_id = archive.post("/storage/VX-1/file/data?path=a.bin", content=CLIP)["id"]
    copied = ended(archive, callsheet_sandbox, archive.post(f"/file/{file_id}/storage/VX-2"))
    copy = copied["data"]["filePathMap"].partition("=")[0]
    moved = archive.post(f"/file/{file_id}/storage/VX-2?move=True&filename=b.bin")
    ended(archive, callsheet_sandbox, moved)
    assert (copied["type"], moved["type"]) == ("COPY_FILE", "MOVE_FILE")
    assert [archive.get(f"/file/{each}")["path"] for each in (copy, file_id)] == ["a.bin", "b.bin"]
    again = archive.post(f"/file/{file_id}/storage/VX-2?filename=a.bin")["jobId"]
    callsheet_sandbox.clock.advance(60)
    assert archive.job(again)["data"]["errorMessage"] == f"The file {copy} is at a.bin on VX-2 already"
    deleted = archive.call("DELETE", f"/file/{file_id}")
    assert archive.get(f"/file/{file_id}")["state"] == "CLOSED"
    ended(archive, callsheet_sandbox, deleted)
    assert archive.refused("GET", f"/file/{file_id}")[0] == 404
    assert archive.ask("GET", f"/file/{copy}/data").content == CLIP
    archive.call("DELETE", f"/file/{copy}/entity")
    assert archive.get("/storage/file") == {"hits": 0}


def test_files_are_registered_without_bytes(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A record of a file that is there already has no bytes here; a file with bytes can be imported."""
    body = {"path": "shots/a.mov", "state": "CLOSED"}
    file = archive.post("/storage/VX-2/file", json=body)
    assert (file["storage"], file["path"], file["state"], file["size"]) == (
        "VX-2",
        "shots/a.mov",
        "CLOSED",
        0,
    )
    assert archive.refused("POST", "/storage/VX-2/file", json=body)[0] == 409
    assert archive.refused("POST", "/storage/file", json={"state": "TIRED"})[0] == 400
    assert archive.refused("GET", f"/file/{file['id']}/data")[0] == 404
    moved = archive.post(f"/file/{file['id']}/path?path=shots/b.mov&storage=VX-1")
    assert (moved["id"], moved["storage"], moved["path"]) == (file["id"], "VX-1", "shots/b.mov")
    other = archive.post("/storage/VX-1/file/data?path=c.mov", content=CLIP)["id"]
    assert archive.refused("POST", f"/file/{other}/path?path=shots/b.mov")[0] == 409
    made = archive.post(f"/file/{other}/import?importTag=web", json={})
    data = ended(archive, callsheet_sandbox, made)["data"]
    assert (made["type"], data["fileId"], data["sourceFileId"]) == ("IMPORT", other, other)
    archive.call("PUT", f"/file/{other}/hash/0a1b")
    assert archive.get(f"/file/{other}")["hash"] == "0a1b"


def test_filters_of_files(archive: Archive) -> None:
    """Files are found by what their paths begin with, by state and by hash; other orders are refused."""
    for path in ("a/b/c", "a/d", "e"):
        archive.post(f"/storage/VX-1/file/data?path={path}", content=path.encode())
    archive.call("PUT", "/file/VX-2/state/ARCHIVED")

    def listed(query: str) -> list[str]:
        return [file["path"] for file in archive.get(f"/storage/file?{query}").get("file", [])]

    assert listed("path=a") == listed("prefix=a/") == ["a/b/c", "a/d"]
    assert listed("path=a&recursive=false") == ["a/d"]
    assert listed("state=ARCHIVED,OPEN") == ["a/d"]
    assert listed(f"hash={hashlib.sha1(b'e').hexdigest()}") == ["e"]
    assert listed("sort=path desc") == ["e", "a/d", "a/b/c"]
    assert archive.refused("GET", "/storage/file?sort=colour")[0] == 400
    assert (
        archive.ask("GET", "/storage/file", headers={"Accept": "text/plain"}).text
        == "VX-1\r\nVX-2\r\nVX-3\r\n"
    )


def test_one_path_is_one_file(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Of two who bring a file to the same path at the same time, one has to hear that it is taken."""
    host, port = callsheet_sandbox.url.removeprefix("http://").split(":")
    head = "POST /API/storage/VX-1/file/data?path=a.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
    head += "Authorization: Basic YWRtaW46YWRtaW4=\r\nConnection: close\r\n\r\n"
    lines = [socket.create_connection((host, int(port))) for _ in range(2)]
    for line in lines:
        line.sendall(f"{head}ab".encode())
    while len(callsheet_sandbox.requests("/API/storage/VX-1/file/data")) < 2:
        pass
    for line in lines:
        line.sendall(b"cd")
    answers = []
    for line in lines:
        with line, line.makefile("rb") as reader:
            answers.append(int(reader.readline().split()[1]))
    assert sorted(answers) == [200, 409]
    assert archive.get("/storage/file")["hits"] == 1


def test_notes_about_files(archive: Archive) -> None:
    """Keys and values can be noted about a file, one by one or together."""
    file_id = archive.post("/storage/VX-1/file/data", content=b"")["id"]
    path = f"/file/{file_id}/metadata"
    archive.call("PUT", path, json={"field": [{"key": "callsheet_job", "value": "VX-7"}]})
    archive.call("PUT", f"{path}/note", content=b"final")
    told = {each["key"]: each["value"] for each in archive.get(path)["field"]}
    assert {name: told[name] for name in ("callsheet_job", "note")} == {
        "callsheet_job": "VX-7",
        "note": "final",
    }
    archive.call("DELETE", f"{path}/note")
    assert archive.refused("GET", f"{path}/note")[0] == 404
    assert archive.refused("PUT", path, json={"field": ["note"]})[0] == 400
    archive.call("PUT", f"/file/{file_id}/state/LOST")
    assert archive.get(f"/file/{file_id}")["state"] == "LOST"
    assert archive.refused("PUT", f"/file/{file_id}/state/TIRED")[0] == 400


def test_a_server_need_not_hash(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Without hashes a file's document has none."""
    callsheet_sandbox.configure("vidispine", hashes=False)
    assert "hash" not in archive.post("/storage/VX-1/file/data", content=CLIP)


# -- storages ------------------------------------------------------------------------------------------------


def test_storages_are_completed_by_the_server(archive: Archive) -> None:
    """Numbers and flags may be text; watermarks follow from percentages, what is free from the files."""
    method = {"uri": "file:///srv/media1/", "read": "true", "write": "False"}
    wanted = {"capacity": "1000", "lowWatermarkPercentage": "90", "method": [method]}
    made = archive.post("/storage", json=wanted)
    assert made == {
        "id": made["id"],
        "state": "NONE",
        "type": "LOCAL",
        "capacity": 1000,
        "freeCapacity": 1000,
        "method": [
            {
                "id": made["method"][0]["id"],
                "uri": "file:///srv/media1/",
                "read": True,
                "write": False,
                "browse": True,
                "type": "NONE",
            }
        ],
        "lowWatermark": 900,
        "lowWatermarkPercentage": 90,
        "showImportables": True,
    }
    archive.post(f"/storage/{made['id']}/file/data", content=b"x" * 10)
    assert archive.get(f"/storage/{made['id']}")["freeCapacity"] == 990
    assert archive.ask("GET", f"/storage/{made['id']}/freespace").text == "990"
    archive.call("POST", f"/storage/{made['id']}/rescan")
    assert {"timestamp"} < archive.get(f"/storage/{made['id']}").keys()
    assert archive.refused("POST", "/storage", json={"capacity": "much"})[0] == 400
    assert archive.refused("POST", "/storage", json={"method": [{}]})[0] == 400
    assert archive.refused("DELETE", f"/storage/{made['id']}?safe=true")[0] == 409
    assert archive.ask("DELETE", f"/storage/{made['id']}").status_code == 204
    assert archive.get("/storage/file") == {"hits": 0}


def test_methods_of_storages(archive: Archive) -> None:
    """A URL that is new makes a method, a known one changes its own; an unknown id is an empty document."""
    path = "/storage/VX-1/method"
    (first,) = archive.get(path)["method"]
    made = archive.ask("PUT", f"{path}?url=http://media/&browse=false", headers={"Accept": "text/plain"}).text
    method_id = made.partition("\t")[0]
    assert made == f"{method_id}\thttp://media/\tNONE\r\n"
    archive.ask("PUT", f"{path}?url=http://media/&read=False")
    (method,) = archive.get(f"{path}/{method_id}")["method"]
    assert {name: method[name] for name in ("read", "write", "browse")} == {
        "read": False,
        "write": True,
        "browse": False,
    }
    file_id = archive.post("/storage/VX-1/file/data?path=a b", content=b"")["id"]
    assert archive.get(f"/file/{file_id}")["uri"] == [f"{first['uri']}a%20b", "http://media/a%20b"]
    assert archive.get(f"/file/{file_id}?scheme=http")["uri"] == ["http://media/a%20b"]
    archive.call("DELETE", f"{path}/{method_id}")
    assert archive.get(f"{path}/{method_id}") == {}
    assert archive.refused("GET", "/storage/VX-99/method")[0] == 404


def test_nothing_is_called_by_its_path(archive: Archive) -> None:
    """Names with dots and slashes are names: no bytes lie outside of the sandbox's folder."""
    for number, path in enumerate(("../../a", "/etc/passwd", "a%00b")):
        file = archive.post(f"/storage/VX-1/file/data?path={path}", content=str(number).encode())
        assert archive.ask("GET", f"/file/{file['id']}/data").content == str(number).encode()
    assert archive.ask("GET", "/file/..%2F..%2Fa/data").json() == {
        "code": 404,
        "message": "HTTP 404 Not Found",
    }


# -- shapes and items ----------------------------------------------------------------------------------------


def test_shapes_are_made_of_documents(archive: Archive) -> None:
    """A shape is made with components and files at once; only its container is not in a list."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    file_id = archive.post("/storage/VX-1/file/data", content=CLIP)["id"]
    document = {
        "containerComponent": {"file": [{"id": file_id}]},
        "audioComponent": [{}, {}],
        "mimeType": ["a/b"],
    }
    made = archive.post(f"/item/{item}/shape/create?tag=web", json=document)
    assert made == {"id": made["id"], "essenceVersion": 0, "tag": ["web"]}
    shape = archive.get(f"/item/{item}/shape/{made['id']}")
    assert shape["mimeType"] == ["a/b"]
    assert shape["containerComponent"]["file"] == [archive.get(f"/file/{file_id}")]
    assert ["file" in each for each in shape["audioComponent"]] == [False, False]
    path = f"/item/{item}/shape/{made['id']}"
    listed = archive.get(f"{path}/component")["component"]
    assert [each["id"] for each in listed] == [
        shape["containerComponent"]["id"],
        *(each["id"] for each in shape["audioComponent"]),
    ]
    missing = {"notFound": {"type": "File", "id": "VX-99", "context": None}}
    wrong = {"binaryComponent": [{"file": [{"id": "VX-99"}]}]}
    assert archive.refused("POST", f"/item/{item}/shape/create", json=wrong) == (404, missing)
    assert archive.get(f"/item/{item}/shape") == {"uri": [made["id"]]}
    assert archive.refused("GET", f"/item/{item}/shape/VX-99")[1]["notFound"]["type"] == "shape"


def test_components_are_added_and_filled(archive: Archive) -> None:
    """A component without a file is added, files are tied to it once, and found with the shape."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    shape_id = archive.ask("POST", f"/item/{item}/shape/placeholder?tag=document&video=2").text
    path = f"/item/{item}/shape/{shape_id}"
    binary = archive.ask("POST", f"{path}/component/placeholder?type=binary").text
    file_id = archive.post("/storage/VX-1/file/data", content=CLIP)["id"]
    for _ in range(2):
        filled = archive.call("PUT", f"{path}/component/{binary}/file/{file_id}")
    assert [each["id"] for each in filled["file"]] == [file_id]
    files = archive.get(f"{path}/file?includeItem=true")
    assert (files["hits"], files["file"]) == (1, [archive.get(f"/file/{file_id}?includeItem=true")])
    assert archive.ask("GET", f"{path}/file", headers={"Accept": "text/plain"}).text == f"{file_id}\r\n"
    assert (
        archive.refused("PUT", f"{path}/component/VX-99/file/{file_id}")[1]["notFound"]["type"] == "component"
    )
    assert archive.refused("POST", f"{path}/component/placeholder?type=colour")[0] == 400
    archive.call("PUT", f"/file/{file_id}/abandon?item={item}")
    assert archive.get(f"{path}/file") == {"hits": 0}


def test_shapes_have_tags(archive: Archive) -> None:
    """Tags that exist are put on a shape and taken from it; the tags themselves are made and deleted."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    shape_id = archive.post(f"/item/{item}/shape/create", json={"tag": ["web"]})["id"]
    path = f"/item/{item}/shape/{shape_id}/tag"
    for _ in range(2):
        archive.call("PUT", f"{path}/lowres")
    assert archive.get(f"{path}/") == {"uri": ["web", "lowres"]}
    archive.call("DELETE", f"{path}/web")
    assert archive.get(path) == {"uri": ["lowres"]}
    assert archive.refused("PUT", f"{path}/callsheet")[1]["notFound"]["type"] == "shape-tag"
    archive.call("PUT", "/shape-tag/callsheet", json={"format": "mov"})
    assert archive.get("/shape-tag/callsheet") == {"format": "mov", "name": "callsheet"}
    archive.call("DELETE", "/shape-tag/callsheet")
    assert archive.refused("GET", "/shape-tag/callsheet")[0] == 404


def test_items_tell_where_their_files_are(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """An item's files are told by their URIs, or by links that need no login."""
    item = ended(archive, callsheet_sandbox, archive.upload(CLIP))["data"]["itemId"]
    (uri,) = archive.get(f"/item/{item}/uri")["uri"]
    assert uri.startswith("file:///srv/originals/")
    (link,) = archive.get(f"/item/{item}?content=shape,uri&noauth-url=true")["files"]["uri"]
    assert httpx.get(link, verify=False, timeout=60).content == CLIP
    newer = archive.post("/import/placeholder?container=1", json={})["id"]
    assert archive.get("/item?number=5") == {"hits": 2, "item": [{"id": newer}, {"id": item}]}
    assert archive.get(f"/item/{newer}/uri") == {}
    assert archive.post(f"/item/{item}/thumbnail")["type"] == "THUMBNAIL"


def test_deleted_things_fail_the_jobs_that_need_them(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A job whose item or file is deleted before it comes to it fails and says so."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    file_id = archive.post("/storage/VX-1/file/data", content=CLIP)["id"]
    importing = archive.post(f"/item/{item}/shape?fileId={file_id}")["jobId"]
    copying = archive.post(f"/file/{file_id}/storage/VX-2")["jobId"]
    archive.call("DELETE", f"/item/{item}")
    archive.call("DELETE", f"/file/{file_id}/entity")
    callsheet_sandbox.clock.advance(60)
    told = [archive.job(each)["data"]["errorMessage"] for each in (importing, copying)]
    assert told == ["Could not find the source file", f"The file {file_id} is gone"]
    other = archive.post("/import/placeholder?container=1", json={})["id"]
    late = archive.upload(CLIP, path=f"/item/{other}/shape/raw")["jobId"]
    archive.call("DELETE", f"/item/{other}")
    callsheet_sandbox.clock.advance(60)
    assert archive.job(late)["data"]["errorMessage"] == f"The item {other} is gone"
