"""How the ftrack provider is set up: by arguments, by address and by ftrack's own variables."""

from __future__ import annotations

from typing import Any

import pytest

import callsheet
from callsheet import ConfigError
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox
from support.ftrackclient import KEY

HERE: dict[str, Any] = {"server": "https://studio.example", "user": "jane", "api_key": "secret-key"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without ftrack's variables."""
    for name in ("FTRACK_SERVER", "FTRACK_API_USER", "FTRACK_API_KEY", "CALLSHEET_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"server": None}, "server"),
        ({"server": ""}, "server"),
        ({"server": "studio"}, "server"),
        ({"server": "ftp://studio.example"}, "server"),
        ({"server": "https://jane:pw@studio.example"}, "server"),
        ({"server": "https://studio.example?x=1"}, "server"),
        ({"server": "http://studio.example"}, "allow_http"),
        ({"api_key": None}, "api_key"),
        ({"api_key": " "}, "api_key"),
        ({"api_key": "two\nlines"}, "api_key"),
        ({"user": "jane\r\nx: y"}, "user"),
        ({"user": " "}, "user"),
        ({"user": 7}, "user"),
        ({"server_timezone": "Mars/Base"}, "server_timezone"),
        ({"server_timezone": "../etc/passwd"}, "server_timezone"),
        ({"timeout": 0}, "timeout"),
        ({"watch_interval": 0}, "watch_interval"),
        ({"connections": 0}, "connections"),
        ({"proxy": "nope"}, "proxy"),
        ({"verify": 7}, "verify"),
        ({"transport": object()}, "transport"),
    ],
)
def test_settings_that_are_unusable(settings: dict[str, Any], named: str) -> None:
    """Each setting that cannot be used is named, and no secret is shown."""
    with pytest.raises(ConfigError, match=named) as caught:
        FtrackProvider(**{**HERE, **settings})
    assert "secret-key" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "tracker"),
    [
        ("https://studio.example", "ftrack+https://studio.example"),
        ("https://studio.example/", "ftrack+https://studio.example"),
        ("https://studio.example//", "ftrack+https://studio.example"),
        ("HTTPS://Studio.Example:443", "ftrack+https://studio.example"),
        ("https://studio.example:8443/ftrack/", "ftrack+https://studio.example:8443/ftrack"),
        ("http://127.0.0.1:5005", "ftrack+http://127.0.0.1:5005"),
    ],
)
def test_the_address_of_a_tracker(server: str, tracker: str) -> None:
    """A tracker is named as `connect` takes it, however its server was written."""
    provider = FtrackProvider(server, user="jane", api_key="secret-key")
    assert provider.tracker == tracker
    assert FtrackProvider.from_url(tracker, user="jane", api_key="secret-key").tracker == tracker


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """ftrack's own variables are taken where nothing is said, and the login name at last."""
    monkeypatch.setenv("FTRACK_SERVER", "https://studio.example")
    monkeypatch.setenv("FTRACK_API_KEY", "secret-key")
    monkeypatch.setenv("LOGNAME", "ann")
    for provider in (FtrackProvider.from_url("ftrack:"), FtrackProvider()):
        assert (provider.tracker, provider.user) == ("ftrack+https://studio.example", "ann")
    monkeypatch.setenv("FTRACK_API_USER", "jane")
    assert FtrackProvider.from_url("FTRACK:").user == "jane"
    assert FtrackProvider.from_url("ftrack:", user="bob").user == "bob"


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("ftrack:", {}, "FTRACK_SERVER"),
        ("ftrack:studio", {}, "url"),
        ("ftrack://studio.example", {}, "url"),
        ("ftrack+https://", {"api_key": "k"}, "server"),
        ("ftrack+https://jane:secret-key@studio.example", {}, "credentials"),
        ("ftrack+https://studio.example", {}, "FTRACK_API_KEY"),
        ("ftrack+https://studio.example", {"api_key": "k", "password": "p"}, "password"),
        ("ftrack+https://studio.example", {"api_key": "k", "region": "r"}, "region"),
        ("ftrack+https://studio.example", {"api_key": "k", "colour": "red"}, "colour"),
        ("ftrack+http://studio.example", {"api_key": "k"}, "allow_http"),
    ],
)
async def test_addresses_that_are_unusable(url: str, options: dict[str, Any], named: str) -> None:
    """An address or option that cannot be used is named; credentials in an address are not shown."""
    with pytest.raises(ConfigError, match=named) as caught:
        async with callsheet.connect(url, **options):
            pytest.fail("the client must not open")
    assert "secret-key" not in str(caught.value)


async def test_connecting(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an address or ftrack's variables lead to is open inside `async with`, again and again."""
    client = callsheet.connect(f"ftrack+{sandbox.url}", user="sandbox", api_key=KEY)
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    for count, one in enumerate([client, client, callsheet.connect("ftrack:")]):
        async with one:
            assert await one.jobs.count() == count
            await one.jobs.create("x")


async def test_another_user_needs_no_opening(sandbox: Sandbox) -> None:
    """Closing a client for another user leaves the one it came from open."""
    async with callsheet.connect(f"ftrack+{sandbox.url}", user="sandbox", api_key=KEY) as client:
        async with client.as_user("jane") as janes:
            assert (await janes.jobs.create("x")).user == "jane"
        assert (await client.jobs.create("x")).user == "sandbox"


async def test_closing_what_was_never_opened(sandbox: Sandbox) -> None:
    """A provider may be closed before it was opened, and twice after."""
    provider = FtrackProvider(sandbox.url, user="sandbox", api_key=KEY)
    await provider.aclose()
    async with provider:
        assert await provider.get_jobs([]) == []
    await provider.aclose()
