"""The numbers of series, remembered and bounded, and what delta points have added up to."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.otlp.values import attributes
from otelbot.dashboard.store.intake.ids import as_json, digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from otelbot.dashboard.store.intake.metrics import Stream

MOST_SERIES = 20_000
_MOST_COUNT = 2**64 - 1  # of a bucket, as it is stored


class Total:
    """What the delta points of a series have added up to."""

    __slots__ = ("buckets", "sum", "time", "value")

    def __init__(self, time: int, value: float, total: float | None, buckets: Sequence[int]) -> None:
        self.time = time
        self.value = value
        self.sum = total
        self.buckets = list(buckets)

    def add(self, time: int, value: float, total: float | None, buckets: Sequence[int]) -> bool:
        """Add a point; a late one counts at the newest time. False: it is the newest, sent again."""
        if time == self.time:
            return False
        self.time = max(time, self.time)
        self.value += value
        if total is not None:
            self.sum = (self.sum or 0.0) + total
        if len(self.buckets) == len(buckets):
            self.buckets = [one + other for one, other in zip(self.buckets, buckets, strict=True)]
        else:
            self.buckets = list(buckets)
        if math.isnan(self.value) or max(self.buckets, default=0) > _MOST_COUNT:  # infinities, or nonsense: begin anew
            self.value, self.sum, self.buckets = value, total, list(buckets)
        return True


class SeriesIds:
    """Of one connection. After a rollback `forget()`, because what was remembered is not there."""

    def __init__(self, db: sqlite3.Connection, most: int = MOST_SERIES) -> None:
        self.most = most
        self.refused = 0  # points, until somebody has told it
        self._db = db
        self.forget()

    def forget(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._totals: dict[int, Total] = {}
        self._count: int | None = None

    def number(
        self, stream: Stream, resource: int, pairs: Iterable[Any], bounds: tuple[float, ...] | None
    ) -> int | None:
        """Return the number of a series, a new one if need be; None when there are too many."""
        key = (stream, resource, bounds, tuple(sorted(pair.SerializeToString() for pair in pairs)))
        if (known := self._numbers.get(key)) is not None:
            return known
        values = as_json(attributes(pairs), sort_keys=True)
        limits = None if bounds is None else as_json(bounds)
        identity = (stream.name, stream.kind, str(stream.monotonic), stream.unit, str(resource), values, limits or "")
        identifier = digest(*identity)
        row = self._db.execute("SELECT id FROM series WHERE digest = ?", (identifier,)).fetchone()
        if row is not None:
            number = int(row[0])
        else:
            if self._count is None:
                ((self._count,),) = self._db.execute("SELECT count(*) FROM series").fetchall()
            if self._count >= self.most:
                self.refused += 1
                return None
            inserted = self._db.execute(
                "INSERT INTO series VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    identifier,
                    stream.name,
                    stream.kind,
                    stream.monotonic,
                    stream.unit,
                    stream.description,
                    resource,
                    values,
                    limits,
                ),
            )
            self._count += 1
            number = int(inserted.lastrowid or 0)
        if len(self._numbers) >= 2 * self.most:  # the same attributes in another order
            self._numbers.clear()
        self._numbers[key] = number
        return number

    def total(self, number: int) -> Total:
        """Return what a series of delta points has added up to so far."""
        known = self._totals.get(number)
        if known is None:
            row = self._db.execute(
                "SELECT time, value, sum, buckets FROM points WHERE series = ? ORDER BY time DESC LIMIT 1", (number,)
            ).fetchone()
            known = self._totals[number] = Total(0, 0.0, None, ()) if row is None else _total(*row)
        return known


def _total(time: int, value: float, total: float | None, buckets: bytes | None) -> Total:
    return Total(time, value, total, struct.unpack(f"<{len(buckets) // 8}Q", buckets) if buckets else ())
