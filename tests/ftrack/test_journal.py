"""Journals of uploads: what is read back, by whom, and for how long."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from callsheet.providers.ftrack._journal import Journal, Session


def session(**values: object) -> Session:
    facts = {"component_id": "c", "upload_id": "u", "part_size": 8, "urls": ["https://a", "https://b"]}
    return Session(**{**facts, **values})  # type: ignore[arg-type]  # any


def opened(*identity: object) -> Journal:
    journal = Journal.open(*(identity or ("file",)))
    assert journal is not None
    return journal


def left_by_an_earlier_call() -> None:
    """Leave a journal with one part."""
    journal = opened()
    journal.begin(session())
    journal.note(2, "tag")
    journal.close()


def test_what_was_noted_is_read() -> None:
    """A later call reads the session and its parts, and knows that it resumes."""
    left_by_an_earlier_call()
    journal = opened()
    assert journal.read() == session(e_tags={2: "tag"}, resumed=True)
    journal.note(1, "other")
    assert journal.read() == session(e_tags={2: "tag", 1: "other"}, resumed=True)
    journal.begin(session(upload_id="v"))
    assert journal.read() == session(upload_id="v", resumed=True)
    journal.close()


def test_a_new_journal_is_empty() -> None:
    """Before anything is noted there is nothing to resume, also of another file."""
    left_by_an_earlier_call()
    journal = opened("another file")
    assert journal.read() is None
    journal.close()


def test_only_its_owner_may_read_it(state_folder: Path) -> None:
    """The folder and the journals in it are nobody else's business."""
    left_by_an_earlier_call()
    assert [path.stat().st_mode & 0o777 for path in (state_folder, *state_folder.iterdir())] == [0o700, 0o600]


def test_one_at_a_time() -> None:
    """A journal that is in use is not given to another upload; once it is closed, it is."""
    journal = opened()
    assert Journal.open("file") is None
    journal.close()
    opened().close()


def test_a_journal_that_is_removed(state_folder: Path) -> None:
    """Removing it leaves nothing, and the next upload begins anew."""
    left_by_an_earlier_call()
    journal = opened()
    journal.remove()
    journal.remove()
    journal.close()
    assert list(state_folder.iterdir()) == []
    journal = opened()
    assert journal.read() is None
    journal.close()


def test_a_journal_that_vanishes_while_it_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that its owner removes just before we have the lock is made anew."""
    flock = fcntl.flock
    vanished: list[Path] = []

    def slow(handle: int, how: int) -> None:
        if not vanished:
            (path,) = Path(f"/proc/self/fd/{handle}").resolve().parent.iterdir()
            path.unlink()
            vanished.append(path)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    journal = opened()
    journal.begin(session())
    journal.close()
    assert [path.exists() for path in vanished] == [True]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\n",
        b"not json\n",
        b"[]\n",
        b'{"component_id": "c"}\n',
        b'{"component_id": "c", "upload_id": "u", "part_size": 8, "urls": [], "more": 1}\n',
        b'{"component_id": "c", "upload_id": "u", "part_size": 8, "urls": []}\nnot json\n',
        b'{"component_id": "c", "upload_id": "u", "part_size": 8, "urls": []}',
    ],
)
def test_a_journal_that_is_damaged(state_folder: Path, damage: bytes) -> None:
    """What cannot be read is no journal."""
    left_by_an_earlier_call()
    (path,) = state_folder.iterdir()
    path.write_bytes(damage)
    journal = opened()
    assert journal.read() is None
    journal.close()


def test_a_last_line_that_was_cut_off(state_folder: Path) -> None:
    """A part whose note was cut off when the writer was killed counts as not sent."""
    left_by_an_earlier_call()
    (path,) = state_folder.iterdir()
    path.write_bytes(path.read_bytes() + b'{"part": 1, "e_t')
    journal = opened()
    assert journal.read() == session(e_tags={2: "tag"}, resumed=True)
    journal.note(1, "other")
    journal.close()
    journal = opened()
    assert journal.read() == session(e_tags={2: "tag", 1: "other"}, resumed=True)
    journal.close()


def test_journals_of_last_week_are_removed(state_folder: Path) -> None:
    """A journal older than a week is of no use, and goes."""
    left_by_an_earlier_call()
    opened("young").close()
    (path,) = [path for path in state_folder.iterdir() if path.stat().st_size]
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(path, (long_ago, long_ago))
    journal = opened("another")
    assert not path.exists()
    journal.close()
    assert len(list(state_folder.iterdir())) == 2
