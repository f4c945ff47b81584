"""A command's output in files of limited size."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from callsheet._cli._log_files import FILES, LogFiles

OUTPUT = b"".join(b"line %d\n" % number for number in range(100))


@pytest.mark.parametrize("block", [1, 7, 64, len(OUTPUT)])
@pytest.mark.parametrize("limit", [1, 40, 333, len(OUTPUT), 100_000])
def test_the_last_output_is_kept_within_the_limit(tmp_path: Path, limit: int, block: int) -> None:
    """Read from the oldest to the newest, the files are the end of the output, and no longer than allowed."""
    log = LogFiles(tmp_path, "output", limit)
    for start in range(0, len(OUTPUT), block):
        log.write(OUTPUT[start : start + block])
    paths = log.close()
    assert [path.name for path in paths] == ["output.log", *(f"output.{n}.log" for n in range(1, len(paths)))]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    kept = b"".join(path.read_bytes() for path in reversed(paths))
    assert OUTPUT.endswith(kept)
    assert len(kept) <= max(limit, FILES)
    # All but the newest file are full.
    assert len(kept) >= min(len(OUTPUT), limit * (FILES - 1) // FILES)
    assert log.trouble is None


def test_a_full_disk_ends_the_log_only(tmp_path: Path) -> None:
    """Once a file cannot be written, the rest is let go without an error."""
    (tmp_path / "output.log").symlink_to("/dev/full")
    log = LogFiles(tmp_path, "output", 1000)
    log.write(b"one")
    log.write(b"two")
    log.close()
    assert log.trouble is not None
    assert log.trouble.errno == errno.ENOSPC
