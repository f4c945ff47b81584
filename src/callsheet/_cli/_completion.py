"""`callsheet completion`: commands and options completed by the shell."""

from __future__ import annotations

from typing import Literal

from callsheet._cli._app import build

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Write the completion script of a shell, which reads it from one of these places when it starts.

    bash: ~/.local/share/bash-completion/completions/callsheet

    zsh: a file _callsheet in a folder of $fpath

    fish: ~/.config/fish/completions/callsheet.fish

    Args:
        shell: Which shell.
    """
    print(build().generate_completion(prog_name="callsheet", shell=shell))
