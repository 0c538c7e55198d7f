"""The dashboard's store has the series that the real Prometheus has of the same OTLP request."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from otelbot import signals
from otelbot.dashboard.promql import Matcher
from otelbot.dashboard.store import Limits, Store, naming
from otelbot.dashboard.store.series import StoreSource
from tests.stack.services import SHIPPED, Prometheus, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("stack")

#: A bot; one with a namespace; two resources without a name or an instance, whose series differ by promoted ones only.
RESOURCES: list[dict[str, Any]] = [
    {
        "service.name": "tea shop",
        "service.instance.id": "one",
        "service.version": "1.2",
        "deployment.environment.name": "test",
        "telegram.bot.id": "12345",
        "telegram.bot.username": "tea_bot",
    },
    {"service.name": "tea", "service.namespace": "shops", "service.instance.id": 7, "host.name": ""},
    {"host.name": "left"},
    {"host.name": "right", "process.pid": 12},
]
Labels = frozenset[tuple[str, str]]


def number(**more: Any) -> dict[str, Any]:
    return {"dataPoints": [{"asDouble": 1.5, **more}]}


def counter(**more: Any) -> dict[str, Any]:
    return {"aggregationTemporality": 2, "isMonotonic": True, **number(**more)}


def up_down(**more: Any) -> dict[str, Any]:
    return {"aggregationTemporality": 2, "isMonotonic": False, **number(**more)}


def histogram(*bounds: float, **more: Any) -> dict[str, Any]:
    counts = [str(place) for place in range(len(bounds) + 1)]
    point = {"count": str(sum(map(int, counts))), "sum": 2.5, "bucketCounts": counts, "explicitBounds": list(bounds)}
    kept = {key: given for key, given in {**point, **more}.items() if given is not None}
    return {"aggregationTemporality": 2, "dataPoints": [kept]}


def value(given: Any) -> dict[str, Any]:
    match given:
        case None:
            return {}
        case bool():
            return {"boolValue": given}
        case int():
            return {"intValue": str(given)}
        case float():
            return {"doubleValue": given}
        case bytes():
            return {"bytesValue": given.decode()}
        case list():
            return {"arrayValue": {"values": [value(item) for item in given]}}
        case dict():
            return {"kvlistValue": {"values": pairs(given)}}
        case _:
            return {"stringValue": given}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(each)} for key, each in attributes.items()]


def ours() -> Iterator[dict[str, Any]]:
    """Yield every instrument of the bot, with a value for each of its attributes."""
    for each in signals.INSTRUMENTS:
        given = {"attributes": pairs({attribute: f"some {attribute}" for attribute in each.attributes})}
        if each.kind == "histogram":
            data = {"histogram": histogram(*(each.buckets or ()), **given)}
        elif each.kind == "observable_gauge":
            data = {"gauge": number(**given)}
        else:
            data = {"sum": (up_down if "updown" in each.kind else counter)(**given)}
        yield {"name": each.name, "unit": each.unit, "description": each.description, **data}


def odd() -> Iterator[dict[str, Any]]:
    """Yield what other programs may send."""
    units = (
        "",
        "1",
        "s",
        "ms",
        "By",
        "KiBy",
        "%",
        "{x}",
        "{x}/s",
        "By/s",
        "m/s",
        "/s",
        "s/{x}",
        "1/min",
        "°",
        "a b",
        "ratio",
    )
    for place, unit in enumerate(units):
        yield {"name": f"unit.{place}", "unit": unit, "gauge": number()}
        yield {"name": f"unit.{place}", "unit": unit, "sum": counter()}
        yield {"name": f"updown.{place}", "unit": unit, "sum": up_down()}
        yield {"name": f"unit.{place}.distribution", "unit": unit, "histogram": histogram(1)}
    names = (
        "with-dash/and slash",
        "2xx.responses",
        "already.total",
        "total.first",
        "a.ratio",
        "in.seconds.already",
        "bytes",
        "__under__scored__",
        "with:colon",
        "CamelCase.Name",
        "نام.فارسی",
        "..dots..",
        "per_second",
    )
    for name in names:
        yield {"name": name, "unit": "s", "sum": counter()}
        yield {"name": name, "unit": "1", "gauge": number()}
        yield {
            "name": f"{name}.by",
            "unit": "By",
            "histogram": histogram(1e-7, 0.005, 1, 2.5, 1e6, 1e21),
        }
    attributes: tuple[dict[str, Any], ...] = (
        {"a.b": "dot", "a_b": "underscore", "a-b": "dash"},
        {"a.b": "", "a_b": "only"},
        {"a.b": "only", "a_b": ""},
        {"empty": "", "none": None},
        {
            "yes": True,
            "no": False,
            "whole": -12,
            "great": 2**60,
            "real": 1.0,
            "small": 1e-7,
            "large": 1e21,
            "long": 123456789012345680.0,
            "third": 1 / 3,
        },
        {"list": ["a", 1, 2.5, True], "map": {"b": 1, "a": ["é"]}, "nothing": [], "no map": {}},
        {"bytes": b"AAECAw=="},
        {
            "1digit": "x",
            "_one": "x",
            "__two": "x",
            "__reserved__": "x",
            "dots..two": "x",
            "a__b": "x",
            "the نام": "x",
            "é": "y",
        },
        {"job": "mine", "instance": "mine", "service.name": "mine", "host.name": "mine"},
        {"quote": 'a "b" \\ c', "line": "a\nb", "in فارسی": "سلام", "html": "<b>"},
        {"le": "mine", "quantile": "mine"},
    )
    for place, given in enumerate(attributes):
        yield {"name": f"attributes.{place}", "unit": "", "gauge": number(attributes=pairs(given))}
        yield {"name": f"attributes.{place}.of", "unit": "s", "histogram": histogram(0.5, attributes=pairs(given))}
    yield {"name": "no.bounds", "histogram": histogram()}
    yield {"name": "no.sum", "histogram": histogram(1, sum=None)}


def request(metrics: list[dict[str, Any]], at: int) -> dict[str, Any]:
    for metric in metrics:
        for data in ("gauge", "sum", "histogram"):
            for point in metric.get(data, {}).get("dataPoints", []):
                point["timeUnixNano"] = str(at)
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": pairs(resource)},
                "scopeMetrics": [{"scope": {"name": "test"}, "metrics": metrics}],
            }
            for resource in RESOURCES
        ]
    }


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "store", Limits(max_bytes=100 * 2**20, max_age=3600, metrics_age=3600))
    store.start()
    try:
        yield store
    finally:
        store.close()


async def in_prometheus(prometheus: Prometheus, body: bytes) -> dict[Labels, float]:
    """Send a request; returns what a query for everything finds but `target_info`, which the store does not have."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{prometheus.url}/api/v1/otlp/v1/metrics", data=body, headers={"Content-Type": "application/json"}
        ) as response,
    ):
        assert response.status == 200, await response.text()

    rules = yaml.safe_load((SHIPPED.parent / "prometheus" / "rules" / "recording.yaml").read_text(encoding="utf-8"))
    recorded = "|".join(rule["record"] for group in rules["groups"] for rule in group["rules"])

    async def found() -> list[tuple[dict[str, str], float]]:
        return await prometheus.query(f'{{__name__=~".+", __name__!~"target_info|{recorded}"}}')

    return {frozenset(labels.items()): value for labels, value in await eventually(found, "the series")}


async def in_store(store: Store, body: bytes) -> dict[Labels, float]:
    await store.add("metrics", body, "", in_json=True)
    every = [Matcher("__name__", "!=", "target_info")]
    found = await store.read(lambda db: StoreSource(db).select(every, 0, time.time() + 60))
    return {frozenset(each.labels.items()): each.values[-1] for each in found}


@pytest.mark.parametrize("metrics", [ours, odd], ids=["ours", "odd"])
async def test_series_are_those_of_prometheus(prometheus, store, metrics):
    body = json.dumps(request(list(metrics()), time.time_ns() - 10**9)).encode()
    expected, found = await in_prometheus(prometheus, body), await in_store(store, body)
    assert sorted(map(sorted, found.keys() - expected.keys())) == []
    assert sorted(map(sorted, expected.keys() - found.keys())) == []
    assert found == expected


def test_promoted_attributes_are_those_of_the_shipped_file():
    config = yaml.safe_load((SHIPPED.parent / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    assert list(naming.PROMOTED) == config["otlp"]["promote_resource_attributes"]
    assert config["otlp"]["translation_strategy"] == "UnderscoreEscapingWithSuffixes"
