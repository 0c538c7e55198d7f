"""Reads alerts.sqlite, also while a dashboard writes it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def read_history(file: Path, limit: int) -> list[dict[str, Any]]:
    """Return entries with `id`, `time`, `uid`, `change`, `labels`, `since`, `value` and `notified`; times in s.

    :raises sqlite3.Error: where the file can't be read.
    """
    with _opened(file) as db:
        entries: dict[int, dict[str, Any]] = {}
        for number, at, uid, change, key, since, value in db.execute(
            "SELECT id, time, uid, change, key, since, value FROM history ORDER BY id DESC LIMIT ?", (limit,)
        ):
            labels = dict(json.loads(key))
            entries[number] = {"id": number, "time": at, "uid": uid, "change": change, "labels": labels}
            entries[number] |= {"since": since, "value": value, "notified": []}
        if entries:
            rows = db.execute("SELECT * FROM notifications WHERE event BETWEEN ? AND ?", (min(entries), max(entries)))
            for event, target, status, detail, at, times in rows:
                said = {"channel": target, "status": status, "detail": detail, "at": at, "times": times}
                entries[event]["notified"].append(said)
    return list(entries.values())


def read_active(file: Path) -> list[dict[str, Any]]:
    """Return what is pending or firing: `uid`, `labels`, `state`, `since` (s).

    :raises sqlite3.Error: where the file can't be read.
    """
    with _opened(file) as db:
        rows = db.execute("SELECT uid, key, state, since FROM active ORDER BY since").fetchall()
    names = ("uid", "labels", "state", "since")
    return [dict(zip(names, (uid, dict(json.loads(key)), *rest), strict=True)) for uid, key, *rest in rows]


def _opened(file: Path) -> AbstractContextManager[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=1))
