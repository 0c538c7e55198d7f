"""What the Collector makes of spans: rate, errors, duration, who calls whom; and which traces it keeps."""

from __future__ import annotations

import pytest
import yaml

from tests.stack.services import SHIPPED, eventually
from tests.stack.stack_collector import attributes, impatient, own_metrics, span, stack_collector, trace_id, traces

pytestmark = pytest.mark.needs("stack")

BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]
CLIENT, SERVER, CONSUMER = 3, 2, 5
SAMPLING = {"SAMPLING_PERCENT": "0", "SAMPLING_WAIT": "1s", "SAMPLING_WAIT_AFTER_ROOT": "500ms"}


def calls(otlp):
    """Spans by the process that sent them; a new series is 0 at first, so that its first span is an increase."""
    metric = otlp.metrics.get("traces.spanmetrics.calls")
    return {resource["service.instance.id"]: count for _, count, resource in metric.points} if metric else {}


async def test_span_metrics_count_every_span_in_seconds_whatever_is_sampled(tmp_path, otlp):
    async with stack_collector(tmp_path / "collector", otlp.url, "sampling.yaml", **SAMPLING) as collector:
        for _ in range(10):
            update = span("message start", kind=CONSUMER, attributes=attributes(telegram__update__outcome="handled"))
            assert await collector.post("traces", traces(update, service__instance__id="one")) == 200
        other = span("message start", kind=CONSUMER, attributes=attributes(telegram__update__outcome="handled"))
        assert await collector.post("traces", traces(other, service__instance__id="two")) == 200
        await otlp.wait_for(lambda: calls(otlp) == {"one": 10, "two": 1})
        await collector.stop()
    assert otlp.spans == []

    duration = otlp.metrics["traces.spanmetrics.duration"]
    assert (duration.unit, duration.kind) == ("s", "histogram")
    for point, (count, total, bounds, buckets), _ in duration.points:
        assert bounds == BOUNDS
        assert 0.01 * count < total < 0.1 * count
        assert buckets[4] == count  # over 10 ms, up to 25 ms
        assert point == {
            "service.name": "shop",
            "span.name": "message start",
            "span.kind": "SPAN_KIND_CONSUMER",
            "status.code": "STATUS_CODE_UNSET",
            "telegram.update.outcome": "handled",
            "collector.instance.id": "otel-collector",
        }
    requests = [received.message for received in otlp.requests if received.signal == "metrics"]
    exemplars = [
        exemplar.trace_id.hex()
        for request in requests
        for by_resource in request.resource_metrics
        for by_scope in by_resource.scope_metrics
        for metric in by_scope.metrics
        for point in metric.histogram.data_points
        for exemplar in point.exemplars
    ]
    assert exemplars, "a panel leads to a trace"


async def test_the_service_graph_knows_services_databases_and_other_peoples_servers(tmp_path, otlp):
    def edges():
        metric = otlp.metrics.get("traces_service_graph_request_total")
        return {
            (point["client"], point["server"], point["connection_type"]): (count, point)
            for point, count, _ in (metric.points if metric else [])
        }

    async with stack_collector(tmp_path / "collector", otlp.url) as collector:
        trace = trace_id()
        call = span("GET /quotes", kind=CLIENT, trace=trace)
        served = span("GET /quotes", kind=SERVER, trace=trace, parent=call["spanId"])
        query = span("SELECT orders", kind=CLIENT, attributes=attributes(db__system__name="postgresql"))
        api = span("sendMessage", kind=CLIENT, attributes=attributes(telegram__method="sendMessage"))
        peer = span("charge", kind=CLIENT, attributes=attributes(peer__service="bank"))
        # A bot that fetches what its users name: each host would be a node.
        links = [span("GET", kind=CLIENT, attributes=attributes(server__address=f"{n}.example.com")) for n in range(20)]
        assert await collector.post("traces", traces(call, query, api, peer, *links)) == 200
        assert await collector.post("traces", traces(served, service="courier")) == 200
        await otlp.wait_for(lambda: len(edges()) >= 5)
        await otlp.wait_for_spans(25)
    assert set(edges()) == {
        ("shop", "courier", ""),
        ("shop", "postgresql", "database"),
        ("shop", "api.telegram.org", "virtual_node"),
        ("shop", "bank", "virtual_node"),
        ("shop", "unknown", "virtual_node"),
    }
    assert {server: count for (_, server, _), (count, _) in edges().items() if count > 1} == {"unknown": len(links)}
    assert {point["collector.instance.id"] for _, point in edges().values()} == {"otel-collector"}
    for side in ("server", "client"):
        latency = otlp.metrics[f"traces_service_graph_request_{side}"]
        assert latency.unit == "s"
        for point, (_, total, bounds, _), _ in latency.points:
            assert bounds == BOUNDS
            # Nobody knows how long a server took that sends no spans.
            unknown = side == "server" and point["connection_type"] == "virtual_node"
            count = edges()[point["client"], point["server"], point["connection_type"]][0]
            assert total == 0 if unknown else 0.01 * count < total < 0.1 * count
    # The store of traces gets the spans as they were sent.
    peers = {one.name: one.attributes.get("peer.service") for one in otlp.spans}
    assert (peers["sendMessage"], peers["charge"]) == (None, "bank")


async def test_processes_that_are_one_to_prometheus_are_one_to_span_metrics(tmp_path, otlp):
    async with stack_collector(tmp_path / "collector", otlp.url) as collector:
        for pid in (1, 2, 3):  # as of workers with one name
            body = traces(span("work"), service__instance__id="one", process__pid=pid)
            assert await collector.post("traces", body) == 200
        await otlp.wait_for(lambda: calls(otlp) == {"one": 3})
    assert len(otlp.metrics["traces.spanmetrics.calls"].points) == 1


def test_the_service_graph_waits_for_spans_that_are_sent_again():
    """SDKs send every 5 s, and try again after some."""
    base = yaml.safe_load((SHIPPED / "base.yaml").read_text(encoding="utf-8"))
    store = base["connectors"]["service_graph"]["store"]
    assert store["ttl"] == "15s"
    assert store["max_items"] >= 2 * 2000 * 15, "two calls of each of 2 000 updates a second wait so long"


async def test_sampling_keeps_failed_and_slow_traces_whole_and_none_of_the_rest(tmp_path, otlp):
    async with stack_collector(tmp_path / "collector", otlp.url, "sampling.yaml", **SAMPLING) as collector:
        for _ in range(20):
            assert await collector.post("traces", traces(span("quick"))) == 200
        for name, more in {
            "failed": {"status": {"code": 2}},
            "failed-update": {"attributes": attributes(telegram__update__outcome="error")},
            "slow": {},
        }.items():
            root = span(name, 1.5 if name == "slow" else 0.02, **more)
            inner = span(f"{name}/inner", trace=root["traceId"], parent=root["spanId"])
            # As they come from a bot: in two requests, the root last.
            assert await collector.post("traces", traces(inner)) == 200
            assert await collector.post("traces", traces(root)) == 200
        await otlp.wait_for_spans(6)
        late = span("slow/late", trace=root["traceId"], parent=root["spanId"])
        assert await collector.post("traces", traces(late)) == 200
        await otlp.wait_for_spans(7)
        await collector.stop()  # which decides what is undecided
    kinds = ("failed", "failed-update", "slow")
    assert sorted(one.name for one in otlp.spans) == sorted(
        [*kinds, *(f"{kind}/inner" for kind in kinds), "slow/late"],
    )


async def test_a_long_update_is_decided_by_its_root(tmp_path, otlp):
    environ = {"SAMPLING_PERCENT": "0", "SAMPLING_WAIT_AFTER_ROOT": "1s"}  # and the usual, long time without a root
    async with stack_collector(tmp_path / "collector", otlp.url, "sampling.yaml", **environ) as collector:
        long = span("long", status={"code": 2})
        part = span("long/part", trace=long["traceId"], parent=long["spanId"])
        assert await collector.post("traces", traces(part)) == 200
        # When this one has come, a decision has been made since.
        assert await collector.post("traces", traces(span("short", status={"code": 2}))) == 200
        await otlp.wait_for_spans(1)
        assert await collector.post("traces", traces(long)) == 200
        await otlp.wait_for_spans(3)
    assert {one.name for one in otlp.spans} == {"short", "long", "long/part"}


async def test_more_traces_than_there_is_room_for_wait_and_none_is_lost(tmp_path, otlp):
    environ = {**SAMPLING, "SAMPLING_TRACES": "10"}
    async with stack_collector(tmp_path / "collector", otlp.url, "sampling.yaml", **environ) as collector:
        for number in range(25):
            failed = span(f"failed-{number}", status={"code": 2})
            assert await collector.post("traces", traces(failed)) == 200
        await otlp.wait_for_spans(25)
        page = await own_metrics(collector)
    assert not any(value for name, value in page.items() if "dropped_too_early" in name)


async def test_with_sampling_a_full_queue_drops_and_counts_instead_of_refusing(tmp_path):
    environ = {**SAMPLING, "COLLECTOR_QUEUE_BYTES": "500000"}
    away = "http://127.0.0.1:1"
    async with stack_collector(tmp_path / "collector", away, "sampling.yaml", **environ) as collector:
        for _ in range(30):
            failed = span("x" * 50000, status={"code": 2})
            assert await collector.post("traces", traces(failed)) == 200

        async def counted() -> bool:
            page = await own_metrics(collector)
            return any(value and "enqueue_failed_spans" in name for name, value in page.items())

        await eventually(counted, "the loss to be counted")


async def test_a_trace_that_is_too_big_to_wait_is_dropped_whole_and_counted(tmp_path, otlp):
    async with stack_collector(tmp_path / "collector", otlp.url, "sampling.yaml", **SAMPLING) as collector:
        assert await collector.post("traces", traces(span("x" * 5_000_000, status={"code": 2}))) == 200
        assert await collector.post("traces", traces(span("small", status={"code": 2}))) == 200
        await otlp.wait_for_spans(1)
        page = await own_metrics(collector)
    assert [one.name for one in otlp.spans] == ["small"]
    assert 1 in {value for name, value in page.items() if "traces_dropped_too_large" in name}


async def test_a_collector_that_stops_decides_what_is_undecided(tmp_path, otlp):
    environ = {"SAMPLING_PERCENT": "100"}  # and the usual, longer times
    async with stack_collector(tmp_path / "collector", otlp.url, "sampling.yaml", **environ) as collector:
        for _ in range(20):
            assert await collector.post("traces", traces(span("quick"))) == 200
        await collector.stop()
        await collector.start()  # what it had no time to send is on disk
        await otlp.wait_for_spans(20)
        await collector.stop()
    assert len(otlp.spans) == 20


@pytest.mark.parametrize("overlays", [("remote.yaml", "sampling.yaml"), ("sampling.yaml", "remote.yaml")], ids=" ".join)
async def test_sampling_counts_for_both_destinations(tmp_path, otlp, remote, overlays):
    environ = {**SAMPLING, **remote.environ}
    collector = stack_collector(tmp_path / "collector", otlp.url, *overlays, **environ)
    collector.config["exporters"]["otlp_http/remote"] = impatient()
    async with collector:
        assert await collector.post("traces", traces(span("quick"))) == 200
        assert await collector.post("traces", traces(span("failed", status={"code": 2}))) == 200
        await remote.wait_for_spans(1)
        await collector.stop()
    assert [one.name for one in otlp.spans] == [one.name for one in remote.spans] == ["failed"]
