"""Journals of uploads in parts to ftrack: where the parts go, and which are there."""

from __future__ import annotations

import attrs

from callsheet import _journal

__all__ = ["Journal", "Session"]


@attrs.define
class Session:
    """An upload in parts that the server has agreed to.

    Attributes:
        component_id: The component that it will be the bytes of.
        upload_id: The server's own id of it.
        part_size: Bytes of each part but the last.
        urls: Where each part goes, from part 1 on.
        e_tags: What the storage answered for the parts it has, by number.
        resumed: It was begun by an earlier call.
    """

    component_id: str
    upload_id: str
    part_size: int
    urls: list[str]
    e_tags: dict[int, str] = attrs.field(factory=dict)
    resumed: bool = False


class Journal(_journal.Journal):
    """The journal of one upload, open and locked.

    Its methods block, and are called in a thread.
    """

    def read(self) -> Session | None:
        """Return what an earlier call has left, or `None`."""
        records = self.records()
        if not records:
            return None
        try:
            session = Session(**records[0], resumed=True)
            session.e_tags = {record["part"]: record["e_tag"] for record in records[1:]}
        except (KeyError, TypeError):
            return None
        return session

    def begin(self, session: Session) -> None:
        """Forget what was there, and note a session that begins."""
        self.restart(attrs.asdict(session, filter=attrs.filters.exclude("e_tags", "resumed")))

    def note(self, part: int, e_tag: str) -> None:
        """Note that the storage has a part."""
        self.append({"part": part, "e_tag": e_tag})
