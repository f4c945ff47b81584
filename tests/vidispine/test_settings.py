"""How the Vidispine provider is set up: by arguments, by address and by Vidispine's own variables."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import callsheet
from callsheet import Client, ConfigError, Denied, InvalidRequest, Job, Outcome, TransportError
from callsheet.providers.vidispine import VidispineProvider
from callsheet.sandbox import Sandbox
from support.tables import raises_for

HERE: dict[str, Any] = {"server": "https://vidispine.example", "user": "jane", "password": "canary-password"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without Vidispine's variables."""
    for name in ("VIDISPINE_URL", "VIDISPINE_USER", "VIDISPINE_PASSWORD", "CALLSHEET_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"server": None}, "server"),
        ({"server": ""}, "server"),
        ({"server": "vidispine"}, "server"),
        ({"server": "ftp://vidispine.example"}, "server"),
        ({"server": "https://jane:pw@vidispine.example"}, "server"),
        ({"server": "http://vidispine.example"}, "allow_http"),
        ({"user": None}, "user"),
        ({"user": "ja:ne"}, "user"),
        ({"password": None}, "password"),
        ({"password": ""}, "password"),
        ({"token": ""}, "token"),
        ({"token": "two\nlines"}, "token"),
        ({"login": "fingerprint"}, "login"),
        ({"parameters": "header"}, "parameters"),
        ({"timeout": 0}, "timeout"),
        ({"connections": 0}, "connections"),
        ({"proxy": "nope"}, "proxy"),
        ({"verify": 7}, "verify"),
        ({"transport": object()}, "transport"),
        ({"watch_interval": 0}, "watch_interval"),
        ({"watch_interval": "5"}, "watch_interval"),
        ({"default_type": ""}, "default_type"),
    ],
)
def test_settings_that_are_unusable(settings: dict[str, Any], named: str) -> None:
    """Each setting that cannot be used is named, and no secret is shown."""
    with pytest.raises(ConfigError, match=named) as caught:
        VidispineProvider(**{**HERE, **settings})
    assert "canary" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "tracker"),
    [
        ("HTTPS://Vidispine.Example:443/API", "vidispine+https://vidispine.example"),
        ("https://vidispine.example", "vidispine+https://vidispine.example"),
        ("https://vidispine.example/API", "vidispine+https://vidispine.example"),
        ("https://vidispine.example/api/", "vidispine+https://vidispine.example"),
        ("http://127.0.0.1:8080/", "vidispine+http://127.0.0.1:8080"),
        ("https://vidispine.example/behind/API", "vidispine+https://vidispine.example/behind"),
    ],
)
def test_the_address_of_a_tracker(server: str, tracker: str) -> None:
    """A tracker is named as `connect` takes it, however its server was written."""
    provider = VidispineProvider(**HERE | {"server": server})
    assert provider.tracker == tracker
    assert VidispineProvider.from_url(tracker, user="jane", password="canary-password").tracker == tracker


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vidispine's variables are taken where nothing is said."""
    monkeypatch.setenv("VIDISPINE_URL", "https://vidispine.example/API")
    monkeypatch.setenv("VIDISPINE_USER", "jane")
    monkeypatch.setenv("VIDISPINE_PASSWORD", "canary-password")
    for provider in (VidispineProvider.from_url("vidispine:"), VidispineProvider()):
        assert (provider.tracker, provider.user) == ("vidispine+https://vidispine.example", "jane")
    assert VidispineProvider.from_url("VIDISPINE:", user="ada").user == "ada"


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("vidispine+https://jane:canary-password@vidispine.example", {}, "credentials"),
        ("vidispine+https://vidispine.example", {"user": "jane"}, "password"),
        ("vidispine+https://vidispine.example", {"password": "p"}, "user"),
        ("vidispine+https://vidispine.example", {"api_key": "k"}, "api_key"),
        ("vidispine+http://vidispine.example", {"user": "jane", "password": "p"}, "allow_http"),
        ("vidispine:https://vidispine.example", {"user": "jane", "password": "p"}, "url"),
    ],
)
async def test_addresses_that_are_unusable(url: str, options: dict[str, Any], named: str) -> None:
    """An address or option that cannot be used is named; credentials in an address are not shown."""
    with pytest.raises(ConfigError, match=named) as caught:
        async with callsheet.connect(url, **options):
            pytest.fail("the client must not open")
    assert "canary" not in str(caught.value)


async def test_connecting(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an address or Vidispine's variables lead to is open inside `async with`, again and again."""
    client = callsheet.connect(f"vidispine+{sandbox.url}", user="admin", password="admin")
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    for count, one in enumerate([client, client, callsheet.connect("vidispine:")]):
        async with one:
            assert await one.jobs.count() == count
            await one.jobs.create("x", type="STUDIO_RENDER")


async def test_wrong_credentials(sandbox: Sandbox) -> None:
    """A wrong password is `Denied` when the client is opened, and is not shown."""
    client = Client(VidispineProvider(sandbox.url, user="admin", password="canary-password"))
    with pytest.raises(Denied) as caught:
        async with client:
            pytest.fail("the client must not open")
    error = caught.value
    assert (error.status, error.outcome, error.provider) == (401, Outcome.NOT_DONE, "vidispine")
    assert "canary" not in str(error)


async def test_no_server() -> None:
    """A server that is not there is told when the client is opened."""
    with Sandbox() as sandbox:
        client = Client(VidispineProvider(sandbox.url, user="admin", password="admin", timeout=1))
    with pytest.raises(TransportError):
        async with client:
            pytest.fail("the client must not open")


@pytest.mark.parametrize("status", [200, 400, 403, 404])
async def test_a_version_that_is_not_told(sandbox: Sandbox, status: int) -> None:
    """A server that keeps its version to itself, or says nothing sensible, is taken for a new one."""
    body = {"component": [{"name": "API"}, "x"]}
    sandbox.faults.add("answer", path="/API/version", status=status, body=body)
    async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")) as client:
        assert await client.jobs.list().collect() == []


async def test_a_version_among_others(sandbox: Sandbox) -> None:
    """The version is that of the API, wherever it stands, and counted by its numbers."""
    parts = [{"name": "TRANSCODER", "version": "1.2.3"}, {"name": "API", "version": "4.17.3"}]
    sandbox.faults.add("answer", path="/API/version", body={"component": parts})
    async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")) as client:
        assert await client.jobs.list().collect() == []


# -- logins --------------------------------------------------------------------------------------------------


async def test_an_access_key(sandbox: Sandbox) -> None:
    """The id and secret of an access key log in as its user."""
    async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")) as client:
        key = await client.provider.request("POST", "user/jane/key", query={"name": "callsheet"})
    provider = VidispineProvider(sandbox.url, user=key["id"], password=key["secret"])
    async with Client(provider) as client:
        assert provider.user == "jane"
        assert await client.jobs.count() == 0


async def test_a_token_from_elsewhere(sandbox: Sandbox) -> None:
    """A token logs in until it expires, and then nobody has another."""
    async with Client(VidispineProvider(sandbox.url, user="jane", password="jane")) as client:
        token = (await client.provider.request("GET", "token"))["token"]
    async with Client(VidispineProvider(sandbox.url, token=token)) as client:
        assert client.provider.user == "jane"
        assert sandbox.requests()[-1].headers["authorization"] == f"token {token}"
        sandbox.clock.advance(3600)
        with pytest.raises(Denied) as caught:
            await client.jobs.count()
        assert token not in str(caught.value)


async def test_tokens_are_renewed_once_for_all(sandbox: Sandbox) -> None:
    """Tokens of the server's go with requests in place of the password; a new one is fetched once for all."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", login="token")
    async with Client(provider) as client:
        job = await client.jobs.create("x", type="STUDIO_RENDER")
        (asked,) = sandbox.requests("/API/token")
        assert asked.target == "/API/token?seconds=60&autoRefresh=true"
        sandbox.clock.advance(3600)
        sandbox.forget_requests()
        found: list[Job] = []

        async def get() -> None:
            found.append(await client.jobs.get(job))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(get)
        assert [one.id for one in found] == [job.id] * 20
        assert len(sandbox.requests("/API/token")) == 1
        kinds = {
            request.headers["authorization"].partition(" ")[0] for request in sandbox.requests("/API/job*")
        }
        assert kinds == {"token"}
    async with Client(provider) as client:  # again, with a token of its own
        assert await client.jobs.count() == 1
        assert len(sandbox.requests("/API/token")) == 2


async def test_tokens_that_cannot_be_had(sandbox: Sandbox) -> None:
    """If no token is given out, or what comes is none, the client does not open, and says why."""
    sandbox.faults.add("answer", path="/API/token", body={"user": "admin"})
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", login="token")
    with pytest.raises(callsheet.InvalidResponse, match="no token"):
        async with Client(provider):
            pytest.fail("the client must not open")
    wrong = VidispineProvider(sandbox.url, user="admin", password="canary-password", login="token")
    sandbox.faults.clear()
    with pytest.raises(Denied):
        async with Client(wrong):
            pytest.fail("the client must not open")


async def test_acting_for_oneself(sandbox: Sandbox) -> None:
    """Acting for whom one is needs no `RunAs`; a name that no header carries is refused unsent."""
    async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")) as client:
        assert await client.as_user("admin").jobs.count(user="admin") == 0
        assert all("runas" not in request.headers for request in sandbox.requests())
        sandbox.forget_requests()
        with pytest.raises(InvalidRequest, match="runas"):
            await client.as_user("jane\r\nx: y").jobs.count()
        assert sandbox.requests() == []


async def test_closing_what_was_never_opened(sandbox: Sandbox) -> None:
    """A provider may be closed before it was opened, and twice after."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin")
    await provider.aclose()
    async with provider:
        assert await provider.get_jobs([]) == []
    await provider.aclose()


# -- policies ------------------------------------------------------------------------------------------------


async def test_what_an_item_grants(client: Client[VidispineProvider], sandbox: Sandbox) -> None:
    """Others may do with a job what its item lets them: READ to look, WRITE for the rest."""
    sandbox.configure("vidispine", runs=False)
    (id_,) = sandbox.act("vidispine", "new", number=1, type="TRANSCODE", user="jane", data={"itemId": "VX-5"})
    for level, allowed in [
        ("NONE", ()),
        ("READ", ("view",)),
        ("WRITE", ("view", "abort")),
        ("ALL", ("view",)),
    ]:
        entry = {"matches": True, "permission": level, "effectivePermission": level}
        other = {"matches": False, "permission": "ALL", "effectivePermission": "ALL"}
        sandbox.faults.clear()
        body = {"access": [other, entry]}
        sandbox.faults.add("answer", path="/API/item/VX-5/merged-access", body=body)
        for action in ("view", "abort"):
            expected = action in allowed or level == "ALL"
            assert await client.jobs.allows(id_, action, "ada") is expected, (level, action)
    asked = sandbox.requests("/API/item/VX-5/merged-access")[-2:]
    assert [request.target.partition("?")[2] for request in asked] == [
        f"username=ada&type=GENERIC&permission={needed}" for needed in ("READ", "WRITE")
    ]


async def test_what_an_item_does_not_tell(client: Client[VidispineProvider], sandbox: Sandbox) -> None:
    """An item that is gone, or not ours to see, grants nothing; a bare right is taken as it is."""
    sandbox.configure("vidispine", runs=False)
    (id_,) = sandbox.act("vidispine", "new", number=1, type="TRANSCODE", user="jane", data={"itemId": "VX-5"})
    entry = {"matches": True, "permission": "WRITE"}
    for status, allowed in ((403, False), (404, False), (200, True)):
        sandbox.faults.clear()
        sandbox.faults.add("answer", path="/API/item/*", status=status, body={"access": [entry]})
        assert await client.jobs.allows(id_, "abort", "ada") is allowed


async def test_a_policy_of_ones_own(sandbox: Sandbox) -> None:
    """A studio decides by itself, with the job at hand and Vidispine to ask."""
    seen: list[Any] = []

    async def policy(provider: VidispineProvider, job: Job, action: str, user: str) -> bool:
        seen.append((job.type, action, await provider.request("GET", "whoami", accept="text/plain")))
        return user == "ada"

    provider = VidispineProvider(sandbox.url, user="admin", password="admin", policy=policy)
    async with Client(provider) as client:
        job = await client.jobs.create("x", type="STUDIO_RENDER")
        assert await client.jobs.allows(job, "abort", "ada") is True
        assert await client.jobs.allows(job, "view") is False
        with pytest.raises(callsheet.NotFound):
            await client.jobs.allows("VX-999", "view")
    assert seen == [("STUDIO_RENDER", "abort", "admin"), ("STUDIO_RENDER", "view", "admin")]


# -- any call ------------------------------------------------------------------------------------------------


async def test_any_call(client: Client[VidispineProvider], sandbox: Sandbox) -> None:
    """`request` makes any call: parameters, JSON both ways, texts, and nothing where nothing comes."""
    request = client.provider.request
    job = await client.jobs.create("x", type="STUDIO_RENDER")
    assert await request("GET", "whoami", accept="text/plain") == "admin"
    told = await request("GET", "/job/", query={"user": False, "jobmetadata": ["a=*", "b=*"], "number": 5})
    assert told["hits"] == 0
    assert (
        sandbox.requests()[-1].target
        == "/API/job?user=false&jobmetadata=a%3D%2A&jobmetadata=b%3D%2A&number=5"
    )
    assert await request("PUT", f"job/{job.id}", query={"priority": "LOW"}, repeatable=True) is None
    made = await request("POST", "storage", json={"type": "LOCAL", "capacity": 1000}, headers={"x-note": "1"})
    assert made["type"] == "LOCAL"
    assert sandbox.requests()[-1].headers["x-note"] == "1"
    bad: list[tuple[dict[str, Any], str]] = [
        ({"query": {"a": {}}}, "query: 'a'"),
        ({"query": {7: "a"}}, "query"),
        ({"query": [("a", "b")]}, "query"),
        ({"headers": {"x": 7}}, "headers: 'x'"),
        ({"path": 7}, "path"),
        ({"path": "job/../user"}, r"'\.\.'"),
    ]
    for given, words in bad:
        with raises_for(given, InvalidRequest, match=words):
            await request("GET", **{"path": "job"} | given)
    for content in ({1, 2}, float("nan")):
        with pytest.raises(InvalidRequest, match="json"):
            await request("POST", "storage", json=content)
