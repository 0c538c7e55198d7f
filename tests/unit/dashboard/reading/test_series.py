"""Series for PromQL, latest values and services; that their names are Prometheus' own is a test of the stack."""

from __future__ import annotations

import math
import random

import pytest

from otelbot.dashboard import promql
from otelbot.dashboard.promql import Matcher
from otelbot.dashboard.store import naming, series
from otelbot.dashboard.store.series import StoreSource
from tests.unit.dashboard.reading.telemetry import NOW, SHOP, counter, gauge, histogram, log, update

AT = NOW // 1_000_000 / 1000  # s, as points have it
BOT = {"service_name": "shop", "service_instance_id": "one", "job": "shop", "instance": "one"}


async def select(fed, *matchers: tuple[str, str, str], start: float = -3600, end: float = 0) -> dict[str, list]:
    """Return `(seconds from now, value)` by the labels that aren't the bot's, in the form of PromQL."""
    conditions = [Matcher(*matcher) for matcher in matchers]
    found = await fed.store.read(lambda db: StoreSource(db).select(conditions, AT + start, AT + end))
    told = {}
    for each in found:
        labels = {name: value for name, value in each.labels.items() if name not in BOT}
        name = labels.pop("__name__")
        key = name + "".join(f"|{label}={value}" for label, value in sorted(labels.items()))
        assert key not in told
        told[key] = [(round(time - AT, 3), value) for time, value in zip(each.times, each.values, strict=True)]
    return told


async def test_samples_are_those_after_the_start_until_the_end(fed):
    await fed.send("metrics", gauge("temperature", (-30, 1), (-20, 2), (-10, 3), (0, 4)))
    assert await select(fed, ("__name__", "=", "temperature")) == {
        "temperature": [(-30, 1), (-20, 2), (-10, 3), (0, 4)]
    }
    assert await select(fed, ("__name__", "=", "temperature"), start=-20, end=-10) == {"temperature": [(-10, 3)]}
    assert await select(fed, ("__name__", "=", "temperature"), start=-20.001, end=-10.001) == {
        "temperature": [(-20, 2)]
    }
    assert await select(fed, ("__name__", "=", "temperature"), start=0, end=10) == {}


async def test_edges_are_kept_to_at_each_millisecond(fed):
    """Seconds as a float are a little more or less than the millisecond that is meant."""
    places = random.Random(1).sample(range(3_000_000), 300)
    await fed.send("metrics", gauge("ticks", *((-place / 1000, place) for place in places)))
    source = [Matcher("__name__", "=", "ticks")]
    whole = NOW // 1_000_000
    (every,) = await fed.store.read(lambda db: StoreSource(db).select(source, 0, AT))
    assert len(every.times) == len(set(places))
    for time in every.times:
        ms = round(time * 1000)
        assert 0 <= whole - ms <= 3_000_001
        (one,) = await fed.store.read(
            lambda db, ms=ms: StoreSource(db).select(source, (ms - 1) / 1000, ms / 1000)  # left open
        )
        assert one.times == [time]


async def test_matchers_choose_series_by_name_and_labels(fed):
    await fed.send(
        "metrics",
        counter("telegram.bot.commands", (-10, 5), command="start"),
        counter("telegram.bot.commands", (-10, 2), command="help"),
        counter("telegram.bot.commands", (-10, 1)),
        gauge("telegram.bot.users", (-10, 7)),
    )
    name = ("__name__", "=", "telegram_bot_commands_total")
    start, help_, none = (
        "telegram_bot_commands_total|command=start",
        "telegram_bot_commands_total|command=help",
        "telegram_bot_commands_total",
    )
    assert (await select(fed, name)).keys() == {start, help_, none}
    assert (await select(fed, name, ("command", "=", "start"))).keys() == {start}
    assert (await select(fed, name, ("command", "!=", "start"))).keys() == {help_, none}
    assert (await select(fed, name, ("command", "=~", "st.*|x"))).keys() == {start}
    assert (await select(fed, name, ("command", "!~", ".+"))).keys() == {none}
    assert (await select(fed, name, ("command", "=", ""))).keys() == {none}
    assert (await select(fed, name, ("job", "=", "shop"))).keys() == {start, help_, none}
    assert await select(fed, name, ("job", "=", "other")) == {}
    assert (await select(fed, ("__name__", "=~", "telegram_bot_us.*"))).keys() == {"telegram_bot_users"}
    assert (await select(fed, ("__name__", "=~", ".+"), ("__name__", "!=", "telegram_bot_users"))).keys() == {
        start,
        help_,
        none,
    }
    assert (await select(fed, ("command", "=", "help"))).keys() == {help_}
    assert await select(fed, ("__name__", "=", "telegram_bot_commands")) == {}
    assert await select(fed, ("__name__", "=", "' OR 1=1 --")) == {}


async def test_a_histogram_is_buckets_count_and_sum(fed):
    await fed.send("metrics", histogram("work", [0.5, 1.0], (-20, 3.5, [1, 2, 0]), (-10, 9.0, [2, 2, 3])))
    assert await select(fed, ("__name__", "=~", "work.*")) == {
        "work_seconds_count": [(-20, 3), (-10, 7)],
        "work_seconds_sum": [(-20, 3.5), (-10, 9.0)],
        "work_seconds_bucket|le=0.5": [(-20, 1), (-10, 2)],
        "work_seconds_bucket|le=1": [(-20, 3), (-10, 4)],
        "work_seconds_bucket|le=+Inf": [(-20, 3), (-10, 7)],
    }
    assert await select(fed, ("__name__", "=", "work_seconds_bucket"), ("le", "=", "1")) == {
        "work_seconds_bucket|le=1": [(-20, 3), (-10, 4)]
    }
    assert await select(fed, ("__name__", "=", "work_seconds")) == {}


async def test_a_histogram_without_sums_has_no_series_of_them(fed):
    await fed.send("metrics", histogram("work", [1.0], (-20, None, [1, 2])))
    assert (await select(fed, ("__name__", "=~", "work_seconds_(sum|count)"))).keys() == {"work_seconds_count"}


async def test_series_that_have_the_same_labels_are_one(fed):
    """A resource that gets another attribute, and bounds that change with a new version of the bot."""
    await fed.send("metrics", gauge("heat", (-30, 1), (-10, 3)), resource=SHOP)
    await fed.send("metrics", gauge("heat", (-20, 2), (-10, 9)), resource=SHOP | {"process.pid": 7})
    await fed.send("metrics", histogram("work", [1.0], (-30, 1, [1, 0])))
    await fed.send("metrics", histogram("work", [1.0, 2.0], (-20, 1, [1, 1, 0])))
    assert await select(fed, ("__name__", "=~", "heat|work_seconds_(count|bucket)")) == {
        "heat": [(-30, 1), (-20, 2), (-10, 3)],
        "work_seconds_count": [(-30, 1), (-20, 2)],
        "work_seconds_bucket|le=1": [(-30, 1), (-20, 1)],
        "work_seconds_bucket|le=2": [(-20, 2)],
        "work_seconds_bucket|le=+Inf": [(-30, 1), (-20, 2)],
    }


async def test_infinite_values_are_values(fed):
    await fed.send(
        "metrics", {"name": "far", "gauge": {"dataPoints": [{"timeUnixNano": str(NOW), "asDouble": "Infinity"}]}}
    )
    assert await select(fed, ("__name__", "=", "far")) == {"far": [(0, math.inf)]}


async def test_promql_answers_from_the_store(fed):
    counts = [(-60 + 15 * step, 10.0 * step) for step in range(5)]
    await fed.send("metrics", counter("hits", *counts, path="a"), counter("hits", *counts, path="b"))
    (sample,) = await fed.store.read(lambda db: promql.instant("sum(increase(hits_total[1m]))", StoreSource(db), AT))
    assert sample.value == pytest.approx(80)


async def test_latest_is_the_newest_point_of_each_series(fed):
    await fed.send(
        "metrics",
        counter("hits", (-20, 1), (-10, 4), path="a"),
        gauge("share", (-10, 0.5), unit="1"),
        gauge("gone", (-1000, 1)),
        histogram("work", [0.5], (-10, 2.5, [1, 3])),
    )
    found = await fed.store.read(lambda db: series.latest(db, 300, now=AT))
    ms = round((AT - 10) * 1000)
    for each in found:
        assert {name: each["labels"].pop(name) for name in BOT} == BOT
        assert abs(each.pop("time") - ms) <= 1
    assert found == [
        {
            "name": "hits_total",
            "labels": {"path": "a"},
            "kind": "counter",
            "unit": "",
            "description": "About hits.",
            "value": 4,
        },
        {
            "name": "share_ratio",
            "labels": {},
            "kind": "gauge",
            "unit": "1",
            "description": "About share.",
            "value": 0.5,
        },
        {
            "name": "work_seconds",
            "labels": {},
            "kind": "histogram",
            "unit": "s",
            "description": "",
            "count": 4,
            "sum": 2.5,
            "buckets": [["0.5", 1], ["+Inf", 4]],
        },
    ]


async def test_latest_tells_of_series_with_the_same_labels_once(fed):
    await fed.send("metrics", gauge("heat", (-5, 2)), resource=SHOP | {"process.pid": 7})
    await fed.send("metrics", gauge("heat", (-30, 1)))
    (found,) = await fed.store.read(lambda db: series.latest(db, 300, now=AT))
    assert found["value"] == 2


async def test_services_are_the_processes_that_sent_anything(fed):
    await fed.send("metrics", gauge("heat", (-5, 2)), resource={"service.name": "shop", "service.instance.id": "one"})
    await fed.send("traces", update(1), resource=SHOP | {"deployment.environment.name": "test"})
    await fed.send("logs", log("x"), resource={"service.name": "other"})
    await fed.send("logs", log("x"), resource={})
    other, shop = await fed.ask(series.services)
    assert {name: other[name] for name in ("service", "instance", "bot", "environment")} == {
        "service": "other",
        "instance": None,
        "bot": None,
        "environment": None,
    }
    assert {name: shop[name] for name in ("service", "instance", "bot", "environment")} == {
        "service": "shop",
        "instance": "one",
        "bot": "shop_bot",
        "environment": "test",
    }
    assert shop["last_seen"] >= NOW // 1_000_000 - 5_000


def test_labels_that_prometheus_refuses_are_no_series():
    assert naming.labels({"___": "x", "good": "y"}, {}) is None
    assert naming.labels({"سلام": "x"}, {}) is None
    assert naming.family("...", "", "gauge", monotonic=False) == ""


async def test_series_that_prometheus_refuses_are_left_out(fed):
    await fed.send("metrics", gauge("good", (-5, 1)), gauge("...", (-5, 1)), gauge("bad", (-5, 1), ___="x"))
    assert (await select(fed, ("__name__", "=~", ".+"))).keys() == {"good"}
    assert [each["name"] for each in await fed.store.read(lambda db: series.latest(db, 300, now=AT))] == ["good"]


def test_every_name_is_found_by_its_stem():
    """What narrows a query down must leave in what the query asks for."""
    words = ("total", "ratio", "seconds", "a", "b2", "2x", "__", "-", "per", "second", "C:d")
    chance = random.Random(7)
    for _ in range(3000):
        name = chance.choice(["", "_", "."]).join(chance.choices(words, k=chance.randint(1, 5)))
        unit = chance.choice(["", "1", "s", "{x}", "By/s", "°", "a b", "%"])
        for kind, monotonic in (("gauge", False), ("sum", True), ("sum", False), ("histogram", True)):
            family = naming.family(name, unit, kind, monotonic)
            assert naming.stem(f"{family}_bucket").startswith(naming.stem(name)), (name, unit, family)
