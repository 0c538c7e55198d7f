"""Agents on many hosts before several gateways: a trace is whole at one of them."""

from __future__ import annotations

from collections import defaultdict

import pytest

from otelbot.demo.otlp import OtlpReceiver
from tests.stack.services import ShippedCollector, eventually
from tests.stack.stack_collector import impatient, logs, send_all, span, stack_collector, traces

pytestmark = pytest.mark.needs("stack")


async def send_traces(agent, count):
    """Each trace in three requests, as from a bot that exports while a handler runs; return the names by trace."""
    sent = {}
    roots = [span("root") for _ in range(count)]
    for part in ("one", "two"):
        children = [span(part, trace=root["traceId"], parent=root["spanId"]) for root in roots]
        assert await agent.post("traces", traces(*children)) == 200
    assert await agent.post("traces", traces(*roots)) == 200
    for root in roots:
        sent[root["traceId"]] = {"root", "one", "two"}
    return sent


def by_trace(receiver):
    names = defaultdict(set)
    for one in receiver.spans:
        names[one.trace_id].add(one.name)
    return dict(names)


def calls(receiver):
    """The gateways whose span metrics have come."""
    metric = receiver.metrics.get("traces.spanmetrics.calls")
    return {point["collector.instance.id"] for point, _, _ in metric.points} if metric else set()


async def test_each_trace_is_whole_at_one_gateway_and_survives_its_restart(tmp_path):
    async with OtlpReceiver() as first, OtlpReceiver() as second:
        gateways = [
            stack_collector(tmp_path / name, backend.url, "gateway/gateway.yaml", COLLECTOR_INSTANCE_ID=name)
            for name, backend in (("gateway-1", first), ("gateway-2", second))
        ]
        agent = ShippedCollector(
            tmp_path / "agent",
            "gateway/agent.yaml",
            GATEWAYS=",".join(f"127.0.0.1:{gateway.grpc_port}" for gateway in gateways),
            GATEWAY_ENDPOINT=f"127.0.0.1:{gateways[1].grpc_port}",
        )
        agent.config = {
            "exporters": {"load_balancing": {"protocol": {"otlp": impatient()}}, "otlp_grpc/gateway": impatient()}
        }
        async with gateways[0], gateways[1], agent:
            sent = await send_traces(agent, 30)
            await gateways[1].stop()
            sent |= await send_traces(agent, 30)
            await send_all(agent, ["while one is away"])

            async def goes_on() -> bool:
                return len(by_trace(first)) > 15

            await eventually(goes_on, "the share of the gateway that lives")
            await gateways[1].start()

            async def complete() -> bool:
                whole = by_trace(first) | by_trace(second)
                logs = {record.body for record in second.logs}
                return all(whole.get(trace) == names for trace, names in sent.items()) and bool(
                    logs and "while one is away" in second.metrics and calls(first) and calls(second)
                )

            await eventually(complete, "all traces, the log record and the metric")
    # Prometheus can tell the span metrics of one from another's.
    assert (calls(first), calls(second)) == ({"gateway-1"}, {"gateway-2"})
    # Which is what tail sampling needs.
    assert not by_trace(first).keys() & by_trace(second).keys()
    assert min(len(by_trace(first)), len(by_trace(second))) > 10


async def test_an_agent_stops_though_a_gateway_is_away(tmp_path):
    agent = ShippedCollector(
        tmp_path / "agent", "gateway/agent.yaml", GATEWAYS="127.0.0.1:1", GATEWAY_ENDPOINT="127.0.0.1:1"
    )
    async with agent:
        await send_all(agent, ["never sent"])
        agent.process.terminate()
        assert await agent.process.wait() == 0


async def test_an_agent_finds_its_gateways_by_dns(tmp_path, otlp):
    """An address is a name as well, and resolves everywhere."""
    async with stack_collector(tmp_path / "gateway", otlp.url, "gateway/gateway.yaml") as gateway:
        files = ("gateway/agent.yaml", "gateway/agent-dns.yaml")
        environ = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(gateway.grpc_port)}
        environ["GATEWAY_ENDPOINT"] = f"127.0.0.1:{gateway.grpc_port}"
        async with ShippedCollector(tmp_path / "agent", *files, **environ) as agent:
            await send_all(agent, ["one"])
            await otlp.wait_for(lambda: otlp.spans and otlp.logs and "one" in otlp.metrics)


async def test_what_is_too_big_for_a_gateway_at_once_goes_in_parts(tmp_path, otlp):
    """Its 16 MiB are 6 here, for less to send: what is over them, gRPC drops for good."""
    gateway = stack_collector(tmp_path / "gateway", otlp.url, "gateway/gateway.yaml")
    gateway.config["receivers"]["otlp"] = {"protocols": {"grpc": {"max_recv_msg_size_mib": 6}}}
    address = f"127.0.0.1:{gateway.grpc_port}"
    agent = ShippedCollector(tmp_path / "agent", "gateway/agent.yaml", GATEWAYS=address, GATEWAY_ENDPOINT=address)
    bodies = [f"{number} " + "x" * 14000 for number in range(600)]
    one = span("of one trace")
    async with gateway, agent:
        assert await agent.post("logs", logs(*bodies)) == 200
        spans = [span(body, trace=one["traceId"], parent=one["spanId"]) for body in bodies]
        assert await agent.post("traces", traces(*spans)) == 200
        await otlp.wait_for(lambda: len(otlp.logs) == len(otlp.spans) == len(bodies), 20)
