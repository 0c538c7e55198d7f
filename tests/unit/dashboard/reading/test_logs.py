"""Search of log records, and following them."""

from __future__ import annotations

import pytest

from otelbot.dashboard.store import logs
from otelbot.dashboard.store.logs import Logs
from tests.unit.dashboard.reading.telemetry import NOW, SECOND, log, span_id, trace_id


async def found(fed, **wanted) -> list[str]:
    return [record["body"] for record in (await fed.ask(logs.search, Logs(**wanted)))["logs"]]


async def test_a_record_is_shown_with_all_that_it_says(fed):
    attributes = {"exception.type": "ValueError", "exception.fingerprint": "f1", "exception.count": 3, "n": [1, None]}
    await fed.send(
        "logs", log("it broke", trace=4, severity=17, severity_text="ERROR", event="exception", attributes=attributes)
    )
    answer = await fed.ask(logs.search, Logs())
    (record,) = answer["logs"]
    assert record.pop("time") == pytest.approx((NOW - 10 * SECOND) / 1e6)
    assert record == {
        "id": answer["last"],
        "severity": 17,
        "severity_text": "ERROR",
        "body": "it broke",
        "event": "exception",
        "trace_id": trace_id(4),
        "span_id": span_id(400),
        "service": "shop",
        "scope": "otelbot",
        "error_type": "ValueError",
        "fingerprint": "f1",
        "occurrences": 3,
        "attributes": attributes,
    }


async def test_each_filter_keeps_what_it_asks_for(fed):
    await fed.send("logs", log("old", at=-5000), log("Debug detail", severity=5), log("Warned", severity=13, trace=1))
    await fed.send("logs", log("started", event="telegram.bot.startup", attributes={"name": "نان‌وایی"}))
    await fed.send("logs", log("other", attributes={"exception.fingerprint": "f1"}), resource={"service.name": "other"})
    assert await found(fed) == ["other", "started", "Warned", "Debug detail", "old"]
    assert await found(fed, since_ns=NOW - 1000 * SECOND) == ["other", "started", "Warned", "Debug detail"]
    assert await found(fed, until_ns=NOW - 1000 * SECOND) == ["old"]
    assert await found(fed, severity_min=9) == ["other", "started", "Warned", "old"]
    assert await found(fed, text="dEBUG") == ["Debug detail"]
    assert await found(fed, text="نان") == ["started"]
    assert await found(fed, text="bot.STARTUP") == ["started"]
    assert await found(fed, text="%") == []
    assert await found(fed, service="shop", severity_min=13) == ["Warned"]
    assert await found(fed, trace_id=trace_id(1)) == ["Warned"]
    assert await found(fed, trace_id="no id") == []
    assert await found(fed, event="telegram.bot.startup") == ["started"]
    assert await found(fed, fingerprint="f1") == ["other"]
    assert await found(fed, severity_min=10**30) == []


async def test_pages_go_back_and_following_goes_on(fed):
    await fed.send("logs", *(log(str(number)) for number in range(5)))
    first = await fed.ask(logs.search, Logs(limit=2))
    assert [record["body"] for record in first["logs"]] == ["4", "3"]
    assert await found(fed, limit=2, before=first["next"]) == ["2", "1"]
    assert (await fed.ask(logs.search, Logs(after=first["last"])))["logs"] == []
    await fed.send("logs", *(log(str(number)) for number in range(5, 8)))
    news = await fed.ask(logs.search, Logs(after=first["last"], limit=2))
    assert [record["body"] for record in news["logs"]] == ["7", "6"]
    rest = await fed.ask(logs.search, Logs(after=first["last"], before=news["next"], limit=2))
    assert [record["body"] for record in rest["logs"]] == ["5"]
    assert rest["next"] is None
    assert await found(fed, after=news["last"]) == []


async def test_following_goes_on_past_what_is_filtered_out(fed):
    await fed.send("logs", log("quiet"))
    answer = await fed.ask(logs.search, Logs(severity_min=17))
    assert answer["logs"] == []
    assert answer["last"] > 0


async def test_a_body_that_is_no_text_is_json(fed):
    await fed.send("logs", log({"key": ["a", 1]}), log(None))
    assert await found(fed) == ["", '{"key":["a",1]}']
