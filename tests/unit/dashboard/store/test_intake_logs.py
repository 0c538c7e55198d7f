"""Log records become rows: what they say of exceptions and events in columns, the rest as JSON."""

from __future__ import annotations

import json
import time

import pytest

from tests.unit.dashboard.store.filling import add, logs, opened, pairs, rows, span_id, trace_id


@pytest.fixture
async def store(tmp_path):
    async with opened(tmp_path) as store:
        yield store


async def test_an_exception(store):
    trace, span = trace_id(), span_id()
    attributes = {
        "exception.type": "shop.NoTea",
        "exception.message": "no <script>",
        "exception.fingerprint": "9f86d081884c7d65",
        "exception.count": 7,
    }
    request = logs(
        "it failed",
        severity_number=17,
        severity_text="ERROR",
        event_name="exception",
        trace_id=trace,
        span_id=span,
        attributes=pairs(attributes),
    )
    await add(store, request)
    wanted = "severity, severity_text, body, event, trace_id, span_id, error_type, fingerprint, occurrences"
    assert await rows(store, f"SELECT {wanted} FROM logs") == [
        (17, "ERROR", "it failed", "exception", trace, span, "shop.NoTea", "9f86d081884c7d65", 7)
    ]
    ((kept,),) = await rows(store, "SELECT attributes FROM logs")
    assert json.loads(kept) == attributes


async def test_a_record_is_kept_whatever_it_lacks(store):
    request = logs("", trace_id=b"odd", span_id=bytes(8), attributes=pairs({"exception.count": "many"}))
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.ClearField("body")
    record.time_unix_nano = 0
    before = time.time_ns()
    assert (await add(store, request)).rejected == 0
    ((at, body, *others),) = await rows(
        store, "SELECT time, body, event, trace_id, span_id, error_type, fingerprint, occurrences FROM logs"
    )
    assert before <= at <= time.time_ns()
    assert [body, *others] == ["", None, None, None, None, None, 1]


async def test_the_time_of_observation_stands_in(store):
    request = logs("late")
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.observed_time_unix_nano, record.time_unix_nano = record.time_unix_nano, 0
    await add(store, request)
    assert await rows(store, "SELECT time FROM logs") == [(record.observed_time_unix_nano,)]


async def test_a_body_that_is_no_text_is_json(store):
    request = logs("")
    body = request.resource_logs[0].scope_logs[0].log_records[0].body
    body.kvlist_value.values.extend(pairs({"tea": "green", "cups": 2, "warmth": float("nan"), "no\0": True}))
    body.kvlist_value.values.add(key="raw").value.bytes_value = b"\x00\xff"
    body.kvlist_value.values.add(key="list").value.array_value.values.add().double_value = float("-inf")
    body.kvlist_value.values.add(key="nothing")
    await add(store, request)
    ((text,),) = await rows(store, "SELECT body FROM logs")
    assert json.loads(text) == {
        "tea": "green",
        "cups": 2,
        "warmth": "NaN",
        "no\N{SYMBOL FOR NULL}": True,
        "raw": "AP8=",
        "list": ["-Infinity"],
        "nothing": None,
    }


async def test_resources_and_scopes_are_shared(store):
    await add(store, logs("one", "two"))
    await add(store, logs("three"))
    await add(store, logs("four", service="coffee"))
    assert await rows(
        store, "SELECT body, service FROM logs JOIN resources ON resources.id = resource ORDER BY logs.id"
    ) == [
        ("one", "tea"),
        ("two", "tea"),
        ("three", "tea"),
        ("four", "coffee"),
    ]
    assert await rows(store, "SELECT count(*) FROM resources UNION ALL SELECT count(*) FROM scopes") == [(2,), (1,)]
