"""The demo as a person starts it: it shows whole traces, ends by itself or with Ctrl-C, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from otelbot.demo.waiting import PATIENCE
from otelbot.signals import INSTRUMENTS

TOKEN = re.compile(rb"\d{5,}(:|%3A)[A-Za-z0-9_-]{30,}")
DEMO = [sys.executable, "-m", "otelbot", "demo"]
CRASHING = """
import sys
from otelbot.demo import run
run.BOT = [sys.executable, "-c", "print('no water'); raise SystemExit(3)"]
raise SystemExit(run.main(60))
"""


@pytest.fixture
def started():
    """Start programs whose processes and temporary files are all gone at the end."""
    mark = f"OTELBOT_TEST={uuid.uuid4()}"
    name, _, value = mark.partition("=")

    def left():
        for process in psutil.process_iter():
            try:
                # Redis writes its title over its environment: its working directory tells.
                if process.environ().get(name) == value or process.cwd().startswith(temporary):
                    yield " ".join(process.cmdline())
            except psutil.Error:
                continue  # gone, or somebody else's

    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o711)  # PostgreSQL runs as `nobody` when the tests run as root
        environ = {**os.environ, name: value, "TMPDIR": temporary}
        programs = []

        def start(command):
            program = subprocess.Popen(
                command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
            programs.append(program)
            return program

        yield start
        for program in programs:
            program.kill()
            program.communicate()
        assert list(left()) == []
        assert list(Path(temporary).iterdir()) == []


def requests_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def attributes_of(span):
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span.get("attributes", [])}


def test_a_few_seconds(started, tmp_path):
    out = tmp_path / "out"
    demo = started([*DEMO, "--seconds", "8", "--out", str(out)])
    stdout, stderr = demo.communicate(timeout=90)
    assert (demo.returncode, stderr) == (0, "")
    assert "place_order" in stdout
    assert "\x1b" not in stdout

    spans = [
        span
        for request in requests_in(out / "traces.jsonl")
        for by_resource in request["resourceSpans"]
        for by_scope in by_resource["scopeSpans"]
        for span in by_scope["spans"]
    ]

    def below(parent):
        return [span for span in spans if span.get("parentSpanId") == parent["spanId"]]

    root = next(span for span in spans if span["name"] == "callback_query place_order")
    assert "parentSpanId" not in root
    handler = next(span for span in below(root) if span["name"] == "place_order")
    calls = below(handler)
    assert {span["traceId"] for span in calls} == {root["traceId"]}
    facts = [attributes_of(span) for span in calls]
    assert {"postgresql", "redis"} <= {fact.get("db.system.name") for fact in facts}
    assert {"answerCallbackQuery", "sendMessage"} <= {fact.get("telegram.method") for fact in facts}
    assert any("http.request.method" in fact and "telegram.method" not in fact for fact in facts)
    assert {attributes_of(span).get("telegram.update.outcome") for span in spans} >= {"handled", "error"}

    metrics = [
        metric
        for request in requests_in(out / "metrics.jsonl")
        for by_resource in request["resourceMetrics"]
        for by_scope in by_resource["scopeMetrics"]
        for metric in by_scope["metrics"]
    ]
    declared = {instrument.name: instrument for instrument in INSTRUMENTS}
    # Nothing in the shop knows of otelbot, so it times no function of its own.
    assert {metric["name"] for metric in metrics} == set(declared) - {"telegram.bot.function.duration"}
    for metric in metrics:
        instrument = declared[metric["name"]]
        assert metric.get("unit", "") == instrument.unit, instrument.name
        data = metric.get("histogram") or metric.get("sum") or metric.get("gauge")
        for point in data["dataPoints"]:
            assert set(attributes_of(point)) <= set(instrument.attributes), instrument.name
    assert requests_in(out / "logs.jsonl")
    for file in out.iterdir():
        assert not TOKEN.search(file.read_bytes()), file.name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(started, number):
    demo = started(DEMO)
    for line in demo.stdout:
        if "place_order" in line:
            break
    os.killpg(demo.pid, number)  # as a terminal does: everything in the foreground gets it
    stdout, stderr = demo.communicate(timeout=60)
    assert (demo.returncode, stderr) == (0, "")
    assert "telegram.bot.update.duration" in stdout


def test_bot_that_dies(started):
    demo = started([sys.executable, "-c", CRASHING])
    _, stderr = demo.communicate(timeout=60)
    assert demo.returncode == 1
    first, *rest = stderr.splitlines()
    log = re.fullmatch(r"otelbot demo: the bot ended by itself; its log is (.+) and ends with:", first)
    assert rest == ["no water"]
    kept = Path(log[1])
    assert kept.read_text() == "no water\n"
    kept.unlink()
    kept.parent.rmdir()


async def test_a_stack_gets_everything_too(otlp, tmp_path):
    command = [*DEMO, "--seconds", "4", "--out", str(tmp_path), "--endpoint", otlp.url]
    program = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, errors = await program.communicate()
    assert (program.returncode, errors) == (0, b"")
    kept = (tmp_path / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    assert len([request for request in otlp.requests if request.signal == "traces"]) == len(kept) > 0
    assert {"tea-shop"} == {span.resource["service.name"] for span in otlp.spans}


def test_a_stack_that_is_not_there_is_one_sentence(started, tmp_path):
    program = started([*DEMO, "--seconds", "2", "--endpoint", "http://127.0.0.1:9"])
    _, errors = program.communicate(timeout=120)
    assert program.returncode == 0
    assert errors.count("\n") == 1
    assert errors.startswith("otelbot demo: http://127.0.0.1:9 can't be reached")


def test_the_page_shows_what_happens_and_its_port_may_be_taken(started):
    demo = started(DEMO)
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: as well
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        first = demo.stdout.readline()
    page = re.fullmatch(r"dashboard: (http://127\.0\.0\.1:\d+)\n", first)[1]

    def ask(path):
        return json.loads(urllib.request.urlopen(f"{page}{path}", timeout=60).read())

    for line in demo.stdout:
        if "place_order" in line:
            break
    outcomes = until(lambda: {trace["outcome"] for trace in ask("/api/traces")["traces"]} >= {"handled", "error"})
    assert outcomes
    assert until(lambda: ask("/api/metrics")["cards"]["messages_processed"]["value"])
    demo.send_signal(signal.SIGINT)
    stdout, stderr = demo.communicate(timeout=60)
    assert (demo.returncode, stderr) == (0, "")
    assert f"The dashboard was at {page}" in stdout.replace("\n", " ")


def until(look):
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_without_a_page_and_with_its_health_where_it_is_asked_for(started):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    demo = started(["env", f"OTELBOT_HEALTH_PORT={port}", *DEMO, "--seconds", "8", "--no-dashboard"])
    deadline, status = time.monotonic() + PATIENCE, None
    while status is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            status = json.load(answer)["status"]
        time.sleep(0.1)
    assert status in {"healthy", "degraded"}
    stdout, stderr = demo.communicate(timeout=90)
    assert (demo.returncode, stderr) == (0, "")
    assert "dashboard" not in stdout
