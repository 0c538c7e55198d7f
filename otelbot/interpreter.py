"""Which Python interpreter a command line will run under, and whether otelbot is there.

Shared by the launcher, which refuses early and clearly, and by `otelbot doctor`, which looks at the same interpreter.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PYTHON = re.compile(r"(python|pypy)[\d.]*t?(\.exe)?")
#: Exit statuses of shells for a command that does not exist, and for one that can't be run.
NOT_FOUND, NOT_EXECUTABLE, UNUSABLE = 127, 126, 1
_PROBE = "import sys; sys.path[:1] = []; import importlib.util as u; sys.exit(0 if u.find_spec('otelbot') else 7)"


class CommandError(Exception):
    """The command can't be run under otelbot. The text is one sentence for the user, `status` the exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Command:
    """`program` is the path to execute, `interpreter` the Python that it runs under: None where that can't be told.

    `options` are what that Python is started with, up to the program's own arguments where it is the command.
    """

    program: str
    arguments: tuple[str, ...]
    interpreter: str | None
    options: tuple[str, ...] = ()


def resolve(command: Sequence[str]) -> Command:
    """Return what `command` will execute. Raises CommandError where it can't be executed."""
    name, *arguments = command
    program = shutil.which(name)
    if program is None:
        raise _not_runnable(name)
    if _PYTHON.fullmatch(Path(program).name):
        return Command(program, tuple(arguments), program, tuple(arguments))
    words = _shebang(program)
    return Command(program, tuple(arguments), words[0] if words else None, tuple(words[1:]))


def _not_runnable(name: str) -> CommandError:
    path = Path(name)
    if path.is_file() and path.suffix in {".py", ".pyw"}:
        return CommandError(
            f"{name} is a Python file, not a command; run: otelbot-instrument python {name}", NOT_EXECUTABLE
        )
    if path.is_dir():
        return CommandError(f"{name} is a folder, not a command", NOT_EXECUTABLE)
    if os.sep in name and path.exists():
        return CommandError(f"{name} can't be executed; make it executable: chmod +x {name}", NOT_EXECUTABLE)
    if _PYTHON.fullmatch(name):
        return CommandError(
            f"there is no {name} on PATH; name the interpreter: otelbot-instrument {sys.executable} …", NOT_FOUND
        )
    return CommandError(f"there is no command {name!r} on PATH; check its spelling or give its path", NOT_FOUND)


def _shebang(program: str) -> list[str]:
    """Return the Python of a script's first line with its options, or nothing where it is no Python script."""
    try:
        with open(program, "rb") as file:  # noqa: PTH123 - reads a few bytes of what may be a large binary
            head = file.read(1024)
    except OSError:
        return []
    if not head.startswith(b"#!"):
        return []
    first, _, rest = head.decode(errors="replace").partition("\n")
    words = first[2:].split()
    if words and Path(words[0]).name == "env":
        words = words[1:]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[1:]
        words = [shutil.which(words[0]) or words[0], *words[1:]] if words else []
    elif words and Path(words[0]).name == "sh" and rest.startswith("'''exec' "):
        # pip's form for a path too long or with a blank: '''exec' "/long path/python" "$0" "$@"
        words = shlex.split(rest.splitlines()[0].removeprefix("'''exec' "))[:1]
    return words if words and _PYTHON.fullmatch(Path(words[0]).name) else []


def require_otelbot(command: Command) -> None:
    """Raise CommandError where the command's interpreter has no otelbot, or is told to ignore PYTHONPATH."""
    if command.interpreter is None:
        return
    if option := _ignores_environment(command.options):
        raise CommandError(
            f"python {option} ignores PYTHONPATH, through which otelbot is loaded; leave {option} out, or call"
            " otelbot.instrument() in the program",
            UNUSABLE,
        )
    if same_environment(command.interpreter):
        return
    try:
        probe = subprocess.run(  # noqa: S603 - the interpreter that the user is about to run
            [command.interpreter, "-c", _PROBE], capture_output=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        raise CommandError(
            f"{command.interpreter}, which {command.program} runs under, can't be started", NOT_FOUND
        ) from None
    if probe.returncode != 0:
        raise CommandError(
            f"{command.interpreter} has no otelbot; install it there: {command.interpreter} -m pip install otelbot,"
            f" or name the interpreter that has it: {sys.executable}",
            UNUSABLE,
        )


def same_environment(interpreter: str) -> bool:
    """Whether `interpreter` is the Python that runs this, in the same environment: one folder may hold several."""
    ours = Path(sys.executable)
    try:
        return Path(interpreter).samefile(ours) and Path(interpreter).parent.samefile(ours.parent)
    except OSError:
        return False


def _ignores_environment(arguments: Sequence[str]) -> str | None:
    """Return the option (-I, -E or -S) that keeps Python from reading PYTHONPATH or from loading sitecustomize."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-") or word in {"-", "--"}:
            return None
        if word.startswith("--"):
            continue
        for position, letter in enumerate(word[1:], 2):
            if letter in "IES":
                return f"-{letter}"
            if letter in "cm":
                return None  # what follows is the program's
            if letter in "WX":
                if position == len(word):
                    next(words, None)  # its value is the next word
                break
    return None
