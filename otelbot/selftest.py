"""Sends a made-up token through the real pipeline, in every place where one may hide, to a receiver in this process."""

from __future__ import annotations

import secrets
import string
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, StatusCode

from otelbot.export.batches import Batches, Schedule
from otelbot.export.exporters import OtlpLogProcessor, OtlpMetricExporter, OtlpSpanProcessor
from otelbot.export.outages import Outages
from otelbot.export.sender import Sender
from otelbot.export.target import SIGNALS, Target


class _Receiver(ThreadingHTTPServer):
    """Keeps the bodies that are posted to it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, bytes] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies[self.path] = self.server.bodies.get(self.path, b"") + str(self.headers).encode() + body
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet: the doctor's report is the output."""


def made_up_token() -> str:
    alphabet = string.ascii_letters + string.digits + "_-"
    return f"{secrets.randbelow(10**9) + 10**9}:{''.join(secrets.choice(alphabet) for _ in range(35))}"


def run(timeout: float = 5.0) -> dict[str, str]:
    """Return what went wrong, by signal: nothing when all three arrived and none held the token.

    :param timeout: seconds to wait for the three requests.
    """
    token = made_up_token()
    key = token.partition(":")[2].encode()
    with _Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{receiver.server_port}"
        outages = Outages()
        senders = [Sender(Target(signal, f"{base}/v1/{signal}"), outages, 2**20) for signal in SIGNALS]
        _emit(token, *senders)
        deadline = time.monotonic() + timeout
        for sender in senders:
            sender.close(deadline)
        receiver.shutdown()
        problems: dict[str, str] = {}
        for signal in SIGNALS:
            body = receiver.bodies.get(f"/v1/{signal}", b"")
            if not body:
                problems[signal] = "nothing arrived"
            elif key in body:
                problems[signal] = "the token got out"
        return problems


def _emit(token: str, traces: Sender, metrics: Sender, logs: Sender) -> None:
    shared = Resource({"service.name": f"bot {token}", "url": f"https://api.telegram.org/bot{token}/getMe"})
    url = f"https://api.telegram.org/bot{token.replace(':', '%3A')}/sendMessage"

    def batches(sender: Sender) -> Batches:
        return Batches(sender, lambda: shared, Schedule(delay=3600), 2**20)

    tracer_provider = TracerProvider(resource=shared, shutdown_on_exit=False)
    tracer_provider.add_span_processor(OtlpSpanProcessor(batches(traces)))
    link = Link(SpanContext(1, 1, is_remote=True), {"url": url})
    with tracer_provider.get_tracer(f"scope {token}").start_as_current_span(
        f"GET {url}", links=[link], attributes={"url.full": url, "all": [token, "b"]}
    ) as span:
        span.add_event(f"event {token}", {"text": f"{url}?x"})
        span.record_exception(ValueError(url))
        span.set_status(StatusCode.ERROR, url)
    tracer_provider.shutdown()

    reader = PeriodicExportingMetricReader(OtlpMetricExporter(metrics), export_interval_millis=3_600_000)
    meter_provider = MeterProvider([reader], shared, shutdown_on_exit=False)
    meter_provider.get_meter(f"scope {token}").create_counter("self_test", description=token).add(1, {"url": url})
    meter_provider.shutdown()

    logger_provider = LoggerProvider(shared, shutdown_on_exit=False)
    logger_provider.add_log_record_processor(OtlpLogProcessor(batches(logs)))
    record = LogRecord(body={"message": url, "parts": [token]}, attributes={"url": url, "nested": {"token": token}})
    logger_provider.get_logger(f"scope {token}").emit(record)
    logger_provider.shutdown()
