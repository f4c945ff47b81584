"""What the tests of the road to a server share."""

from __future__ import annotations

import os

import pytest

from faultserver import Authority
from support.roads import Road, make_road


@pytest.fixture(autouse=True)
def no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the requests of tests away from the proxy of whoever runs them."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def road() -> Road:
    """Make the road to a server, with waits that a test can afford."""
    return make_road


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Issue certificates for the whole run."""
    return Authority()
