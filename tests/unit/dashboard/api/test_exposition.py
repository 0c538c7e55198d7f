"""Prometheus' text format."""

from __future__ import annotations

import pytest

from otelbot.dashboard.api.exposition import exposition, written
from otelbot.dashboard.store import Counts, Stats

STATS = Stats(Counts(5, 4, 1, 0), Counts(), Counts(), database_bytes=4096, queue_bytes=0)


def point(name, value=1.0, kind="gauge", description="", **labels):
    return {"name": name, "labels": labels, "kind": kind, "description": description, "value": value}


def lines(*points):
    return exposition(points, STATS, "1.2.3").splitlines()


def test_a_metric_has_one_head_and_a_line_for_each_series():
    found = lines(point("a_total", 1, "counter", "What it is.", x="1"), point("a_total", 2.5, "counter", x="2"))
    assert found[-4:] == [
        "# HELP a_total What it is.",
        "# TYPE a_total counter",
        'a_total{x="1"} 1',
        'a_total{x="2"} 2.5',
    ]


def test_a_histogram_has_its_parts():
    histogram = {
        "name": "h_seconds",
        "labels": {"x": "1"},
        "kind": "histogram",
        "description": "",
        "count": 3,
        "sum": 0.5,
        "buckets": [["0.1", 1], ["+Inf", 3]],
    }
    assert lines(histogram)[-5:] == [
        "# TYPE h_seconds histogram",
        'h_seconds_bucket{x="1",le="0.1"} 1',
        'h_seconds_bucket{x="1",le="+Inf"} 3',
        'h_seconds_sum{x="1"} 0.5',
        'h_seconds_count{x="1"} 3',
    ]
    assert not any("h_seconds_sum" in line for line in lines(histogram | {"sum": None}))


def test_texts_cannot_leave_their_place():
    found = lines(point("a", description='one\ntwo \\ "three"', x='a"b\\c\nd\r\n# TYPE evil gauge', y="\ud800"))
    assert found[-3:] == [
        r'# HELP a one\ntwo \\ "three"',
        "# TYPE a gauge",
        r'a{x="a\"b\\c\nd \n# TYPE evil gauge",y="?"} 1',
    ]


def test_a_name_is_one_metric_only():
    found = lines(
        point("a", kind="counter"),
        point("a", kind="gauge", x="1"),
        point("otelbot_dashboard_database_bytes", 7),
        point("é"),
        point("b", né="1", ok="1"),
    )
    assert found[-4:] == ["# TYPE a counter", "a 1", "# TYPE b gauge", 'b{ok="1"} 1']


def test_the_dashboard_tells_of_itself():
    found = lines()
    assert 'otelbot_dashboard_items_received_total{signal="traces"} 5' in found
    assert 'otelbot_dashboard_items_rejected_total{signal="traces"} 1' in found
    assert "otelbot_dashboard_database_bytes 4096" in found
    assert 'otelbot_dashboard_build_info{version="1.2.3"} 1' in found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (3.0, "3"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (7, "7"),
    ],
)
def test_numbers_are_written_as_prometheus_does(value, text):
    assert written(value) == text
