"""An answer's body: decompressed in bounded pieces, counted, and known to be whole at its end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

__all__ = ["Damaged", "Gunzip", "Incomplete"]

PIECE = 256 * 1024
"""The most bytes that are decompressed in one go: what a bomb can cost at a time."""


class Incomplete(Exception):
    """The body ends too early."""


class Damaged(Exception):
    """The body is not what its headers say."""


class Gunzip:
    """Decompresses gzip, of one member or several, and knows whether the last one was whole."""

    def __init__(self) -> None:
        self._member = _member()
        self._empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decompressed pieces, each of at most 256 KiB.

        Raises:
            Damaged: Not gzip, or its checksum is wrong.
        """
        try:
            while data:
                if self._member.eof:
                    self._member = _member()
                self._empty = False
                piece = self._member.decompress(data, PIECE)
                data = self._member.unconsumed_tail or self._member.unused_data
                if piece:
                    yield piece
            # What was taken in may still give more than one piece.
            while not self._member.eof and (piece := self._member.decompress(b"", PIECE)):
                yield piece
        except zlib.error as exc:
            raise Damaged(f"its gzip body is damaged ({exc})") from exc

    def end(self) -> None:
        """Check that the last member was whole.

        Raises:
            Incomplete: It was not.
        """
        if not self._empty and not self._member.eof:
            raise Incomplete("its gzip body ends too early")


def _member() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)
