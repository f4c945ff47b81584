"""Serving a sandbox: a listening socket, uvicorn's protocols, and an end that waits for nobody."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from uvicorn.config import Config
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState

from callsheet.sandbox._beside import Beside, listening, url_of
from callsheet.sandbox._connection import Connection
from callsheet.sandbox._frame import Frame, Settings, World
from callsheet.sandbox._steering import steering_routes
from callsheet.sandbox.deadline import Deadline
from callsheet.sandbox.ftrack import Ftrack
from callsheet.sandbox.vidispine import Vidispine

__all__ = ["listen", "run", "serve"]


def listen(settings: Settings) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: The address cannot be had.
    """
    return listening(settings.host, settings.port)


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; print what real clients need in their environment, then `ready`."""

    async def main() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        with listen(settings) as listener:
            await serve(settings, listener, stopped, ready=announce)

    asyncio.run(main())


def announce(frame: Frame) -> None:
    """Print the variables for real clients, then `ready`."""
    for part in frame.parts:
        for name, value in part.environment(frame.url).items():
            sys.stdout.write(f"export {name}={value}\n")
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def serve(
    settings: Settings,
    listener: socket.socket,
    stopped: asyncio.Event,
    *,
    ready: Callable[[Frame], None],
) -> None:
    """Serve on a listening socket until told to stop; then cut what is still connected."""
    with tempfile.TemporaryDirectory(prefix="callsheet-sandbox-") as folder, Beside(settings) as beside:
        frame = make_frame(World(settings, Path(folder), beside.url))
        frame.url = url_of(listener)
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(protocol_factory(frame, state), sock=listener)
        try:
            ready(frame)
            await stopped.wait()
        finally:
            await stop_accepting(listener)
            server.close()
            await end(state)


def make_frame(world: World) -> Frame:
    """Put the parts together."""
    return Frame(world, [Ftrack(world), Vidispine(world), Deadline(world)], steering_routes())


def protocol_factory(frame: Frame, state: ServerState) -> Callable[[], asyncio.Protocol]:
    """Return what makes the protocol of each connection."""

    class Counted(Connection):
        census = frame.census

    # uvicorn's own Server is left out: it takes the signals of the process, and polls and waits at its end.
    config = Config(
        frame,
        http=Counted,
        ws=WSProtocol,
        lifespan="off",
        log_config=None,
        timeout_keep_alive=600,
        ws_ping_interval=None,
    )
    config.load()
    return lambda: Counted(config, state, {})


async def stop_accepting(listener: socket.socket) -> None:
    """Take no more connections, and have the last ones made: a closed server would leave them open."""
    with suppress(NotImplementedError):  # Windows' loop watches no sockets
        asyncio.get_running_loop().remove_reader(listener)
    for _ in range(3):  # asyncio makes a connection in a task, and in calls of that task's
        await asyncio.sleep(0)


async def end(state: ServerState) -> None:
    """Cut every connection, and end what still runs on them."""
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # the protocols learn of it before their tasks do
    tasks = list(state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks)
