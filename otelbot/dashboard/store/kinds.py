"""What the store is told and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    max_bytes: int  # of the database file
    max_age: float  # s, of traces and logs since they came
    metrics_age: float  # s, of data points by their own time


@dataclass(frozen=True)
class Added:
    count: int
    rejected: int = 0  # spans, data points or log records that can't be kept
    reason: str = ""  # why not, of the first one


@dataclass(frozen=True)
class Trouble:
    at: float  # s since the epoch
    what: str
    mend: str  # what a person can do


@dataclass
class Counts:
    received: int = 0
    kept: int = 0
    rejected: int = 0
    evicted: int = 0


@dataclass(frozen=True)
class Stats:
    traces: Counts  # in spans
    metrics: Counts  # in data points
    logs: Counts  # in records
    database_bytes: int
    queue_bytes: int
    unreadable: int = field(default=0)  # requests that were malformed


class StoreError(Exception):
    """The store can't start; one sentence says why and what mends it."""


class BusyError(Exception):
    """More came than can be written now; try again after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"more telemetry came than can be written; try again in {retry_after:g} s")
        self.retry_after = retry_after


class UnwritableError(Exception):
    """The database takes nothing now: disk full, locked, not writable."""
