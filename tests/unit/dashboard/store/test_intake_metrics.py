"""Data points become cumulative series with explicit buckets, whatever they were."""

from __future__ import annotations

import json
import math
import struct
import time
from bisect import bisect_left

import pytest

from otelbot.dashboard.store import writer
from tests.unit.dashboard.store.filling import add, metrics, opened, rows

CUMULATIVE, DELTA = 2, 1
NOW = time.time_ns()


def at(seconds):
    return NOW + int(seconds * 10**9)


def unpacked(buckets):
    return list(struct.unpack(f"<{len(buckets) // 8}Q", buckets))


@pytest.fixture
async def store(tmp_path):
    async with opened(tmp_path) as store:
        yield store


async def values(store):
    return [value for (value,) in await rows(store, "SELECT value FROM points ORDER BY series, time")]


async def test_gauges_and_sums(store):
    await add(store, metrics("gauge", {"as_double": 61.5}, {"as_int": 3, "attributes": {"pot": "2"}}, name="warmth"))
    await add(store, metrics("sum", {"as_int": 4}, aggregation_temporality=CUMULATIVE, is_monotonic=True, unit="{cup}"))
    await add(store, metrics("sum", {"as_int": -4}, aggregation_temporality=CUMULATIVE, name="active"))
    query = "SELECT name, kind, monotonic, unit, attributes, value FROM series JOIN points ON series = id ORDER BY id"
    assert await rows(store, query) == [
        ("warmth", "gauge", 0, "", "{}", 61.5),
        ("warmth", "gauge", 0, "", '{"pot":"2"}', 3),
        ("cups", "sum", 1, "{cup}", "{}", 4),
        ("active", "sum", 0, "", "{}", -4),
    ]


async def test_a_series_is_the_same_whatever_the_order_of_its_attributes(store):
    for number, order in enumerate([("a", "b"), ("b", "a")]):
        attributes = dict.fromkeys(order, "1")
        await add(store, metrics("gauge", {"as_int": number, "attributes": attributes, "time_unix_nano": at(number)}))
    assert await rows(store, "SELECT count(*), max(last) FROM series") == [(1, at(1) // 10**6)]
    assert await values(store) == [0, 1]


async def test_a_histogram(store):
    point = {"count": 3, "sum": 4.5, "explicit_bounds": [1, 2], "bucket_counts": [1, 1, 1]}
    await add(store, metrics("histogram", point, aggregation_temporality=CUMULATIVE))
    ((value, total, buckets, bounds),) = await rows(
        store, "SELECT value, sum, buckets, bounds FROM points JOIN series ON id = series"
    )
    assert (value, total, unpacked(buckets), json.loads(bounds)) == (3, 4.5, [1, 1, 1], [1, 2])


async def test_delta_points_add_up_also_over_a_restart(tmp_path):
    def request(number):
        point = {"as_int": 2, "time_unix_nano": at(number)}
        return metrics("sum", point, aggregation_temporality=DELTA, is_monotonic=True)

    async with opened(tmp_path) as store:
        await add(store, request(0))
        await add(store, request(1))
        await add(store, request(1))  # sent again
    async with opened(tmp_path) as store:
        await add(store, request(2))
        assert await values(store) == [2, 4, 6]
        await add(store, request(0.5))  # came late
        assert await values(store) == [2, 4, 8]


async def test_delta_histograms_add_up(store):
    for number in range(2):
        point = {
            "count": 3,
            "sum": 4.5,
            "explicit_bounds": [1, 2],
            "bucket_counts": [1, 0, 2],
            "time_unix_nano": at(number),
        }
        await add(store, metrics("histogram", point, aggregation_temporality=DELTA))
    found = await rows(store, "SELECT value, sum, buckets FROM points ORDER BY time")
    assert [(value, total, unpacked(buckets)) for value, total, buckets in found] == [
        (3, 4.5, [1, 0, 2]),
        (6, 9, [2, 0, 4]),
    ]


@pytest.mark.parametrize(("scale", "unit"), [(1, "s"), (3, "s"), (6, "s"), (0, "By"), (3, "By")])
async def test_an_exponential_histogram_becomes_the_explicit_one_of_the_same_values(store, scale, unit):
    given = [0.00001, 0.001, 0.02, 0.02, 0.3, 1.0, 5.0, 1000.0, 1e15]
    indexes = [math.ceil(math.log2(value) * 2**scale) - 1 for value in given]
    offset = min(indexes)
    point = {
        "count": 12,
        "scale": scale,
        "zero_count": 2,
        "negative": {"offset": 1, "bucket_counts": [1]},
        "positive": {
            "offset": offset,
            "bucket_counts": [indexes.count(index) for index in range(offset, max(indexes) + 1)],
        },
    }
    await add(store, metrics("exponential_histogram", point, aggregation_temporality=CUMULATIVE, unit=unit))
    ((kind, value, total, buckets, bounds),) = await rows(
        store, "SELECT kind, value, sum, buckets, bounds FROM points JOIN series ON id = series"
    )
    bounds = json.loads(bounds)
    wanted = [0] * (len(bounds) + 1)
    wanted[0] = 3
    for one in given:
        wanted[bisect_left(bounds, one)] += 1
    assert (kind, value, total, unpacked(buckets)) == ("histogram", 12, None, wanted)


async def test_a_scale_that_changes_makes_no_new_series(store):
    for number, scale in enumerate((0, 5, -2)):
        point = {
            "count": 1,
            "scale": scale,
            "positive": {"offset": 0, "bucket_counts": [1]},
            "time_unix_nano": at(number),
        }
        await add(store, metrics("exponential_histogram", point, aggregation_temporality=CUMULATIVE))
    assert await rows(store, "SELECT count(*) FROM series") == [(1,)]
    assert await values(store) == [1, 1, 1]


async def test_a_summary_keeps_count_and_sum(store):
    point = {"count": 5, "sum": 2.5, "quantile_values": [{"quantile": 0.5, "value": 1}]}
    await add(store, metrics("summary", point))
    ((kind, value, total, bounds),) = await rows(
        store, "SELECT kind, value, sum, bounds FROM points JOIN series ON id = series"
    )
    assert (kind, value, total, bounds) == ("histogram", 5, 2.5, "[]")


async def test_points_without_a_value_are_left_out(store):
    points = [{"as_int": 1, "flags": 1, "attributes": {"n": "1"}}, {"as_double": math.nan}]
    added = await add(store, metrics("gauge", *points))
    assert (added.count, added.rejected) == (2, 0)
    assert await values(store) == []


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("gauge", {}),
        ("histogram", {"count": 1, "explicit_bounds": [1, 2], "bucket_counts": [1]}),
        ("histogram", {"count": 1, "explicit_bounds": [2, 1], "bucket_counts": [1, 0, 0]}),
        ("histogram", {"count": 1, "explicit_bounds": [math.nan], "bucket_counts": [1, 0]}),
        ("exponential_histogram", {"count": 1, "positive": {"bucket_counts": [0] * 20_000}}),
        ("exponential_histogram", {"count": 1, "scale": -2000, "positive": {"bucket_counts": [1]}}),
        ("exponential_histogram", {"count": 1, "zero_count": 2**64 - 1, "negative": {"bucket_counts": [1]}}),
    ],
)
async def test_points_that_make_no_sense_are_rejected_and_the_others_stay(store, kind, point):
    request = metrics(kind, point)
    request.resource_metrics[0].scope_metrics[0].metrics.add(name="good").gauge.data_points.add(as_int=1)
    added = await add(store, request)
    assert (added.count, added.rejected) == (1, 1)
    assert "'cups'" in added.reason
    assert await rows(store, "SELECT name FROM series JOIN points ON series = id") == [("good",)]


async def test_delta_points_that_add_up_to_no_number_begin_anew(store):
    def delta(kind, point, seconds):
        return metrics(kind, point | {"time_unix_nano": at(seconds)}, name=kind, aggregation_temporality=DELTA)

    for seconds, value in enumerate((math.inf, -math.inf, 2.0)):
        await add(store, delta("sum", {"as_double": value}, seconds))
    assert (await values(store))[-1] == -math.inf
    for seconds in range(2):
        point = {"count": 1, "explicit_bounds": [1], "bucket_counts": [2**64 - 1, 0]}
        await add(store, delta("histogram", point, seconds))
    ((buckets,),) = await rows(store, "SELECT buckets FROM points WHERE buckets NOT NULL ORDER BY time DESC LIMIT 1")
    assert unpacked(buckets) == [2**64 - 1, 0]
    assert store.troubles == []


async def test_extreme_values_are_kept(store):
    points = [
        {"as_int": 2**63 - 1, "attributes": {"n": "1"}},
        {"as_double": math.inf, "attributes": {"n": "2"}},
        {"as_double": 1e308, "attributes": {"n": "3"}},
    ]
    await add(store, metrics("gauge", *points))
    point = {"count": 2**64 - 1, "explicit_bounds": [1], "bucket_counts": [2**64 - 1, 0], "time_unix_nano": 2**64 - 1}
    await add(store, metrics("histogram", point, name="cold"))
    assert await values(store) == [2.0**63, math.inf, 1e308, 2.0**64]
    ((at_most,),) = await rows(store, "SELECT max(time) FROM points")
    assert at_most <= time.time() * 1000


async def test_too_many_series_are_refused_and_said_for_a_while(store, monkeypatch):
    store._writer._series.most = 3
    points = [{"as_int": number, "attributes": {"user": str(number)}} for number in range(5)]
    added = await add(store, metrics("gauge", *points))
    assert (added.count, added.rejected) == (3, 2)
    assert "'cups'" in added.reason
    (trouble,) = store.troubles
    assert "more than 3 series" in trouble.what
    assert "attribute" in trouble.mend
    assert (await add(store, metrics("gauge", points[0]))).rejected == 0
    assert store.troubles == [trouble]
    monkeypatch.setattr(writer, "_FORGIVEN", 0)
    await add(store, metrics("gauge", points[0]))
    assert store.troubles == []
