"""From the words of a command line to a command, and from its outcome to an exit code."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Sequence
from functools import partial

import anyio
from cyclopts import CycloptsError

from callsheet import CallsheetError
from callsheet._cli._app import build
from callsheet._cli._commands import COMMANDS, GROUPS
from callsheet._cli._exits import Exit, explained
from callsheet._cli._messages import say, shown_log

__all__ = ["dispatch"]

KNOWN_WORDS = {word for command in COMMANDS for word in command.name.split()}


def dispatch(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; what went wrong is said in one line."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except CycloptsError as error:
        say(f"error: {str(error).rstrip('.')}; {_where_to_look(arguments)}")
        code = Exit.USAGE
    except BrokenPipeError:
        raise  # whoever called us has an answer for that
    except (CallsheetError, OSError) as error:
        code, text = explained(error)
        say(f"error: {text}")
    return code


def _run(arguments: Sequence[str]) -> int:
    app = build(arguments[0])
    command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    if not inspect.iscoroutinefunction(command):
        command(*bound.args, **bound.kwargs)  # help and the like
        return Exit.OK
    with shown_log():
        code: int | None = anyio.run(partial(command, *bound.args, **bound.kwargs))
    return Exit.OK if code is None else code


def _where_to_look(arguments: Sequence[str]) -> str:
    if arguments[0] == "run" and "--" not in arguments:
        return "-- comes before the command: callsheet run [OPTIONS] -- COMMAND"
    words = list(itertools.takewhile(lambda word: word in KNOWN_WORDS, arguments))
    is_group = not words or words[0] in GROUPS
    if is_group and len(words) < 2 and arguments[len(words)].startswith("-"):
        option = arguments[len(words)].partition("=")[0]
        return f"options come after the command: {' '.join(['callsheet', *words, 'COMMAND', option])}"
    return f"see: {' '.join(['callsheet', *words, '--help'])}"
