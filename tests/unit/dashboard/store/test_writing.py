"""What the store promises to the event loop: acknowledged is kept, in groups, within bounds."""

from __future__ import annotations

import asyncio
import gc
import gzip
import sqlite3
import threading
import tracemalloc
from contextlib import suppress
from random import Random

import pytest

from otelbot.dashboard.otlp import MalformedError
from otelbot.dashboard.store import BusyError, writer
from otelbot.demo.waiting import PATIENCE
from tests.unit.dashboard.store.filling import add, logs, metrics, opened, rows, span, trace_id, traces, until


@pytest.fixture
async def store(tmp_path):
    async with opened(tmp_path / "not" / "there") as store:
        yield store


class Held:
    """Keeps the writer busy until it is left."""

    def __init__(self, store):
        self._store = store
        self._go = threading.Event()

    async def __aenter__(self):
        begun = threading.Event()

        def wait(_db):
            begun.set()
            self._go.wait(PATIENCE)

        self._task = asyncio.create_task(self._store.write(wait))
        await asyncio.to_thread(begun.wait, PATIENCE)

    async def __aexit__(self, *_):
        self._go.set()
        await self._task


async def settled():
    """Let tasks run until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_waits_is_one_commit(store):
    async with Held(store):
        adding = [asyncio.create_task(add(store, traces(span(trace_id())))) for _ in range(10)]
        adding.append(asyncio.create_task(add(store, logs("tea"))))
        await settled()
        assert store.versions == {"traces": 0, "metrics": 0, "logs": 0}
    added = await asyncio.gather(*adding)
    assert [one.count for one in added] == [1] * 11
    assert store.versions == {"traces": 1, "metrics": 0, "logs": 1}
    assert await rows(store, "SELECT count(*) FROM spans") == [(10,)]


async def test_a_malformed_request_spoils_no_other(store):
    async with Held(store):
        good = [asyncio.create_task(add(store, logs(f"tea {number}"))) for number in range(2)]
        bad = asyncio.create_task(store.add("logs", b"\xff\xff", "", in_json=False))
        good.append(asyncio.create_task(add(store, logs("tea 2"))))
        await settled()
    await asyncio.gather(*good)
    with pytest.raises(MalformedError, match="not logs"):
        await bad
    assert await rows(store, "SELECT body FROM logs") == [("tea 0",), ("tea 1",), ("tea 2",)]
    assert (store.stats().unreadable, store.stats().logs.kept) == (1, 3)


async def test_the_queue_is_bounded(store):
    body = logs("x" * 5_000).SerializeToString()
    store._jobs._most = 20_000
    async with Held(store):
        adding = [asyncio.create_task(store.add("logs", body, "", in_json=False)) for _ in range(10)]
        await settled()
        assert store.queue_bytes <= 20_000
        refused = [task for task in adding if task.done()]
        for task in refused:
            with pytest.raises(BusyError) as raised:
                await task
            assert raised.value.retry_after > 0
    taken = [task for task in adding if task not in refused]
    assert len(taken) == 3
    await asyncio.gather(*taken)
    assert store.queue_bytes == 0
    assert await rows(store, "SELECT count(*) FROM logs") == [(3,)]


async def test_one_request_larger_than_the_bound_is_taken_when_nothing_waits(store):
    store._jobs._most = 100
    assert (await add(store, logs("x" * 5_000))).count == 1


async def test_closing_writes_what_waits(tmp_path):
    async with opened(tmp_path) as store:
        adding = [asyncio.create_task(add(store, logs("tea"))) for _ in range(5)]
        await settled()
    assert [one.count for one in await asyncio.gather(*adding)] == [1] * 5
    async with opened(tmp_path) as store:
        assert await rows(store, "SELECT count(*) FROM logs") == [(5,)]


async def test_a_sender_that_does_not_wait_for_its_answer_hurts_nobody(store):
    async with Held(store):
        adding = asyncio.create_task(add(store, logs("tea")))
        await settled()
        adding.cancel()
    await add(store, logs("more"))
    assert await rows(store, "SELECT count(*) FROM logs") == [(2,)]


async def test_a_change_that_fails_changes_nothing(store):
    await add(store, logs("tea"))

    def change(db):
        db.execute("DELETE FROM logs")
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="my mind"):
        await store.write(change)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await store.write(lambda db: db.execute("DELETE FROM coffee"))
    assert await store.write(lambda db: db.execute("SELECT count(*) FROM logs").fetchone()[0]) == 1
    assert store.troubles == []


async def test_reading_sees_what_is_committed_and_can_write_nothing(store):
    await add(store, logs("tea"))
    assert await store.read(lambda db: db.execute("SELECT body FROM logs").fetchone()["body"]) == "tea"
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store.read(lambda db: db.execute("DELETE FROM logs"))
    assert await rows(store, "SELECT count(*) FROM logs") == [(1,)]


async def test_a_query_without_end_is_ended(store):
    store._readers._longest = 0.1
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(TimeoutError, match="shorter time"):
        await store.read(lambda db: db.execute(endless).fetchone())
    assert await rows(store, "SELECT 1") == [(1,)]


async def test_clearing_removes_everything_and_makes_the_file_small(store):
    await asyncio.gather(*(add(store, logs(*["x" * 1000] * 1000)) for _ in range(10)))
    await add(store, traces(span(trace_id())))
    await add(store, metrics("gauge", {"as_int": 1}))
    before = dict(store.versions)
    await store.clear()
    for table in ("spans", "traces", "logs", "series", "points", "resources"):
        assert await rows(store, f"SELECT count(*) FROM {table}") == [(0,)]
    assert all(store.versions[signal] > before[signal] for signal in before)
    await add(store, metrics("gauge", {"as_int": 1}))  # of a series and a resource that were remembered
    assert await rows(store, "SELECT count(*) FROM points JOIN series ON series.id = series JOIN resources") == [(1,)]
    await until(lambda: rows(store, "SELECT page_count < 2000 FROM pragma_page_count"))


async def test_a_transaction_does_not_last(store, monkeypatch):
    monkeypatch.setattr(writer, "_LONGEST", 0)
    statements = []
    await store.write(lambda db: db.set_trace_callback(statements.append))
    async with Held(store):
        statements.clear()
        adding = [asyncio.create_task(add(store, logs("tea"))) for _ in range(5)]
        await settled()
    await asyncio.gather(*adding)
    assert statements.count("COMMIT") >= 5
    assert store.queue_bytes == 0


async def test_what_was_refused_is_not_kept_in_memory(store):
    """Not even until the garbage collector comes."""
    body = gzip.compress(bytes(10 * 2**20))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(5):
            with pytest.raises(MalformedError):
                await store.add("traces", body, "gzip", in_json=False)
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert now < 10 * 2**20


async def test_noise_is_kept_or_refused_and_nothing_breaks(store, caplog):
    point = {"count": 2, "sum": 1.5, "scale": 3, "positive": {"offset": 1, "bucket_counts": [1, 1]}}
    histogram = {"count": 2, "sum": 1.5, "explicit_bounds": [1], "bucket_counts": [1, 1]}
    good = {
        "traces": [traces(span(trace_id(), kind=5, user__hash="a")), traces(span(trace_id(), parent=b"\1" * 8))],
        "metrics": [
            metrics("exponential_histogram", point, aggregation_temporality=1),
            metrics("histogram", histogram, aggregation_temporality=1),
            metrics("sum", {"as_int": 1, "attributes": {"a": "b"}}, aggregation_temporality=2),
        ],
        "logs": [logs("tea", trace_id=trace_id(), severity_number=9, event_name="x")],
    }
    random = Random(8)
    for signal, requests in good.items():
        for request in requests:
            whole = request.SerializeToString()
            for _ in range(150):
                noise = bytearray(whole)
                for _ in range(random.randint(1, 3)):
                    noise[random.randrange(len(noise))] ^= 1 << random.randrange(8)
                with suppress(MalformedError):
                    await store.add(signal, bytes(noise), "", in_json=False)
    assert [record.getMessage() for record in caplog.records] == []
    assert store.troubles == []
    assert store.stats().traces.kept > 0
    assert store.stats().unreadable > 0
