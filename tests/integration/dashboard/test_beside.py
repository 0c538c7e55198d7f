"""`otelbot-instrument --dashboard`: a dashboard that lives beside the bot, and never hurts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from otelbot.demo.waiting import PATIENCE
from tests.integration.dashboard.running import dashboard, traces, until
from tests.support import OTELBOT_INSTRUMENT, clean_environ, default_signals

#: Ends when its standard input does, having made a span.
BOT = """
import json, os, sys
from opentelemetry import trace
with trace.get_tracer("bot").start_as_current_span("worked"):
    pass
print(json.dumps({
    "endpoint": os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
    "headers": os.environ.get("OTEL_EXPORTER_OTLP_HEADERS"),
    "dashboard": [name for name in sys.modules if name.startswith("otelbot.dashboard")],
}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def environ(tmp_path):
    """An environment whose dashboards are all gone at the end."""
    folder = tmp_path / "folder"
    yield clean_environ() | {
        "OTELBOT_DASHBOARD_PORT": "0",
        "OTELBOT_DASHBOARD_OTLP_PORT": "0",
        "OTELBOT_DASHBOARD_FOLDER": str(folder),
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    for process in dashboards(folder):
        process.kill()


def dashboards(folder):
    def uses(process):
        try:
            return process.environ().get("OTELBOT_DASHBOARD_FOLDER") == str(folder) and "beside" in " ".join(
                process.cmdline()
            )
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if uses(process)]


class Bot:
    def __init__(self, environ, *options):
        self.process = subprocess.Popen(
            [OTELBOT_INSTRUMENT, "--dashboard", *options, sys.executable, "-c", BOT],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=default_signals,  # noqa: PLW1509 - no threads here
        )
        self.sees = json.loads(self.process.stdout.readline())

    def end(self):
        """End the bot and return what it wrote to stderr."""
        _, errors = self.process.communicate("", timeout=PATIENCE)
        assert self.process.returncode == 0
        return errors


def page_of(errors):
    return re.fullmatch(r"otelbot-instrument: dashboard: (http://127\.0\.0\.1:\d+)\n", errors)[1]


@pytest.mark.timeout(240)
def test_it_shows_the_bot_outlives_it_for_a_moment_and_ends(tmp_path, environ):
    bot = Bot(environ)
    (beside,) = dashboards(tmp_path / "folder")
    assert bot.sees["endpoint"].startswith("http://127.0.0.1:")
    assert (bot.sees["headers"], bot.sees["dashboard"]) == (None, [])
    assert psutil.Process(bot.process.pid).children() == []
    assert os.getsid(beside.pid) not in {os.getsid(0), os.getsid(bot.process.pid)}
    page = page_of(bot.end())  # also: nothing of the dashboard holds the bot's streams
    assert [trace["name"] for trace in traces(page)] == ["worked"]
    until(lambda: not beside.is_running(), "the dashboard's end")
    assert (tmp_path / "folder" / "dashboard.log").read_text() == ""


@pytest.mark.timeout(240)
def test_a_bot_that_starts_again_finds_it(tmp_path, environ):
    first = Bot(environ)
    page = page_of(first.end())
    again = Bot(environ)
    assert again.sees["endpoint"] == first.sees["endpoint"]
    other = Bot(environ)  # and another bot as well
    assert page_of(other.end()) == page
    time.sleep(12)  # longer than it outlives its last bot
    (beside,) = dashboards(tmp_path / "folder")
    assert page_of(again.end()) == page
    assert len(traces(page)) == 3
    until(lambda: not beside.is_running(), "the dashboard's end")
    newest = Bot(environ)
    assert dashboards(tmp_path / "folder") not in ([], [beside])
    assert len(traces(page_of(newest.end()))) == 4


def test_bots_that_start_together_share_one(tmp_path, environ):
    bots = [
        subprocess.Popen(
            [OTELBOT_INSTRUMENT, "--dashboard", sys.executable, "-c", "pass"],
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    pages = {page_of(bot.communicate(timeout=PATIENCE)[1]) for bot in bots}
    assert len(pages) == 1
    assert len(dashboards(tmp_path / "folder")) == 1


def test_ctrl_c_does_not_reach_it(tmp_path, environ):
    bot = Bot(environ)
    os.killpg(bot.process.pid, signal.SIGINT)
    bot.process.communicate(timeout=PATIENCE)
    (beside,) = dashboards(tmp_path / "folder")
    assert beside.is_running()


def test_told_to_end_with_its_bot_it_takes_the_last_telemetry(tmp_path, environ):
    bot = Bot(environ)
    (beside,) = dashboards(tmp_path / "folder")
    beside.terminate()  # as systemd does, to all of a service
    page_of(bot.end())
    until(lambda: not beside.is_running(), "the dashboard's end")
    with dashboard(tmp_path / "folder") as again:
        assert [trace["name"] for trace in traces(again.page)] == ["worked"]


def test_one_that_runs_already_is_used(tmp_path, environ):
    with dashboard(tmp_path / "folder") as running:
        bot = Bot(environ)
        assert bot.sees["endpoint"] == running.otlp
        assert page_of(bot.end()) == running.page
        assert dashboards(tmp_path / "folder") == []
        assert len(traces(running.page)) == 1


def test_one_that_asks_bots_for_a_token_gets_it(tmp_path, environ):
    with dashboard(tmp_path / "folder", "--otlp-host", "0.0.0.0") as running:
        bot = Bot(environ)
        assert bot.sees["endpoint"] == running.otlp
        assert bot.sees["headers"].startswith("authorization=Bearer%20")
        bot.end()
        assert len(traces(running.page)) == 1


def test_one_of_another_folder_at_the_port_is_used(tmp_path, environ):
    with dashboard(tmp_path / "another") as running:
        ports = {
            "OTELBOT_DASHBOARD_PORT": running.page.rpartition(":")[2],
            "OTELBOT_DASHBOARD_OTLP_PORT": running.otlp.rpartition(":")[2],
        }
        bot = Bot(environ | ports)
        assert bot.sees["endpoint"] == running.otlp
        assert page_of(bot.end()) == running.page


def test_an_endpoint_that_is_set_is_kept(environ):
    bot = Bot(environ, "--endpoint", "http://127.0.0.1:9")
    assert bot.sees["endpoint"] == "http://127.0.0.1:9"
    assert ", which gets OTLP at http://127.0.0.1:" in (errors := bot.end())
    assert "this program sends to http://127.0.0.1:9\n" in errors


def launch(environ):
    return subprocess.run(
        [OTELBOT_INSTRUMENT, "--dashboard", sys.executable, "-c", "print('works')"],
        env=environ | {"OTEL_SDK_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_port_in_use_does_not_keep_the_bot_from_starting(environ):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = launch(environ | {"OTELBOT_DASHBOARD_PORT": str(port)})
    assert (result.returncode, result.stdout) == (0, "works\n")
    assert result.stderr.startswith(f"otelbot-instrument: no dashboard: port {port} is in use (at 127.0.0.1:{port}); ")
    assert result.stderr.endswith("; the program goes on\n")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OTELBOT_DASHBOARD_PORT": "web"}, "OTELBOT_DASHBOARD_PORT='web' is not a whole number"),
        ({"OTELBOT_DASHBOARD_FOLDER": "/dev/null/folder"}, "/dev/null/folder can't be made"),
    ],
)
def test_a_setting_that_can_not_be_used_does_not_either(environ, variables, sentence):
    result = launch(environ | variables)
    assert (result.returncode, result.stdout) == (0, "works\n")
    assert result.stderr.startswith(f"otelbot-instrument: no dashboard: {sentence}")
    assert result.stderr.count("\n") == 1


def test_missing_libraries_do_not_either(tmp_path, environ):
    tmp_path.joinpath("sitecustomize.py").write_text("import sys\nsys.modules['promql_parser'] = None\n")
    result = launch(environ | {"PYTHONPATH": str(tmp_path)})
    assert (result.returncode, result.stdout) == (0, "works\n")
    assert result.stderr == (
        "otelbot-instrument: no dashboard: the dashboard's libraries are missing; install them: pip install"
        " 'otelbot[dashboard]'; the program goes on\n"
    )


def test_what_lies_in_the_working_folder_is_not_imported(tmp_path, environ):
    for name in ("json", "asyncio", "otelbot", "typing"):
        tmp_path.joinpath(f"{name}.py").write_text("raise SystemExit('wrong module')\n")
    result = subprocess.run(
        [OTELBOT_INSTRUMENT, "--dashboard", "true"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
    page_of(result.stderr)
