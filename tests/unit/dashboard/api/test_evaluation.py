"""What is kept of range queries changes no answer."""

from __future__ import annotations

import pytest

from otelbot.dashboard import promql
from otelbot.dashboard.api.evaluation import RESOLUTIONS, Evaluation, Reading, filled
from tests.unit.dashboard.promql.notation import Memory, memory

START = 1_000_000.0
RATE = "sum by (kind) (rate(jobs_total[1m]))"


@pytest.fixture
def source() -> Memory:
    return memory(
        {
            'jobs_total{kind="a"}': "0+3x400",
            'jobs_total{kind="b"}': "_x100 7+1x20 _x50 0+2x200",
            'jobs_total{kind="c"}': "5x120",
        },
        start=START,
    )


def cut(series, until):
    """Return a series as it was before what came after `until`."""
    kept = sum(at < until for at in series.times)
    return promql.Series(series.labels, series.times[:kept], series.values[:kept])


def lines(found):
    return {tuple(line.labels.items()): line.points for line in found}


def test_a_later_request_gets_what_one_without_memory_would_get(source):
    evaluation = Evaluation()
    for now in (START + 2003, START + 2003, START + 2017.5, START + 2100, START + 3700, START + 5000):
        kept = evaluation.range(RATE, source, now - 900, now, 20)
        assert lines(kept) == lines(Evaluation().range(RATE, source, now - 900, now, 20))


def test_a_range_ends_now_and_not_at_the_last_whole_step(source):
    (line,) = Evaluation().range("jobs_total{kind='a'}", source, START + 100, START + 331, 20)
    assert line.points[-1] == (START + 331, 66.0)
    assert line.points[-2][0] == START + 320


def test_only_what_is_new_is_read_again(source):
    class Watching(Memory):
        earliest = float("inf")

        def select(self, matchers, start, end):
            self.earliest = min(self.earliest, start)
            return super().select(matchers, start, end)

    evaluation = Evaluation()
    evaluation.range(RATE, source, START + 1000, START + 4600, 20)
    watching = Watching(source.series)
    evaluation.range(RATE, watching, START + 1005, START + 4605, 20)
    assert watching.earliest > START + 4000


def test_points_that_came_late_are_seen(source):
    evaluation = Evaluation()
    now = START + 3000
    without = Memory([cut(one, now - 30) for one in source.series])
    before = evaluation.range(RATE, without, now - 900, now, 20)
    after = evaluation.range(RATE, source, now - 900, now, 20)
    assert lines(before) != lines(after)
    assert lines(after) == lines(Evaluation().range(RATE, source, now - 900, now, 20))


def test_all_is_read_anew_after_some_minutes(source):
    clock = [0.0]
    evaluation = Evaluation(lambda: clock[0])
    now = START + 3000
    assert evaluation.range(RATE, Memory([]), now - 900, now, 20) == []
    clock[0] = 3600
    assert lines(evaluation.range(RATE, source, now - 900, now, 20)) == lines(
        Evaluation().range(RATE, source, now - 900, now, 20)
    )


def test_nothing_is_left_after_forgetting(source):
    evaluation = Evaluation()
    now = START + 3000
    assert evaluation.range(RATE, source, now - 900, now, 20)
    assert evaluation.instant(RATE, source, now, 60)
    evaluation.forget()
    assert evaluation.range(RATE, Memory([]), now - 900, now, 20) == []
    assert evaluation.instant(RATE, Memory([]), now, 60) == []


def test_each_event_is_in_one_bar_and_the_last_bar_grows():
    source = memory({"jobs_total": "0+3x400"}, start=START)
    grown = "last_over_time(jobs_total[1m]) - last_over_time(jobs_total[1h] offset 1m)"
    evaluation = Evaluation()
    (line,) = evaluation.bars(grown, source, START + 20, START + 620, 60)
    assert sum(value for _, value in line.points) == pytest.approx(3 * 600 / 15, abs=3 * 4)
    assert line.points[-1][0] >= START + 620
    (later,) = evaluation.bars(grown, source, START + 22, START + 637, 60)
    assert dict(later.points)[line.points[-1][0]] >= line.points[-1][1]


def test_a_mistake_is_told():
    with pytest.raises(promql.QueryError):
        Evaluation().range("sum(", Memory([]), 0, 100, 10)


def test_an_instant_value_is_kept_for_a_while(source):
    evaluation = Evaluation()
    (first,) = evaluation.instant("jobs_total{kind='a'}", source, START + 100, 15)
    (kept,) = evaluation.instant("jobs_total{kind='a'}", source, START + 110, 15)
    (fresh,) = evaluation.instant("jobs_total{kind='a'}", source, START + 130, 15)
    assert first.value == kept.value < fresh.value


def test_queries_of_a_page_read_a_selector_once(source):
    reading = Reading(source, START + 3000)
    for query in (
        "sum(increase(jobs_total[30m]))",
        RATE,
        "jobs_total > 3",
        "last_over_time(jobs_total[1m]) - last_over_time(jobs_total[10m] offset 1m)",
    ):
        assert promql.instant(query, reading, START + 3000) == promql.instant(query, source, START + 3000)
    direct = Memory(source.series)
    reading = Reading(direct, START + 3000)
    promql.instant("sum(increase(jobs_total[30m]))", reading, START + 3000)
    promql.instant(RATE, reading, START + 3000)
    assert direct.asked == 1


@pytest.mark.parametrize("service", ['a"b', "a\\b", "a\nb", "a}b", "به", "$select", "{{x}}", "'"])
def test_a_service_can_have_any_name(service):
    source = Memory([promql.Series({"__name__": "up", "service_name": service}, [START], [1.0])])
    (sample,) = promql.instant(filled("up{$select}", service), source, START)
    assert sample.labels["service_name"] == service
    assert promql.instant(filled("up{$select}", "other"), source, START) == []
    assert len(promql.instant(filled("up{$select}", None), source, START)) == 1


@pytest.mark.parametrize("at", RESOLUTIONS.values(), ids=str)
def test_no_event_falls_between_two_points(at):
    assert at.window_seconds >= at.step
    assert at.window_seconds >= 60
    assert 100 <= at.seconds / at.step <= 200
    assert at.seconds % at.bar_seconds == 0
    assert not at.coarse or all(one % at.coarse == 0 for one in (at.step, at.window_seconds, at.bar_seconds))
