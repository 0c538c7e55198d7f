"""The checks of one test are none of the next one's."""

from __future__ import annotations

import pytest

from otelbot.health import checks


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> dict[str, checks.Check]:
    fresh: dict[str, checks.Check] = {}
    monkeypatch.setattr(checks, "_registered", fresh)
    return fresh
