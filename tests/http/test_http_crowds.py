"""Crowds: thousands of requests cancelled at random, after which the pool is as good as new."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
import trustme

from callsheet._http._client import Http
from callsheet._http._pool import Pool
from support import crowdserver, leaks, scale
from support.roads import Road

WIDTH = 16


@contextmanager
def crowd_server(*arguments: str) -> Iterator[int]:
    command = [sys.executable, crowdserver.__file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate()


@pytest.fixture(params=["plain", "tls"])
def crowd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, object], int]]:
    """Serve a crowd, plain and through TLS; return the URL, options for it, and how many requests to make."""
    if request.param == "plain":
        with crowd_server() as port:
            yield f"http://127.0.0.1:{port}", {}, scale(6_000, full=20_000)
    else:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            tmp_path / "server.pem"
        )
        with crowd_server(str(tmp_path / "server.pem")) as port:
            yield f"https://127.0.0.1:{port}", {"verify": tmp_path / "ca.pem"}, scale(1_000, full=20_000)


def open_sockets() -> int:
    return sum(target.startswith("socket:") for _, target in leaks.held().files)


@pytest.mark.timeout(400)
@pytest.mark.loop_limit(0.5, reason="a crowd of tasks is started and cancelled in one step")
async def test_requests_cancelled_at_random(road: Road, crowd: tuple[str, dict[str, object], int]) -> None:
    """After requests cancelled at random no slot, connection or socket is lost; all of the pool serves on."""
    url, options, total = crowd
    draw = random.Random(20_000)
    before = open_sockets()
    cancelled = 0

    async def one(http: Http, patience: float, kind: int) -> None:
        nonlocal cancelled
        with anyio.move_on_after(patience) as scope:
            if kind == 0:
                async with http.download("/big") as download:
                    await anext(download)
            elif kind == 1:
                async with http.download("/big"):
                    pass
            else:
                await http.send("GET", "/job")
        cancelled += scope.cancelled_caught

    async def worker(http: Http, requests: Iterator[int]) -> None:
        for number in requests:
            # Most are cut at some point of their way; some come through, and some before they begin.
            await one(http, draw.choice((0, draw.random() * 0.01, draw.random() * 0.1, 5)), number % 20)

    async with road(url, connections=WIDTH, **options) as http:
        requests = iter(range(total))
        async with anyio.create_task_group() as tasks:
            for _ in range(2 * WIDTH):
                tasks.start_soon(worker, http, requests)
        pool = http._transport
        assert isinstance(pool, Pool)
        assert (pool.busy, pool.idle <= WIDTH, open_sockets() - before == pool.idle) == (0, True, True)
        await assert_full_width(http)
        assert pool.busy == 0
    assert (pool.busy, pool.idle, open_sockets()) == (0, 0, before)
    assert total * 0.3 < cancelled < total * 0.9


async def assert_full_width(http: Http) -> None:
    """Hold as many requests under way at the same time as the pool has slots."""
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(WIDTH):
                tasks.start_soon(http.send, "GET", f"/gather/{WIDTH}")
        open_now, _ = map(int, (await http.send("GET", "/connections")).body.split())
        assert open_now + 1 == WIDTH


async def test_connections_are_kept(road: Road) -> None:
    """1,000 requests of 100 tasks open no more connections than allowed."""
    with crowd_server() as port:
        async with road(f"http://127.0.0.1:{port}", connections=WIDTH) as http:
            requests = iter(range(1000))

            async def worker() -> None:
                for _ in requests:
                    await http.send("GET", "/job")

            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(worker)
            assert (await http.send("GET", "/connections")).body == b"%d %d" % (WIDTH - 1, WIDTH - 1)


@pytest.mark.timeout(120)
async def test_cost_does_not_grow_with_connections(road: Road) -> None:
    """A request costs no more CPU with 100 connections kept busy than with 10, give or take."""

    async def cost(url: str, width: int) -> float:
        async with road(url, connections=width) as http:
            numbers = iter(range(scale(600, full=3000)))

            async def worker() -> None:
                for _ in numbers:
                    await http.send("GET", "/job")

            began = time.process_time()
            async with anyio.create_task_group() as tasks:
                for _ in range(width):
                    tasks.start_soon(worker)
            return time.process_time() - began

    with crowd_server() as port:
        url = f"http://127.0.0.1:{port}"
        few, many = [], []
        for _ in range(3):
            few.append(await cost(url, 10))
            many.append(await cost(url, 100))
    assert min(many) < 2 * min(few)  # in httpx's own pool: 26 times
