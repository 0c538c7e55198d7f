"""The thread that writes: all requests that wait go into one transaction, and are answered once it is committed."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.otlp.bodies import MalformedError, decode
from otelbot.dashboard.store import files
from otelbot.dashboard.store.eviction import Eviction
from otelbot.dashboard.store.intake.ids import Ids
from otelbot.dashboard.store.intake.logs import read_logs
from otelbot.dashboard.store.intake.metrics import read_points
from otelbot.dashboard.store.intake.series import SeriesIds
from otelbot.dashboard.store.intake.spans import read_spans
from otelbot.dashboard.store.jobs import Change, Request, resolve
from otelbot.dashboard.store.kinds import Added, Counts, StoreError, UnwritableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from otelbot.dashboard.store.files import Folder
    from otelbot.dashboard.store.jobs import Jobs
    from otelbot.dashboard.store.kinds import Limits
    from otelbot.dashboard.store.troubles import Troubles

_logger = logging.getLogger(__name__)

BUSY_TIMEOUT = 5.0  # s to wait for another program that writes
_LONGEST = 0.5  # s of a transaction, after which no further job is begun
_FORGIVEN = 300.0  # s without a refused series, after which there are not too many any more
_IDLE = 1.0  # s between looks at the caps when nothing comes
SIGNALS = ("traces", "metrics", "logs")
_WRITING = ("locked", "full", "unwritable")  # troubles that are over with the next commit


class Writer(threading.Thread):
    """Owns the connection that writes. Other threads read `generation`, `counts` and `database_bytes`."""

    def __init__(
        self,
        folder: Folder,
        limits: Limits,
        jobs: Jobs,
        troubles: Troubles,
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[], None],
    ) -> None:
        """:param on_commit: called in the loop after each group, before those who wait go on."""
        super().__init__(name="otelbot-store-writer", daemon=True)
        self.generation = 0  # grows when the database is a new file
        self.counts = {signal: Counts() for signal in SIGNALS}
        self.malformed = 0
        self.database_bytes = 0
        self._folder = folder
        self._limits = limits
        self._jobs = jobs
        self._troubles = troubles
        self._loop = loop
        self._on_commit = on_commit
        self._db: sqlite3.Connection | None = None
        self._refused_at = 0.0

    def open(self) -> None:
        """Open the database, before the thread starts.

        :raises StoreError: when that can't be done.
        """
        try:
            try:
                self._connect()
            except sqlite3.DatabaseError as error:
                if not files.is_corrupt(error):
                    raise
                self._begin_anew(error)
        except (sqlite3.Error, OSError) as error:
            _, what, mend = files.what_is_wrong(error, self._folder.database)
            raise StoreError(f"{what}: {mend}, or set OTELBOT_DASHBOARD_FOLDER to another folder") from error

    def run(self) -> None:
        evicting = False
        while (group := self._jobs.take(0.0 if evicting else _IDLE)) is not None:
            while group:
                group = self._turn(group)
            evicting = self._keep_within_caps()
        self._disconnect()

    # Writing

    def _turn(self, group: list[Request | Change]) -> list[Request | Change]:
        """Write as much of a group as fits into a moment, answer for that, and return the rest."""
        outcomes = self._write(group)
        written, rest = group[: len(outcomes)], group[len(outcomes) :]
        self._jobs.done(written)
        resolve(self._loop, outcomes, self._on_commit)
        return rest

    def _write(self, group: list[Request | Change]) -> list[tuple[Request | Change, Any]]:
        """Do a group of jobs in one transaction, or the first of them, and return what each has come to."""
        for attempt in (1, 2):
            try:
                outcomes = self._transaction(group)
            except (sqlite3.Error, OSError) as error:
                if files.is_corrupt(error) and attempt == 1 and self._recovered(error):
                    continue
                told = self._failed(error)
                return [(job, UnwritableError(told)) for job in group]
            except Exception as error:
                _logger.exception("otelbot dashboard: a group of requests could not be stored")
                return [(job, error) for job in group]
            break
        self._troubles.settle(*_WRITING)
        for job, outcome in outcomes:
            self._count(job, outcome)
        return outcomes

    def _transaction(self, group: list[Request | Change]) -> list[tuple[Request | Change, Any]]:
        db = self._connected()
        enough = time.monotonic() + _LONGEST
        outcomes: list[tuple[Request | Change, Any]] = []
        db.execute("BEGIN IMMEDIATE")
        try:
            for job in group:
                db.execute("SAVEPOINT job")
                try:
                    outcomes.append((job, self._do(db, job)))
                except Exception as error:
                    of_database = isinstance(error, sqlite3.OperationalError) and isinstance(job, Request)
                    if of_database or files.is_corrupt(error):
                        raise  # not the job's fault; a row that breaks a rule of its table is
                    self._undo(db)
                    if isinstance(job, Request):
                        if not isinstance(error, MalformedError):
                            _logger.exception("otelbot dashboard: a request with %s could not be stored", job.signal)
                        # Its frames hold the decompressed body, and this list: megabytes that wait for the collector.
                        error.__traceback__ = error.__cause__ = error.__context__ = None
                    outcomes.append((job, error))
                db.execute("RELEASE job")
                if time.monotonic() > enough:
                    break
            db.execute("COMMIT")
        except BaseException:
            self._forget()
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            raise
        return outcomes

    def _do(self, db: sqlite3.Connection, job: Request | Change) -> Any:
        if isinstance(job, Change):
            self._forget()
            return job.change(db)
        message = decode(job.signal, job.body, job.encoding, in_json=job.in_json)
        now = time.time_ns()
        rows: Any
        if job.signal == "traces":
            rows = read_spans(message, self._ids, now)
        elif job.signal == "logs":
            rows = read_logs(message, self._ids, now)
        else:
            rows = read_points(message, self._ids, self._series, now)
        rows.insert(db)
        return Added(rows.count, rows.rejected, rows.reason)

    def _undo(self, db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK TO job")
        self._forget()

    def _count(self, job: Request | Change, outcome: Any) -> None:
        if isinstance(job, Change):
            return
        if isinstance(outcome, Added):
            counts = self.counts[job.signal]
            counts.received += outcome.count + outcome.rejected
            counts.kept += outcome.count
            counts.rejected += outcome.rejected
            if job.signal == "metrics":
                self._eviction.count_points(outcome.count)
                self._tell_of_series()
        elif isinstance(outcome, MalformedError):
            self.malformed += 1

    def _tell_of_series(self) -> None:
        now = time.monotonic()
        if self._series.refused:
            self._series.refused = 0
            self._refused_at = now
            self._troubles.tell(
                "series",
                f"there are more than {self._series.most} series of metrics, and further ones are not kept",
                "look for a metric attribute with too many values, such as a user's or message's id",
            )
        elif now - self._refused_at > _FORGIVEN:
            self._troubles.settle("series")

    def _failed(self, error: BaseException) -> str:
        key, what, mend = files.what_is_wrong(error, self._folder.database)
        self._troubles.tell(key, what, mend)
        return f"{what}: {mend}"

    # Caps

    def _keep_within_caps(self) -> bool:
        """Remove a bit of what is too old or too much; True when there may be more of it."""
        now = time.time()
        try:
            db, eviction = self._connected(), self._eviction
            self.database_bytes = eviction.used()
            if not eviction.due(now):
                return False
            db.execute("BEGIN IMMEDIATE")
            try:
                gone = eviction.step(now)
                db.execute("COMMIT")
            except BaseException:
                self._forget()
                if db.in_transaction:
                    with suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                raise
            self._troubles.settle(*_WRITING)
        except (sqlite3.Error, OSError) as error:
            if not (files.is_corrupt(error) and self._recovered(error)):
                self._failed(error)
            return False
        except Exception:
            _logger.exception("otelbot dashboard: old telemetry could not be removed")
            return False
        if gone is None:
            return False
        for signal, number in gone.items():
            self.counts[signal].evicted += number
        return True

    # The connection

    def _connected(self) -> sqlite3.Connection:
        """Return a connection to the file that has the name of the database now."""
        if self._db is None:
            return self._connect()
        if files.identity(self._folder.database) == self._identity:
            return self._db
        self._troubles.tell(
            "vanished",
            f"{self._folder.database} was removed while the dashboard ran, and a new one is begun",
            "stop the dashboard before you remove its files, or clear them on its page",
        )
        self._disconnect()
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = files.connect(self._folder.database, busy_timeout=BUSY_TIMEOUT)
        self._db = db
        self._ids = Ids(db)
        self._series = SeriesIds(db)
        self._eviction = Eviction(db, self._limits, self._forget)
        self._identity = files.identity(self._folder.database)
        self.generation += 1
        return db

    def _disconnect(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _forget(self) -> None:
        self._ids.forget()
        self._series.forget()

    def _recovered(self, error: BaseException) -> bool:
        try:
            self._begin_anew(error)
        except (sqlite3.Error, OSError) as another:
            self._failed(another)
            return False
        return True

    def _begin_anew(self, error: BaseException) -> None:
        """Keep the database file aside, and begin a new one."""
        self._disconnect()
        aside = self._folder.keep_aside()
        self._troubles.tell(
            "corrupt",
            f"the database file could not be read ({error}); it is kept as {aside}, and a new one is begun",
            "delete it when you don't need it, and look at the disk",
        )
        self._connect()
