"""The queue between the bot and the endpoint: bounded, in order, counted, and never waited for without a bound."""

from __future__ import annotations

import logging
import time

import pytest

from otelbot import privacy
from otelbot.export import connection
from otelbot.export.connection import Verdict
from otelbot.export.outages import Outages
from otelbot.export.sender import Sender
from otelbot.export.target import Target

TARGET = Target("traces", "http://127.0.0.1:1/v1/traces")
ACCEPTED = Verdict(True)


class Endpoint:
    """Stands for the connection: answers what the test says, in order, the last for ever."""

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)
        self.payloads = []

    def __call__(self, _target):
        return self

    def post(self, payload, timeout):
        self.payloads.append(payload)
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    def close(self):
        pass


@pytest.fixture
def sender(monkeypatch):
    def make(*verdicts, max_bytes=1000):
        endpoint = Endpoint(*verdicts)
        monkeypatch.setattr("otelbot.export.sender.Connection", endpoint)
        return Sender(TARGET, Outages(), max_bytes), endpoint

    return make


def soon():
    return time.monotonic() + 10


def test_batches_are_sent_in_order(sender):
    made, endpoint = sender(ACCEPTED)
    for number in range(5):
        made.submit(b"%d" % number, 2, privacy.generation)
    assert made.flush(soon())
    assert endpoint.payloads == [b"0", b"1", b"2", b"3", b"4"]
    assert made.sent == 10
    made.close(soon())


def test_what_can_be_retried_is_sent_again_at_the_end(sender):
    made, endpoint = sender(Verdict(False, retry=True, why="503"), ACCEPTED)
    made.submit(b"a", 1, privacy.generation)
    made.submit(b"b", 1, privacy.generation)
    made.close(soon())
    assert endpoint.payloads == [b"a", b"a", b"b"]
    assert made.sent == 2


def test_what_is_refused_is_dropped_and_counted(sender, caplog):
    made, _ = sender(Verdict(False, why="400 Bad Request"), ACCEPTED)
    made.submit(b"a", 3, privacy.generation)
    made.submit(b"b", 1, privacy.generation)
    made.close(soon())
    assert (made.sent, made.dropped["refused"]) == (1, 3)
    assert caplog.text.count("refuses traces (400 Bad Request)") == 1


def test_a_partial_success_counts_what_was_rejected(sender, caplog):
    made, _ = sender(Verdict(True, rejected=2))
    made.submit(b"a", 5, privacy.generation)
    made.submit(b"b", 5, privacy.generation)
    made.close(soon())
    assert (made.sent, made.dropped["refused"]) == (6, 4)
    assert caplog.text.count("refused 2 items of an accepted batch") == 1


def test_nobody_there_is_not_waited_for(sender, caplog):
    made, _ = sender(Verdict(False, retry=True, why="connection refused", unreachable=True))
    made.submit(b"a", 1, privacy.generation)
    made.submit(b"b", 4, privacy.generation)
    made.close(time.monotonic() + 3600)
    assert made.dropped["undelivered"] == 5
    assert caplog.text.count("does not take telemetry") == 1


def test_one_signal_that_is_refused_beside_others_is_said_once(caplog):
    caplog.set_level(logging.INFO, "otelbot")
    outages = Outages()
    metrics = Target("metrics", "http://127.0.0.1:1/v1/metrics")
    for _ in range(5):
        outages.accepted(TARGET, 0)
        outages.failed(metrics, "503", 2**24)
    assert len(caplog.records) == 1
    outages.failed(TARGET, "503", 2**24)
    outages.accepted(TARGET, 0)
    assert len(caplog.records) == 1
    outages.accepted(metrics, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    for _ in range(5):  # an endpoint that comes and goes
        outages.failed(TARGET, "503", 2**24)
        outages.accepted(TARGET, 0)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_the_oldest_goes_when_the_queue_is_full(sender):
    made, _ = sender(Verdict(False, retry=True, why="503"), max_bytes=10)
    for number in range(20):
        made.submit(b"%05d" % number, 1, privacy.generation)
    made.close(time.monotonic() + 0.05)
    # At most one was on its way, two fit; every one of them is accounted for.
    assert made.dropped["queue_full"] >= 17
    assert made.dropped["queue_full"] + made.dropped["undelivered"] == 20


def test_after_the_end_nothing_is_taken(sender):
    made, endpoint = sender(ACCEPTED)
    made.close(soon())
    made.submit(b"late", 1, privacy.generation)
    assert endpoint.payloads == []
    assert made.dropped["undelivered"] == 1


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("7", 7.0), ("-3", 0.0), ("soon", None), ("nan", None), ("inf", None)]
)
def test_retry_after_in_seconds(value, seconds):
    assert connection._retry_after(value) == seconds


def test_retry_after_as_a_date():
    assert connection._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert connection._retry_after("Wed, 21 Oct 2099 07:28:00 GMT") > 1e6


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/otlp/"}, "http://c:1/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:1/custom"}, "http://c:1/custom"),
    ],
)
def test_where_a_signal_goes(environ, url):
    assert Target.from_environ("traces", environ).url == url


def test_a_targets_own_variables_win_and_secrets_are_not_shown():
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:pw@collector:4318/x?key=1",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "10000",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "3",
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc, x = y",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "GZIP",
    }
    target = Target.from_environ("traces", environ)
    assert (target.timeout, target.compression) == (3.0, "gzip")
    assert Target.from_environ("logs", environ).timeout == 10.0  # milliseconds, as the specification has it
    assert target.headers == {"authorization": "Basic abc", "x": "y"}
    assert target.origin == "https://collector:4318"
    assert "abc" not in repr(target)
