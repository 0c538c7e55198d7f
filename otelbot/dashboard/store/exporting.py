"""Telemetry in and out of files: OTLP/JSON, a request a line, as the Collector's file exporter writes it.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
"""

from __future__ import annotations

import json
import os
import struct
from contextlib import contextmanager
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from otelbot.dashboard.otlp import to_otlp_json
from otelbot.dashboard.store import rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

#: The field that each signal's requests begin with, by the signal, which is also the name of its file.
_FIELDS = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}
_MOST_ROWS = 200  # in a line
_MOST_BYTES = 2**20  # the same, as far as the rows themselves are concerned
_LONGEST = 20 * 2**20  # bytes of a line that is read: what the receiver takes

_SPANS = """
SELECT spans.resource, spans.scope, length(body) AS bytes, body, resources.attributes AS resource_attributes,
    scopes.name AS scope_name, scopes.version AS scope_version
FROM spans LEFT JOIN resources ON resources.id = spans.resource LEFT JOIN scopes ON scopes.id = spans.scope
WHERE +start >= ? ORDER BY spans.id
"""
_LOGS = """
SELECT logs.*, length(body) + length(logs.attributes) AS bytes, resources.attributes AS resource_attributes,
    scopes.name AS scope_name, scopes.version AS scope_version
FROM logs LEFT JOIN resources ON resources.id = logs.resource LEFT JOIN scopes ON scopes.id = logs.scope
WHERE +time >= ? ORDER BY logs.id
"""
_SERIES = """
SELECT series.*, resources.attributes AS resource_attributes
FROM series LEFT JOIN resources ON resources.id = series.resource ORDER BY series.id
"""
_POINTS = "SELECT * FROM points WHERE series = ? AND time >= ? ORDER BY time"


class NotOtlpError(ValueError):
    """A file that can't be imported; one sentence says which line and why."""


def write(db: sqlite3.Connection, folder: Path, since_ns: int | None = None) -> dict[str, int]:
    """Write traces.jsonl, metrics.jsonl and logs.jsonl, and return how many spans, points and records they have.

    Points are as they are stored: cumulative, with explicit buckets, and the time at which they began isn't known.
    A file is there when it is complete; one of that name before is replaced.

    :param since_ns: ns since the epoch: only what began then or later.
    :raises OSError: when the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    since = since_ns or 0
    return {
        "traces": _write(folder / "traces.jsonl", _traces(db, since)),
        "metrics": _write(folder / "metrics.jsonl", _metrics(db, since)),
        "logs": _write(folder / "logs.jsonl", _logs(db, since)),
    }


def _write(path: Path, requests: Iterable[tuple[Any, int]]) -> int:
    written = 0
    with _replacing(path) as file:
        for request, count in requests:
            file.write(json.dumps(to_otlp_json(request), ensure_ascii=False, separators=(",", ":")))
            file.write("\n")
            written += count
    return written


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _traces(db: sqlite3.Connection, since: int) -> Iterator[tuple[ExportTraceServiceRequest, int]]:
    for batch in _batches(db.execute(_SPANS, (since,))):
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        of_scope = of_resource.scope_spans.add()
        _describe(of_resource.resource, of_scope.scope, batch[0])
        for row in batch:
            of_scope.spans.add().ParseFromString(row["body"])
        yield request, len(batch)


def _logs(db: sqlite3.Connection, since: int) -> Iterator[tuple[ExportLogsServiceRequest, int]]:
    for batch in _batches(db.execute(_LOGS, (since,))):
        request = ExportLogsServiceRequest()
        of_resource = request.resource_logs.add()
        of_scope = of_resource.scope_logs.add()
        _describe(of_resource.resource, of_scope.scope, batch[0])
        for row in batch:
            record = of_scope.log_records.add(
                time_unix_nano=row["time"],
                severity_number=row["severity"],
                severity_text=row["severity_text"],
                event_name=row["event"] or "",
                trace_id=row["trace_id"] or b"",
                span_id=row["span_id"] or b"",
            )
            record.body.string_value = row["body"]
            _attributes(record.attributes, json.loads(row["attributes"]))
        yield request, len(batch)


def _batches(found: Iterable[sqlite3.Row]) -> Iterator[list[sqlite3.Row]]:
    """Yield what came one after the other from one scope, in parts that a receiver takes."""
    for _, of_scope in groupby(found, key=lambda row: (row["resource"], row["scope"])):
        batch: list[sqlite3.Row] = []
        size = 0
        for row in of_scope:
            if batch and (len(batch) >= _MOST_ROWS or size + row["bytes"] > _MOST_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row["bytes"]
        yield batch


def _metrics(db: sqlite3.Connection, since: int) -> Iterator[tuple[ExportMetricsServiceRequest, int]]:
    for series in db.execute(_SERIES):
        points = db.execute(_POINTS, (series["id"], since // 1_000_000))
        while batch := points.fetchmany(_MOST_ROWS):
            request = ExportMetricsServiceRequest()
            of_resource = request.resource_metrics.add()
            _attributes(of_resource.resource.attributes, rows.decoded(series["resource_attributes"] or "{}"))
            metric = of_resource.scope_metrics.add().metrics.add(
                name=series["name"], unit=series["unit"], description=series["description"]
            )
            _add_points(metric, series, batch)
            yield request, len(batch)


def _add_points(metric: Metric, series: sqlite3.Row, points: list[sqlite3.Row]) -> None:
    kind = series["kind"]
    data: Any = getattr(metric, kind)
    if kind != "gauge":
        data.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    if kind == "sum":
        data.is_monotonic = bool(series["monotonic"])
    attributes = json.loads(series["attributes"])
    for row in points:
        point = data.data_points.add(time_unix_nano=row["time"] * 1_000_000)
        _attributes(point.attributes, attributes)
        if kind == "histogram":
            point.count = int(row["value"])
            if row["sum"] is not None:
                point.sum = row["sum"]
            point.explicit_bounds.extend(rows.decoded(series["bounds"] or "[]"))
            point.bucket_counts.extend(struct.unpack(f"<{len(row['buckets']) // 8}Q", row["buckets"]))
        else:
            point.as_double = row["value"]


def _describe(resource: Resource, scope: InstrumentationScope, row: sqlite3.Row) -> None:
    _attributes(resource.attributes, rows.decoded(row["resource_attributes"] or "{}"))
    scope.name, scope.version = row["scope_name"] or "", row["scope_version"] or ""


def _attributes(pairs: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        pair: KeyValue = pairs.add(key=key)
        _set(pair.value, value)


def _set(target: AnyValue, value: Any) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        _attributes(target.kvlist_value.values, value)


def requests(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield signal and OTLP/JSON of each request in a file, or in the files that `write` makes in a folder.

    :raises NotOtlpError: where a line is no request, or a folder has none of those files.
    :raises OSError: when a file can't be read.
    """
    files = [path]
    if path.is_dir():
        files = [file for signal in _FIELDS if (file := path / f"{signal}.jsonl").exists()]
        if not files:
            raise NotOtlpError(
                f"{path} has none of traces.jsonl, metrics.jsonl and logs.jsonl: name a file of OTLP/JSON"
            )
    for file in files:
        yield from _requests(file)


def _requests(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST + 1):
            number += 1
            if len(line) > _LONGEST:
                raise NotOtlpError(
                    f"line {number} of {path} is longer than {_LONGEST // 2**20} MiB: split that request"
                )
            if line.strip():
                yield _signal(line, path, number), line.strip()


def _signal(line: bytes, path: Path, number: int) -> str:
    reason = "it has none of " + ", ".join(_FIELDS.values())
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        given, reason = None, str(error)[:200]
    signals = [signal for signal, field in _FIELDS.items() if isinstance(given, dict) and field in given]
    if not signals:
        raise NotOtlpError(f"line {number} of {path} is no OTLP/JSON request ({reason}): one request a line is read")
    return signals[0]
