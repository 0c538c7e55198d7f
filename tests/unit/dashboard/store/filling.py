"""Requests to fill a store with, and stores that end with their test."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from otelbot.dashboard.store import Limits, Store
from otelbot.demo.waiting import PATIENCE

MIB = 2**20
HOUR = 3600.0
LIMITS = Limits(512 * MIB, 24 * HOUR, 24 * HOUR)
_serial = itertools.count(1)


@asynccontextmanager
async def opened(folder, limits=LIMITS):
    store = Store(folder, limits)
    store.start()
    try:
        yield store
    finally:
        store.close()


def trace_id():
    return next(_serial).to_bytes(16, "big")


def span_id():
    return next(_serial).to_bytes(8, "big")


def pairs(values):
    found = []
    for key, value in values.items():
        pair = KeyValue(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value
        found.append(pair)
    return found


def span(trace, identifier=None, parent=b"", *, name="work", start=None, seconds=0.1, kind=1, error=False, **more):
    """Return the fields of a span; `more` is its attributes, with `a__b` for `a.b`."""
    start = time.time_ns() if start is None else start
    return {
        "trace_id": trace,
        "span_id": identifier or span_id(),
        "parent_span_id": parent,
        "name": name,
        "kind": kind,
        "start_time_unix_nano": start,
        "end_time_unix_nano": max(start + int(seconds * 10**9), 0),
        "status": {"code": 2} if error else {},
        "attributes": pairs({key.replace("__", "."): value for key, value in more.items()}),
    }


def traces(*spans, service="tea", scope="tests"):
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(pairs({"service.name": service}))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = scope
    for fields in spans:
        of_scope.spans.add(**fields)
    return request


def logs(*bodies, service="tea", **fields):
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_resource.resource.attributes.extend(pairs({"service.name": service}))
    of_scope = of_resource.scope_logs.add()
    for body in bodies:
        record = of_scope.log_records.add(time_unix_nano=time.time_ns(), **fields)
        record.body.string_value = body
    return request


def metrics(kind, *points, name="cups", unit="", service="tea", **fields):
    """Return a request with one metric; each point is the fields of a data point."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    of_resource.resource.attributes.extend(pairs({"service.name": service}))
    metric = of_resource.scope_metrics.add().metrics.add(name=name, unit=unit)
    data = getattr(metric, kind)
    data.SetInParent()
    for key, value in fields.items():
        setattr(data, key, value)
    for point in points:
        given = {"time_unix_nano": time.time_ns(), **point}
        attributes = given.pop("attributes", {})
        data.data_points.add(**given).attributes.extend(pairs(attributes))
    return request


async def add(store, request):
    for signal in ("Trace", "Metrics", "Logs"):
        if signal in type(request).__name__:
            named = {"Trace": "traces"}.get(signal, signal.lower())
            return await store.add(named, request.SerializeToString(), "", in_json=False)
    raise AssertionError


async def rows(store, query, *parameters):
    return await store.read(lambda db: [tuple(row) for row in db.execute(query, parameters)])


async def until(look):
    """Wait until the first column of the first row of what `await look()` returns is true."""
    deadline = time.monotonic() + PATIENCE
    while not (await look())[0][0]:
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        await asyncio.sleep(0.05)
