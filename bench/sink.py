"""An S3 that takes everything and keeps nothing: what is measured against it is the client.

python -m bench.sink      prints its port, and serves until it is ended
"""

from __future__ import annotations

import asyncio
import re

UPLOAD = b"<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>"
DONE = b'<CompleteMultipartUploadResult><ETag>"tag"</ETag></CompleteMultipartUploadResult>'
IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
    b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
)

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await drop(reader, head)
            writer.write(answer(head))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def drop(reader: asyncio.StreamReader, head: bytes) -> None:
    """Read the body of a request."""
    if length := LENGTH.search(head):
        left = int(length[1])
        while left:
            left -= len(await reader.read(min(left, 1 << 20)))
    elif b"chunked" in head.lower():
        while size := int((await reader.readline()).partition(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()


def answer(head: bytes) -> bytes:
    """Return what is said to a request: nothing is there, and everything can be put there."""
    line = head.partition(b"\r\n")[0]
    if line.startswith((b"HEAD", b"GET")):
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    body = b""
    if line.startswith(b"POST / "):
        body = IDENTITY
    elif line.startswith(b"POST"):
        body = UPLOAD if b"?uploads" in line else DONE
    return b'HTTP/1.1 200 OK\r\nETag: "tag"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)


async def main() -> None:
    """Serve on a free port of this machine."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
