"""What the evaluator and the notifier remember, in memory and in `alerts.sqlite`, where a restart finds it again.

Memory is the truth while the process lives: a disk that is full keeps nobody from being told. What could not be written
is written as soon as it can be.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from otelbot.alerts.history import read_history
from otelbot.alerts.transitions import Active, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from otelbot.alerts.transitions import Change

FILE = "alerts.sqlite"
_AGE = 30 * 86_400  #: seconds that history is kept
_MOST = 10_000  #: entries of history, and statements that wait for a disk

_SCHEMA = """
CREATE TABLE IF NOT EXISTS active(
    uid TEXT, key TEXT, state TEXT, since REAL, value REAL, calm REAL, event INTEGER, PRIMARY KEY(uid, key));
CREATE TABLE IF NOT EXISTS told(
    uid TEXT, key TEXT, target TEXT, at REAL, open INTEGER, event INTEGER, since REAL, value REAL,
    resolved INTEGER, ended REAL, tried REAL, PRIMARY KEY(uid, key, target));
CREATE TABLE IF NOT EXISTS silences(uid TEXT, key TEXT, until REAL, PRIMARY KEY(uid, key));
CREATE TABLE IF NOT EXISTS history(
    id INTEGER PRIMARY KEY, time REAL, uid TEXT, change TEXT, key TEXT, since REAL, value REAL);
CREATE INDEX IF NOT EXISTS history_time ON history(time);
CREATE TABLE IF NOT EXISTS notifications(
    event INTEGER, target TEXT, status TEXT, detail TEXT, at REAL, times INTEGER, PRIMARY KEY(event, target));
"""
EVERY_LABEL = ""  #: instead of labels: a silence of the whole rule


class Alert(NamedTuple):
    """What identifies an alert: its rule and its labels as `key_of` writes them."""

    uid: str
    key: str

    @property
    def labels(self) -> dict[str, str]:
        return dict(json.loads(self.key))


@dataclass(frozen=True)
class Told:
    """What the receivers of one target know of one alert."""

    at: float  #: when they were last told that it fires
    open: bool  #: whether to their knowledge it does
    event: int  #: of the history: that it fires
    since: float  #: when it began
    value: float  #: when it was last seen beyond its limit
    resolved: int = 0  #: of the history: that it has resolved, which they are to be told
    ended: float = 0  #: when it resolved
    tried: float = 0  #: since when it is tried to tell that


class State:
    """A file that is broken is put aside, and one that can't be used is tried again at each `flush`."""

    def __init__(self, folder: Path, now: float) -> None:
        self.active: dict[str, dict[str, Active]] = {}
        self.told: dict[tuple[Alert, str], Told] = {}
        self.silences: dict[Alert, float] = {}
        self.problem = ""  #: a sentence while something is wrong with the file
        self.put_aside = ""  #: a sentence about a broken file that was found
        self.version = 0
        self._path = folder / FILE
        self._last = 0
        self._waiting: list[tuple[str, tuple[Any, ...]]] = []
        self._writing = asyncio.Lock()
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        try:
            self._db = self._open_or_put_aside(now)
            self._load(self._db)
        except (OSError, sqlite3.Error) as error:
            self._say(error)
            # Whatever it holds of a life before is not known to this one.
            self._write("DELETE FROM active")
            self._write("DELETE FROM told")
        self.tidy(now)

    def _open_or_put_aside(self, now: float) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError:  # locked, or no room
            raise
        except sqlite3.DatabaseError:
            aside = f"{FILE}.corrupt-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
            for suffix in ("", "-wal", "-shm"):
                broken = self._path.with_name(FILE + suffix)
                if broken.exists():
                    broken.rename(self._path.with_name(aside + suffix))
            self.put_aside = f"{FILE} was broken and is kept as {aside}; silences and history begin anew"
            return self._open()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
            [sound] = db.execute("PRAGMA quick_check(1)").fetchone()
        except BaseException:
            db.close()
            raise
        if sound != "ok":
            db.close()
            raise sqlite3.DatabaseError("malformed")
        return db

    def _say(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else str(error)
        self.problem = (
            f"{self._path} can't be used ({why}): make room, or let this user write there; until then a restart forgets"
            " which alerts were told and silenced"
        )

    def _load(self, db: sqlite3.Connection) -> None:
        for uid, key, state, since, value, calm, event in db.execute("SELECT * FROM active"):
            active = Active(dict(json.loads(key)), state, since, _restored(value), calm, event)
            self.active.setdefault(uid, {})[key] = active
        for uid, key, target, at, is_open, event, since, value, *resolution in db.execute("SELECT * FROM told"):
            told = Told(at, bool(is_open), event, since, _restored(value), *resolution)
            self.told[Alert(uid, key), target] = told
        for uid, key, until in db.execute("SELECT * FROM silences"):
            self.silences[Alert(uid, key)] = until
        [self._last] = db.execute("SELECT coalesce(max(id), 0) FROM history").fetchone()
        # Whoever was sending then is gone: it may have arrived, so it is not sent again.
        self._write(
            "UPDATE notifications SET status = 'unknown', detail = 'otelbot ended while it was sent'"
            " WHERE status = 'sending'"
        )

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()

    # Changes. Each is in memory at once and in the file after `flush`.

    def enter(self, at: float, alert: Alert, change: str, since: float, value: float | None) -> int:
        """Add to the history and return the entry's number."""
        # Numbers grow also where the file, and the last number, could not be read.
        self._last = max(self._last + 1, int(at * 1000))
        row = (self._last, at, alert.uid, change, alert.key, since, _storable(value))
        self._write("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
        return self._last

    def set_active(self, uid: str, now: Mapping[str, Active], changes: Iterable[Change], at: float) -> None:
        """Keep what an evaluation found, and enter its changes into the history."""
        before, after = self.active.get(uid, {}), dict(now)
        for change in changes:
            alert, active = Alert(uid, change.key), change.active
            event = self.enter(at, alert, change.state, active.since, active.value)
            if change.state == "firing":
                after[change.key] = replace(after[change.key], event=event)
            for (of, target), told in list(self.told.items()) if change.state != "pending" else ():
                if of == alert and told.open:
                    ended = (event, at) if change.state == "resolved" else (0, 0.0)
                    self.set_told(of, target, replace(told, resolved=ended[0], ended=ended[1], tried=0.0))
            if change.state == "resolved":
                self._write(
                    "UPDATE notifications SET status = 'failed', detail = 'it resolved before this could be sent'"
                    " WHERE event = ? AND status = 'waiting'",
                    active.event,
                )
        self.active[uid] = after
        for key in before.keys() - after.keys():
            self._write("DELETE FROM active WHERE uid = ? AND key = ?", uid, key)
        for key, active in after.items():
            was = before.get(key)
            # The value alone, which changes all the time, is not worth a write.
            if was is None or replace(was, value=0.0) != replace(active, value=0.0):
                row = (active.state, active.since, _storable(active.value), active.calm, active.event)
                self._write("INSERT OR REPLACE INTO active VALUES (?, ?, ?, ?, ?, ?, ?)", uid, key, *row)
        if before != after:
            self.version += 1

    def set_told(self, alert: Alert, target: str, told: Told | None) -> None:
        if told is None:
            self.told.pop((alert, target), None)
            self._write("DELETE FROM told WHERE uid = ? AND key = ? AND target = ?", *alert, target)
            return
        self.told[alert, target] = told
        begun = (told.at, told.open, told.event, told.since, _storable(told.value))
        row = (*alert, target, *begun, told.resolved, told.ended, told.tried)
        self._write("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def note(self, event: int, target: str, status: str, detail: str, at: float) -> None:
        """Say in the history how telling a target of an event goes: its last attempt, and how often it was told."""
        self._write(
            "INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT(event, target) DO UPDATE SET"
            " status = excluded.status, detail = excluded.detail, at = excluded.at, times = times + excluded.times",
            *(event, target, status, detail, at, int(status == "sent")),
        )
        self.version += 1

    def silence(self, uid: str, labels: Mapping[str, str] | None, until: float, at: float) -> None:
        """Hold back messages about a rule, or about one set of its labels."""
        alert = Alert(uid, EVERY_LABEL if labels is None else key_of(labels))
        self.silences[alert] = until
        self._write("INSERT OR REPLACE INTO silences VALUES (?, ?, ?)", *alert, until)
        self.enter(at, Alert(uid, alert.key or "[]"), "silenced", at, None)
        self.version += 1

    def unsilence(self, uid: str, labels: Mapping[str, str] | None) -> None:
        alert = Alert(uid, EVERY_LABEL if labels is None else key_of(labels))
        self.silences.pop(alert, None)
        self._write("DELETE FROM silences WHERE uid = ? AND key = ?", *alert)
        self.version += 1

    def silenced_until(self, alert: Alert, at: float) -> float:
        """Return until when, 0 if not at all."""
        until = max(self.silences.get(alert, 0.0), self.silences.get(Alert(alert.uid, EVERY_LABEL), 0.0))
        return until if until > at else 0.0

    async def flush(self) -> None:
        """Write what has changed; what can't be written stays for the next time, and `problem` says why."""
        async with self._writing:
            if not self._waiting:
                return
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._commit, batch)
            except (OSError, sqlite3.Error) as error:
                self._waiting = (batch + self._waiting)[-_MOST:]
                self._say(error)
            else:
                self.problem = ""

    def _write(self, statement: str, *values: Any) -> None:
        self._waiting.append((statement, values))

    def _commit(self, batch: list[tuple[str, tuple[Any, ...]]]) -> None:
        with self._lock:
            db = self._db = self._db or self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in batch:
                    db.execute(statement, values)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def tidy(self, now: float) -> None:
        """Drop what is too old or too much of the history, and silences that have ended; for once an hour."""
        self._write("DELETE FROM history WHERE time < ?", now - _AGE)
        self._write("DELETE FROM history WHERE id <= (SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?)", _MOST)
        self._write("DELETE FROM notifications WHERE event NOT IN (SELECT id FROM history)")
        self._write("DELETE FROM silences WHERE until < ?", now)
        self.silences = {alert: until for alert, until in self.silences.items() if until >= now}

    def history(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest entries first, as `read_history` does; nothing where the file can't be read."""
        try:
            return read_history(self._path, limit)
        except sqlite3.Error:
            return []


def _storable(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _restored(value: float | None) -> float:
    return math.nan if value is None else value
