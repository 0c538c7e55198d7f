"""`otelbot doctor` says what is instrumented, what is wrong and how to mend it, and fails on what needs mending."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from otelbot.settings import TUNE_PARTS
from tests.support import OTELBOT, TOKEN, clean_environ


async def doctor(*words, env=None, cwd=None):
    process = await asyncio.create_subprocess_exec(
        OTELBOT,
        "doctor",
        *words,
        env=clean_environ() | {"COLUMNS": "100"} | (env or {}),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert b"Traceback" not in out + err
    return process.returncode, out.decode(), err.decode()


async def examine(*words, env=None, cwd=None):
    code, out, _ = await doctor("--json", *words, env=env, cwd=cwd)
    report = json.loads(out)
    assert report["ok"] is (code == 0)
    return code, {(check["area"], check["name"]): (check["status"], check["detail"]) for check in report["checks"]}


async def test_all_is_well(otlp):
    code, checks = await examine("--", "python", "bot.py", env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url})
    assert code == 0
    assert {status for status, _ in checks.values()} <= {"ok", "info"}
    assert checks["interpreter", "python"][1].startswith(sys.executable.rpartition("/")[0])
    for name in ("aiogram", "asyncpg", "redis", "aiohttp-client", "logging"):
        assert checks["instrumentation", name][0] == "ok"
    for signal in ("traces", "metrics", "logs"):
        assert checks["endpoint", signal] == ("ok", f"{otlp.url} accepts {signal}")
        assert checks["privacy", signal][0] == "ok"
    assert {received.signal for received in otlp.requests} == {"traces", "metrics", "logs"}
    # What it sends is a real request that leaves nothing behind.
    assert not otlp.spans
    assert not otlp.metrics
    assert not otlp.logs


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        {"OTEL_PYTHON_DISTRO": "", "OTEL_TRACES_EXPORTER": ""},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
async def test_settings_that_send_less_are_no_fault(otlp, env):
    code, checks = await examine(env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url} | env)
    assert code == 0, checks
    assert checks["privacy", "traces"][0] == "ok"


async def test_an_interpreter_behind_a_shim_is_examined_once(otlp, tmp_path):
    shim = tmp_path / "python"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    (tmp_path / "wrapt.py").write_text("raise RuntimeError('a file of the bot is not imported')")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url}
    code, checks = await examine("--", str(shim), "bot.py", env=env, cwd=tmp_path)
    assert code == 0
    assert checks["interpreter", "python"][1].startswith(sys.executable)


async def test_the_report_for_people(otlp):
    code, out, _ = await doctor(env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url})
    assert code == 0
    assert "ready: otelbot-instrument python bot.py" in out
    code, out, _ = await doctor(env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert code == 1
    assert "3 things to mend" in out
    assert "connection refused" in out


@pytest.mark.parametrize(
    ("env", "area", "name", "part"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}, "variables", "OTEL_EXPORTER_OTLP_ENDPOINT", "using http://"),
        ({"OTELBOT_FLUSH_TIMEOUT": "-1"}, "variables", "OTELBOT_FLUSH_TIMEOUT", "not a positive number"),
        ({"OTELBOT_TUNE": "turbo"}, "variables", "OTELBOT_TUNE", "none of all, none, "),
        ({"OTEL_PYTHON_DISTRO": "aws_distro"}, "variables", "OTEL_PYTHON_DISTRO", "leave it unset"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, "variables", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "whole number"),
        ({"OTEL_PROPAGATORS": "b3"}, "variables", "OTEL_PROPAGATORS", "which is not installed"),
        ({"OTEL_PYTHON_METER_PROVIDER": "bad"}, "variables", "OTEL_PYTHON_METER_PROVIDER", "which is not installed"),
        ({"OTEL_TRACES_SAMPLER": "always_on,always_off"}, "variables", "OTEL_TRACES_SAMPLER", "is not installed"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, "endpoint", "traces", "connection refused"),
    ],
)
async def test_what_is_wrong_is_named(otlp, env, area, name, part):
    code, checks = await examine(env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url} | env)
    assert code == 1
    status, detail = checks[area, name]
    assert status == "failed"
    assert part in detail


async def test_an_endpoint_that_refuses_is_told_by_its_status(otlp):
    otlp.answer_with(401, signal="logs")
    otlp.answer_with(503, signal="metrics")
    code, checks = await examine(env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url})
    assert code == 1
    assert "401" in checks["endpoint", "logs"][1]
    assert "OTEL_EXPORTER_OTLP_HEADERS" in checks["endpoint", "logs"][1]
    assert "503" in checks["endpoint", "metrics"][1]
    assert checks["endpoint", "traces"][0] == "ok"


async def test_what_is_left_out_says_why(otlp):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis",
        "OTEL_LOGS_EXPORTER": "none",
    }
    code, checks = await examine(env=env)
    assert code == 0
    assert checks["instrumentation", "redis"] == ("warning", "off: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names it")
    assert checks["endpoint", "logs"][0] == "info"


@pytest.mark.parametrize(
    ("env", "on"),
    [
        ({}, {*TUNE_PARTS}),
        ({"OTELBOT_TUNE": "gc,threads"}, {"gc", "threads"}),
        ({"OTELBOT_TUNE": "none"}, set()),
        ({"OTEL_SDK_DISABLED": "true"}, set()),
    ],
)
async def test_what_makes_the_bot_faster_is_told(otlp, env, on):
    code, checks = await examine(env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url} | env)
    tuning = {name: check for (area, name), check in checks.items() if area == "tuning"}
    assert code == 0
    assert {name for name, (status, _) in tuning.items() if status == "ok"} == on
    assert {status for status, _ in tuning.values()} <= {"ok", "info"}
    off = {detail for status, detail in tuning.values() if status == "info"}
    assert off <= {"off: OTELBOT_TUNE does not name it", "off: OTEL_SDK_DISABLED=true"}
    assert len(tuning) >= 1


async def test_a_command_that_can_not_run_is_a_finding(otlp, tmp_path):
    code, checks = await examine("--", "nosuchcommand", env={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url})
    assert code == 1
    assert "no command 'nosuchcommand'" in checks["interpreter", "command"][1]


async def test_a_secret_is_never_printed(otlp):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{TOKEN}@127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer s3cr3t-value",
        "OTELBOT_USER_HASH_KEY": "s3cr3t-value",
        "OTEL_TRACES_SAMPLER": TOKEN,
    }
    _, out, err = await doctor(env=env)
    assert "s3cr3t-value" not in out + err
    assert TOKEN not in (out + err).replace("\n", "").replace(" ", "")
