"""A second destination for everything, by variables alone."""

from __future__ import annotations

import pytest

from tests.stack.stack_collector import impatient, send_all, stack_collector

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
