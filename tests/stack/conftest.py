"""The real Collector and Prometheus; their logs are shown with a test that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otelbot.demo.otlp import OtlpReceiver
from tests.stack.services import Collector, Prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    """A running Collector; what it takes is in `collector.spans`, `.metrics` and `.logs`."""
    async with Collector(tmp_path / "collector") as server:
        yield server


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    async with Prometheus(tmp_path / "prometheus") as server:
        yield server


@pytest.fixture
async def collector_for_prometheus(tmp_path: Path, prometheus: Prometheus) -> AsyncIterator[Collector]:
    """A running Collector that passes metrics on to Prometheus as well."""
    async with Collector(tmp_path / "collector", prometheus.url) as server:
        yield server


class Remote(OtlpReceiver):
    """Somebody else's OTLP endpoint, for remote.yaml."""

    @property
    def environ(self) -> dict[str, str]:
        return {"REMOTE_OTLP_ENDPOINT": self.url, "REMOTE_OTLP_AUTHORIZATION": "Basic c2VjcmV0"}


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with Remote() as receiver:
        yield receiver
