"""The store of the dashboard: traces, metrics and logs in SQLite, capped in size and age."""

from __future__ import annotations

from otelbot.dashboard.store.jobs import QUEUE_BYTES
from otelbot.dashboard.store.kinds import (
    Added,
    BusyError,
    Counts,
    Limits,
    Stats,
    StoreError,
    Trouble,
    UnwritableError,
)
from otelbot.dashboard.store.store import Store

__all__ = [
    "QUEUE_BYTES",
    "Added",
    "BusyError",
    "Counts",
    "Limits",
    "Stats",
    "Store",
    "StoreError",
    "Trouble",
    "UnwritableError",
]
