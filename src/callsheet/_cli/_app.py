"""The command line as cyclopts knows it."""

from __future__ import annotations

from importlib import import_module

from cyclopts import App, Parameter

from callsheet._cli._commands import COMMANDS, GROUPS, version

__all__ = ["build"]


def build(first: str = "") -> App:
    """Return the application, with the commands that begin with that word; with all, if none does.

    The modules of the others are not loaded: a command that is to be run shall start at once.
    """
    defaults = Parameter(negative="", show_default=False, consume_multiple=False)
    root = App(name="callsheet", help_format="markdown", version=version, default_parameter=defaults)
    groups = {"": root}
    for name, text in GROUPS.items():
        groups[name] = App(name=name, help=text)
        root.command(groups[name])
    wanted = [command for command in COMMANDS if command.name.split()[0] == first]
    for order, command in enumerate(wanted or COMMANDS):
        group, _, name = command.name.rpartition(" ")
        module, _, function = command.place.partition(":")
        place = import_module(f"callsheet._cli.{module}")
        groups[group].command(getattr(place, function), name=name, sort_key=order)
    return root
