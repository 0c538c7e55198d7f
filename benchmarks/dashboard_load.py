"""What sends spans to the dashboard, as exporters of busy bots do: batches of 512 over connections that stay.

`python -m benchmarks.dashboard_load URL --rate 5000 --seconds 60` prints what was accepted, as JSON.
"""
# ruff: noqa: T201, S311 - a command; ids need no secrecy

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_BATCH = 512  # spans; what OTEL_BSP_MAX_EXPORT_BATCH_SIZE is by default
_SENDERS = 4
_DB = {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.namespace": "shop", "server.address": "db"}
#: The spans of an update, in the order in which they end: name, kind, number of the parent, attributes.
_UPDATE: tuple[tuple[str, int, int | None, dict[str, str | int]], ...] = (
    ("SELECT orders", 3, 3, {**_DB, "db.query.summary": "SELECT orders", "server.port": 5432}),
    ("SELECT users", 3, 3, {**_DB, "db.query.summary": "SELECT users", "server.port": 5432}),
    (
        "sendMessage",
        3,
        3,
        {
            "telegram.method": "sendMessage",
            "url.template": "/bot{token}/sendMessage",
            "server.address": "api.telegram.org",
            "server.port": 443,
            "http.request.method": "POST",
            "http.response.status_code": 200,
        },
    ),
    ("on_order", 1, 4, {"code.function.name": "shop.handlers.on_order", "aiogram.handler.name": "on_order"}),
    (
        "message on_order",
        5,
        None,
        {
            "messaging.system": "telegram",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.message.id": "712345678",
            "telegram.update.type": "message",
            "telegram.update.outcome": "handled",
            "telegram.chat.type": "private",
            "telegram.bot.id": 123456789,
            "aiogram.handler.name": "on_order",
            "aiogram.fsm.state": "Order:address",
            "user.hash": "5f2c6d1a9b3e4f70",
        },
    ),
)


@dataclass
class Sent:
    accepted: int = 0
    refused: int = 0  # answers other than 200
    bytes: int = 0
    late: float = 0.0  # s that the last batch was behind the rate
    seconds: float = 0.0
    cpu: float = 0.0  # s of this process
    waits: list[float] = field(default_factory=list)  # s until each answer


class _Batches:
    """One request, whose ids, times and handlers change from batch to batch."""

    def __init__(self) -> None:
        self._request = ExportTraceServiceRequest()
        of_resource = self._request.resource_spans.add()
        _set(of_resource.resource, {"service.name": "shop", "service.instance.id": os.urandom(8).hex()})
        of_scope = of_resource.scope_spans.add()
        of_scope.scope.name, of_scope.scope.version = "otelbot", "1"
        self._spans: list[Any] = []
        for number in range(_BATCH):
            name, kind, _, attributes = _UPDATE[number % len(_UPDATE)]
            span = of_scope.spans.add(name=name, kind=kind, flags=0x100)
            _set(span, attributes)
            self._spans.append(span)

    def next(self) -> bytes:
        now = time.time_ns()
        size = len(_UPDATE)
        for begin in range(0, _BATCH, size):
            trace_id, ids = random.randbytes(16), [random.randbytes(8) for _ in _UPDATE]
            for number, span in enumerate(self._spans[begin : begin + size]):
                span.trace_id, span.span_id = trace_id, ids[number]
                if (parent := _UPDATE[number][2]) is not None:
                    span.parent_span_id = ids[parent]
                span.start_time_unix_nano, span.end_time_unix_nano = now - 20_000_000 + number, now
        encoded: bytes = self._request.SerializeToString()
        return encoded


def _set(message: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pair = message.attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


async def send(url: str, rate: float, seconds: float, *, compressed: bool) -> Sent:
    """Send for a time.

    :param rate: spans a second; 0: as fast as they are accepted.
    """
    sent = Sent()
    headers = {"Content-Type": "application/x-protobuf", **({"Content-Encoding": "gzip"} if compressed else {})}
    begin = time.monotonic()
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as http:
        await asyncio.gather(
            *(
                _sender(http, f"{url}/v1/traces", sent, begin, number, rate, seconds, compressed)
                for number in range(_SENDERS)
            )
        )
    sent.seconds = time.monotonic() - begin
    sent.cpu = time.process_time()
    return sent


async def _sender(
    http: aiohttp.ClientSession,
    url: str,
    sent: Sent,
    begin: float,
    number: int,
    rate: float,
    seconds: float,
    compressed: bool,
) -> None:
    batches = _Batches()
    pause = _SENDERS * _BATCH / rate if rate else 0.0
    due = begin + number * pause / _SENDERS
    while due < begin + seconds and time.monotonic() < begin + 2 * seconds:
        if rate:
            await asyncio.sleep(due - time.monotonic())
            sent.late = time.monotonic() - due
        body = batches.next()
        if compressed:
            body = gzip.compress(body, 6)
        while True:
            asked = time.monotonic()
            async with http.post(url, data=body) as response:
                await response.read()
            sent.waits.append(time.monotonic() - asked)
            if response.status == 200:
                break
            sent.refused += 1
            await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
        sent.accepted += _BATCH
        sent.bytes += len(body)
        due = due + pause if rate else time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--gzip", action="store_true")
    options = parser.parse_args()
    print(json.dumps(asdict(asyncio.run(send(options.url, options.rate, options.seconds, compressed=options.gzip)))))


if __name__ == "__main__":
    main()
