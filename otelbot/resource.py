"""What the telemetry says of the process: service, instance, host, process, and the bot once it is known."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from otelbot import __version__
from otelbot.settings import PROGRAM
from otelbot.signals import BOT_ID, BOT_USERNAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.resources import Resource

#: Servers whose own name says nothing: the service is the application they are told to run, `app:app`.
_SERVERS = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian", "daphne"})
_LONGEST_START = 30.0  # seconds
_OPTIONS_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def create(environ: Mapping[str, str]) -> Resource:
    """Return the resource of this process. Probes neither the network nor other programs.

    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over what is found here.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    name = service_name(sys.orig_argv)
    if _is_worker(sys.orig_argv):
        name = environ.get(PROGRAM) or name  # a worker is part of the program that started it
    attributes: dict[str, str | int] = {
        "service.name": name,
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "host.arch": platform.machine(),
        "os.type": sys.platform,
        "process.pid": os.getpid(),
        "process.executable.name": Path(sys.executable).name,
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": platform.python_version(),
        "telemetry.distro.name": "otelbot",
        "telemetry.distro.version": __version__,
    }
    if version := service_version(sys.orig_argv):
        attributes["service.version"] = version
    return Resource.create(attributes).merge(OTELResourceDetector().detect())


def service_name(argv: Sequence[str]) -> str:
    """Return the program's name for a command line as in `sys.orig_argv`: of `python bot.py` that is `bot`.

    >>> service_name(["python", "-X", "dev", "-m", "shop.bot", "--debug"])
    'shop.bot'
    >>> service_name(["python", "/venv/bin/uvicorn", "--port", "80", "shop.web:app"])
    'shop.web'
    """
    program, arguments = _program(argv)
    if program in _SERVERS:
        for argument in arguments:
            if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.()]*", argument):
                return argument.partition(":")[0]
    return program or "unknown_service:python"


def has_workers(argv: Sequence[str]) -> bool:
    """Whether a command line as in `sys.orig_argv` may be that of a server's master, or of a worker process."""
    return _program(argv)[0] in _SERVERS or _is_worker(argv)


def _is_worker(argv: Sequence[str]) -> bool:
    return "--multiprocessing-fork" in argv or "multiprocessing.forkserver" in " ".join(argv)


def _program(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    position = 1
    while position < len(argv):
        argument = argv[position]
        if option := re.fullmatch(r"-(?!-)[^cmWX]*([cm])(.*)", argument, re.DOTALL):  # may follow others, as in -um
            following = argv[position + 1 :]
            attached = option[2]
            module = attached or (following[0] if following else "")
            rest = following if attached else following[1:]
            return ("" if option[1] == "c" else module.removesuffix(".__main__")), rest
        if not argument.startswith("-"):
            path = Path(argument)
            stem = path.stem if path.suffix in {".py", ".pyw", ".pyc"} else path.name
            return (path.absolute().parent.name if stem == "__main__" else stem), argv[position + 1 :]
        position += 2 if argument in _OPTIONS_WITH_VALUE else 1
    return "", ()


def service_version(argv: Sequence[str]) -> str | None:
    """Return the version that the `pyproject.toml` beside the script states, if there is one."""
    script = next((argument for argument in argv[1:] if argument.endswith(".py")), None)
    folder = Path(script).absolute().parent if script else Path.cwd()
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    project = re.search(r"^\[(?:project|tool\.poetry)\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    found = re.search(r"^version\s*=\s*[\"']([^\"']+)[\"']", project.group(1), re.MULTILINE) if project else None
    return found.group(1) if found else None


class _Overlay:
    """Attributes that became known after the resource was made. The version counts the changes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.attributes: Mapping[str, str | int] = {}
        self.version = 0
        self.bots: dict[int, str | None] = {}
        self.many = False
        self.at_work = False
        self.began = time.monotonic()

    def set(self, changes: Mapping[str, str | int | None]) -> None:
        merged = {**self.attributes, **changes}
        self.attributes = {key: value for key, value in merged.items() if value is not None}
        self.version += 1


_overlay = _Overlay()


def overlay() -> tuple[Mapping[str, str | int], int]:
    """Return what to add to every resource, and a number that changes with it."""
    return _overlay.attributes, _overlay.version


def lasting_overlay() -> tuple[Mapping[str, str | int], int, bool]:
    """Return what `overlay` does, for resources that should not change, and whether it is for good.

    It says nothing of a bot before one works: a program may make more of them while it starts.
    """
    attributes, version = overlay()
    if _overlay.at_work:
        return attributes, version, bool(_overlay.bots) or _overlay.many
    return {key: value for key, value in attributes.items() if key not in {BOT_ID, BOT_USERNAME}}, -version, False


def at_work() -> None:
    """Note that a bot of this process has begun to work, and so that what there is of bots is known."""
    _overlay.at_work = True


def starting() -> bool:
    """Whether this is a program with aiogram that has just begun, and none of its bots works yet."""
    return not _overlay.at_work and "aiogram" in sys.modules and time.monotonic() - _overlay.began < _LONGEST_START


def many_bots() -> None:
    """Note that this process is made for several bots, whichever comes first."""
    with _overlay.lock:
        _overlay.many = True
        _overlay.set({BOT_ID: None, BOT_USERNAME: None})


def bot_seen(bot_id: int, username: str | None = None) -> None:
    """Note a bot of this process. One bot belongs on the resource; of several, none can stand for the process."""
    with _overlay.lock:
        if bot_id in _overlay.bots and (username is None or _overlay.bots[bot_id] == username):
            return
        _overlay.bots[bot_id] = username
        alone = len(_overlay.bots) == 1 and not _overlay.many
        _overlay.set({BOT_ID: str(bot_id) if alone else None, BOT_USERNAME: username if alone else None})


def after_fork_in_child() -> None:
    """A forked worker is an instance of its own: its counters must not be taken for the parent's."""
    _overlay.lock = threading.Lock()
    _overlay.set({"service.instance.id": str(uuid.uuid4()), "process.pid": os.getpid()})
