"""A bot's token, planted wherever OTLP has room for a text, leaves the Collector nowhere; what is around it does."""

from __future__ import annotations

import time

import pytest

from tests.stack.stack_collector import any_value, attributes, span, stack_collector, traces
from tests.support import KEY, TOKEN

pytestmark = pytest.mark.needs("stack")

PLAIN = f"before {TOKEN} after"
QUOTED = f"before {TOKEN.replace(':', '%3a')} after"
TWICE_QUOTED = f"before {TOKEN.replace(':', '%253A')} after"  # a URL within a URL
#: What has the form of a number and a colon, and is no token.
HARMLESS = "at 12:30 order 123456789:42 of https://example.com:8443/x"


@pytest.fixture
async def collector(tmp_path, otlp):
    async with stack_collector(tmp_path / "collector", otlp.url) as running:
        yield running


def planted():
    """Attributes with the token in every type that can hold a text."""
    return attributes(
        text=PLAIN,
        url=QUOTED,
        twice=TWICE_QUOTED,
        keys={"inner": {PLAIN: "in a map"}, "number": 7},
        **{PLAIN: "in a key"},
        list=["one", PLAIN],
        map={"inner": {"deep": [PLAIN]}, "number": 7},
        harmless=HARMLESS,
        number=123456789,
    )


def scope():
    return {"name": f"scope {PLAIN}", "version": f"1 {PLAIN}", "attributes": planted()}


def masked(text):
    return text.startswith("before ") and text.endswith(" after") and "****" in text


def check(attributes_):
    assert masked(attributes_["text"])
    assert masked(attributes_["url"])
    assert masked(attributes_["twice"])
    assert attributes_["before **** after"] == "in a key"
    assert "before **** after" in attributes_["keys"]
    # A list or map with a token in it becomes JSON.
    assert "one" in attributes_["list"]
    assert '"number":7' in attributes_["map"]
    assert attributes_["harmless"] == HARMLESS
    assert attributes_["number"] == 123456789


async def test_in_traces(collector, otlp):
    body = traces(
        span(
            f"POST {PLAIN}",
            kind=3,
            traceState=f"vendor={TOKEN}",
            attributes=planted(),
            events=[{"timeUnixNano": str(time.time_ns()), "name": f"event {PLAIN}", "attributes": planted()}],
            status={"code": 2, "message": PLAIN},
        )
    )
    (by_resource,) = body["resourceSpans"]
    by_resource["resource"]["attributes"] += planted()
    by_resource["schemaUrl"] = f"https://example.com/{TOKEN}"
    by_resource["scopeSpans"][0] |= {"scope": scope(), "schemaUrl": f"https://example.com/{TOKEN}"}
    assert await collector.post("traces", body) == 200
    await otlp.wait_for(lambda: otlp.spans and "traces.spanmetrics.calls" in otlp.metrics)

    (arrived,) = otlp.spans
    assert arrived.name.startswith("POST before ")
    assert masked(arrived.status_message)
    for checked in (arrived.attributes, arrived.resource, arrived.events[0][1]):
        check(checked)
    assert arrived.events[0][0].startswith("event before ")
    assert arrived.scope == "scope before **** after"
    (request,) = (received for received in otlp.requests if received.signal == "traces")
    (by_scope,) = request.message.resource_spans[0].scope_spans
    assert by_scope.spans[0].trace_state == "vendor=****"
    # Metrics made from the span have its name.
    (point,) = otlp.metrics["traces.spanmetrics.calls"].points
    assert point[0]["span.name"] == arrived.name
    assert KEY.encode() not in otlp.raw


async def test_links_pass_as_they_are(collector, otlp):
    """The hole in the second line, which no processor can close: the first one, otelbot in the bot, masks them."""
    state = f"vendor={TOKEN}"
    link = {"traceId": "ab" * 16, "spanId": "cd" * 8, "traceState": state, "attributes": attributes(link=PLAIN)}
    assert await collector.post("traces", traces(span("update", links=[link]))) == 200
    (arrived,) = await otlp.wait_for_spans(1)
    assert arrived.links == [("ab" * 16, "cd" * 8, {"link": PLAIN})]


async def test_in_logs(collector, otlp):
    now = str(time.time_ns())
    bodies = [
        PLAIN,
        {"text": PLAIN, "inner": {"deep": ["one", QUOTED]}, "number": 7, PLAIN: "in a key"},
        ["one", {"text": PLAIN}],
        {"inner": {PLAIN: "deeper"}, "number": 7},
        ["one", {PLAIN: "deeper"}],
    ]
    records = [
        {
            "timeUnixNano": now,
            "body": any_value(body),
            "attributes": planted(),
            "eventName": f"event {PLAIN}",
            "severityText": f"WARN {PLAIN}",
        }
        for body in bodies
    ]
    by_scope = {"scope": scope(), "schemaUrl": f"https://example.com/{TOKEN}", "logRecords": records}
    by_resource = {"resource": {"attributes": planted()}, "schemaUrl": f"https://example.com/{TOKEN}"}
    assert await collector.post("logs", {"resourceLogs": [{**by_resource, "scopeLogs": [by_scope]}]}) == 200
    await otlp.wait_for(lambda: len(otlp.logs) == len(bodies))

    text, tree, array, *deep_keys = (record.body for record in otlp.logs)
    for body in deep_keys:  # which became JSON
        assert '"before **** after":"deeper"' in body
    assert tree["before **** after"] == "in a key"
    assert masked(text)
    assert masked(tree["text"])
    assert tree["inner"]["deep"][0] == "one"
    assert masked(tree["inner"]["deep"][1])
    assert tree["number"] == 7
    assert array[0] == "one"
    assert masked(array[1]["text"])
    for record in otlp.logs:
        check(record.attributes)
        check(record.resource)
        assert record.event_name == "event before **** after"
        assert record.severity_text == "WARN before **** after"
    assert KEY.encode() not in otlp.raw


async def test_in_metrics(collector, otlp):
    now = str(time.time_ns())
    exemplar = {
        "timeUnixNano": now,
        "asDouble": 0.1,
        "filteredAttributes": planted(),
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
    }
    common = {"timeUnixNano": now, "startTimeUnixNano": now, "attributes": planted()}
    number = {**common, "asInt": "1", "exemplars": [exemplar]}
    explicit = {**common, "count": "1", "sum": 0.1, "bucketCounts": ["1", "0"], "explicitBounds": [1.0]}
    exponential = {**common, "count": "1", "sum": 0.1, "scale": 0, "positive": {"offset": 0, "bucketCounts": ["1"]}}
    kinds = {
        "gauge": {"dataPoints": [number]},
        "sum": {"dataPoints": [number], "aggregationTemporality": 2, "isMonotonic": True},
        "histogram": {"dataPoints": [{**explicit, "exemplars": [exemplar]}], "aggregationTemporality": 2},
        "exponentialHistogram": {"dataPoints": [{**exponential, "exemplars": [exemplar]}], "aggregationTemporality": 2},
        "summary": {"dataPoints": [{**common, "count": "1", "sum": 0.1}]},
    }
    metrics = [
        {
            "name": f"{kind}.{TOKEN}",
            "description": PLAIN,
            "unit": f"{{{TOKEN}}}",
            "metadata": attributes(source=PLAIN, **{PLAIN: "in a key"}),
            kind: data,
        }
        for kind, data in kinds.items()
    ]
    by_scope = {"scope": scope(), "schemaUrl": f"https://example.com/{TOKEN}", "metrics": metrics}
    by_resource = {"resource": {"attributes": planted()}, "schemaUrl": f"https://example.com/{TOKEN}"}
    assert await collector.post("metrics", {"resourceMetrics": [{**by_resource, "scopeMetrics": [by_scope]}]}) == 200
    names = {f"{kind}.****" for kind in kinds}
    await otlp.wait_for(lambda: names & otlp.metrics.keys())

    (request,) = (
        received for received in otlp.requests if received.signal == "metrics" and b"summary.****" in received.body
    )
    (arrived,) = (
        by_scope
        for by_resource in request.message.resource_metrics
        for by_scope in by_resource.scope_metrics
        if by_scope.scope.name.startswith("scope ")
    )
    assert {metric.name for metric in arrived.metrics} == names
    for metric in arrived.metrics:
        assert (metric.description, metric.unit) == ("before **** after", "{****}")
        metadata = {pair.key: pair.value.string_value for pair in metric.metadata}
        assert metadata == {"source": "before **** after", "before **** after": "in a key"}
    (point,) = otlp.metrics["gauge.****"].points
    check(point[0])
    check(point[2])
    assert KEY.encode() not in otlp.raw
