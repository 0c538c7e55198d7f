"""OTLP/JSON files out of one store and into another."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from otelbot.dashboard.otlp import decode
from otelbot.dashboard.store import Limits, Store, exporting
from otelbot.dashboard.store.exporting import NotOtlpError
from tests.unit.dashboard.reading.telemetry import (
    NOW,
    SECOND,
    counter,
    gauge,
    histogram,
    log,
    request,
    span,
    span_id,
    trace_id,
    update,
)

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = """
SELECT hex(trace_id), hex(span_id), hex(parent_id), start, end, spans.name, hex(body), attributes, scopes.name, version
FROM spans JOIN resources ON resources.id = resource JOIN scopes ON scopes.id = scope ORDER BY start, spans.id;
SELECT time, severity, severity_text, body, event, hex(trace_id), hex(span_id), error_type, fingerprint, occurrences,
    logs.attributes, resources.attributes, name, version
FROM logs JOIN resources ON resources.id = resource JOIN scopes ON scopes.id = scope ORDER BY time, logs.id;
SELECT name, kind, monotonic, unit, description, bounds, series.attributes, resources.attributes, time, value, sum,
    hex(buckets)
FROM series JOIN points ON points.series = series.id JOIN resources ON resources.id = resource ORDER BY name, time;
SELECT hex(trace_id), start, end, name, hex(root), handler, outcome, spans, errors FROM traces ORDER BY trace_id;
SELECT hex(trace_id), hex(linked_trace_id) FROM links ORDER BY trace_id
"""


async def content(store: Store) -> list[list[tuple]]:
    return await store.read(lambda db: [[tuple(row) for row in db.execute(query)] for query in EVERYTHING.split(";")])


async def fill(fed) -> None:
    odd = {
        "list": [1, "a", {"b": [True, None, 2.5]}],
        "map": {},
        "none": None,
        "great": 2**60,
        "فارسی": "سلام",
        "real": 1.0,
    }
    await fed.send(
        "traces",
        update(1, attributes={**odd, "nan": math.nan, "bytes": b"\x00\xff"}, events=[("exception", odd)], seconds=1),
        span(1, 7, "sendMessage", parent=100, kind=3, error="</script>\n", links=[(9, 9)]),
    )
    await fed.send("traces", update(2), resource={"service.name": "other", **odd})
    await fed.send(
        "logs", log('quote " and\nline', trace=1, attributes=odd, event="exception"), log({"a": 1}), log(None)
    )
    await fed.send(
        "metrics",
        gauge("heat", (-30, 1.5), (-20, 1e300), (-10, -0.25), unit="Cel", place="kitchen"),
        counter("hits", (-30, 1), (-20, 2), path="/"),
        histogram("work", [0.1, 1.0], (-30, 2.5, [1, 0, 2]), (-20, None, [1, 5, 2]), handler="pay"),
    )


async def test_what_is_imported_is_what_was_exported(fed, tmp_path: Path):
    await fill(fed)
    counts = await fed.store.read(lambda db: exporting.write(db, tmp_path / "out"))
    assert counts == {"traces": 3, "metrics": 7, "logs": 3}
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["logs.jsonl", "metrics.jsonl", "traces.jsonl"]
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "out").iterdir()} == {0o600}
    other = Store(tmp_path / "other", Limits(max_bytes=100 * 2**20, max_age=3600, metrics_age=3600))
    other.start()
    try:
        for signal, body in exporting.requests(tmp_path / "out"):
            assert not (await other.add(signal, body, "", in_json=True)).rejected
        assert await content(other) == await content(fed.store)
    finally:
        other.close()


async def test_files_are_otlp_json_as_others_read_it(fed, tmp_path: Path):
    await fill(fed)
    await fed.store.read(lambda db: exporting.write(db, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "traces.jsonl").read_text(encoding="utf-8").splitlines()]
    written = lines[0]["resourceSpans"][0]["scopeSpans"][0]
    assert written["scope"] == {"name": "otelbot", "version": "1"}
    child = written["spans"][1]
    assert (child["traceId"], child["spanId"], child["parentSpanId"]) == (trace_id(1), span_id(7), span_id(100))
    assert child["startTimeUnixNano"] == str(NOW - 10 * SECOND)
    assert (child["kind"], child["status"]) == (3, {"code": 2, "message": "</script>\n"})
    assert child["links"][0]["traceId"] == trace_id(9)
    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    metrics = [line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0] for line in points]
    by_name = {metric["name"]: metric for metric in metrics}
    assert by_name["hits"]["sum"]["isMonotonic"] is True
    assert by_name["hits"]["sum"]["aggregationTemporality"] == 2
    assert by_name["work"]["histogram"]["dataPoints"][0]["bucketCounts"] == ["1", "0", "2"]
    for signal in ("traces", "metrics", "logs"):
        for line in (tmp_path / f"{signal}.jsonl").read_bytes().splitlines():
            decode(signal, line, "", in_json=True)


async def test_only_what_is_new_enough_is_exported(fed, tmp_path: Path):
    await fed.send("traces", update(1, start=-100), update(2, start=-10))
    await fed.send("logs", log("old", at=-100), log("new"))
    await fed.send("metrics", gauge("heat", (-100, 1), (-10, 2)))
    since = NOW - 50 * SECOND
    counts = await fed.store.read(lambda db: exporting.write(db, tmp_path, since))
    assert counts == {"traces": 1, "metrics": 1, "logs": 1}


async def test_lines_are_short_enough_for_a_receiver(fed, tmp_path: Path):
    large = {"large": "x" * 100_000}
    await fed.send("traces", *(update(number, attributes=large) for number in range(1, 61)))
    await fed.send("traces", *(update(number) for number in range(100, 600)))
    counts = await fed.store.read(lambda db: exporting.write(db, tmp_path))
    assert counts["traces"] == 560
    lines = (tmp_path / "traces.jsonl").read_bytes().splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) < 2 * 2**20


async def test_an_export_that_fails_leaves_the_file_before_as_it_was(fed, tmp_path: Path, monkeypatch):
    (tmp_path / "traces.jsonl").write_text("before")
    await fed.send("traces", update(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "to_otlp_json", full)
    with pytest.raises(OSError, match="No space"):
        await fed.store.read(lambda db: exporting.write(db, tmp_path))
    assert (tmp_path / "traces.jsonl").read_text() == "before"
    assert [file.name for file in tmp_path.glob("*.part")] == []


def line(signal: str) -> str:
    item = {"traces": update(1), "logs": log("x"), "metrics": gauge("heat", (0, 1))}[signal]
    return json.dumps(request(signal, [item], {}))


def test_a_file_may_have_every_signal_and_empty_lines(tmp_path: Path):
    file = tmp_path / "all.jsonl"
    file.write_text(f"{line('traces')}\n\n{line('logs')}\r\n{line('metrics')}")
    assert [signal for signal, _ in exporting.requests(file)] == ["traces", "logs", "metrics"]


@pytest.mark.parametrize("wrong", ["{", "[]", "12", "null", '{"spans": []}', '"resourceSpans"', "\x00", "[" * 100_000])
def test_a_line_that_is_no_request_is_named_in_one_sentence(tmp_path: Path, wrong: str):
    file = tmp_path / "some.jsonl"
    file.write_text(f"{line('traces')}\n{wrong}\n")
    found = exporting.requests(file)
    next(found)
    with pytest.raises(NotOtlpError, match=r"line 2 of .*some\.jsonl is no OTLP/JSON request") as raised:
        next(found)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path):
    file = tmp_path / "binary"
    file.write_bytes(bytes(range(128, 256)) * 10)
    with pytest.raises(NotOtlpError, match="line 1"):
        list(exporting.requests(file))


def test_a_folder_without_files_is_said(tmp_path: Path):
    with pytest.raises(NotOtlpError, match=r"none of traces\.jsonl"):
        list(exporting.requests(tmp_path))
