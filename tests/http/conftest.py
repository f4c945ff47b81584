"""What the tests of the road to a server share."""

from __future__ import annotations

import pytest

from faultserver import Authority
from support.roads import Road, make_road


@pytest.fixture
def road() -> Road:
    """Make the road to a server, with waits that a test can afford."""
    return make_road


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Issue certificates for the whole run."""
    return Authority()
