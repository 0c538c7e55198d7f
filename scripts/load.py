"""Sends telemetry as many bots would: how much does a Collector take, and what does it cost.

    python scripts/load.py http://localhost:4318 --bots 20 --rate 200 --watch collector=PID --metrics http://localhost:8888/metrics

Each bot posts its spans and log records once a second and its metrics every 15 seconds, as otelbot does. An update is six
spans (update, handler, two of PostgreSQL, one of Redis, one of the Bot API) and one log record. Printed is what was taken
and refused, for each watched process (Linux) the CPU time of an update and the most memory it had, and by the Collector's
own metrics, ten seconds later, what it passed on and what it lost in spite of having taken it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import struct
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HANDLERS = 20
_METRICS_EVERY = 15
_HEADERS = {"Content-Type": "application/x-protobuf"}
_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30]
#: Stands for every trace id in a request, and is replaced before it is sent: building spans anew for each request would
#: cost this program more than the Collector. Sampling goes by the ids, so all of one is random.
_MARK = b"\xa5\x5a\xa5\x5a\xc3\x3c\xc3\x3c" * 2
_SETTLING = 10  # seconds from the last request until sampling has decided and queues are empty
_PASSED_ON = ("exporter_sent_spans", "exporter_sent_metric_points", "exporter_sent_log_records")
_LOST = ("dropped_too_early", "dropped_too_large", "enqueue_failed", "send_failed", "servicegraph_dropped_spans")
# Name, kind, milliseconds, index of the parent, attributes.
_SPANS: list[tuple[str, int, float, int | None, dict[str, Any]]] = [
    (
        "message handler{handler}",
        5,
        40,
        None,
        {
            "messaging.system": "telegram",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.message.id": "123456789",
            "telegram.update.type": "message",
            "telegram.update.outcome": "handled",
            "telegram.chat.type": "private",
            "telegram.bot.id": "123456789",
            "aiogram.handler.name": "handler{handler}",
            "aiogram.router.name": "shop",
            "user.hash": "0123456789abcdef",
        },
    ),
    (
        "handler{handler}",
        1,
        38,
        0,
        {"code.function.name": "shop.handlers.handler{handler}", "aiogram.handler.name": "handler{handler}"},
    ),
    *[
        (
            f"{verb} orders",
            3,
            3,
            1,
            {
                "db.system.name": "postgresql",
                "db.operation.name": verb,
                "db.query.summary": f"{verb} orders",
                "db.namespace": "shop",
                "server.address": "postgres",
                "server.port": 5432,
            },
        )
        for verb in ("SELECT", "INSERT")
    ],
    (
        "GET",
        3,
        0.6,
        1,
        {"db.system.name": "redis", "db.operation.name": "GET", "server.address": "redis", "server.port": 6379},
    ),
    (
        "sendMessage",
        3,
        25,
        1,
        {
            "telegram.method": "sendMessage",
            "url.template": "/bot{token}/sendMessage",
            "server.address": "api.telegram.org",
            "server.port": 443,
            "http.request.method": "POST",
            "http.response.status_code": 200,
        },
    ),
]


def _put(target: Any, values: dict[str, Any], handler: int = 0) -> None:
    for key, value in values.items():
        pair = target.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value.replace("{handler}", str(handler))


def _resource(target: Any, bot: int) -> None:
    _put(
        target.resource.attributes,
        {
            "service.name": f"bot-{bot}",
            "service.instance.id": f"{bot:032x}",
            "service.version": "1.0",
            "deployment.environment.name": "load",
            "host.name": "load",
            "process.pid": 1000 + bot,
            "process.runtime.name": "cpython",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.distro.name": "otelbot",
            "telegram.bot.id": "123456789",
        },
    )


def traces(bot: int, updates: int) -> bytes:
    request = ExportTraceServiceRequest()
    by_resource = request.resource_spans.add()
    _resource(by_resource, bot)
    by_scope = by_resource.scope_spans.add()
    by_scope.scope.name = "otelbot"
    end = time.time_ns()
    for update in range(updates):
        ids = [struct.pack(">Q", (update + 1) * 16 + number) for number in range(len(_SPANS))]
        for number, (name, kind, milliseconds, parent, attributes) in enumerate(_SPANS):
            span = by_scope.spans.add(
                trace_id=_MARK,
                span_id=ids[number],
                name=name.replace("{handler}", str(update % HANDLERS)),
                kind=kind,
                start_time_unix_nano=end - int(milliseconds * 1e6),
                end_time_unix_nano=end,
            )
            if parent is not None:
                span.parent_span_id = ids[parent]
            _put(span.attributes, attributes, update % HANDLERS)
    return request.SerializeToString()


def logs(bot: int, updates: int) -> bytes:
    request = ExportLogsServiceRequest()
    by_resource = request.resource_logs.add()
    _resource(by_resource, bot)
    by_scope = by_resource.scope_logs.add()
    by_scope.scope.name = "shop"
    for update in range(updates):
        record = by_scope.log_records.add(
            time_unix_nano=time.time_ns(), severity_number=9, severity_text="INFO", trace_id=_MARK
        )
        record.body.string_value = f"message received by handler{update % HANDLERS}: text, private, 42 characters"
        _put(record.attributes, {"event.name": "telegram.message.received", "telegram.chat.type": "private"})
    return request.SerializeToString()


def metrics(bot: int, count: int) -> bytes:
    """Return one export: 12 histograms of handlers and methods, 48 counters and gauges."""
    request = ExportMetricsServiceRequest()
    by_resource = request.resource_metrics.add()
    _resource(by_resource, bot)
    by_scope = by_resource.scope_metrics.add()
    by_scope.scope.name = "otelbot"
    now = time.time_ns()
    duration = by_scope.metrics.add(name="load.handler.duration", unit="s")
    duration.histogram.aggregation_temporality = 2
    for number in range(12):
        point = duration.histogram.data_points.add(
            time_unix_nano=now,
            start_time_unix_nano=now - 10**9,
            count=count,
            sum=count * 0.04,
            explicit_bounds=_BOUNDS,
            bucket_counts=[count] + [0] * len(_BOUNDS),
        )
        _put(point.attributes, {"aiogram.handler.name": f"handler{number}", "telegram.update.type": "message"})
    for number in range(48):
        metric = by_scope.metrics.add(name=f"load.figure.{number}", unit="1")
        metric.gauge.data_points.add(time_unix_nano=now, as_int=count)
    return request.SerializeToString()


def fresh(body: bytes, ids: list[bytes]) -> bytes:
    """Return the request with the trace ids of its updates, each of which has as many marks as any other."""
    first, *rest = body.split(_MARK)
    each = len(rest) // len(ids)
    return first + b"".join(ids[number // each] + piece for number, piece in enumerate(rest))


class Load:
    def __init__(self, url: str, bots: int, rate: float) -> None:
        self.url, self.bots, self.rate = url, bots, rate
        self.taken: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._bot(session, bot, seconds) for bot in range(self.bots)))

    async def _bot(self, session: aiohttp.ClientSession, bot: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        each = self.rate / self.bots
        most = max(1, round(each) + 1)
        ready = {size: (traces(bot, size), logs(bot, size)) for size in {max(1, int(each)), most}}
        start = loop.time() + bot / self.bots  # not all in the same moment
        owed = 0.0
        for tick in range(int(seconds)):
            await asyncio.sleep(max(0, start + tick - loop.time()))
            owed += each
            if owed >= 1:
                size = max(size for size in ready if size <= max(owed, min(ready)))
                owed -= size
                ids = [os.urandom(16) for _ in range(size)]
                for signal, body in zip(("traces", "logs"), ready[size], strict=True):
                    await self._post(session, signal, fresh(body, ids), size)
            if tick % _METRICS_EVERY == bot % _METRICS_EVERY:
                await self._post(session, "metrics", metrics(bot, tick + 1), 1)

    async def _post(self, session: aiohttp.ClientSession, signal: str, body: bytes, items: int) -> None:
        try:
            async with session.post(f"{self.url}/v1/{signal}", data=body, headers=_HEADERS) as response:
                taken = response.status == 200
        except (aiohttp.ClientError, asyncio.TimeoutError):
            taken = False
        (self.taken if taken else self.refused)[signal] += items
        self.bytes[signal] += len(body) if taken else 0


def counters(url: str) -> Counter[str]:
    """Return what the Collector has passed on and lost so far, by counter and exporter."""
    found: Counter[str] = Counter()
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - the address is the user's own
        lines = response.read().decode().splitlines()
    for line in lines:
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and any(word in name for word in (*_PASSED_ON, *_LOST)):
            exporter = name.partition('exporter="')[2].partition('"')[0]
            found[f"{name.partition('{')[0]} {exporter}".strip()] += int(float(value))
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> int:
    """Return the most memory that the process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the Collector's OTLP/HTTP address")
    parser.add_argument("--bots", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100, help="updates a second, of all bots together")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--watch", action="append", default=[], metavar="NAME=PID")
    parser.add_argument(
        "--metrics", metavar="URL", help="the Collector's own metrics, such as http://localhost:8888/metrics"
    )
    options = parser.parse_args()
    watched = {name: int(pid) for name, _, pid in (each.partition("=") for each in options.watch)}
    passed_on = counters(options.metrics) if options.metrics else Counter()
    load = Load(options.url.rstrip("/"), options.bots, options.rate)
    before = {name: cpu_seconds(pid) for name, pid in watched.items()}
    start = time.monotonic()
    asyncio.run(load.run(options.seconds))
    seconds = time.monotonic() - start
    updates = load.taken["traces"]
    lines = [
        f"{updates / seconds:.0f} updates/s taken of {options.rate:g} from {options.bots} bots for {seconds:.0f} s"
    ]
    lines += [
        f"  {signal}: {load.bytes[signal] / seconds / 1000:.0f} kB/s, {load.refused[signal]} refused"
        for signal in ("traces", "metrics", "logs")
    ]
    for name, pid in watched.items():
        used = cpu_seconds(pid) - before[name]
        each = f"{used / updates * 1e6:.0f} µs an update, " if updates else ""
        lines.append(f"  {name}: {used / seconds:.0%} of a core, {each}at most {peak_mib(pid)} MiB")
    if options.metrics:
        time.sleep(_SETTLING)
        lines.append(f"  sent and taken: {updates * len(_SPANS)} spans, {load.taken['logs']} log records")
        since = counters(options.metrics) - passed_on
        lines += [f"  {name}: {count}" for name, count in sorted(since.items())]
        lines += [f"  {word}: none" for word in _LOST if not any(word in name for name in since)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
