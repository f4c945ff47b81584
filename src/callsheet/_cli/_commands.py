"""What commands there are, and the help that lists them, which needs no library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["COMMANDS", "GROUPS", "Command", "behind_command", "overview", "version"]


class Command(NamedTuple):
    """One command.

    Attributes:
        name: As it is typed.
        usage: What may follow, for the overview.
        place: Module and function.
        does: What it does, in a few words.
    """

    name: str
    usage: str
    place: str
    does: str


COMMANDS = (
    Command("run", "-- COMMAND…", "_run:run", "run any command as a tracked job"),
    Command("jobs list", "", "_jobs:list_", "list jobs, newest first"),
    Command("jobs show", "JOB", "_jobs:show", "show a job, and its files"),
    Command("jobs create", "NAME", "_jobs:create", "make a job"),
    Command("jobs update", "JOB…", "_jobs:update", "change state, progress, message and more"),
    Command("jobs cancel", "JOB…", "_jobs:cancel", "ask jobs to stop"),
    Command("jobs rerun", "JOB…", "_jobs:rerun", "run jobs again"),
    Command("jobs watch", "[JOB…]", "_follow:watch", "follow jobs live"),
    Command("jobs wait", "JOB…", "_follow:wait", "wait until jobs have ended"),
    Command("attach", "JOB FILE…", "_files:attach", "attach files to a job"),
    Command("download", "JOB", "_files:download", "download a job's files"),
    Command("mirror", "JOB --into URL", "_mirror:mirror", "show a job on another tracker, with its outputs"),
    Command("sandbox", "", "_sandbox:sandbox", "serve stand-ins of the trackers' servers, to try things out"),
    Command("completion", "SHELL", "_completion:completion", "let the shell complete commands"),
)

GROUPS = {"jobs": "Find, make, change and follow jobs."}

FRAME = """\
callsheet: the long-running jobs of a studio, whatever tracks them

Usage: callsheet COMMAND [OPTIONS]

{commands}

Every command takes
  --url URL    the tracker, such as local:./jobs
               (by default CALLSHEET_URL of the environment, else your own local one)
  --help       what it does, and its options
Most take --json, for programs: a line of JSON for each job or file.

To begin with:
  callsheet run --name "Nightly backup" -- tar czf backup.tar.gz projects
  callsheet jobs list
"""


def overview() -> str:
    """Return the help of `callsheet` itself."""
    shown = [(f"{command.name} {command.usage}".rstrip(), command.does) for command in COMMANDS]
    width = max(len(usage) for usage, _ in shown) + 3
    return FRAME.format(commands="\n".join(f"  {usage:{width}}{does}" for usage, does in shown))


def version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import version as version_of  # costs a tenth of the overview

    return version_of("callsheet")


def behind_command(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with a `--url` from before the command moved behind it."""
    rest = list(arguments)
    url: list[str] = []
    while rest and (rest[0].startswith("--url=") or (rest[0] == "--url" and len(rest) > 1)):
        taken = 2 if rest[0] == "--url" else 1
        url, rest = rest[:taken], rest[taken:]
    size = 2 if rest and rest[0] in GROUPS else 1
    return rest[:size] + url + rest[size:] if rest else []
