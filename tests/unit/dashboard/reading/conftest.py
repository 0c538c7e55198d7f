"""A store that is fed as a bot feeds it: by OTLP requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otelbot.dashboard.store import Limits, Store
from tests.unit.dashboard.reading.telemetry import Fed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def fed(tmp_path: Path) -> AsyncIterator[Fed]:
    store = Store(tmp_path / "store", Limits(max_bytes=100 * 2**20, max_age=7 * 24 * 3600, metrics_age=24 * 3600))
    store.start()
    try:
        yield Fed(store)
    finally:
        store.close()
