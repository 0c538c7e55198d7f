"""What queries answer, over series made by hand. Prometheus' own answers are compared in tests/stack."""

from __future__ import annotations

import math

import pytest

from otelbot.dashboard.promql import QueryError, Sample, Series, instant, is_scalar, range_query
from tests.unit.dashboard.promql.notation import Memory, memory

MINUTE = 60.0
BOT = memory(
    {
        'updates_total{bot="a", outcome="ok"}': "0+3x40",
        'updates_total{bot="a", outcome="error"}': "0+1x40",
        'updates_total{bot="b", outcome="ok"}': "100+6x10 0+6x29",
        'memory_bytes{bot="a", host="x"}': "1x10 5x30",
        'memory_bytes{bot="b", host="y"}': "2x20 stale _x20",
        'queue{bot="a"}': "0+1x40",
        'info{bot="a", version="1"}': "1x40",
        'info{bot="b", version="2"}': "1x40",
        'took_seconds_bucket{bot="a", le="0.1"}': "0+1x40",
        'took_seconds_bucket{bot="a", le="1"}': "0+3x40",
        'took_seconds_bucket{bot="a", le="+Inf"}': "0+4x40",
        "many": "0 5 NaN -5 5 5 1 2 3 4",
    }
)


def answer(query: str, at: float = 10 * MINUTE) -> dict[str, float]:
    """Return values by the labels, as `a,ok`."""
    return {
        ",".join(value for name, value in sorted(sample.labels.items()) if name != "__name__"): sample.value
        for sample in instant(query, BOT, at)
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('updates_total{bot="a"}', {"a,ok": 120, "a,error": 40}),
        ('updates_total{outcome!="ok"}', {"a,error": 40}),
        ('updates_total{bot=~"a|c",outcome!~"e.*"}', {"a,ok": 120}),
        ('{__name__=~"info|queue",bot="a"}', {"a": 40, "a,1": 1}),
        ("queue offset 5m", {"a": 20}),
        ("queue @ 60", {"a": 4}),
        ("queue @ end() offset 1m", {"a": 36}),
        ("nothing", {}),
        # Counters
        ('rate(updates_total{bot="a"}[5m])', {"a,ok": 0.2, "a,error": 1 / 15}),
        ('increase(updates_total{bot="b"}[5m])', {"b,ok": 120}),
        ('increase(updates_total{bot="b"}[5m] offset 5m)', {"b,ok": (160 - 106 + 54) * 300 / 285}),
        ('irate(updates_total{bot="a"}[1m])', {"a,ok": 0.2, "a,error": 1 / 15}),
        ("resets(updates_total[10m])", {"a,ok": 0, "a,error": 0, "b,ok": 1}),
        ("delta(queue[5m])", {"a": 20}),
        ("deriv(queue[5m])", {"a": 1 / 15}),
        ("predict_linear(queue[5m], 60)", {"a": 44}),
        # Over time
        ("sum_over_time(queue[1m])", {"a": 37 + 38 + 39 + 40}),
        ("avg_over_time(queue[1m])", {"a": 38.5}),
        ("min_over_time(queue[1m])", {"a": 37}),
        ("max_over_time(queue[1m])", {"a": 40}),
        ("count_over_time(queue[1m])", {"a": 4}),
        ("last_over_time(memory_bytes[10m])", {"a,x": 5, "b,y": 2}),
        ("present_over_time(memory_bytes[1m])", {"a,x": 1}),
        ("quantile_over_time(0.5, queue[1m])", {"a": 38.5}),
        ("changes(memory_bytes[10m])", {"a,x": 1, "b,y": 0}),
        ("stddev_over_time(queue[1m])", {"a": math.sqrt(1.25)}),
        ("max_over_time(many[10m])", {"": 5}),
        ("min_over_time(many[10m])", {"": -5}),
        ("max_over_time(queue[4m:1m])", {"a": 40}),
        ("min_over_time(queue[4m:1m])", {"a": 28}),
        ("max_over_time(rate(queue[1m])[4m:1m])", {"a": 1 / 15}),
        # Aggregation
        ("sum(updates_total)", {"": 334}),
        ("sum by (bot) (updates_total)", {"a": 160, "b": 174}),
        ("sum without (outcome) (updates_total)", {"a": 160, "b": 174}),
        ("avg(updates_total)", {"": 334 / 3}),
        ("min by (bot) (updates_total)", {"a": 40, "b": 174}),
        ("max(updates_total)", {"": 174}),
        ("count by (bot, nothing) (updates_total)", {"a": 2, "b": 1}),
        ("quantile(0.5, updates_total)", {"": 120}),
        ("stddev by (bot) (updates_total)", {"a": 40, "b": 0}),
        ("topk(1, updates_total)", {"b,ok": 174}),
        ("bottomk by (bot) (1, updates_total)", {"a,error": 40, "b,ok": 174}),
        ('count_values("v", info)', {"1": 2}),
        # Operators
        ("queue * 2 + 1", {"a": 81}),
        ("updates_total > 100", {"a,ok": 120, "b,ok": 174}),
        ("updates_total > bool 100", {"a,ok": 1, "a,error": 0, "b,ok": 1}),
        ("100 < updates_total", {"a,ok": 120, "b,ok": 174}),
        ("memory_bytes / on (bot) queue", {"a": 0.125}),
        ("updates_total / on (bot) group_left queue", {"a,ok": 3, "a,error": 1}),
        ("queue * on (bot) group_left (version) info", {"a,1": 40}),
        ("info * on (bot) group_right (version) updates_total", {"a,ok,1": 120, "a,error,1": 40, "b,ok,2": 174}),
        ("queue and on (bot) info", {"a": 40}),
        ("info unless on (bot) queue", {"b,2": 1}),
        ("queue or info", {"a": 40, "a,1": 1, "b,2": 1}),
        ("sum(nothing) or vector(0)", {"": 0}),
        ("-queue", {"a": -40}),
        ("queue / 0", {"a": math.inf}),
        # Functions
        ("abs(queue - 50)", {"a": 10}),
        ("clamp(queue, 50, 60)", {"a": 50}),
        ("clamp_min(queue, 50)", {"a": 50}),
        ("clamp_max(queue, 5)", {"a": 5}),
        ("round(queue / 7)", {"a": 6}),
        ("round(queue, 30)", {"a": 30}),
        ("floor(queue / 7)", {"a": 5}),
        ("ceil(queue / 7)", {"a": 6}),
        ("time()", {"": 600}),
        ("timestamp(queue)", {"a": 600}),
        ("timestamp(queue offset 20s)", {"a": 570}),
        ("scalar(queue)", {"": 40}),
        ("vector(7)", {"": 7}),
        ("absent(queue)", {}),
        ('absent(nothing{bot="a", host=~"x"})', {"a": 1}),
        ('absent_over_time(memory_bytes{bot="b"}[1m])', {"b": 1}),
        ('label_replace(queue, "b", "$1!", "bot", "(.*)")', {"a!,a": 40}),
        ('label_join(info, "all", "-", "bot", "version")', {"a-1,a,1": 1, "b-2,b,2": 1}),
        ("hour(vector(7200))", {"": 2}),
        # Histograms
        ("histogram_quantile(0.5, rate(took_seconds_bucket[5m]))", {"a": 0.55}),
        ("histogram_quantile(0.9, sum by (le) (rate(took_seconds_bucket[5m])))", {"": 1}),
    ],
)
def test_a_query_has_its_values(query, expected):
    assert answer(query) == pytest.approx(expected, rel=1e-12)


def test_a_value_is_kept_for_five_minutes_unless_its_series_ended():
    source = memory({"gone": "1x4 _x60", "ended": "1x4 stale _x60"})
    assert [sample.labels["__name__"] for sample in instant('{__name__=~"gone|ended"}', source, 60)] == [
        "gone",
        "ended",
    ]
    assert instant("gone", source, 60 + 299) == [Sample({"__name__": "gone"}, 1)]
    assert instant("gone", source, 60 + 300) == []
    assert instant("ended", source, 75) == []
    # What it was is still in a range.
    assert instant("last_over_time(ended[1m])", source, 75) == [Sample({"__name__": "ended"}, 1)]


def test_a_range_query_has_a_sample_for_each_step_with_a_value():
    (series,) = range_query("queue", memory({"queue": "_x4 0+1x4 _x60"}), 30, 150, 30)
    assert series == Series({"__name__": "queue"}, [60, 90, 120, 150], [0, 2, 4, 4])


def test_a_range_query_sorts_by_labels_and_joins_what_becomes_the_same_series():
    source = memory(
        {'info{bot="b"}': "1x4", 'info{bot="a", version="1"}': "1x4", 'info{bot="a", version="2"}': "_x30 1x4"}
    )
    found = range_query("sum by (bot) (info)", source, 0, 480, 60)
    assert [series.labels for series in found] == [{"bot": "a"}, {"bot": "b"}]
    assert found[0].times == [0, 60, 120, 180, 240, 300, 480]
    assert found[0].values == [1] * 7


def test_a_number_is_a_series_without_labels():
    assert instant("1 + 2", BOT, 0) == [Sample({}, 3)]
    assert range_query("time()", BOT, 0, 20, 10) == [Series({}, [0, 10, 20], [0, 10, 20])]
    assert is_scalar("-(1 + scalar(queue))")
    assert not is_scalar("1 + queue")


def test_topk_and_sort_answer_in_order():
    values = [sample.value for sample in instant("topk(3, updates_total)", BOT, 600)]
    assert values == [174, 120, 40]
    assert [sample.value for sample in instant("sort(updates_total)", BOT, 600)] == [40, 120, 174]
    assert [sample.value for sample in instant("sort_desc(updates_total)", BOT, 600)] == [174, 120, 40]


def test_a_selector_is_fetched_once_for_a_whole_query():
    source = Memory(BOT.series)
    range_query("rate(queue[5m]) / (queue + queue offset 5m) + max_over_time(queue[10m:1m])", source, 0, 600, 15)
    assert source.asked == 1


def test_a_comparison_with_long_ago_does_not_fetch_what_is_between():
    class Watched(Memory):
        def select(self, matchers, start, end):
            periods.append((start, end))
            return super().select(matchers, start, end)

    periods: list[tuple[float, float]] = []
    instant("queue - queue offset 1w", Watched(BOT.series), 1_000_000)
    assert sorted(end for _, end in periods) == [1_000_000 - 7 * 86400, 1_000_000]
    assert all(end - start == 300 for start, end in periods)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "no PromQL"),
        ("sum(", "unclosed left parenthesis"),
        ("updates{", "no PromQL"),
        ("rate(queue)", "expected type matrix"),
        ("1 > 2", "BOOL"),
        ("no_such(queue)", "unknown function"),
        ('info(queue, {a="b"})', "info() is not supported"),
        ("limitk(2, queue)", "limitk is not supported"),
        ("queue[5m]", "put a function such as rate()"),
        ('"text"', "has no value"),
        ('queue{bot="a" or bot="b"}', "`or`"),
        ('queue{bot=~"(?!a)"}', "no PromQL"),
        ("queue @ -5", "cannot be negative"),
        ("queue @ 1e15", "beyond"),
        ("queue offset 99999999y", "beyond"),
        ("rate(queue[99999999y])", "longer than"),
        ("sum_over_time(queue[1y:1ms])", "shorter range"),
        ("updates_total + on (bot) info", "group_left"),
        ("info + on (bot) group_left updates_total", "Several series match at once"),
        ('label_replace(updates_total, "outcome", "", "", "")', "same labels"),
        ('label_replace(info, "", "x", "", "")', "must have a name"),
        ('label_replace(info, "x", "", "", "(")', "no regular expression"),
        ("queue + fill(0) info", "fill()"),
        ("topk(NaN, queue)", "NaN"),
        ("(" * 1000 + "queue" + ")" * 1000, "too long"),
        ("-" * 100_000 + "queue", "too long"),
        ("+".join(["queue"] * 1000), "too long"),
        ("queue{bot='\ud800'}", "no PromQL"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(query, words):
    with pytest.raises(QueryError) as raised:
        instant(query, BOT, 600)
    said = str(raised.value)
    assert words in said
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 600


def test_a_range_query_of_no_or_too_many_steps_is_refused():
    for start, end, step in ((0, 10, 0), (10, 0, 1), (0, 1e6, 1), (math.nan, 1, 1), (0, math.inf, 1), (0, 1e300, 1)):
        with pytest.raises(QueryError):
            range_query("queue", BOT, start, end, step)


def test_brackets_and_operators_within_strings_do_not_count():
    assert instant("count(nothing{bot='" + "(+" * 500 + "'}) or vector(1)", BOT, 0) == [Sample({}, 1)]


def test_the_deepest_query_that_is_taken_has_an_answer():
    query = "queue"
    for _ in range(24):
        query = f"max_over_time(({query} + 0)[1m:1m])"
    assert instant(query, BOT, 600) == [Sample({"bot": "a"}, 40)]


@pytest.mark.parametrize(
    "query",
    [
        *(
            f"{name}(odd)"
            for name in ("abs", "ceil", "floor", "round", "exp", "ln", "sqrt", "sgn", "year", "stdvar", "sum")
        ),
        *(f"{name}(odd[3m])" for name in ("rate", "irate", "deriv", "resets", "changes")),
        *(f"{name}_over_time(odd[3m])" for name in ("sum", "avg", "min", "max", "stddev", "count")),
        *(f"odd {operator} odd" for operator in ("+", "-", "*", "/", "%", "^", "atan2", "==", ">")),
        "0 ^ odd",
        "round(odd, 1e-300)",
        "clamp(odd, scalar(odd), 1)",
        "quantile_over_time(scalar(odd), odd[3m])",
        "predict_linear(odd[3m], scalar(odd))",
        "quantile(scalar(odd), odd)",
        "topk(scalar(odd) == bool 0, odd)",
        'count_values("value", odd)',
        "histogram_quantile(scalar(odd), odd)",
    ],
)
def test_strange_numbers_are_no_error(query):
    source = memory({'odd{le="1"}': "1e308x4 -1e308 NaN Inf -Inf 0 1e-320", 'odd{le="+Inf"}': "NaN 0 -0 5 Inf 1e308x4"})
    range_query(query, source, 0, 200, 15)
