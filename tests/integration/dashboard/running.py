"""Starts `otelbot dashboard` as a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager

import urllib3

from otelbot.demo.waiting import PATIENCE
from tests.support import OTELBOT, clean_environ, default_signals

HTTP = urllib3.PoolManager(retries=False, timeout=PATIENCE)
SPAN = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "tea-shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "tests"},
                    "spans": [
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "name": "message start",
                            "kind": 5,
                            "startTimeUnixNano": "1000000000",
                            "endTimeUnixNano": "2000000000",
                        }
                    ],
                }
            ],
        }
    ]
}


class Dashboard:
    def __init__(self, folder, *options, env=None):
        self.process = subprocess.Popen(
            [OTELBOT, "dashboard", "--port", "0", "--otlp-port", "0", "--folder", str(folder), *options],
            env=clean_environ() | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=default_signals,  # noqa: PLW1509 - no threads here
        )
        self.lines = [self.process.stdout.readline().rstrip("\n") for _ in range(3)]
        self.page, self.otlp = (line.partition(":")[2].strip() for line in self.lines[:2])

    def stop(self, number=signal.SIGTERM):
        """Return the exit code and what stderr got."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextmanager
def dashboard(folder, *options, env=None):
    running = Dashboard(folder, *options, env=env)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def span(started=None):
    """Return a request with one span that starts now."""
    import copy

    request = copy.deepcopy(SPAN)
    now = time.time_ns() if started is None else started
    (each,) = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    each |= {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**9), "traceId": os.urandom(16).hex()}
    return request


def send(otlp, request, signal_name="traces", **headers):
    return HTTP.request("POST", f"{otlp}/v1/{signal_name}", json=request, headers=headers or None)


def traces(page, **headers):
    answer = HTTP.request("GET", f"{page}/api/traces", headers=headers)
    assert answer.status == 200, answer.data
    return answer.json()["traces"]


def until(look, what, timeout=PATIENCE):
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return found
