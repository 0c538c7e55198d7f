"""The store as the event loop sees it: add, read, write; what is new, and what is wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from otelbot.dashboard.store import files, schema
from otelbot.dashboard.store.files import Folder
from otelbot.dashboard.store.jobs import Change, Jobs, Request
from otelbot.dashboard.store.kinds import Stats, StoreError
from otelbot.dashboard.store.readers import Readers
from otelbot.dashboard.store.troubles import Troubles
from otelbot.dashboard.store.writer import SIGNALS, Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otelbot.dashboard.store.kinds import Added, Limits, Trouble

T = TypeVar("T")


class Store:
    """SQLite in a folder of one dashboard: one thread writes, two read. To be started and used in one event loop."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        #: Grow with each commit that brought something of the signal.
        self.versions = dict.fromkeys(SIGNALS, 0)
        self._folder = Folder(folder)
        self.limits = limits
        self._jobs = Jobs()
        self._troubles = Troubles()
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._kept = dict.fromkeys(SIGNALS, 0)

    @property
    def troubles(self) -> list[Trouble]:
        """What is wrong now."""
        return self._troubles.all()

    @property
    def queue_bytes(self) -> int:
        """Bytes of the requests that wait or are being written."""
        return self._jobs.bytes

    def start(self) -> None:
        """Open or make the database, and start the threads; inside a running loop.

        :raises StoreError: one sentence, when the folder can't be used.
        """
        self._folder.take()
        writer = Writer(
            self._folder, self.limits, self._jobs, self._troubles, asyncio.get_running_loop(), self._on_commit
        )
        try:
            writer.open()
        except StoreError:
            self._folder.release()
            raise
        self._writer = writer
        self._readers = Readers(self._folder.database, lambda: writer.generation)
        writer.start()

    def close(self) -> None:
        """Write what waits, and end the threads."""
        if self._writer is not None and self._readers is not None:
            self._readers.close()
            self._jobs.close()
            self._writer.join()
            self._writer = None
        self._folder.release()

    async def add(self, signal: str, body: bytes, encoding: str, *, in_json: bool) -> Added:
        """Keep a request as it came; returns once that is committed.

        :param signal: traces, metrics or logs.
        :param encoding: of the content: gzip, deflate, or nothing.
        :raises otelbot.dashboard.otlp.MalformedError: nothing of it is kept.
        :raises BusyError: too much waits already.
        :raises UnwritableError: the database takes nothing now.
        """
        future: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
        self._jobs.put(Request(signal, body, encoding, in_json, future))
        del body
        try:
            return await future
        finally:
            del future  # with an exception, it and this frame would hold each other

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run `change` in the thread that writes, in a transaction of its own, and return what it returns."""
        job = Change(change, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` in a thread that reads, on a connection that can't write, and return what it returns.

        :raises TimeoutError: when it takes longer than 10 s.
        """
        if self._readers is None:
            raise StoreError("the store is not started")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers.pool, self._readers.run, query)
        except sqlite3.DatabaseError as error:
            if not files.is_corrupt(error):
                raise
        await self.write(check)  # which meets the same fault, and mends it
        return await loop.run_in_executor(self._readers.pool, self._readers.run, query)

    async def clear(self) -> None:
        """Remove all telemetry."""

        def change(db: sqlite3.Connection) -> None:
            for table in schema.NAMES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names

        await self.write(change)
        self._troubles.settle("corrupt", "vanished", "series")
        for signal in SIGNALS:
            self.versions[signal] += 1

    def stats(self) -> Stats:
        """Return what has come since the start, and how large things are."""
        if self._writer is None:
            raise StoreError("the store is not started")
        counts = {signal: replace(count) for signal, count in self._writer.counts.items()}
        return Stats(
            **counts,
            database_bytes=self._writer.database_bytes,
            queue_bytes=self._jobs.bytes,
            unreadable=self._writer.malformed,
        )

    def _on_commit(self) -> None:
        if self._writer is None:
            return
        for signal, counts in self._writer.counts.items():
            if counts.kept != self._kept[signal]:
                self._kept[signal] = counts.kept
                self.versions[signal] += 1


def check(db: sqlite3.Connection) -> Any:
    """Read all of a database; raises what is wrong with it."""
    ((answer,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    if answer != "ok":
        raise sqlite3.DatabaseError("database disk image is malformed")
