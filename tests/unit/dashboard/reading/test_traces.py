"""Search of traces, and what is shown of one."""

from __future__ import annotations

import math

import pytest

from otelbot.dashboard.store import traces
from otelbot.dashboard.store.traces import Search
from tests.unit.dashboard.reading.telemetry import NOW, SECOND, SHOP, log, span, span_id, trace_id, update


async def found(fed, **wanted) -> list[int]:
    answer = await fed.ask(traces.search, Search(**wanted))
    return [int(trace["trace_id"], 16) for trace in answer["traces"]]


async def test_a_trace_is_told_by_its_update(fed):
    attributes = {"user.hash": "abc", "aiogram.fsm.state": "Order:size", "error.type": "ValueError"}
    await fed.send("traces", update(1, "pay", outcome="error", attributes=attributes, error="boom", seconds=2))
    (trace,) = (await fed.ask(traces.search, Search()))["traces"]
    assert trace["start"] == pytest.approx((NOW - 10 * SECOND) / 1e6)
    assert {name: trace[name] for name in trace if name not in {"start", "seq"}} == {
        "trace_id": trace_id(1),
        "duration_ms": 2000,
        "name": "message pay",
        "service": "shop",
        "bot": "shop_bot",
        "handler": "pay",
        "outcome": "error",
        "update_type": "message",
        "user_hash": "abc",
        "error_type": "ValueError",
        "state": "Order:size",
        "spans": 1,
        "errors": 1,
        "complete": True,
    }


async def test_each_filter_keeps_what_it_asks_for(fed):
    await fed.send("traces", update(1, "start", start=-3000, attributes={"user.hash": "ann"}))
    await fed.send("traces", update(2, "pay", start=-200, seconds=3, outcome="error", error="x"))
    await fed.send("traces", update(3, "pay", start=-100, seconds=1), resource={"service.name": "other"})
    assert await found(fed) == [3, 2, 1]
    assert await found(fed, handler="pay") == [3, 2]
    assert await found(fed, outcome="error") == [2]
    assert await found(fed, service="shop") == [2, 1]
    assert await found(fed, user="ann") == [1]
    assert await found(fed, errors=True) == [2]
    assert await found(fed, min_ms=900) == [3, 2]
    assert await found(fed, min_ms=900, max_ms=1000.0) == [3]
    assert await found(fed, since_ns=NOW - 1000 * SECOND) == [3, 2]
    assert await found(fed, until_ns=NOW - 150 * SECOND) == [2, 1]
    assert await found(fed, handler="pay", service="shop", errors=True, text="pay") == [2]
    assert await found(fed, handler="' OR 1=1 --") == []


async def test_pages_follow_each_other_without_gap_or_overlap(fed):
    await fed.send("traces", *(update(number) for number in range(1, 8)))
    seen, before = [], None
    while True:
        answer = await fed.ask(traces.search, Search(limit=3, before=before))
        seen.append([int(trace["trace_id"], 16) for trace in answer["traces"]])
        before = answer["next"]
        if before is None:
            break
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]


@pytest.mark.parametrize(
    "text",
    [
        "CHARGE card",  # a span's name, whatever the case
        "سفارش",  # an attribute's value
        "Straße",  # a letter whose case is none of ASCII's
        "ПРИВЕТ",
        "retrying",  # an event's name
        "deadlock found",  # an attribute of an event
        'said "no"',  # a log's body
        "o'neill",  # a log's attribute
        "back\\slash",
        "100%_sure",
        "429",  # a whole number
        "-7",
        trace_id(2),
        span_id(201),
    ],
)
@pytest.mark.parametrize("recent", [0, 2000], ids=["old", "recent"])
async def test_text_is_found_wherever_it_is(fed, monkeypatch, text, recent):
    monkeypatch.setattr(traces, "_RECENT", recent)
    await fed.send("traces", update(1))
    await fed.send(
        "traces",
        update(2, attributes={"note": "یک سفارش تازه", "city": "STRAßE", "word": "привет", "status": 429, "less": -7}),
        span(2, 201, "Charge Card", parent=200, events=[("Retrying", {"reason": "Deadlock Found"})]),
    )
    await fed.send("traces", update(3))
    await fed.send(
        "logs",
        log('They said "No"', trace=2, attributes={"name": "O'Neill", "path": "back\\slash", "odds": "100%_sure"}),
        log("nothing of this kind", trace=1),
    )
    assert await found(fed, text=text) == [2]


async def test_text_is_found_page_by_page_in_the_time_that_was_asked_for(fed, monkeypatch):
    monkeypatch.setattr(traces, "_RECENT", 3)
    here, there = {"note": "needle"}, {"note": "hay"}
    for number in range(1, 21):
        attributes = here if number % 2 else there
        await fed.send("traces", span(number, number, "child", parent=number * 100, start=-100 + number))
        await fed.send("traces", update(number, attributes=attributes, start=-100 + number))
    await fed.send("logs", log("a needle", trace=8, at=-92))
    asked = {"text": "needle", "since_ns": NOW - 95 * SECOND, "until_ns": NOW - 82 * SECOND}
    assert await found(fed, **asked) == [17, 15, 13, 11, 9, 8, 7, 5]
    first = await fed.ask(traces.search, Search(**asked, limit=3))
    assert [int(trace["trace_id"], 16) for trace in first["traces"]] == [17, 15, 13]
    second = await fed.ask(traces.search, Search(**asked, limit=3, before=first["next"]))
    assert [int(trace["trace_id"], 16) for trace in second["traces"]] == [11, 9, 8]
    last = await fed.ask(traces.search, Search(**asked, limit=3, before=second["next"]))
    assert [int(trace["trace_id"], 16) for trace in last["traces"]] == [7, 5]
    assert last["next"] is None


async def test_short_text_is_not_found_in_times_and_ids(fed):
    await fed.send("traces", *(span(number, number + 2**40, "job") for number in range(1, 129)), update(200, "zip"))
    for text in ("z", "~", "q", "Zi"):
        assert await found(fed, text=text) == ([200] if text.lower() in "zip" else [])


@pytest.mark.parametrize("text", ["%", "_", "cha%card", "1=1", "' OR 1=1 --", "\0", "\udce2", "42", "x" * 10_000])
async def test_text_is_no_pattern_and_no_sql(fed, text):
    await fed.send("traces", update(2), span(2, 201, "charge card", parent=200))
    assert await found(fed, text=text) == []


async def test_numbers_that_are_too_great_find_nothing_and_break_nothing(fed):
    await fed.send("traces", update(1))
    assert await found(fed, since_ns=10**30) == []
    assert await found(fed, before=-(10**30)) == []
    assert await found(fed, min_ms=1e300) == []
    assert await found(fed, max_ms=-math.inf) == []
    assert await found(fed, min_ms=math.nan, until_ns=10**30, limit=10**30) == [1]
    assert await found(fed, handler="\udce2") == []


async def test_spans_are_shown_with_all_that_they_say(fed):
    odd = {
        "bytes": b"\x00\xff",
        "list": ["a", 1, [True, None]],
        "map": {"deep": {"er": 1.5}},
        "nan": math.nan,
        "infinite": -math.inf,
        "great": 2**60,
        "nothing": None,
        "html": "<script>alert(1)</script>",
        "persian": "سلام",
    }
    await fed.send(
        "traces",
        update(1, attributes=odd, events=[("exception", {"exception.type": "ValueError", "times": [1, 2]})]),
        span(1, 7, "sendMessage", parent=100, kind=3, start=-9.5, seconds=0.25, error="Bad Request", links=[(9, 9)]),
    )
    trace = await fed.ask(traces.get, trace_id(1))
    root, call = trace["spans"]
    assert root["parent_id"] is None
    assert {name: root["attributes"][name] for name in odd} == {
        "bytes": "AP8=",
        "list": ["a", 1, [True, None]],
        "map": {"deep": {"er": 1.5}},
        "nan": "NaN",
        "infinite": "-Infinity",
        "great": str(2**60),
        "nothing": None,
        "html": "<script>alert(1)</script>",
        "persian": "سلام",
    }
    assert root["resource"] == SHOP
    assert (root["kind"], root["status"], root["scope"], root["service"]) == ("CONSUMER", "UNSET", "otelbot", "shop")
    (event,) = root["events"]
    assert event["name"] == "exception"
    assert event["attributes"] == {"exception.type": "ValueError", "times": [1, 2]}
    assert event["time"] == root["start"]
    assert call["start"] - root["start"] == pytest.approx(500)
    del call["start"], call["resource"]
    assert call == {
        "span_id": span_id(7),
        "parent_id": span_id(100),
        "name": "sendMessage",
        "kind": "CLIENT",
        "duration_ms": 250,
        "status": "ERROR",
        "status_message": "Bad Request",
        "service": "shop",
        "scope": "otelbot",
        "attributes": {},
        "events": [],
        "links": [{"trace_id": trace_id(9), "span_id": span_id(9), "attributes": {}}],
    }


async def test_logs_of_a_trace_are_shown_by_time(fed):
    await fed.send("traces", update(1), update(2))
    await fed.send(
        "logs", log("second", trace=1, at=-8), log("first", trace=1, at=-9), log("other", trace=2), log("none")
    )
    trace = await fed.ask(traces.get, trace_id(1))
    assert [record["body"] for record in trace["logs"]] == ["first", "second"]
    assert {record["trace_id"] for record in trace["logs"]} == {trace_id(1)}


async def test_a_trace_without_its_root_is_shown_and_found(fed):
    await fed.send("traces", span(5, 7, "sendMessage", parent=500))
    trace = await fed.ask(traces.get, trace_id(5))
    assert not trace["trace"]["complete"]
    assert [each["name"] for each in trace["spans"]] == ["sendMessage"]
    assert await found(fed) == [5]
    await fed.send("traces", update(5, "start"))
    trace = await fed.ask(traces.get, trace_id(5))
    assert trace["trace"]["complete"]
    assert trace["trace"]["name"] == "message start"


async def test_updates_of_a_conversation_lead_to_each_other(fed):
    await fed.send("traces", span(9, 900, "POST /webhook", kind=2), update(1))
    await fed.send("traces", update(2, links=[(9, 900), (1, 100)]))
    await fed.send("traces", update(3, links=[(2, 200)]))
    ways = {number: await fed.ask(traces.get, trace_id(number)) for number in (1, 2, 3)}
    assert {number: (trace["previous"], trace["next"]) for number, trace in ways.items()} == {
        1: (None, trace_id(2)),
        2: (trace_id(1), trace_id(3)),
        3: (trace_id(2), None),
    }


async def test_a_link_to_what_is_not_there_leads_nowhere(fed):
    await fed.send("traces", update(2, links=[(1, 100), (2, 7)]))
    trace = await fed.ask(traces.get, trace_id(2))
    assert trace["previous"] is None
    assert trace["next"] is None


@pytest.mark.parametrize("ident", ["", "12", "nonsense", trace_id(77), "0" * 33, "../" * 8, "\udce2"])
async def test_what_is_no_trace_is_none(fed, ident):
    await fed.send("traces", update(1))
    assert await fed.ask(traces.get, ident) is None


async def test_facets_are_what_there_is_to_choose_from(fed):
    await fed.send("traces", update(1, "start", start=-4000, outcome="unhandled"))
    await fed.send("traces", update(2, "pay"), update(3, "pay", outcome="error"), span(4, 400, "job"))
    await fed.send("traces", update(5, "admin"), resource={"service.name": "other"})
    facets = {"services": ["other", "shop"], "handlers": ["admin", "pay"], "outcomes": ["error", "handled"]}
    assert await fed.ask(traces.facets, NOW - 1000 * SECOND) == facets
    assert (await fed.ask(traces.facets))["handlers"] == ["admin", "pay", "start"]


async def test_nothing_is_found_in_an_empty_store(fed):
    assert await fed.ask(traces.search, Search(text="x", since_ns=5)) == {"traces": [], "next": None}
    assert await fed.ask(traces.facets) == {"services": [], "handlers": [], "outcomes": []}
