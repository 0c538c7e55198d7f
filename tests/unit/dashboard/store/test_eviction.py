"""The caps on age and size: the oldest goes first, whole traces, and a flood pushes only itself out."""

from __future__ import annotations

import asyncio
import time

import pytest

from otelbot.dashboard.store import Limits
from otelbot.dashboard.store.eviction import Eviction
from tests.unit.dashboard.store.filling import (
    HOUR,
    LIMITS,
    MIB,
    add,
    logs,
    metrics,
    opened,
    rows,
    span,
    span_id,
    trace_id,
    traces,
    until,
)

NOW = time.time()


@pytest.fixture
async def store(tmp_path):
    async with opened(tmp_path) as store:
        yield store


class Later:
    """What the writer does by itself, at times of our choosing."""

    def __init__(self, store, limits=LIMITS):
        self._store = store
        self._limits = limits
        self._eviction = None

    async def __call__(self, hours):
        def change(db):
            if self._eviction is None:
                db.execute("DELETE FROM marks")  # those of the real clock
                self._eviction = Eviction(db, self._limits, lambda: None)
            while self._eviction.step(NOW + hours * HOUR) is not None:
                pass

        await self._store.write(change)


async def test_traces_and_logs_go_when_their_arrival_is_too_long_ago(store):
    later = Later(store)
    await add(store, traces(span(trace_id(), name="old"), span(trace_id(), name="old too")))
    await add(store, logs("old"))
    await later(0)
    # An old time and a far one change nothing: the arrival counts.
    await add(store, traces(span(trace_id(), name="new", start=time.time_ns() - 10**15)))
    await add(store, logs("new"))
    await later(1)
    await later(23.9)
    assert await rows(store, "SELECT count(*) FROM spans UNION ALL SELECT count(*) FROM logs") == [(3,), (2,)]
    await later(24.1)
    assert await rows(store, "SELECT name FROM spans") == [("new",)]
    assert await rows(store, "SELECT name FROM traces") == [("new",)]
    assert await rows(store, "SELECT body FROM logs") == [("new",)]
    await later(25.1)
    assert await rows(store, "SELECT count(*) FROM spans UNION ALL SELECT count(*) FROM logs") == [(0,), (0,)]


async def test_points_go_by_their_own_time_and_series_with_the_last_of_them(store):
    for hours in (-2, -1, 0):
        point = {"as_int": hours, "time_unix_nano": int((NOW + hours * HOUR) * 1e9)}
        await add(store, metrics("gauge", point, name="ending" if hours < 0 else "going on"))
    later = Later(store)
    await later(22.5)
    assert await rows(store, "SELECT value FROM points ORDER BY time") == [(-1,), (0,)]
    await later(23.5)
    assert await rows(store, "SELECT name, value FROM points JOIN series ON id = series") == [("going on", 0)]
    assert await rows(store, "SELECT name FROM series") == [("going on",)]


async def test_points_of_more_than_an_hour_ago_are_thinned_to_the_last_of_each_15_seconds(store):
    later = Later(store)
    begin = int(NOW) // 60 * 60
    points = [{"as_int": second, "time_unix_nano": (begin + second) * 10**9} for second in range(0, 120, 2)]
    await add(store, metrics("gauge", *points))
    await later(0)
    assert len(await rows(store, "SELECT value FROM points")) == 60
    await later(1.5)
    assert await rows(store, "SELECT value FROM points ORDER BY time") == [
        (second,) for second in (14, 28, 44, 58, 74, 88, 104, 118)
    ]


async def test_resources_of_which_nothing_is_left_go(store):
    later = Later(store)
    tomorrow = int((NOW + 20 * HOUR) * 1e9)
    await add(store, logs("old", service="gone"))
    await add(store, metrics("gauge", {"as_int": 1, "time_unix_nano": tomorrow}, service="measured"))
    await store.write(lambda db: db.execute("UPDATE resources SET last = last - ?", (HOUR * 10**9,)))
    await later(0)
    await add(store, logs("new", service="there"))
    await later(1)
    assert await rows(store, "SELECT count(*) FROM resources") == [(3,)]
    await later(24.1)
    assert await rows(store, "SELECT service FROM resources ORDER BY 1") == [("measured",), ("there",)]


async def test_a_flood_of_spans_stays_within_the_cap_and_leaves_the_rest(tmp_path):
    limits = Limits(4 * MIB, 24 * HOUR, 24 * HOUR)
    async with opened(tmp_path, limits) as store:
        await add(store, logs(*[f"log {number}" for number in range(100)]))
        await add(store, metrics("gauge", {"as_int": 1}))
        for batch in range(60):
            trace = trace_id()
            spans = [span(trace, name=f"{batch}", text="x" * 400) for _ in range(500)]
            await add(store, traces(*spans))
        await until(lambda: rows(store, "SELECT page_count * 4096 <= 4 << 20 FROM pragma_page_count"))
        assert (tmp_path / "telemetry.sqlite").stat().st_size <= 5 * MIB
        assert await rows(store, "SELECT count(*) FROM logs UNION ALL SELECT count(*) FROM points") == [(100,), (1,)]
        names = [int(name) for (name,) in await rows(store, "SELECT name FROM traces ORDER BY seq")]
        assert 1 < len(names) < 20
        assert names == list(range(60 - len(names), 60))
        assert await rows(store, "SELECT DISTINCT count(*) FROM spans GROUP BY trace_id") == [(500,)]
        stats = store.stats()
        assert (stats.traces.kept, stats.traces.evicted) == (30_000, 500 * (60 - len(names)))
        assert stats.database_bytes <= limits.max_bytes
        assert store.troubles == []


@pytest.mark.parametrize("flood", ["logs", "metrics"])
async def test_a_flood_of_another_signal_pushes_out_its_own_oldest(tmp_path, flood):
    async with opened(tmp_path, Limits(2 * MIB, 24 * HOUR, 24 * HOUR)) as store:
        await add(store, traces(span(trace_id())))
        for batch in range(60):
            if flood == "logs":
                await add(store, logs(*[f"{batch} {'x' * 200}"] * 500))
            else:
                at = [int(NOW * 1e9) + (batch * 500 + number) * 10**6 for number in range(500)]
                bounds = list(range(20))
                points = [
                    {"count": batch, "time_unix_nano": one, "explicit_bounds": bounds, "bucket_counts": [batch] * 21}
                    for one in at
                ]
                await add(store, metrics("histogram", *points, aggregation_temporality=2))
        await until(lambda: rows(store, "SELECT page_count * 4096 <= 2 << 20 FROM pragma_page_count"))
        assert await rows(store, "SELECT count(*) FROM traces") == [(1,)]
        query = {
            "logs": "SELECT min(CAST(body AS INTEGER)), max(CAST(body AS INTEGER)), count(*) FROM logs",
            "metrics": "SELECT min(value), max(value), count(*) FROM points",
        }
        ((oldest, newest, count),) = await rows(store, query[flood])
        assert 0 < oldest < newest == 59
        assert count > 1_000


async def test_a_trace_without_end_loses_its_beginning(tmp_path):
    trace, root = trace_id(), span_id()
    async with opened(tmp_path, Limits(2 * MIB, 24 * HOUR, 24 * HOUR)) as store:
        await add(store, traces(span(trace, root, name="root")))
        for batch in range(30):
            await add(store, traces(*[span(trace, parent=root, name=f"{batch}", text="x" * 200) for _ in range(500)]))
        await until(lambda: rows(store, "SELECT page_count * 4096 <= 2 << 20 FROM pragma_page_count"))
        ((name, counted),) = await rows(store, "SELECT name, spans FROM traces")
        ((newest, there),) = await rows(store, "SELECT max(CAST(name AS INTEGER)), count(*) FROM spans")
        assert (name, newest) == ("root", 29)
        assert 0 < counted == there < 15_000


async def test_a_late_span_of_a_trace_that_went_begins_it_anew(store):
    trace, root = trace_id(), span_id()
    later = Later(store)
    await add(store, traces(span(trace, root, name="root")))
    await later(0)
    await later(24.1)
    assert await rows(store, "SELECT count(*) FROM traces") == [(0,)]
    await add(store, traces(span(trace, parent=root, name="late")))
    assert await rows(store, "SELECT name, root, spans FROM traces") == [("late", None, 1)]


async def test_a_cap_that_was_lowered_holds_after_a_restart(tmp_path):
    async with opened(tmp_path) as store:
        await asyncio.gather(*(add(store, logs(*["x" * 1000] * 500)) for _ in range(20)))
    assert (tmp_path / "telemetry.sqlite").stat().st_size > 8 * MIB
    async with opened(tmp_path, Limits(3 * MIB, 24 * HOUR, 24 * HOUR)) as store:
        await until(lambda: rows(store, "SELECT page_count * 4096 <= 3 << 20 FROM pragma_page_count"))
        assert (await rows(store, "SELECT count(*) FROM logs"))[0][0] > 1_000
    assert (tmp_path / "telemetry.sqlite").stat().st_size <= 3 * MIB
