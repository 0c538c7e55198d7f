"""Threads that read, each with a connection of its own, and give up a query that takes too long."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from otelbot.dashboard.store import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_THREADS = 2
LONGEST = 10.0  # s
_LOOK_EACH = 10_000  # instructions of SQLite's machine


class Readers:
    def __init__(self, path: Path, generation: Callable[[], int], longest: float = LONGEST) -> None:
        """:param generation: which file is meant: another number, another file of the same name."""
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="otelbot-store-reader")
        self._path = path
        self._generation = generation
        self._longest = longest
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []

    def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query in the thread that calls, which is one of the pool.

        :raises TimeoutError: when it takes too long.
        """
        db = self._connection()
        deadline = time.monotonic() + self._longest
        db.set_progress_handler(lambda: time.monotonic() > deadline, _LOOK_EACH)
        try:
            return query(db)
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise TimeoutError(f"the query took longer than {self._longest:g} s: ask for a shorter time") from error
            raise
        finally:
            db.set_progress_handler(None, 0)
            if db.in_transaction:
                db.rollback()

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        for db in self._open:
            db.close()
        self._open.clear()

    def _connection(self) -> sqlite3.Connection:
        generation = self._generation()
        if getattr(self._local, "generation", None) == generation:
            known: sqlite3.Connection = self._local.db
            return known
        old: sqlite3.Connection | None = getattr(self._local, "db", None)
        db = files.connect_reading(self._path, busy_timeout=self._longest / 2)
        with self._lock:
            self._open.append(db)
            if old is not None:
                self._open.remove(old)
        if old is not None:
            with suppress(sqlite3.Error):
                old.close()
        self._local.db, self._local.generation = db, generation
        return db
