"""The road to a server beside the libraries it could have been.

    python -m bench.over_http [--rounds 3] [connections] [crowd] [small] [large]

Each figure is taken in a process of its own on one core, the server on another; rounds go A B C A B C, and
the tables show medians. A library that is not installed is left out:

    pip install httpx2 aiohttp requests
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio

SMALL_FILES, SMALL = 500, 64 * 1024
LARGE = 2 << 30
CHUNK = 1 << 20
PATIENCE = 6.0
"""Seconds after which a figure is taken from what was done by then."""

Send = Callable[[str, bytes], Awaitable[None]]


# -- the clients ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def callsheet(url: str, connections: int) -> AsyncIterator[Send]:
    """Our own road."""
    from callsheet._http._client import Http
    from callsheet._http._options import HttpOptions

    async with Http(url, provider="bench", options=HttpOptions(connections=connections)) as http:

        async def send(path: str, body: bytes) -> None:
            answer = await http.send("PUT" if body else "GET", path, body=body)
            assert len(answer.body) > 1000

        yield send


@asynccontextmanager
async def stock(
    url: str, connections: int, kept: int | None = None, module: str = "httpx"
) -> AsyncIterator[Send]:
    """The client of httpx, or of its continuation."""
    library = importlib.import_module(module)
    limits = library.Limits(
        max_connections=connections, max_keepalive_connections=connections if kept is None else kept
    )
    async with library.AsyncClient(
        base_url=url, limits=limits, timeout=60, verify=False, trust_env=False
    ) as client:

        async def send(path: str, body: bytes) -> None:
            answer = await client.request("PUT" if body else "GET", path, content=body or None)
            assert len(answer.content) > 1000

        yield send


@asynccontextmanager
async def aiohttp(url: str, connections: int) -> AsyncIterator[Send]:
    """The client of aiohttp."""
    aiohttp = importlib.import_module("aiohttp")
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(path: str, body: bytes) -> None:
            async with session.request("PUT" if body else "GET", url + path, data=body or None) as answer:
                assert len(await answer.read()) > 1000

        yield send


@contextmanager
def requests(url: str, connections: int) -> Iterator[Callable[[str, Any], None]]:
    """The blocking client of requests, to be used from threads."""
    requests = importlib.import_module("requests")
    adapters = importlib.import_module("requests.adapters")
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", adapters.HTTPAdapter(pool_maxsize=connections))

        def send(path: str, body: Any) -> None:
            answer = session.request("PUT" if body else "GET", url + path, data=body or None)
            assert len(answer.content) > 1000

        yield send


CLIENTS: dict[str, Callable[[str, int], Any]] = {
    "callsheet": callsheet,
    "httpx, as many kept": stock,
    "httpx, 20 kept (its default)": lambda url, connections: stock(url, connections, 20),
    "httpx2": lambda url, connections: stock(url, connections, None, "httpx2"),
    "aiohttp": aiohttp,
    "requests, threads": requests,
}


# -- one figure, in a process of its own ---------------------------------------------------------------------


async def crowd(client: str, url: str, path: str, connections: int, tasks: int, count: int, size: int) -> int:
    """Make `count` requests from `tasks` tasks; return how many were made in time."""
    done = 0
    numbers = iter(range(count))
    bodies = [os.urandom(size)] if size else [b""]

    async def work(send: Send) -> None:
        nonlocal done
        for _ in numbers:
            await send(path, bodies[0])
            done += 1

    async with CLIENTS[client](url, connections) as send:
        await send(path, bodies[0])
        METER.start()
        with anyio.move_on_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for _ in range(tasks):
                    group.start_soon(work, send)
        METER.stop()
    return done


def crowd_of_threads(url: str, path: str, connections: int, tasks: int, count: int, size: int) -> int:
    """Do the same with a blocking client in threads."""
    numbers, lock = iter(range(count)), threading.Lock()
    body = os.urandom(size)

    def work() -> None:
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            send(path, body)

    with requests(url, connections) as send:
        send(path, body)
        METER.start()
        threads = [threading.Thread(target=work) for _ in range(tasks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        METER.stop()
    return count


async def large(client: str, url: str, path: Path) -> None:
    """Send one large file from disk, a mebibyte at a time."""
    size = LARGE

    async def chunks() -> AsyncIterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while chunk := await anyio.to_thread.run_sync(file.read, CHUNK):
                yield chunk

    if client == "callsheet":
        from callsheet._http._client import Http
        from callsheet._http._messages import Body

        async with Http(url, provider="bench") as http:
            METER.start()
            await http.send("PUT", "/", body=Body(chunks, size))
    elif client == "aiohttp":
        async with importlib.import_module("aiohttp").ClientSession() as session:
            METER.start()
            with path.open("rb") as file:
                async with session.put(url, data=file) as answer:
                    await answer.read()
    else:
        library = importlib.import_module(client.split(",")[0])
        async with library.AsyncClient(timeout=60, verify=False, trust_env=False) as one:
            METER.start()
            await one.put(url, content=chunks(), headers={"Content-Length": str(size)})
    METER.stop()


def large_by_sendfile(url: str, path: Path) -> None:
    """Let the kernel send it: what the disk and the socket can do."""
    import socket

    port = int(url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as connection, path.open("rb") as file:
        METER.start()
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % path.stat().st_size)
        connection.sendfile(file)
        connection.recv(4096)
        METER.stop()


class Meter:
    """Wall time, CPU and growth of the highest memory between start and stop."""

    def start(self) -> None:
        """Begin to measure."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
        self._memory = memory("VmRSS")
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def stop(self) -> None:
        """Take the figures."""
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu
        self.memory = memory("VmHWM") - self._memory


def memory(field: str) -> float:
    """Return a field of this process's memory, in MB."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


METER = Meter()


def take(spec: dict[str, Any]) -> None:
    """Take the figure of one specification and print it."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {1})
    url, client, loop = spec["url"], spec["client"], spec.get("loop", "asyncio")
    if spec["row"] == "large":
        path = Path(spec["file"])
        if client == "sendfile":
            large_by_sendfile(url, path)
        else:
            anyio.run(large, client, url, path, backend=loop)
        print(json.dumps({"MB/s": LARGE / 1e6 / METER.wall, "CPU s": METER.cpu, "MB more": METER.memory}))
        return
    numbers = [spec[name] for name in ("connections", "tasks", "count", "size")]
    if client == "requests, threads":
        done = crowd_of_threads(url, spec["path"], *numbers)
    else:
        done = anyio.run(crowd, client, url, spec["path"], *numbers, backend=loop)
    print(json.dumps({"per s": done / METER.wall, "CPU us": METER.cpu / max(done, 1) * 1e6}))


# -- the rows ------------------------------------------------------------------------------------------------


def rows(names: list[str], file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield row, label and specification of every figure."""
    installed = [name for name in CLIENTS if importlib.util.find_spec(name.split(",")[0]) is not None]
    loops = {"callsheet": ("asyncio", "trio")}
    for client in installed:
        for loop in loops.get(client, ("asyncio",)):
            label = f"{client}, {loop}" if client in loops else client
            base = {"client": client, "loop": loop}
            if "connections" in names:
                for connections in (10, 100):
                    spec = {
                        "path": "/x",
                        "connections": connections,
                        "tasks": connections,
                        "count": 3000,
                        "size": 0,
                    }
                    yield f"connections: {connections}", label, base | spec
            if "crowd" in names:
                spec = {"path": "/d25/x", "connections": 100, "tasks": 1000, "count": 1000, "size": 0}
                yield "crowd", label, base | spec | {"tasks": 100 if client.startswith("requests") else 1000}
            if "small" in names:
                for tasks in (1, 8, 32, 64):
                    spec = {"path": "/d25/x", "connections": tasks, "tasks": tasks, "size": SMALL}
                    yield (
                        f"small: {tasks} at once",
                        label,
                        base | spec | {"count": 60 if tasks == 1 else SMALL_FILES},
                    )
            if "large" in names and client != "requests, threads" and "20 kept" not in client:
                yield "large", label, base | {"file": str(file)}
    if "large" in names:
        yield "large", "sendfile", {"client": "sendfile", "file": str(file)}


TITLES = {
    "connections": "CPU of a request, N connections kept busy",
    "crowd": "1,000 requests at once, 25 ms away, 100 connections",
    "small": "64 KiB uploads, 25 ms away",
    "large": "one 2 GiB upload",
}


@contextmanager
def server() -> Iterator[str]:
    """Run the answering server; yield its URL."""
    command = [sys.executable, str(Path(__file__).with_name("answering.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.communicate()


def main() -> None:
    """Take all figures and print a table for each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="*", help=", ".join(TITLES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--take", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take is not None:
        take(given.take)
        return
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, server() as url:
        file = Path(folder, "large")
        with file.open("wb") as made:
            made.truncate(LARGE)
        for _ in range(given.rounds):
            for row, label, spec in rows(given.row or list(TITLES), file):
                spec |= {"url": url, "row": row.split(":")[0]}
                command = [sys.executable, __file__, "--take", json.dumps(spec)]
                ran = subprocess.run(command, check=True, capture_output=True, text=True)
                figures.setdefault((row, label), []).append(json.loads(ran.stdout))
    show(figures)


def show(figures: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    """Print a table for each row."""
    for row in dict.fromkeys(row for row, _ in figures):
        name, _, which = row.partition(":")
        print(f"\n{TITLES[name]}{which and f' ({which.strip()})'}\n")
        shown = {label: taken for (of, label), taken in figures.items() if of == row}
        columns = list(next(iter(shown.values()))[0])
        print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
        for label, taken in shown.items():
            medians = [statistics.median(one[column] for one in taken) for column in columns]
            cells = [f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in medians]
            print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
