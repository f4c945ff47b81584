"""How the sandbox's Vidispine answers: logins, forms of documents and errors, oddities, notifications."""

from __future__ import annotations

import gzip
import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest

from callsheet.sandbox import Sandbox
from support.vidispinecalls import Archive, refusal

SAMPLES = Path(__file__).parents[1] / "wire" / "samples" / "vidispine"


# -- who is asking -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [None, "Basic", "Basic !", "Basic YWRtaW4=", "token", "Bearer x", "Digest x", "Basic YWRtaW46eA=="],
)
def test_credentials_are_asked_for(archive: Archive, authorization: str | None) -> None:
    """Without good credentials there is nothing but a 401 that asks for them, whatever the path."""
    headers = {"Authorization": authorization} if authorization else {}
    with httpx.Client(base_url=archive.http.base_url, verify=False, timeout=60) as bare:
        for path in ("/API/job", "/API/nothing"):
            answer = bare.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="Vidispine"'
            assert list(refusal(answer)) == ["notAuthorized"]
        assert bare.get("/APInoauth/is-online").text == "OK"


def test_tokens_expire(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A token is good for its seconds; with auto-refresh, for as long as it is used."""
    short, kept = (
        archive.get(f"/token?seconds=30&autoRefresh={word}")["token"] for word in ("false", "True")
    )
    with httpx.Client(base_url=archive.http.base_url, verify=False, timeout=60) as bare:

        def status(token: str, scheme: str = "token") -> int:
            return bare.get("/API/whoami", headers={"Authorization": f"{scheme} {token}"}).status_code

        assert [status(short), status(short, "TOKEN"), status(short, "Bearer"), status(kept)] == [200] * 4
        callsheet_sandbox.clock.advance(20)
        assert [status(short), status(kept)] == [200, 200]
        callsheet_sandbox.clock.advance(20)
        assert [status(short), status(kept)] == [401, 200]
        callsheet_sandbox.clock.advance(31)
        assert status(kept) == 401


def test_long_tokens_are_for_administrators(archive: Archive) -> None:
    """Only administrators get tokens that live longer than a minute, and tokens of others."""
    jane = {"RunAs": "jane"}
    assert archive.get("/token?seconds=3600")["user"] == "admin"
    assert archive.get("/token?seconds=60", headers=jane)["user"] == "jane"
    assert archive.refused("GET", "/token?seconds=61", headers=jane)[0] == 403
    assert archive.refused("GET", "/user/ada/token", headers=jane)[0] == 403
    assert archive.ask("GET", "/user/ada/token").headers["content-type"].startswith("text/plain")
    archive.call("DELETE", "/user/ada")


def test_access_keys_stand_for_passwords(archive: Archive) -> None:
    """A key's id and secret log its user in while it is active; the secret is shown once."""
    key = archive.post("/user/jane/key?name=farm")
    assert list(key) == ["id", "name", "created", "status", "secret"]
    shown = {name: value for name, value in key.items() if name != "secret"}
    assert archive.get("/user/jane/key") == {"key": [shown]}
    login = (key["id"], key["secret"])
    assert archive.ask("GET", "/whoami", auth=login).text == "jane"
    archive.call("PUT", f"/user/jane/key/{key['id']}", json={"status": "INACTIVE"})
    assert archive.ask("GET", "/whoami", auth=login).status_code == 401
    archive.call("DELETE", f"/user/jane/key/{key['id']}")
    assert archive.refused("GET", f"/user/jane/key/{key['id']}")[0] == 404


def test_acting_for_others(archive: Archive) -> None:
    """Administrators act for others who are there; nobody else does, but for itself."""
    assert archive.ask("GET", "/whoami", headers={"RUNAS": "jane"}).text == "jane"
    assert archive.refused("GET", "/whoami", headers={"RunAs": "nobody"})[0] == 403
    assert archive.refused("GET", "/whoami", headers={"RunAs": "admin"}, auth=("jane", "jane"))[0] == 403
    assert archive.ask("GET", "/whoami", headers={"RunAs": "jane"}, auth=("jane", "jane")).text == "jane"
    archive.get("/job", headers={"RunAs": "jane"})
    newest, *_ = archive.get("/log?path=/job")["entry"]
    assert (newest["username"], newest["runAs"]) == ("admin", "jane")


def test_users_come_and_go(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A user who is made can log in, and cannot any more once a job has disabled it."""
    archive.call("POST", "/user", json={"userName": "bob", "password": "b:b"})
    assert archive.refused("POST", "/user", json={"userName": "bob"})[0] == 409
    assert archive.ask("GET", "/whoami", auth=("bob", "b:b")).text == "bob"
    assert archive.ask("PUT", "/user/bob/validate?type=raw", content="b:b").status_code == 200
    assert archive.ask("PUT", "/user/bob/validate?type=raw", content="b").status_code == 401
    assert archive.call("DELETE", "/user/bob")["type"] == "DELETE_USER"
    callsheet_sandbox.clock.advance(60)
    assert archive.ask("GET", "/whoami", auth=("bob", "b:b")).status_code == 401
    assert archive.refused("GET", "/user/bob/token")[0] == 409
    assert archive.get("/user/admin/roles")["group"][0] == {"groupName": "_administrator", "role": True}


def test_users_have_groups_and_roles(archive: Archive) -> None:
    """Groups and roles are told together or apart; who administrates nothing makes nobody."""
    groups = [{"groupName": "comp"}, {"groupName": "_administrator", "role": "true"}]
    archive.call("POST", "/user", json={"userName": "bob", "password": "b", "groupList": {"group": groups}})
    group, role = {"groupName": "comp", "role": False}, {"groupName": "_administrator", "role": True}
    assert archive.get("/user/bob/groups") == {"group": [group]}
    assert archive.get("/user/bob/roles") == {"group": [role]}
    assert archive.get("/user/bob/allgroups") == {"group": [group, role]}
    document = {"userName": "bob", "disabled": False, "groupList": {"group": [group, role]}}
    assert archive.get("/user/bob") == document
    listed = archive.get("/user?first=3&number=1")
    assert (listed["hits"], listed["user"]) == (13, [archive.get("/user/bela")])
    archive.ask("GET", "/whoami", auth=("bob", "b"), headers={"RunAs": "jane"}).raise_for_status()
    for method, path in (("POST", "/user"), ("DELETE", "/user/ada"), ("PUT", "/configuration/job-pool")):
        assert archive.refused(method, path, headers={"RunAs": "jane"})[0] == 403
    assert archive.refused("POST", "/user", json={})[0] == 400
    assert archive.refused("GET", "/user/nobody")[0] == 404


# -- forms of answers ----------------------------------------------------------------------------------------


def test_errors_have_nine_members(archive: Archive) -> None:
    """An error is a document of nine members in order, of which all but one are null."""
    answer = archive.ask("GET", "/job/VX-1000000")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.text == (
        '{"notFound":{"type":"Job","id":"VX-1000000","context":null},"internalServer":null,"forbidden":null,'
        '"notYetImplemented":null,"conflict":null,"invalidInput":null,"licenseFault":null,'
        '"fileAlreadyExists":null,"notAuthorized":null}'
    )


def test_answers_are_those_of_a_real_server(archive: Archive) -> None:
    """An import into a placeholder is answered, member by member, as in what was recorded of a real one."""
    item = archive.post("/import/placeholder?container=1", json={})["id"]
    made = archive.ask("POST", f"/import/placeholder/{item}/container?uri=tests%2Fa.mov").text
    job_id = json.loads(made)["jobId"]
    ready, missing = (archive.ask("GET", f"/job/{each}").text for each in (job_id, "VX-1000000"))
    recorded = {
        name: (SAMPLES / f"{name}.json").read_text() for name in ("job_made", "job_ready", "not_found")
    }
    told = {"job_made": made, "job_ready": ready, "not_found": missing}
    assert {name: normal(text) for name, text in told.items()} == {
        name: normal(text) for name, text in recorded.items()
    }


def normal(text: str) -> str:
    """Return a document without what differs from server to server."""
    return re.sub(r"VX-\d+", "VX-n", re.sub(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+0000", "then", text.strip()))


def test_errors_in_plain_text(archive: Archive) -> None:
    """Who wants plain text gets errors in lines, but in JSON the one for a path that leads nowhere."""
    plain = {"Accept": "text/plain"}
    unknown = archive.ask("PUT", "/storage/VX-1/method/VX-1000000?url=file:///x/", headers=plain)
    assert (unknown.status_code, unknown.text) == (
        404,
        "404 A resource could not be found\r\nType: storage-method\r\nID: VX-1000000\r\n",
    )
    without = archive.ask("PUT", "/storage/VX-1/method/VX-1", headers=plain)
    assert (without.status_code, without.text) == (
        400,
        "400 An invalid parameter was entered\r\n"
        "Context: storage\r\nID: VX-1\r\nReason: invalid method url\r\n",
    )
    nowhere = archive.ask("PUT", "/storage/VX-1/method/test?url=file:///x/", headers=plain)
    assert (nowhere.status_code, nowhere.headers["content-type"]) == (404, "application/json")
    assert nowhere.text == '{"code":404,"message":"HTTP 404 Not Found"}'
    assert archive.ask("PATCH", "/job").json() == {"code": 405, "message": "HTTP 405 Method Not Allowed"}


def test_answers_in_plain_text(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """Who prefers JSON gets it; else a job is its state, a list its ids in lines."""
    plain = {"Accept": "text/plain"}
    ids = [archive.make(), archive.make()]
    assert archive.ask("GET", f"/job/{ids[0]}", headers=plain).text == "READY"
    assert archive.ask("GET", "/job?sort=jobId", headers=plain).text == "".join(f"{each}\r\n" for each in ids)
    assert archive.ask("GET", "/job", headers={"Accept": "application/json, text/plain"}).json()["hits"] == 2
    assert archive.ask("GET", "/job", headers={"Accept": "application/xml"}).status_code == 406


def test_headers_are_those_of_a_real_server(archive: Archive) -> None:
    """Every answer carries the cookie that forgets; what is read has `Vary`, and is packed if it is large."""
    job_id = archive.make(query="jobmetadata=note%3D" + "x" * 300)
    forgetting = r"rememberMe=deleteMe; Path=/; Max-Age=0; Expires=\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT"
    small, large = archive.ask("GET", f"/job/{job_id}"), archive.ask("GET", f"/job/{job_id}?metadata=true")
    missing = archive.ask("GET", "/job/VX-1000000?" + "x" * 300)
    made = archive.ask("POST", "/job?type=STUDIO_RENDER")
    for answer in (small, large, missing, made, archive.ask("GET", "/nothing")):
        assert re.fullmatch(forgetting, answer.headers["set-cookie"])
    assert [answer.headers.get("vary") for answer in (small, large, missing, made)] == [
        *["Accept-Encoding"] * 2,
        *[None] * 2,
    ]
    assert [answer.headers.get("content-encoding") for answer in (small, large, missing)] == [
        None,
        "gzip",
        None,
    ]
    plain = archive.ask("GET", f"/job/{job_id}?metadata=true", headers={"Accept-Encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.json()) == (False, large.json())


def test_faults_change_what_would_come_compressed(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A fault sees an answer before it is packed, and packs it itself if that is what it does."""
    job_id = archive.make(query="jobmetadata=note%3D" + "x" * 300)
    path = f"/API/job/{job_id}"
    callsheet_sandbox.faults.add("edit", path=path, nth=1, set={"/status": "DREAMING"})
    assert archive.job(job_id)["status"] == "DREAMING"
    callsheet_sandbox.faults.add("gzip", path=path, nth=1)
    with pytest.raises(EOFError), archive.http.stream("GET", f"{path}?metadata=true") as answer:
        gzip.decompress(b"".join(answer.iter_raw()))


def test_slashes_types_and_bodies_are_taken_as_they_come(archive: Archive) -> None:
    """A slash at the end, a content type without a body and a body without members change nothing."""
    typed = {"Content-Type": "application/json"}
    assert archive.get("/job/", headers=typed) == archive.get("/job") == {"hits": 0}
    for body in (b"", b"{}"):
        archive.ask("POST", "/job/?type=STUDIO_RENDER", headers=typed, content=body).raise_for_status()
    status, told = archive.refused("POST", "/job?type=STUDIO_RENDER", headers=typed, content=b"{")
    assert (status, told["invalidInput"]["context"]) == (400, "body")
    assert archive.refused("POST", "/job?type=STUDIO_RENDER", headers=typed, content=b"[]")[0] == 400
    assert archive.get("/job")["hits"] == 2


def test_semicolons_count_where_they_are_not_encoded(archive: Archive) -> None:
    """An encoded semicolon is part of a name, not the beginning of a parameter."""
    archive.call("PUT", "/shape-tag/a%3Bb=c", json={})
    assert "a;b=c" in archive.get("/shape-tag")["uri"]


def test_the_log_tells_every_request(archive: Archive) -> None:
    """The audit log has the newest first, can be narrowed, and paged from 1."""
    archive.get("/job;user=false;number=1?step=True")
    archive.make()
    posted, listed = archive.get("/log?path=/job&wildcard=true")["entry"]
    assert (posted["method"], posted["queryParameters"], posted["contentLength"]) == (
        "POST",
        "type=STUDIO_RENDER&",
        "0",
    )
    assert {**listed, "timestamp": ""} == {
        "username": "admin",
        "method": "GET",
        "path": "/job;user=false",
        "queryParameters": "step=True",
        "matrixParameters": ";number=1",
        "timestamp": "",
    }
    assert archive.get("/log?path=/job&wildcard=true&first=2&rows=1")["entry"] == [listed]
    assert archive.get("/log?path=/job&wildcard=true&method=POST")["entry"] == [posted]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"version": "new"}, "version"),
        ({"chunk_status": True}, "chunk_status"),
        ({"step_seconds": -1}, "step_seconds"),
        ({"runs": "IMPORT"}, "runs"),
        ({"hashes": 1}, "hashes"),
        ({"parameters": "path"}, "parameters"),
    ],
)
def test_options_that_will_not_do_are_named(
    callsheet_sandbox: Sandbox, options: dict[str, Any], named: str
) -> None:
    """An unknown option or value changes nothing, also beside others that would do."""
    with pytest.raises(ValueError, match=named):
        callsheet_sandbox.configure("vidispine", ranges=False, **options)
    callsheet_sandbox.configure("vidispine", ranges=True)


# -- notifications -------------------------------------------------------------------------------------------


class Listener(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told; refuses the first callbacks if it is to."""

    heard: Queue[tuple[str, str, dict[str, str], dict[str, str]]]
    refusals: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        told = {each["key"]: each["value"] for each in body["field"]}
        self.heard.put((self.command, self.path, dict(self.headers), told))
        kind = type(self)
        kind.refusals -= 1
        self.send_response(503 if kind.refusals >= 0 else 204)
        self.end_headers()

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, *words: Any) -> None: ...


@pytest.fixture
def listener() -> Iterator[type[Listener]]:
    """Something that listens for callbacks, at `listener.url`."""

    class Own(Listener):
        heard = Queue()
        refusals = 0
        url = ""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        Own.url = f"http://jane:s%3Acret@127.0.0.1:{server.server_port}/hook?x=1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Own
        server.shutdown()
        thread.join()


def notification(url: str, event: str = "update", **trigger: Any) -> dict[str, Any]:
    """Return a notification about jobs."""
    action = {"url": url, "method": "PUT", "timeout": "5", "retry": 2, "synchronous": False, "group": "tests"}
    return {"action": {"http": action}, "trigger": {"job": {event: "", **trigger}}}


def test_callbacks_tell_each_step(archive: Archive, callsheet_sandbox: Sandbox, listener: Any) -> None:
    """Who wants updates is told each change of a job in order, with its data and the URL's credentials."""
    (made,) = archive.post(
        "/job/notification/", json=notification(listener.url, filter={"type": "STUDIO_RENDER"})
    )["uri"]
    assert archive.get("/job/notification") == {"uri": [made]}
    archive.make("STUDIO_COMP")
    job_id = archive.make(query="jobmetadata=shot%3Dsh010")
    callsheet_sandbox.clock.advance(60)
    heard = [listener.heard.get(timeout=10) for _ in range(4)]
    assert [(told["action"], told["status"], told.get("currentStepNumber")) for *_, told in heard] == [
        ("UPDATE", "STARTED", "1"),
        ("UPDATE", "STARTED", "2"),
        ("UPDATE", "STARTED", "3"),
        ("STOP", "FINISHED", "3"),
    ]
    method, path, headers, last = heard[-1]
    assert (method, path, headers["Authorization"]) == ("PUT", "/hook?x=1", "Basic amFuZTpzOmNyZXQ=")
    assert headers["Content-Type"] == "application/json"
    assert {name: last[name] for name in ("jobId", "type", "user", "shot", "totalSteps")} == {
        "jobId": job_id,
        "type": "STUDIO_RENDER",
        "user": "admin",
        "shot": "sh010",
        "totalSteps": "3",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", last["started"])
    numbers = [int(told["sequenceNumber"]) for *_, told in heard]
    assert numbers == sorted(numbers)


def test_callbacks_may_come_in_another_order(
    archive: Archive, callsheet_sandbox: Sandbox, listener: Any
) -> None:
    """A server may tell of what happens together the newest first; the numbers in it do not change."""
    callsheet_sandbox.configure("vidispine", callbacks_reversed=True)
    archive.post("/job/notification/", json=notification(listener.url))
    archive.make()
    callsheet_sandbox.clock.advance(60)
    heard = [listener.heard.get(timeout=10)[-1] for _ in range(4)]
    assert [told["action"] for told in heard] == ["STOP", "UPDATE", "UPDATE", "UPDATE"]
    numbers = [int(told["sequenceNumber"]) for told in heard]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize(
    ("event", "status", "told"),
    [
        ("create", "FINISHED", 1),
        ("stop", "ABORTED", 1),
        ("finished", "FINISHED_WARNING", 1),
        ("finished", "FAILED_TOTAL", 0),
        ("fail", "FAILED_TOTAL", 1),
        ("fail", "FINISHED", 0),
    ],
)
def test_each_event_is_told_to_who_wants_it(
    archive: Archive, callsheet_sandbox: Sandbox, listener: Any, event: str, status: str, told: int
) -> None:
    """A trigger hears its own event, and no other."""
    archive.post("/job/notification/", json=notification(listener.url, event))
    last = archive.make("STUDIO_COMP")
    callsheet_sandbox.act("vidispine", "jobs", ids=[last], status=status)
    # Callbacks of one group come in order: when this one is here, none is still on its way.
    archive.post("/job/notification/", json=notification(f"{listener.url}&end=1", "create"))
    archive.make("STUDIO_COMP")
    paths = list(iter(lambda: listener.heard.get(timeout=10)[1], "/hook?x=1&end=1"))
    assert len(paths) == told + (event == "create")


def test_callbacks_are_tried_again(archive: Archive, listener: Any) -> None:
    """A callback that is refused is sent again as often as was said, then forgotten."""
    listener.refusals = 3
    archive.post("/job/notification/", json=notification(listener.url, "create"))
    first = archive.make()
    assert [listener.heard.get(timeout=10)[-1]["jobId"] for _ in range(3)] == [first] * 3
    second = archive.make()
    assert listener.heard.get(timeout=10)[-1]["jobId"] == second


def test_nobody_to_tell_is_nobodys_trouble(archive: Archive, callsheet_sandbox: Sandbox) -> None:
    """A listener that is away, or speaks no HTTP, stops neither jobs nor the server's end."""
    archive.post("/job/notification/", json=notification("http://127.0.0.1:9/", "create"))
    job_id = archive.make()
    callsheet_sandbox.clock.advance(60)
    assert archive.job(job_id)["status"] == "FINISHED"


def test_a_silent_listener_does_not_hold_the_end(archive: Archive) -> None:
    """A sandbox ends while a callback of its is not answered, and leaves nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with Sandbox() as other:
            own = Archive(httpx.Client(base_url=other.url, auth=("admin", "admin"), verify=False, timeout=60))
            with own.http:
                own.post("/job/notification/", json=notification(url, "create"))
                own.make()
                line, _ = silent.accept()
        with line:
            assert line.makefile("rb").read().startswith(b"PUT / HTTP/1.1\r\n")


def test_placeholders_tell_of_jobs_that_name_them(archive: Archive, listener: Any) -> None:
    """A placeholder is told only of jobs that were made with it, and what they were given for it."""
    (placeholder,) = archive.post("/notification/", json=notification(listener.url, "create"))["uri"]
    document = notification(listener.url, "create", placeholder=True)
    (of_jobs,) = archive.post("/job/notification/", json=document)["uri"]
    archive.make()
    one = archive.make(query=f"notification={placeholder}&notificationData=mine")
    assert (told := listener.heard.get(timeout=10)[-1])["jobId"] == one
    assert told["notificationData"] == "mine"
    two = archive.make(query=f"notification={of_jobs}")
    assert listener.heard.get(timeout=10)[-1]["jobId"] == two


def test_one_job_can_be_listened_to(archive: Archive, callsheet_sandbox: Sandbox, listener: Any) -> None:
    """A notification of a single job tells of no other."""
    one, two = archive.make(), archive.make()
    (made,) = archive.post(f"/job/{two}/notification", json=notification(listener.url, "stop"))["uri"]
    callsheet_sandbox.act("vidispine", "jobs", ids=[one, two], status="FINISHED")
    assert listener.heard.get(timeout=10)[-1]["jobId"] == two
    assert archive.get("/job/notification") == {}
    assert archive.get(f"/job/{two}/notification") == {"uri": [made]}
    archive.call("DELETE", f"/job/{two}/notification/{made}")
    assert archive.refused("GET", f"/job/{two}/notification/{made}")[0] == 404


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"action": {"http": {"url": "http://x/"}}},
        {"action": {"http": {}}, "trigger": {"job": {"stop": ""}}},
        {"action": {"http": {"url": "http://x/"}}, "trigger": {"job": {}}},
        {"action": {"http": {"url": "http://x/"}}, "trigger": {"job": {"stop": "", "create": ""}}},
        {"action": {"http": 7}, "trigger": {"job": {"stop": ""}}},
        {"action": {"http": {"url": 7}}, "trigger": {"job": {"stop": ""}}},
        {"action": {"http": {"url": "http://x/", "timeout": "soon"}}, "trigger": {"job": {"stop": ""}}},
        {"action": {"http": {"url": "http://x/"}}, "trigger": {"job": {"stop": "", "filter": 7}}},
        {"action": {"http": {"url": "http://x/"}}, "trigger": {"job": 7}},
    ],
)
def test_half_a_notification_is_refused(archive: Archive, document: dict[str, Any]) -> None:
    """A notification says what to do, and one thing when."""
    status, told = archive.refused("POST", "/job/notification/", json=document)
    assert (status, list(told)) == (400, ["invalidInput"])
    assert archive.get("/job/notification/") == {}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/storage", {"method": 7}),
        ("/storage", {"method": [7]}),
        ("/task-definition", {"task": 7}),
        ("/task-definition", {"task": [7]}),
        ("/storage/VX-1/file", {"path": 7}),
    ],
)
def test_documents_of_another_shape_are_refused(
    archive: Archive, path: str, document: dict[str, Any]
) -> None:
    """What is no list of documents, or no text, is refused as invalid."""
    status, told = archive.refused("POST", path, json=document)
    assert (status, list(told)) == (400, ["invalidInput"])


# -- who may do what -----------------------------------------------------------------------------------------


def test_merged_access(archive: Archive) -> None:
    """The owner, administrators and who was let in have access; each entry has its rank in both spellings."""
    item = archive.post("/import/placeholder?container=1", json={}, headers={"RunAs": "jane"})["id"]
    archive.post(f"/item/{item}/access", json={"user": "ada", "permission": "READ"})

    def access(user: str, permission: str) -> list[Any]:
        path = f"/item/{item}/merged-access/?username={user}&type=GENERIC&permission={permission}"
        return [(each["permission"], each["matches"]) for each in archive.get(path).get("access", [])]

    assert access("jane", "WRITE") == [("OWNER", True)]
    assert access("ada", "READ") == [("READ", True)]
    assert access("ada", "WRITE") == [("READ", False)]
    assert access("bela", "READ") == []
    assert access("admin", "ALL") == [("ALL", True)]
    everybody = archive.get(f"/item/{item}/merged-access")
    assert [each["username"] for each in everybody["access"]] == ["admin", "jane", "ada"]
    assert {(each["rank"], each["priority"]) for each in everybody["access"]} == {(1, 1)}
    assert archive.refused("GET", f"/item/{item}/merged-access?username=nobody&permission=READ")[0] == 404
