"""Which changes become events, and what the metric says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from otelbot import settings
from otelbot.health import report
from otelbot.health.checks import Check
from otelbot.health.monitor import Result
from otelbot.health.texts import said


def result(status: str, error: str | None = None) -> Result:
    return Result(Check("database", lambda: None), status, error, 0.1, 0.0, 0.0)  # type: ignore[arg-type]


@pytest.fixture
def emitted(monkeypatch) -> list:
    records: list = []
    monkeypatch.setattr(settings, "current", lambda: settings.Settings.from_environ({}))
    monkeypatch.setattr(report, "get_logger", lambda *_: SimpleNamespace(emit=records.append))
    return records


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        (None, result("healthy"), None),
        (None, result("unhealthy", "away"), ("WARN", "unknown", "database is unhealthy: away")),
        (result("healthy"), result("degraded", "full"), ("WARN", "healthy", "database is degraded: full")),
        (result("unhealthy"), result("degraded", "full"), ("INFO", "unhealthy", "database is degraded: full")),
        (result("unhealthy"), result("healthy"), ("INFO", "unhealthy", "database is healthy")),
        (result("unhealthy", "a"), result("unhealthy", "b"), None),
    ],
)
def test_changes_are_events(emitted, before, after, sent):
    report.changed(before, after)
    if sent is None:
        assert not emitted
        return
    severity, previous, body = sent
    (record,) = emitted
    assert (record.event_name, record.severity_text, record.body) == ("system.event", severity, body)
    assert record.attributes == {
        "health.check": "database",
        "health.status": after.status,
        "health.previous": previous,
    }


@pytest.mark.parametrize("variable", [{"OTELBOT_EVENTS": "updates"}, {"OTELBOT_EVENTS_LEVEL": "warning"}])
def test_what_nobody_wants_is_not_sent(emitted, monkeypatch, variable):
    monkeypatch.setattr(settings, "current", lambda: settings.Settings.from_environ(variable))
    report.changed(result("unhealthy"), result("healthy"))
    assert not emitted


def test_the_metric_says_what_was_found_last_and_nothing_in_a_child(monkeypatch):
    monkeypatch.setattr(report, "_results", [lambda: {"a": result("degraded"), "b": result("healthy")}])
    values = {observation.attributes["check"]: observation.value for observation in report._observe(None)}
    assert values == {"a": 0.5, "b": 1.0}
    report.forget()
    assert not report._observe(None)


@pytest.mark.parametrize(
    "text",
    [
        "host=db user=shop password=S3cretPw99",
        "Authorization: Bearer S3cretPw99",
        "api_key=S3cretPw99&x=1",
        "postgresql://shop:S3cretPw99@db/shop",
    ],
)
def test_what_is_named_as_a_secret_is_not_told(text):
    assert "S3cret" not in said(text)
