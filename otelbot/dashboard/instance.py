"""One dashboard for one folder: its lock, where it is found while it runs, and the token that it asks for."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK, _RUNNING, _TOKEN = "running.lock", "running.json", "token"
_ANOTHER = "give another folder by --folder or OTELBOT_DASHBOARD_FOLDER"


class ServeError(Exception):
    """The dashboard can't run; the text is one sentence for the user."""


class FolderInUseError(ServeError):
    """Another dashboard has the folder; `running` says where it is, None while it starts or ends."""

    def __init__(self, message: str, running: Running | None) -> None:
        super().__init__(message)
        self.running = running


@dataclass(frozen=True)
class Running:
    """Where a dashboard is found on its machine. Holds secrets."""

    pid: int
    page: str  # a URL, with the token where it is asked for
    otlp: str  # a URL
    otlp_token: str | None  # what telemetry has to come with


def prepare(folder: Path) -> None:
    """Make the folder, for this user only.

    :raises ServeError: when there can be no such folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServeError(f"{folder} can't be made ({error.strerror}); {_ANOTHER}") from None


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Hold a lock, and say whether it could be had; the operating system gives it up when the process ends.

    :raises ServeError: when there can be no such file.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServeError(f"{file} can't be written ({error.strerror}); {_ANOTHER}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder and hold it.

    :raises FolderInUseError: when another dashboard does.
    :raises ServeError: when it can't be used.
    """
    prepare(folder)
    with locked(folder / _LOCK) as mine:
        if not mine:
            other = _running(folder)
            who = f"the dashboard at {other.page.partition('?')[0]} (process {other.pid})" if other else "another one"
            raise FolderInUseError(f"{folder} is in use by {who}; stop that, or {_ANOTHER}", other)
        forget(folder)  # of one that was killed
        try:
            yield
        finally:
            forget(folder)


def announce(folder: Path, running: Running) -> None:
    """Let others find the dashboard that holds the folder."""
    new = folder / f"{_RUNNING}.new"
    with suppress(FileNotFoundError):
        new.unlink()
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(running), file)
    new.replace(folder / _RUNNING)


def forget(folder: Path) -> None:
    """Let nobody find it any more."""
    with suppress(OSError):
        (folder / _RUNNING).unlink()


def _running(folder: Path) -> Running | None:
    try:
        return Running(**json.loads((folder / _RUNNING).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def token(folder: Path) -> str:
    """Return the folder's token, made up the first time; only this user may read it.

    :raises ServeError: when it can be neither read nor written.
    """
    file = folder / _TOKEN
    mend = "remove it, or set OTELBOT_DASHBOARD_TOKEN"
    try:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as new:
                new.write(secrets.token_urlsafe(24))
        file.chmod(0o600)
        found = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ServeError(f"{file} can't be used ({type(error).__name__}); {mend}") from None
    if len(found) < 16:
        raise ServeError(f"{file} holds no token; {mend}")
    return found
