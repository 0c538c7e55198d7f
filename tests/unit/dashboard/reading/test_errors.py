"""Errors, each fault once."""

from __future__ import annotations

import pytest

from otelbot.dashboard.store import errors
from tests.unit.dashboard.reading.telemetry import NOW, SECOND, log, span, trace_id, update

TRACE = """Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/aiogram/dispatcher.py", line 7, in feed
    await call()
  File "/srv/shop/handlers/orders.py", line 12, in pay
    charge(card)
  File "/srv/venv/lib/python3.11/site-packages/bank/client.py", line 3, in charge
    raise ValueError("no money")
ValueError: no money
"""


def exception(fingerprint: str | None = "f1", count: int | None = 1, *, message: str = "no money", **more):
    attributes = {"exception.type": "ValueError", "exception.message": message, "exception.stacktrace": TRACE}
    if fingerprint:
        attributes["exception.fingerprint"] = fingerprint
    if count:
        attributes["exception.count"] = count
    return log(f"ValueError: {message}", severity=17, event="exception" if count else "", attributes=attributes, **more)


async def groups(fed, **asked) -> list[dict]:
    return (await fed.ask(errors.groups, **asked))["errors"]


async def test_a_fault_is_told_once_with_how_often_it_came(fed):
    await fed.send("logs", exception(trace=1, at=-100), exception("f2", trace=3, at=-50))
    await fed.send(
        "logs", exception(count=41, trace=2, at=-20, message="no money at all"), resource={"service.name": "b"}
    )
    first, second = await groups(fed)
    assert first.pop("first") == pytest.approx((NOW - 100 * SECOND) / 1e6)
    assert first.pop("last") == pytest.approx((NOW - 20 * SECOND) / 1e6)
    assert first.pop("log_id")
    assert first == {
        "fingerprint": "f1",
        "type": "ValueError",
        "message": "no money at all",
        "count": 42,
        "services": ["b", "shop"],
        "where": "handlers/orders.py:12 in pay",
        "trace_ids": [trace_id(2), trace_id(1)],
    }
    assert (second["fingerprint"], second["count"]) == ("f2", 1)


async def test_what_was_logged_and_went_on_is_counted_once(fed):
    """The record of the logger has no count; the event, which is told once a minute, has that of both."""
    await fed.send("logs", exception(count=None, trace=1), exception(count=1, trace=1), exception(count=None, trace=2))
    (fault,) = await groups(fed)
    assert fault["count"] == 2


async def test_since_and_service_are_kept_to(fed):
    await fed.send("logs", exception("old", at=-5000), exception("new"))
    await fed.send("logs", exception("other"), resource={"service.name": "other"})
    await fed.send("traces", update(1, start=-5000, error="x", attributes={"error.type": "KeyError"}))
    recent = {"since_ns": NOW - 1000 * SECOND}
    assert {fault["fingerprint"] for fault in await groups(fed, **recent)} == {"new", "other"}
    assert [fault["fingerprint"] for fault in await groups(fed, **recent, service="shop")] == ["new"]
    assert len(await groups(fed)) == 4
    assert len(await groups(fed, limit=2)) == 2


async def test_errors_that_only_spans_tell_of_are_told_by_type_and_place(fed):
    refused = {"error.type": "TelegramBadRequest"}
    for trace in (1, 2):
        await fed.send(
            "traces",
            update(trace, error="TelegramBadRequest", attributes=refused),
            span(
                trace,
                trace * 100 + 1,
                "sendMessage",
                parent=trace * 100,
                start=-9,
                error="chat not found",
                attributes=refused,
            ),
        )
    await fed.send(
        "traces", span(3, 300, "job", error="", attributes={"error.type": "KeyError", "code.function.name": "tidy"})
    )
    await fed.send("traces", span(4, 400, "no type", error="whatever"))
    told = {(fault["type"], fault["where"]): fault for fault in await groups(fed)}
    assert told.keys() == {("TelegramBadRequest", "sendMessage"), ("KeyError", "tidy")}
    calls = told["TelegramBadRequest", "sendMessage"]
    assert (calls["count"], calls["message"], calls["fingerprint"], calls["log_id"]) == (
        2,
        "chat not found",
        None,
        None,
    )
    assert calls["trace_ids"] == [trace_id(2), trace_id(1)]


async def test_an_error_that_the_log_tells_of_is_not_told_again_by_spans(fed):
    event = ("exception", {"exception.type": "ValueError", "exception.message": "x", "exception.stacktrace": TRACE})
    await fed.send("traces", *(update(trace, error="ValueError", events=[event]) for trace in (1, 2)))
    await fed.send("logs", exception(trace=1, count=1), exception(count=1))
    (fault,) = await groups(fed)
    assert fault["count"] == 2
    assert set(fault["trace_ids"]) == {trace_id(1), trace_id(2)}


async def test_exceptions_of_programs_without_fingerprints_are_grouped_as_well(fed):
    await fed.send("logs", exception(None, None, trace=1), exception(None, None, trace=2), exception(None, None))
    await fed.send("traces", update(1, error="ValueError", attributes={"error.type": "ValueError"}))
    (fault,) = await groups(fed)
    assert (fault["type"], fault["count"], fault["where"]) == ("ValueError", 3, "handlers/orders.py:12 in pay")
    assert fault["fingerprint"] is None
    assert fault["log_id"]
    assert set(fault["trace_ids"]) == {trace_id(1), trace_id(2)}


async def test_strange_values_do_no_harm(fed):
    strange = {"exception.type": ["a"], "exception.message": 5, "exception.stacktrace": {"x": 1}}
    await fed.send(
        "logs", log("odd", attributes={**strange, "exception.fingerprint": 12}), log("odd", attributes=strange)
    )
    await fed.send(
        "traces", span(1, 1, "odd", error="", attributes={"error.type": [1]}, events=[("exception", strange)])
    )
    assert len(await groups(fed)) >= 2
