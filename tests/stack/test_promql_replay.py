"""The embedded dashboard's PromQL and Prometheus' own answer alike, for the alert rules and for other queries."""

from __future__ import annotations

import math
import random
import re
import time
from contextlib import AsyncExitStack
from itertools import product
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from otelbot.alerts.promql import select
from otelbot.alerts.rules import RULES
from otelbot.dashboard.promql import QueryError, Sample, Series, instant, range_query
from tests.stack.rule_cases import CASES
from tests.stack.services import Prometheus, check
from tests.unit.dashboard.promql.notation import Memory, memory, seconds
from tests.unit.dashboard.promql.queries import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otelbot.alerts.rule import Rule

pytestmark = pytest.mark.needs("stack")

BY_UID = {rule.uid: rule for rule in RULES}
_STEP = 15  #: s between the samples of random series
_HOURS = 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.uid.removeprefix('otelbot-')}: {case.why}")
async def test_a_rule_has_the_value_that_promtool_says(tmp_path, case):
    rule = BY_UID[case.uid]
    query = select(rule.expr)
    last = seconds(case.at)
    every = max(last // 20 // rule.every * rule.every, rule.every)
    times = sorted({*range(0, last, every), *range(max(last - rule.keep, 0), last + 1, rule.every)})
    source = memory(case.series, case.step)
    theirs = await _promtool(tmp_path, case, query, times)
    beyond = []
    for at, expected in zip(times, theirs, strict=True):
        found = instant(query, source, at)
        assert _same(found, expected), f"at {at} s: {found} here, {expected} in Prometheus"
        if at >= last - rule.keep:
            beyond += [sample.labels for sample in found if _is_beyond(rule, sample.value)]
    if case.fires is not None:
        assert case.fires in beyond


@pytest.fixture
async def start_with(tmp_path):
    """Return a function that starts a Prometheus with what a source has."""
    async with AsyncExitStack() as stack:

        async def started(source: Memory) -> Prometheus:
            text = tmp_path / "series.txt"
            text.write_text("".join(_open_metrics(series) for series in source.series) + "# EOF\n", encoding="utf-8")
            server = Prometheus(tmp_path / "prometheus")
            status, output = await check(
                "promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(server.folder / "data")
            )
            assert status == 0, output
            return await stack.enter_async_context(server)

        yield started


async def test_queries_have_the_answers_of_prometheus(start_with):
    start = _hours_ago(_HOURS + 1)
    source = Memory(_random_series(random.Random(8), start))
    # Until long after the last sample, and with steps that are shorter than from one sample to the next.
    periods = ((start - 60, start + _HOURS * 3600 + 400, 97), (start + 1800.5, start + 1900.5, 7))
    await _compare(await start_with(source), source, QUERIES, periods)


async def test_rules_have_the_values_of_prometheus_over_time(start_with):
    """With the series of all cases at once, each of a service of its own."""
    start = _hours_ago(27)
    source = Memory(
        [
            _of_service(f"shop{number}", series)
            for number, case in enumerate(CASES)
            for series in memory(case.series, case.step, start).series
            if "service_name" in series.labels and series.times
        ]
    )
    periods = ((start - 60, start + 7 * 3600, 111), (start + 20 * 3600, start + 27 * 3600, 600))
    await _compare(await start_with(source), source, [select(rule.expr) for rule in RULES], periods)


async def test_instant_queries_have_the_order_of_prometheus(start_with):
    start = _hours_ago(_HOURS + 1)
    source = Memory(_random_series(random.Random(9), start))
    prometheus = await start_with(source)
    async with aiohttp.ClientSession() as session:
        for query in ("sort(g)", "sort_desc(g)", "topk(3, g)", "bottomk(3, g)", "sort(sum by (a) (g))"):
            for at in (start + 600, start + 4321):
                expected = await _ask(session, f"{prometheus.url}/api/v1/query", {"query": query, "time": at})
                values = [float(one["value"][1]) for one in expected]
                assert [sample.value for sample in instant(query, source, at)] == pytest.approx(values, rel=1e-9), query


async def _compare(
    prometheus: Prometheus,
    source: Memory,
    queries: Sequence[str],
    periods: Sequence[tuple[float, float, float]],
) -> None:
    """:param periods: start, end and step of range queries."""
    different = []
    async with aiohttp.ClientSession() as session:
        for query, (first, last, step) in product(queries, periods):
            arguments = {"query": query, "start": first, "end": last, "step": step}
            expected = await _ask(session, f"{prometheus.url}/api/v1/query_range", arguments)
            found: list[Series] | str
            try:
                found = range_query(query, source, first, last, step)
            except QueryError as error:
                found = str(error)
            if difference := _difference(found, expected):
                different.append(f"{query}\n    {difference}")
    assert not different, "\n".join([f"{len(different)} differences", *different])


def _hours_ago(hours: int) -> float:
    """Return a full hour: Prometheus deletes what is older than two weeks."""
    return float((int(time.time()) // 3600 - hours) * 3600)


def _of_service(service: str, series: Series) -> Series:
    """Return a series of another service, without the mark of its end, which a file cannot have."""
    kept = [(at, value) for at, value in zip(series.times, series.values, strict=True) if not math.isnan(value)]
    labels = {**series.labels, "service_name": service}
    return Series(labels, [at for at, _ in kept], [value for _, value in kept])


async def _promtool(folder, case, query: str, times: list[int]) -> list[list[Sample]]:
    """Return what promtool gets at each time: it prints that when something else was expected."""
    test = {
        "evaluation_interval": case.step,  # promtool takes in the samples until its last multiple
        "tests": [
            {
                "interval": case.step,
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "promql_expr_test": [
                    {"expr": query, "eval_time": f"{at}s", "exp_samples": [{"labels": "nobody_expects", "value": 1}]}
                    for at in times
                ],
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    _, output = await check("promtool", "test", "rules", str(file))
    answers = re.findall(r"^ *got: (.*)$", output, re.MULTILINE)
    assert len(answers) == len(times), output
    return [
        [
            Sample(dict(re.findall(r'([\w.]+)="([^"]*)"', labels)) | ({"__name__": name} if name else {}), float(value))
            for name, labels, value in re.findall(r'([\w:]*)\{((?:"[^"]*"|[^{}"])*)\} ([-+\w.]+)', answer)
        ]
        for answer in answers
    ]


def _is_beyond(rule: Rule, value: float) -> bool:
    return value > rule.threshold if rule.above else value < rule.threshold


def _same(found: list[Sample], expected: list[Sample]) -> bool:
    def keyed(samples: list[Sample]) -> dict[Any, float]:
        return {frozenset(sample.labels.items()): sample.value for sample in samples}

    ours, theirs = keyed(found), keyed(expected)
    return (
        len(ours) == len(found)
        and ours.keys() == theirs.keys()
        and all(_close(ours[labels], theirs[labels]) for labels in ours)
    )


def _close(ours: float, theirs: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(ours) and math.isnan(theirs))


def _random_series(chance: random.Random, start: float) -> list[Series]:
    """Return counters with restarts, gauges with gaps and strange values, and histograms."""
    series = []
    steps = range(_HOURS * 3600 // _STEP)

    def add(name: str, labels: dict[str, str], values: list[float | None], jitter: float = 0.0) -> None:
        kept = [
            (round(start + step * _STEP + chance.uniform(-jitter, jitter), 3), value)
            for step, value in zip(steps, values, strict=True)
            if value is not None
        ]
        series.append(Series({"__name__": name, **labels}, [at for at, _ in kept], [value for _, value in kept]))

    for index in range(6):
        add("c_total", {"a": "xy"[index % 2], "i": str(index)}, _counter(chance, steps), jitter=2.0)
        add("d_total", {"a": "xy"[index % 2], "i": str(index), "more": "z"}, _counter(chance, steps), jitter=2.0)
    for index in range(8):
        labels = {"a": "xyz"[index % 3], "i": str(index)} | ({"host": f"h{index}.example"} if index % 2 else {})
        values = [None if chance.random() < 0.1 else chance.gauss(0, 100) for _ in steps]
        gone = chance.choice(steps)
        values[gone : gone + 60] = [None] * len(values[gone : gone + 60])
        add("g", labels, values)
    add("one", {}, [float(step) for step in steps])
    add("odd", {"a": "x"}, [chance.choice([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.0, 1e300]) for _ in steps])
    add("info", {"a": "x", "version": "1"}, [1.0] * (len(steps) // 2) + [None] * (len(steps) // 2))
    add("info", {"a": "x", "version": "2"}, [None] * (len(steps) // 2 + 21) + [1.0] * (len(steps) // 2 - 21))
    add("info", {"a": "y", "version": "2"}, [1.0] * len(steps))
    for index in range(3):
        counts = [_counter(chance, steps, gaps=False) for _ in range(5)]
        for upto, bound in enumerate(("0.1", "0.5", "1", "5", "+Inf")):
            values = [sum(at_step) for at_step in zip(*counts[: upto + 1], strict=True)]
            add("h_bucket", {"a": "xy"[index % 2], "i": str(index), "le": bound}, values)
    return series


def _counter(chance: random.Random, steps: range, *, gaps: bool = True) -> list[Any]:
    """Return a counter that restarts now and then, and is away for a while when it does."""
    values: list[float | None] = []
    value = float(chance.randrange(1000))
    while len(values) < len(steps):
        if chance.random() < 0.01:
            value = float(chance.randrange(3))
            values.extend([None] * (chance.randrange(40) if gaps else 0))
        value += chance.choice([0, 0, 1, 2, 17, 0.25])
        values.append(None if gaps and chance.random() < 0.05 else value)
    return values[: len(steps)]


def _open_metrics(series: Series) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in series.labels.items() if name != "__name__")
    return "".join(
        f"{series.labels['__name__']}{{{labels}}} {value} {at:.3f}\n"
        for at, value in zip(series.times, series.values, strict=True)
    )


async def _ask(session: aiohttp.ClientSession, url: str, arguments: dict[str, Any]) -> Any:
    """Return the result, or the error's text."""
    async with session.post(url, data=arguments) as response:
        answer = await response.json()
    return answer["data"]["result"] if answer["status"] == "success" else answer["error"]


def _difference(found: list[Series] | str, expected: Any) -> str:
    """Return the first difference, in words."""
    if isinstance(found, str) or isinstance(expected, str):
        both = isinstance(found, str) and isinstance(expected, str)
        return "" if both else f"{str(found)[:300]} here, {str(expected)[:300]} in Prometheus"
    theirs = {frozenset(one["metric"].items()): one["values"] for one in expected}
    ours = {frozenset(one.labels.items()): one for one in found}
    if ours.keys() != theirs.keys() or len(ours) != len(found):
        return f"labels {sorted(map(sorted, ours))} here, {sorted(map(sorted, theirs))} in Prometheus"
    for labels, one in ours.items():
        values = [(float(at), float(value)) for at, value in theirs[labels]]
        if list(one.times) != [at for at, _ in values]:
            times = set(one.times) ^ {at for at, _ in values}
            return f"{sorted(labels)}: only one has values at {sorted(times)[:5]}"
        for (at, value), ours_now in zip(values, one.values, strict=True):
            if not _close(ours_now, value):
                return f"{sorted(labels)} at {at}: {ours_now} here, {value} in Prometheus"
    return ""
