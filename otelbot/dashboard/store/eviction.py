"""What goes when the caps are reached: the oldest, whole traces, in small steps.

By age what came longer ago than the cap, by our own clock; data points by their time. By size the oldest of the signal
that takes the most space, so that a flood of one signal pushes only itself out. Data points of more than an hour ago
are thinned to one in 15 s, which is as often as a bot sends them by default.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from otelbot.dashboard.store.kinds import Limits

_ROWS = 2_000  # that one step removes
_FULL = 0.95  # of the cap, at which eviction begins; it ends `_SLACK` below
_SLACK = 0.02
_MARK_EACH = 60.0  # s
_MEASURE_EACH = 300.0  # s
_NS = 10**9
#: Bytes of a row besides its texts and blobs, with its share of indexes and of its trace.
_SPAN, _LOG, _POINT = 220, 130, 30
_GIVEN_BACK = 1_000  # pages that one step gives back to the disk
_CHUNK = 500  # series whose old points go in one step
_FINE = 3_600_000  # ms for which every data point is kept
_SLOT = 15_000  # ms; of older ones the last in each


class Eviction:
    def __init__(self, db: sqlite3.Connection, limits: Limits, on_unused: Callable[[], None]) -> None:
        """:param on_unused: called when series or resources were removed, whose numbers may be remembered."""
        self._on_unused = on_unused
        self._db = db
        self._limits = limits
        self._marked = self._measured = self._aged = 0.0
        self._shrinking = False
        self._each: dict[str, int] = {}  # bytes of a row
        self._points = 0
        self._old_series: list[int] = []
        self._cutoff = 0
        self._to_thin = (0, 0)  # ms

    def used(self) -> int:
        """Return the bytes of the database file that hold something."""
        pages, free, size = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def step(self, now: float) -> dict[str, int] | None:
        """Remove the next bit, inside a transaction of its own.

        :return: how many of which signal went, or None when there is nothing more to do now.
        """
        if now - self._marked >= _MARK_EACH or now < self._marked:
            self._mark(now)
        if (gone := self._by_age(now)) is not None:
            return gone
        used, limit = self.used(), self._limits.max_bytes * _FULL
        if used > limit:
            self._shrinking = True
        elif used <= limit - self._limits.max_bytes * _SLACK:
            self._shrinking = False
        if self._shrinking:
            return self._by_size()
        return self._give_back()

    def count_points(self, number: int) -> None:
        """Tell of points that came."""
        self._points += number

    def due(self, now: float) -> bool:
        """Tell, cheaply, whether `step` may have something to do."""
        return (
            bool(self._old_series)
            or self._shrinking
            or not 0 <= now - self._marked < _MARK_EACH
            or self.used() > self._limits.max_bytes * _FULL
            or self._too_much_is_free()
        )

    def _too_much_is_free(self) -> bool:
        free, pages = self._pragma("freelist_count"), self._pragma("page_count")
        too_large = pages * self._pragma("page_size") > self._limits.max_bytes
        return free > (0 if too_large else max(_GIVEN_BACK, pages // 2))

    def _give_back(self) -> dict[str, int] | None:
        """Let the file become smaller, after a clearing or a cap that was lowered."""
        if not self._too_much_is_free():
            return None
        self._db.execute(f"PRAGMA incremental_vacuum({_GIVEN_BACK})").fetchall()  # a row for each page
        return {}

    # By age

    def _mark(self, now: float) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO marks SELECT ?, (SELECT coalesce(max(seq), 0) FROM traces),"
            " (SELECT coalesce(max(id), 0) FROM logs)",
            (int(now * _NS),),
        )
        self._marked = now
        self._cutoff = int((now - self._limits.metrics_age) * 1000)
        until = (int(now * 1000) - _FINE) // _SLOT * _SLOT
        since = self._to_thin[1]
        self._to_thin = (since if 0 <= until - since < _FINE else until - _FINE, until)
        self._old_series = [number for (number,) in self._db.execute("SELECT id FROM series")]

    def _by_age(self, now: float) -> dict[str, int] | None:
        row = self._db.execute(
            "SELECT seq, log FROM marks WHERE time <= ? ORDER BY time DESC LIMIT 1",
            (int((now - self._limits.max_age) * _NS),),
        ).fetchone()
        if row is not None:
            if gone := self._traces(row[0]):
                return {"traces": gone}
            if gone := self._logs(row[1]):
                return {"logs": gone}
        if self._old_series:
            return {"metrics": self._old_points()}
        return None

    def _old_points(self) -> int:
        """Remove the points before the cut-off of some series; those that have no points are then removed, too.

        :return: how many went; not those that were thinned.
        """
        chunk, self._old_series = self._old_series[:_CHUNK], self._old_series[_CHUNK:]
        gone = self._db.executemany(
            "DELETE FROM points WHERE series = ? AND time < ?", [(number, self._cutoff) for number in chunk]
        ).rowcount
        thinned = self._db.executemany(
            "DELETE FROM points WHERE series = ? AND time >= ? AND time < ? AND EXISTS (SELECT 1 FROM points AS later"
            " WHERE later.series = points.series AND later.time > points.time"
            " AND later.time < (points.time / ? + 1) * ?)",
            [(number, *self._to_thin, _SLOT, _SLOT) for number in chunk],
        ).rowcount
        self._points -= gone + thinned
        if not self._old_series:
            self._forget_unused()
        return gone

    def _forget_unused(self) -> None:
        """Remove marks that are passed, and series and resources of which nothing is left."""
        db = self._db
        unused = db.execute(
            "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM points WHERE series = series.id)"
        ).rowcount
        ((passed,),) = db.execute(
            "SELECT max(time) FROM marks WHERE seq < (SELECT coalesce(min(seq), 9e18) FROM traces)"
            " AND log < (SELECT coalesce(min(id), 9e18) FROM logs)"
        ).fetchall()
        if passed is not None:  # whatever is left came after this
            db.execute("DELETE FROM marks WHERE time < ?", (passed,))
            unused += db.execute(
                "DELETE FROM resources WHERE last < ? AND id NOT IN (SELECT resource FROM series)",
                (passed - 5 * 60 * _NS,),
            ).rowcount
        if unused:
            self._on_unused()

    # By size

    def _by_size(self) -> dict[str, int] | None:
        if not 0 <= time.monotonic() - self._measured < _MEASURE_EACH:
            self._measure()
        sizes = {
            "traces": self._number("max(id) - min(id) + 1 FROM spans") * self._each["traces"],
            "logs": self._number("max(id) - min(id) + 1 FROM logs") * self._each["logs"],
            "metrics": self._points * self._each["metrics"],
        }
        for signal in sorted(sizes, key=lambda one: -sizes[one]):
            if gone := self._oldest(signal):
                return {signal: gone}
        self._shrinking = False
        return None

    def _measure(self) -> None:
        """Estimate, from samples, how much space a row takes; count the points, which takes a while."""
        self._measured = time.monotonic()
        of_spans = "avg(length(body) + length(name)) FROM (SELECT body, name FROM spans ORDER BY id DESC LIMIT 200)"
        of_logs = (
            "avg(length(body) + length(attributes)) FROM (SELECT body, attributes FROM logs ORDER BY id DESC LIMIT 200)"
        )
        of_points = "avg(coalesce(length(buckets), 0)) FROM (SELECT buckets FROM points LIMIT 2000)"
        self._each = {
            "traces": _SPAN + self._number(of_spans),
            "logs": _LOG + self._number(of_logs),
            "metrics": _POINT + self._number(of_points),
        }
        self._points = self._number("count(*) FROM points")

    def _oldest(self, signal: str) -> int:
        if signal == "traces":
            return self._traces(None)
        if signal == "logs":
            return self._logs(None)
        gone = self._oldest_points()
        self._points -= gone
        return gone

    def _traces(self, newest: int | None) -> int:
        """Remove some of the oldest traces, up to the number `newest`, and return how many spans went."""
        traces: list[tuple[int, bytes]] = []
        spans = 0
        for seq, trace_id, count in self._db.execute(
            "SELECT seq, trace_id, spans FROM traces WHERE seq <= ? ORDER BY seq LIMIT ?",
            (2**63 - 1 if newest is None else newest, _ROWS),
        ):
            if traces and spans + count > _ROWS:
                break
            traces.append((seq, trace_id))
            spans += count
        if spans > 2 * _ROWS:  # one trace without end
            return self._part(*traces[0])
        gone = self._db.executemany("DELETE FROM spans WHERE trace_id = ?", [(each,) for _, each in traces]).rowcount
        self._db.executemany("DELETE FROM links WHERE trace_id = ?", [(each,) for _, each in traces])
        self._db.executemany("DELETE FROM traces WHERE seq = ?", [(seq,) for seq, _ in traces])
        return max(gone, len(traces))

    def _part(self, seq: int, trace_id: bytes) -> int:
        """Remove the oldest spans of a trace."""
        gone = self._db.execute(
            "DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE trace_id = ? ORDER BY id LIMIT ?)",
            (trace_id, _ROWS),
        ).rowcount
        self._db.execute("UPDATE traces SET spans = max(spans - ?, 0) WHERE seq = ?", (gone, seq))
        return gone

    def _logs(self, newest: int | None) -> int:
        return self._db.execute(
            "DELETE FROM logs WHERE id IN (SELECT id FROM logs WHERE id <= ? ORDER BY id LIMIT ?)",
            (2**63 - 1 if newest is None else newest, _ROWS),
        ).rowcount

    def _oldest_points(self) -> int:
        """Remove the oldest fiftieth of the time that the points cover."""
        row = self._db.execute(
            "SELECT min((SELECT min(time) FROM points WHERE series = series.id)),"
            " max((SELECT max(time) FROM points WHERE series = series.id)) FROM series"
        ).fetchone()
        if row[0] is None:
            return 0
        until = row[0] + (row[1] - row[0]) // 50
        series = self._db.execute("SELECT id FROM series").fetchall()
        return self._db.executemany(
            "DELETE FROM points WHERE series = ? AND time <= ?", [(number, until) for (number,) in series]
        ).rowcount

    def _number(self, what: str) -> int:
        ((number,),) = self._db.execute(f"SELECT {what}").fetchall()
        return int(number or 0)

    def _pragma(self, name: str) -> int:
        ((number,),) = self._db.execute(f"PRAGMA {name}").fetchall()
        return int(number)
