"""How the command line starts: quickly, without what it does not need, and telling what is missing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet._cli._commands import COMMANDS, version
from support.commands import COMMAND, Cli

REFERENCE = [sys.executable, "-c", "import cyclopts, rich"]


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_names_every_command(cli: Cli) -> None:
    """`callsheet` alone, or with any word for help, lists all commands with what they do."""
    answers = [cli(*words) for words in ([], ["--help"], ["-h"], ["help"])]
    assert {(answer.code, answer.out, answer.err) for answer in answers} == {(0, answers[0].out, "")}
    lines = answers[0].out.splitlines()
    for command in COMMANDS:
        start = f"  {command.name} {command.usage}".rstrip()
        (row,) = [line for line in lines if line.startswith(f"{start}  ")]
        assert row.endswith(f"  {command.does}")
    assert all(len(line) <= 90 for line in lines)


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_each_command_explains_itself(cli: Cli, name: str) -> None:
    """Each command has help that says what it does and explains each of its options."""
    answer = cli(*name.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: callsheet {name} ")
    rows = [line.strip("│ ") for line in answer.out.splitlines() if line.startswith("│")]
    undescribed = [row for row in rows if row.startswith("--") and len(row.split()) < 4]
    assert undescribed == []
    assert all(len(line) <= 100 for line in answer.out.splitlines())


def test_version(cli: Cli) -> None:
    """The version is that of the package."""
    assert cli("--version").out == f"{version()}\n"


def test_help_needs_no_library_of_the_extra() -> None:
    """Help comes without loading the libraries of the command line, a database or a server."""
    code = "import sys; from callsheet._cli import main; main(['--help']); print(*sys.modules)"
    loaded = python(code).stdout.splitlines()[-1].split()
    assert not {"cyclopts", "rich", "sqlalchemy", "httpx", "importlib.metadata"} & set(loaded)


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_a_missing_library_is_named(missing: str) -> None:
    """Without the extra, a command ends with one line that says what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None; from callsheet._cli import main"
    answer = python(f"{code}; sys.exit(main(['jobs', '--help']))")
    line = f"callsheet: error: {missing} is missing; run: pip install 'callsheet[cli]'\n"
    assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", line)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["jobs", "--help"], ["completion", "bash"]])
def test_a_full_disk_is_one_line(words: list[str]) -> None:
    """Output that cannot be written is an error like any other, whatever was asked for."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "callsheet: error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"]])
def test_a_reader_who_has_gone_is_no_error(words: list[str]) -> None:
    """A program whose output nobody reads ends as a shell expects it, without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupt_while_libraries_load_is_one_line() -> None:
    """Ctrl-C at any moment ends a command without a traceback."""
    code = (
        "import sys\n"
        "class Late:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Late())\n"
        "from callsheet._cli import main\n"
        "sys.exit(main(['jobs', 'list']))\n"
    )
    answer = python(code)
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "callsheet: interrupted\n")


def cpu_of(*command: str) -> float:
    """Run a command, and return the seconds of CPU it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_about_as_fast_as_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help costs little more than importing the libraries that the other commands need."""
    # As installed: compiled once.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    rounds = [(cpu_of(*COMMAND, "--help"), cpu_of(*REFERENCE)) for _ in range(6)][1:]
    ours, reference = map(min, zip(*rounds, strict=True))
    assert ours < 1.6 * reference  # 1.3 where nothing else runs: bench/cli.py


def test_the_shell_completes_commands(cli: Cli, tmp_path: Path) -> None:
    """bash offers commands, and then their options, once it has read the script."""
    script = tmp_path / "completion"
    script.write_text(cli("completion", "bash").out)

    def offered(line: str) -> list[str]:
        words = line.split(" ")
        code = f"""
            source {script}
            COMP_WORDS=({" ".join(word or "''" for word in words)}); COMP_CWORD={len(words) - 1}
            $(complete -p callsheet | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert set(offered("callsheet ")) >= {"jobs", "run", "attach", "download"}
    assert set(offered("callsheet jobs ")) >= {"list", "show", "create", "update", "cancel", "wait", "watch"}
    assert set(offered("callsheet jobs list --st")) == {"--state"}
    assert set(offered("callsheet jobs list --state ")) >= {"running", "done", "failed"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts(cli: Cli, shell: str) -> None:
    """A script that names the commands is written for each of the other shells."""
    script = cli("completion", shell).out
    assert [command.name for command in COMMANDS if command.name.split()[-1] not in script] == []
