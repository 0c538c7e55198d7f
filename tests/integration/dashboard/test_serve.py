"""`otelbot dashboard` as a person starts and stops it, and what it says where it can't run."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from otelbot.alerts import evaluator
from otelbot.dashboard import serve
from otelbot.dashboard.settings import Settings
from tests.integration.dashboard.running import HTTP, dashboard, send, span, traces
from tests.support import OTELBOT, clean_environ

STOPS = {signal.SIGTERM: 0, signal.SIGINT: 130, signal.SIGHUP: 0}


def run(*words, env=None, **options):
    return subprocess.run(
        [OTELBOT, "dashboard", *map(str, words)],
        env=clean_environ() | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def test_it_says_where_it_is_and_how_a_bot_gets_there(tmp_path):
    with dashboard(tmp_path) as running:
        assert re.fullmatch(r"Dashboard:  http://127\.0\.0\.1:\d+", running.lines[0])
        assert running.lines[1] == f"OTLP/HTTP:  {running.otlp}"
        assert running.lines[2] == f"Run a bot:  otelbot-instrument --endpoint {running.otlp} python bot.py"
        assert HTTP.request("GET", running.page).status == 200
        assert stat.S_IMODE(tmp_path.joinpath("telemetry.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize("number", STOPS)
def test_what_was_acknowledged_is_there_after_a_restart(tmp_path, number):
    with dashboard(tmp_path) as running:
        assert send(running.otlp, span()).status == 200
        assert running.stop(number) == (STOPS[number], "")
    with dashboard(tmp_path) as again:
        assert [trace["name"] for trace in traces(again.page)] == ["message start"]


def test_what_was_acknowledged_outlives_a_kill(tmp_path):
    with dashboard(tmp_path) as running:
        for _ in range(20):
            assert send(running.otlp, span()).status == 200
        running.process.kill()
        running.process.wait()
    with dashboard(tmp_path) as again:
        assert len(traces(again.page)) == 20
        assert again.stop() == (0, "")


def test_behind_a_proxy_changes_and_links_are_of_its_url(tmp_path):
    with dashboard(tmp_path, env={"OTELBOT_DASHBOARD_URL": "https://bots.example.org/"}) as running:

        def clear(origin):
            return HTTP.request("POST", f"{running.page}/api/clear", json={}, headers={"Origin": origin}).status

        assert clear("https://bots.example.org") == 200
        assert clear(running.page) == 200
        assert clear("http://bots.example.org") == 403
        assert clear("https://bots.example.org.evil.example") == 403


@pytest.mark.parametrize("url", ["", "https://bots.example.org"])
async def test_alerts_link_to_the_url_of_the_proxy(tmp_path, monkeypatch, url):
    linked = []

    class Alerts(evaluator.Alerts):
        def __init__(self, *args, page_url, **options):
            linked.append(page_url)
            super().__init__(*args, page_url=page_url, **options)

    monkeypatch.setattr(evaluator, "Alerts", Alerts)
    variables = {"FOLDER": str(tmp_path), "PORT": "0", "OTLP_PORT": "0", "URL": url}
    environ = {f"OTELBOT_DASHBOARD_{name}": value for name, value in variables.items()}
    stop = asyncio.Event()
    started = []

    def on_ready(running):
        started.append(running.page)
        stop.set()

    await serve.serve(Settings.from_environ(environ), stop=stop, on_ready=on_ready, environ=environ)
    assert linked == [url or started[0]]


def test_an_open_page_does_not_hold_it(tmp_path):
    with dashboard(tmp_path) as running:
        live = HTTP.request("GET", f"{running.page}/api/live", preload_content=False)
        assert live.read(6) == b"event:"
        assert running.stop() == (0, "")
        live.close()


@pytest.mark.parametrize(
    ("option", "variable"), [("--port", "OTELBOT_DASHBOARD_PORT"), ("--otlp-port", "OTELBOT_DASHBOARD_OTLP_PORT")]
)
def test_a_port_in_use_is_one_sentence(tmp_path, option, variable):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"--port": "0", "--otlp-port": "0", option: str(port)}
        words = [word for pair in ports.items() for word in pair]
        refused = run(*words, "--folder", tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"✗ port {port} is in use (at 127.0.0.1:{port}); stop what listens there, or choose another one by {option} or"
        f" {variable}\n"
    )


def test_a_folder_has_one_dashboard(tmp_path):
    with dashboard(tmp_path) as running:
        refused = run("--port", "0", "--otlp-port", "0", "--folder", tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"✗ {tmp_path} is in use by the dashboard at {running.page} (process ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "web", "OTELBOT_DASHBOARD_PORT='web' is not a whole number; mend it, or unset it"),
        ("OTLP_PORT", "70000", "OTELBOT_DASHBOARD_OTLP_PORT='70000' is not a port"),
        ("HOST", "a b", "OTELBOT_DASHBOARD_HOST='a b' is neither an address nor the name of a machine"),
        ("HOST", "192.0.2.1", "192.0.2.1:0 can't be opened"),
        (
            "URL",
            "bots.example.org",
            "OTELBOT_DASHBOARD_URL='bots.example.org' is not a URL of only http:// or https://",
        ),
        ("URL", "https://example.org/bots/", "is not a URL of only http:// or https:// and a host"),
        ("URL", "https://example.org:port", "is not a URL of only http:// or https:// and a host"),
        ("MAX_MB", "much", "OTELBOT_DASHBOARD_MAX_MB='much' is not a number"),
        ("MAX_HOURS", "nan", "OTELBOT_DASHBOARD_MAX_HOURS='nan' is not a number from 0.1 to 8784"),
        ("TOKEN", "secret", "OTELBOT_DASHBOARD_TOKEN is not 16 to 200 letters, digits and . _ ~ -"),
    ],
)
def test_a_setting_that_can_not_be_used_is_one_sentence(tmp_path, variable, value, sentence):
    variables = {"FOLDER": str(tmp_path), "PORT": "0", "OTLP_PORT": "0", variable: value}
    refused = run(env={f"OTELBOT_DASHBOARD_{name}": given for name, given in variables.items()})
    assert (refused.returncode, refused.stdout) == (1, "")
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "secret" not in refused.stderr


def test_a_folder_that_can_not_be_made_is_one_sentence(tmp_path):
    tmp_path.joinpath("file").touch()
    refused = run("--folder", tmp_path / "file" / "below")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"✗ {tmp_path}/file/below can't be made (Not a directory); give another folder by --folder or"
        " OTELBOT_DASHBOARD_FOLDER\n"
    )


def test_missing_libraries_are_one_sentence(tmp_path):
    blocked = f"""
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "promql_parser" else real(name, *rest)
sys.argv = ["otelbot", "dashboard", "--folder", {str(tmp_path)!r}]
from otelbot.cli import main
main()
"""
    refused = subprocess.run(
        [sys.executable, "-c", blocked], capture_output=True, text=True, env=clean_environ(), timeout=60, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr == (
        "✗ the dashboard's libraries are missing; install them: pip install 'otelbot[dashboard]'\n"
    )


def test_elsewhere_it_asks_for_a_token_that_is_kept(tmp_path):
    everywhere = ("--host", "0.0.0.0", "--otlp-host", "0.0.0.0")
    with dashboard(tmp_path, *everywhere) as running:
        url = re.fullmatch(r"http://(.+):(\d+)/\?token=(.{16,})", running.page)
        name, port, token = url.groups()
        assert name == socket.gethostname()
        assert stat.S_IMODE(tmp_path.joinpath("token").stat().st_mode) == 0o600
        page, otlp = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{running.otlp.rpartition(':')[2]}"
        assert HTTP.request("GET", page).status == 401
        assert HTTP.request("GET", f"{page}/?token={token}", redirect=False).status in {302, 303}
        assert send(otlp, span()).status == 401
        assert send(otlp, span(), Authorization=f"Bearer {token}").status == 200
        assert len(traces(page, Authorization=f"Bearer {token}")) == 1
        assert f"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{token} otelbot-instrument" in running.lines[2]
    with dashboard(tmp_path, *everywhere) as again:
        assert again.page.endswith(f"?token={token}")


def test_a_token_that_is_set_is_asked_for_on_this_machine_too_but_not_of_bots(tmp_path):
    token = "a-token-of-some-length"
    with dashboard(tmp_path, env={"OTELBOT_DASHBOARD_TOKEN": token}) as running:
        page = running.page.partition("/?")[0]
        assert running.page == f"{page}/?token={token}"
        assert HTTP.request("GET", page).status == 401
        assert send(running.otlp, span()).status == 200


@pytest.mark.parametrize("host", ["::1", "::"])
def test_it_listens_on_ipv6(tmp_path, host):
    with dashboard(tmp_path, "--host", host, "--otlp-host", "::1") as running:
        assert running.otlp.startswith("http://[::1]:")
        assert send(running.otlp, span()).status == 200
        port = re.search(r":(\d+)(/\?token=.*)?$", running.page)
        assert HTTP.request("GET", f"http://[::1]:{port[1]}{port[2] or ''}", redirect=False).status in {200, 302, 303}


def test_export_and_import(tmp_path):
    first, out, second = tmp_path / "first", tmp_path / "out", tmp_path / "second"
    with dashboard(first) as running:
        request = span()
        assert send(running.otlp, request).status == 200
        exported = run("export", out, "--folder", first)
        assert (exported.returncode, exported.stderr) == (0, "")
        assert f"{out}/traces.jsonl: 1 spans" in exported.stdout
    (line,) = (out / "traces.jsonl").read_text().splitlines()
    (kept,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert kept["traceId"] == request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]

    imported = run("import", out, "--folder", second)
    assert (imported.returncode, imported.stderr) == (0, "")
    with dashboard(second) as running:
        assert [trace["trace_id"] for trace in traces(running.page)] == [kept["traceId"]]
        more = tmp_path / "more.jsonl"
        more.write_text("".join(json.dumps(span()) + "\n" for _ in range(5)))
        imported = run("import", more, "--folder", second)
        assert (imported.returncode, imported.stdout) == (0, f"{more}: 5 requests\n")
        assert len(traces(running.page)) == 6


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"resourceSpans": 7}', "\ud800".encode("utf-8", "surrogatepass"), "[" * 100_000]
)
@pytest.mark.parametrize("runs", [True, False])
def test_a_file_that_is_no_telemetry_is_one_sentence(tmp_path, line, runs):
    file = tmp_path / "file.jsonl"
    content = line if isinstance(line, bytes) else line.encode()
    file.write_bytes(json.dumps(span()).encode() + b"\n\n" + content + b"\n")
    folder = tmp_path / "folder"

    def refuse():
        refused = run("import", file, "--folder", folder)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith((f"✗ line 3 of {file} is no OTLP/JSON request", f"✗ request 2 of {file} "))
        assert refused.stderr.count("\n") == 1

    if runs:
        with dashboard(folder) as running:
            refuse()
            assert len(traces(running.page)) == 1
    else:
        refuse()


def test_nothing_to_export_is_one_sentence(tmp_path):
    refused = run("export", tmp_path / "out", "--folder", tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == f"✗ there is nothing in {tmp_path}; name the dashboard's folder by --folder\n"


def test_a_corrupt_database_is_kept_aside_and_it_goes_on(tmp_path):
    tmp_path.joinpath("telemetry.sqlite").write_bytes(b"no database at all" * 1000)
    with dashboard(tmp_path) as running:
        assert send(running.otlp, span()).status == 200
        assert len(traces(running.page)) == 1
        health = HTTP.request("GET", f"{running.page}/api/health").json()
        assert "telemetry.sqlite.corrupt-" in json.dumps(health["dashboard"]["troubles"])
        _, errors = running.stop()
    assert "telemetry.sqlite.corrupt-" in errors


def test_it_imports_nothing_of_the_bot():
    parts = "otelbot.dashboard.api.server, otelbot.dashboard.receiver, otelbot.alerts.evaluator"
    program = f"import sys, {parts}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not [
        name for name in modules if name.startswith(("aiogram", "otelbot.instrumentation", "plotly", "pydantic"))
    ]
