"""A second destination for everything, by variables alone."""

from __future__ import annotations

import pytest

from tests.stack.stack_collector import gauge, impatient, logs, own_metrics, send_all, span, stack_collector, traces

pytestmark = pytest.mark.needs("stack")

NAMES = [f"item-{number}" for number in range(5)]


def complete(receiver):
    spans = {one.name for one in receiver.spans}
    bodies = {one.body for one in receiver.logs}
    return set(NAMES) <= spans & bodies & receiver.metrics.keys()


def remote_collector(folder, otlp, **environ):
    collector = stack_collector(folder / "collector", otlp.url, "remote.yaml", **environ)
    collector.config["exporters"]["otlp_http/remote"] = impatient()
    return collector


async def test_everything_goes_to_both_and_the_secret_to_one(tmp_path, otlp, remote):
    async with remote_collector(tmp_path, otlp, **remote.environ) as collector:
        await send_all(collector, NAMES)
        await otlp.wait_for(lambda: complete(otlp))
        await remote.wait_for(lambda: complete(remote) and "traces.spanmetrics.calls" in remote.metrics)
    assert {received.headers["Authorization"] for received in remote.requests} == {"Basic c2VjcmV0"}
    assert b"c2VjcmV0" not in otlp.raw
    assert "c2VjcmV0" not in collector.log.read_text(encoding="utf-8")


async def test_the_secret_goes_in_the_header_that_the_vendor_wants(tmp_path, otlp, remote):
    environ = {**remote.environ, "REMOTE_OTLP_HEADER": "x-api-key", "REMOTE_OTLP_AUTHORIZATION": "12345"}
    async with remote_collector(tmp_path, otlp, **environ) as collector:
        await send_all(collector, NAMES[:1])
        await remote.wait_for_spans(1)
    headers = {name.lower(): value for name, value in remote.requests[0].headers.items()}
    assert headers["x-api-key"] == "12345"
    assert "authorization" not in headers


async def test_a_remote_that_is_away_keeps_nothing_from_the_stack_at_home(tmp_path, otlp, remote):
    remote.answer_with(503, times=None)
    async with remote_collector(tmp_path, otlp, **remote.environ) as collector:
        await send_all(collector, NAMES)
        await otlp.wait_for(lambda: complete(otlp))
        assert not remote.spans
        remote.clear_faults()
        await remote.wait_for(lambda: complete(remote))


async def test_a_remote_whose_queue_is_full_keeps_nothing_from_the_stack_at_home(tmp_path, otlp, remote):
    remote.answer_with(503, times=None)
    collector = remote_collector(tmp_path, otlp, **remote.environ)
    queue = collector.config["exporters"]["otlp_http/remote"]["sending_queue"]
    queue |= {"queue_size": 100_000, "batch": {**queue["batch"], "min_size": 50_000}}
    sent = []

    async def lost() -> set[str]:
        page = await own_metrics(collector)
        return {
            kind
            for kind in ("spans", "metric_points", "log_records")
            for name, value in page.items()
            if value and f"enqueue_failed_{kind}" in name and 'exporter="otlp_http/remote"' in name
        }

    async with collector:
        while len(await lost()) < 3:
            assert len(sent) < 200, "its queues never became full"
            name = f"{len(sent)} " + "x" * 5000
            sent.append(name)
            for signal, body in (("traces", traces(span(name))), ("logs", logs(name)), ("metrics", gauge(name, 1))):
                assert await collector.post(signal, body) == 200
        await otlp.wait_for(lambda: len(otlp.spans) == len(otlp.logs) == len(sent) and set(sent) <= otlp.metrics.keys())
        failed = {name for name, value in (await own_metrics(collector)).items() if value and "enqueue_failed" in name}
        assert all("otlp_http/remote" in name for name in failed)
        remote.clear_faults()
        await remote.wait_for(lambda: remote.spans and remote.logs and sent[0] in remote.metrics)
    assert sorted(one.name for one in otlp.spans) == sorted(one.body for one in otlp.logs) == sorted(sent)
