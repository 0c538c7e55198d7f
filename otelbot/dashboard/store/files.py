"""The folder and the database file: locked for one dashboard, opened, and kept aside when it is corrupt."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from otelbot.dashboard.store import schema
from otelbot.dashboard.store.kinds import StoreError

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = "telemetry.sqlite"
LOCK = "telemetry.lock"
_FOLDER_ELSEWHERE = "set OTELBOT_DASHBOARD_FOLDER to another folder"
_WAL_KEPT = 16 * 2**20  # bytes that the file of the log keeps between checkpoints
_CHECKPOINT = 4096  # pages of 4 KiB


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Folder:
    """The folder of a dashboard, held by a lock that ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / DATABASE
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder if need be, and lock it.

        :raises StoreError: when it can't be written or another dashboard has it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{self.path} can't be written ({error.strerror}): mend that, or {_FOLDER_ELSEWHERE}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with suppress(OSError):
                process = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise StoreError(
                f"another dashboard (process {process or 'unknown'}) uses {self.path}: stop that one, "
                f"or {_FOLDER_ELSEWHERE}"
            ) from error
        with suppress(OSError):  # a full disk: the number only helps a person
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def keep_aside(self) -> Path:
        """Rename the database, and what belongs to it, and return its new path."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        number = 0
        while True:
            aside = self.path / f"{DATABASE}.corrupt-{stamp}{f'-{number}' if number else ''}"
            if not aside.exists():
                break
            number += 1
        for ending in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                (self.path / (DATABASE + ending)).rename(f"{aside}{ending}")
        return aside


def connect(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Open a database to write, with its tables.

    :param busy_timeout: seconds to wait for another process that writes.
    :raises sqlite3.Error: see `what_is_wrong`; with `OTHER_VERSION` where the tables are not ours.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # what is committed outlives the process; of a power cut not the last
        db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        db.execute("PRAGMA cache_size = -24576")
        db.execute("PRAGMA temp_store = MEMORY")
        with closing(db.execute("PRAGMA user_version")) as found:
            ((version,),) = found.fetchall()
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {schema.TABLES} PRAGMA user_version = {schema.VERSION}; COMMIT;")
        elif version != schema.VERSION or not _has_tables(db):
            raise sqlite3.DatabaseError(OTHER_VERSION)  # noqa: TRY301 - to close it
    except BaseException:
        db.close()
        raise
    return db


def _has_tables(db: sqlite3.Connection) -> bool:
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return there >= set(schema.NAMES)


def connect_reading(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Open a database to read only; rows by name."""
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA cache_size = -8192")
    db.execute("PRAGMA query_only = 1")
    return db


OTHER_VERSION = "of another version"


def is_corrupt(error: BaseException) -> bool:
    """Tell whether the database file is what is wrong (`sqlite_errorcode` came with Python 3.11)."""
    what = str(error)
    return isinstance(error, sqlite3.DatabaseError) and (
        what.startswith(("database disk image is malformed", "file is not a database", "malformed database schema"))
        or what == OTHER_VERSION
    )


def what_is_wrong(error: BaseException, path: Path) -> tuple[str, str, str]:
    """Return a key, what is wrong and what mends it, for an error of writing."""
    what = str(error)
    if "locked" in what or "busy" in what:
        return "locked", f"another program has locked {path}", "close the program that has the file open"
    if "full" in what:
        return "full", f"there is no space for {path}", "free space on its disk"
    return "unwritable", f"{path} can't be written ({what})", "look at its folder's owner, rights and disk"
