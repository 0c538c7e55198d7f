"""Spans of a trace come in any order, in many requests, twice: its row ends right."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.unit.dashboard.store.filling import add, opened, rows, span, span_id, trace_id, traces

TRACE = """
SELECT name, (end - start) / 1000000, hex(root), handler, outcome, update_type, user_hash, error_type, state, spans,
    errors, (SELECT service FROM resources WHERE id = traces.resource) FROM traces
"""


@pytest.fixture
async def store(tmp_path):
    async with opened(tmp_path) as store:
        yield store


def update(trace):
    """A webhook request, the update in it, its handler and a call that failed."""
    now = time.time_ns()
    request, updating, handler, call = (span_id() for _ in range(4))
    return request, [
        span(trace, request, name="POST", start=now, seconds=1, kind=2),
        span(
            trace,
            updating,
            request,
            name="message on_tea",
            start=now + 10**7,
            seconds=0.9,
            kind=5,
            telegram__update__type="message",
            telegram__update__outcome="error",
            aiogram__handler__name="on_tea",
            user__hash="5f2c",
            aiogram__fsm__state="Tea:kind",
            error__type="TimeoutError",
        ),
        span(trace, handler, updating, name="on_tea", start=now + 2 * 10**7, seconds=0.8),
        span(trace, call, handler, name="sendMessage", start=now + 3 * 10**7, seconds=0.5, kind=3, error=True),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_a_trace_ends_right_whatever_the_order(store, order):
    root, spans = update(trace_id())
    for number in order:
        await add(store, traces(spans[number]))
    ((name, duration, *rest),) = await rows(store, TRACE)
    assert (name, duration) == ("POST", 1000)
    fields = ["on_tea", "error", "message", "5f2c", "TimeoutError", "Tea:kind"]
    assert rest == [root.hex().upper(), *fields, 4, 1, "tea"]


async def test_one_request_says_the_same_as_many(store):
    root, spans = update(trace_id())
    await add(store, traces(*reversed(spans)))
    ((name, duration, found, handler, *_, count, errors, _service),) = await rows(store, TRACE)
    assert (name, duration, found, handler, count, errors) == ("POST", 1000, root.hex().upper(), "on_tea", 4, 1)


async def test_without_its_root_a_trace_is_named_by_its_earliest_span(store):
    _, spans = update(trace_id())
    await add(store, traces(spans[2], service="late"))
    await add(store, traces(spans[1], service="early"))
    ((name, _, root, *_, count, _errors, service),) = await rows(store, TRACE)
    assert (name, root, count, service) == ("message on_tea", "", 2, "early")


async def test_what_is_sent_again_counts_once(store):
    trace = trace_id()
    first, second = span(trace, error=True), span(trace, error=True)
    request = traces(first)
    assert (await add(store, request)).count == 1
    assert (await add(store, request)).count == 1
    await add(store, traces(first, second))
    assert await rows(store, "SELECT spans, errors, (SELECT count(*) FROM spans) FROM traces") == [(2, 2, 2)]


async def test_spans_that_cannot_be_kept_are_rejected_and_the_others_stay(store):
    good = span(trace_id(), name="good")
    bad = [
        span(b""),
        span(bytes(16)),
        span(b"short"),
        span(trace_id(), bytes(8)),
        span(trace_id(), b"\1" * 9),
        span(trace_id(), parent=b"\1" * 7),
    ]
    added = await add(store, traces(*bad, good))
    assert (added.count, added.rejected) == (1, len(bad))
    assert "trace id" in added.reason
    assert await rows(store, "SELECT name FROM spans") == [("good",)]


async def test_a_zero_parent_is_none(store):
    await add(store, traces(span(trace_id(), parent=bytes(8))))
    assert await rows(store, "SELECT parent_id, root IS NULL FROM spans, traces") == [(None, 0)]


@pytest.mark.parametrize("start", [0, 1, 2**64 - 1, 4_000_000_000 * 10**9])
async def test_an_absurd_time_becomes_that_of_the_arrival(store, start):
    before = time.time_ns()
    fields = span(trace_id(), start=start)
    fields["end_time_unix_nano"] = start
    await add(store, traces(fields))
    ((began, ended),) = await rows(store, "SELECT start, end FROM spans")
    assert before <= began == ended <= time.time_ns()


async def test_a_span_that_ends_before_it_starts_takes_no_time(store):
    now = time.time_ns()
    await add(store, traces(span(trace_id(), start=now, seconds=-5)))
    assert await rows(store, "SELECT start, end FROM spans") == [(now, now)]


async def test_links_are_kept_both_ways(store):
    before, after = trace_id(), trace_id()
    linked = span_id()
    fields = span(after) | {"links": [{"trace_id": before, "span_id": linked}, {"trace_id": b"bad", "span_id": linked}]}
    await add(store, traces(fields))
    await add(store, traces(fields))
    assert await rows(store, "SELECT trace_id, linked_trace_id, linked_span_id FROM links") == [(after, before, linked)]


async def test_the_body_is_the_span_as_it_came(store):
    request = traces(span(trace_id(), name="nul\0", tea="<b>\0"))
    await add(store, request)
    ((name, body),) = await rows(store, "SELECT name, body FROM spans")
    assert name == "nul\N{SYMBOL FOR NULL}"
    assert body == request.resource_spans[0].scope_spans[0].spans[0].SerializeToString()
