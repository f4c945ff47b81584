"""Keys of S3 that run out: renewed once, in the middle of whatever is under way."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import attrs
import botocore.auth  # noqa: F401 - as opening a provider does it, off the loop
import httpx
import pytest

from callsheet import Denied
from callsheet._files import File
from callsheet._http._options import HttpOptions
from callsheet._redaction import Secret
from callsheet._s3 import Bucket, upload
from callsheet._signing import Keys, Signer, TemporaryCredentials
from callsheet._threads import Threads
from faultserver import FaultServer, Line, Request
from support.queues import QUICK
from support.s3store import Store, Strike, error

PART = 1000
WHOLE = os.urandom(20 * PART)


@attrs.define
class Role:
    """Hands out keys, a new pair each time, and says which ones still work."""

    handed_out: int = 0
    refuses: bool = False

    async def fetch(self) -> Keys:
        """Return the next keys."""
        await anyio.lowlevel.checkpoint()
        if self.refuses:
            raise Denied("no more keys")
        self.handed_out += 1
        expires = datetime.now(UTC) + timedelta(hours=1)
        return Keys(f"KEY{self.handed_out}", Secret("secret-key"), Secret("session-token"), expires)

    def expired(self, number: int) -> Strike:
        """Return the strike that refuses keys up to that number, and lets others pass."""

        def strike(line: Line, store: Store, request: Request) -> None:
            key = re.search(r"Credential=KEY(\d+)/", request.headers["authorization"])
            assert key is not None
            late = int(key[1]) <= number
            line.send(error(400, "ExpiredToken") if late else store.answer(request))

        return strike


@pytest.fixture
def role() -> Role:
    """A role with keys for an hour."""
    return Role()


@pytest.fixture
async def signed(server: FaultServer, role: Role) -> AsyncIterator[Bucket]:
    """A bucket reached with the role's keys."""
    signer = Signer(TemporaryCredentials(role.fetch), service="s3", region="us-west-2")
    async with Bucket(f"{server.url}/bucket", provider="test", signer=signer, options=QUICK) as bucket:
        yield bucket


async def ignore(done: int) -> None:
    """Hear of progress."""


async def test_keys_that_run_out_in_an_upload(
    signed: Bucket, store: Store, role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload whose keys expire goes on with others, fetched once for all its parts."""
    monkeypatch.setattr("callsheet._s3._parts.PART", PART)
    path = tmp_path / "a.exr"
    path.write_bytes(WHOLE)
    store.strike("PART", *[role.expired(1)] * 20)
    assert await upload(
        signed, "key", File(path), len(WHOLE), identity=None, threads=Threads(4), progress=ignore
    )
    assert store.objects == {"key": WHOLE}
    assert role.handed_out == 2


async def test_keys_that_run_out_in_a_download(signed: Bucket, store: Store, role: Role) -> None:
    """A download that begins with expired keys begins again with others."""
    store.objects["key"] = WHOLE
    await signed.head("key")
    store.strike("GET", role.expired(1))
    async with signed.download("key", size=len(WHOLE)) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == WHOLE
    assert role.handed_out == 2


async def test_no_other_keys(signed: Bucket, store: Store, role: Role) -> None:
    """If there are no other keys, that is the error, and nothing is tried for ever."""
    await signed.put("a", b"first")
    role.refuses = True
    store.strike("PUT", *[role.expired(1)] * 9)
    with pytest.raises(Denied, match="no more keys"):
        await signed.put("b", b"second")
    assert store.objects == {"a": b"first"}


async def test_a_link_needs_no_keys(signed: Bucket, store: Store) -> None:
    """A link reads the object without credentials, and holds no secret key."""
    store.objects["a b"] = b"bytes"
    link = await signed.link("a b", expires=60)
    assert "X-Amz-Expires=60&" in link
    assert "secret-key" not in link
    async with httpx.AsyncClient(trust_env=False, verify=False) as plain:
        assert (await plain.get(link)).content == b"bytes"


async def test_links_live_for_a_week_at_most(signed: Bucket) -> None:
    """S3 takes no longer time."""
    assert "X-Amz-Expires=604800&" in await signed.link("a", expires=1e9)


async def test_bodies_are_covered(signed: Bucket, server: FaultServer) -> None:
    """Over plain http the signature covers the bytes of an object that is sent in one piece."""
    await signed.put("a", b"bytes")
    hashed = server.requests[-1].headers["x-amz-content-sha256"]
    assert hashed == "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"


async def test_bodies_are_left_to_tls(role: Role) -> None:
    """Where the connection itself is safe, no bytes of an object are hashed for the signature."""
    seen: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["x-amz-content-sha256"])
        return httpx.Response(200)

    options = HttpOptions(transport=httpx.MockTransport(note))
    signer = Signer(TemporaryCredentials(role.fetch), service="s3", region="us-west-2")
    async with Bucket("https://b.s3.example.com", provider="test", signer=signer, options=options) as bucket:
        await bucket.put("a", b"bytes")
    assert seen == ["UNSIGNED-PAYLOAD"]
