"""The command line, over the public API: what runs first needs none of the libraries of the extra `cli`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from callsheet._cli._commands import behind_command, overview, version
from callsheet._cli._exits import Exit
from callsheet._cli._messages import reopen_closed_streams, say

__all__ = ["main", "script"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Without the program's name; by default those of the process.
    """
    reopen_closed_streams()
    try:
        return _answer(behind_command(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # also while libraries are loaded
        say("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:  # nobody reads on
        return Exit.UNREAD
    except OSError as exc:
        say(f"error: {exc}")
        return Exit.FAILED
    finally:
        _drop_unwritten()


def _drop_unwritten() -> None:
    """Let go of what cannot be written, which the interpreter would try, and complain of, at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer(given: Sequence[str]) -> int:
    if not given or given[0] in {"--help", "-h", "help"}:
        print(overview(), end="", flush=True)
        return 0
    if given[0] == "--version":
        print(version(), flush=True)
        return 0
    try:
        from callsheet._cli._dispatch import dispatch

        return dispatch(given)
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in {"cyclopts", "rich"}:
            raise
        say(f"error: {package} is missing; run: pip install 'callsheet[cli]'")
        return Exit.USAGE


def script() -> int:
    """Do as `main`, in a process that ends then."""
    code = main()
    # All is closed. That the interpreter's end looks through everything imported once more takes longer than
    # many a command.
    gc.freeze()
    return code
