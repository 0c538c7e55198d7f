"""When metrics are collected: by their interval, sooner where an endpoint asks for it, and once more at the end."""

from __future__ import annotations

import sys
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExporter, MetricExportResult

from otelbot import resource
from otelbot.configurator import _GatedReader
from otelbot.demo.waiting import PATIENCE
from otelbot.export.pace import Pace

HOUR = 3_600_000.0  # ms


class Exporter(MetricExporter):
    def __init__(self):
        super().__init__()
        self.exports = 0
        self.exported = threading.Semaphore(0)

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        self.exports += 1
        self.exported.release()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self, timeout_millis=30_000, **kwargs):
        pass


@pytest.fixture(autouse=True)
def overlay(monkeypatch):
    """A process whose bot works."""
    monkeypatch.setattr(resource, "_overlay", resource._Overlay())
    resource.at_work()


def start(pace):
    exporter = Exporter()
    provider = MeterProvider([_GatedReader(exporter, HOUR, pace), InMemoryMetricReader()], shutdown_on_exit=False)
    provider.get_meter("shop").create_counter("orders").add(1)
    return exporter, provider


def test_metrics_are_collected_sooner_and_again_where_an_endpoint_asks_for_it():
    pace = Pace()
    exporter, provider = start(pace)
    pace.ask(1.0)
    for _ in range(2):
        assert exporter.exported.acquire(timeout=PATIENCE)
    provider.shutdown()


def test_a_program_with_a_bot_sends_no_metrics_before_the_bot_works(monkeypatch):
    monkeypatch.setattr(resource, "_overlay", resource._Overlay())
    monkeypatch.setitem(sys.modules, "aiogram", sys)
    looked = threading.Semaphore(0)
    starting = resource.starting
    monkeypatch.setattr(resource, "starting", lambda: (starting(), looked.release())[0])
    pace = Pace()
    exporter, provider = start(pace)
    pace.ask(1.0)
    for _ in range(2):
        assert looked.acquire(timeout=PATIENCE)
    assert exporter.exports == 0
    resource.at_work()
    assert exporter.exported.acquire(timeout=PATIENCE)
    provider.shutdown()


def test_the_end_collects_once_more():
    exporter, provider = start(Pace())
    provider.shutdown()
    assert exporter.exports == 1
