"""OpenTelemetry's second entry point: how traces, metrics and logs are made and where they go.

The standard variables choose: `OTEL_{TRACES,METRICS,LOGS}_EXPORTER` (default `otlp`), the OTLP endpoint, protocol and
headers, the sampler, batch sizes and intervals. Whatever the exporter, everything passes the scrubber.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from otelbot import lifecycle, resource, settings, signals
from otelbot.distro import isolated
from otelbot.environment import BUILTIN_SAMPLERS, DEFAULT_METRIC_INTERVAL_MILLIS, names, otlp_value
from otelbot.export.batches import Batches, Schedule
from otelbot.export.exporters import OtlpLogProcessor, OtlpMetricExporter, OtlpSpanProcessor
from otelbot.export.outages import Outages
from otelbot.export.pace import Pace
from otelbot.export.scrubber import (
    Resources,
    ScrubbedLogExporter,
    ScrubbedMetricExporter,
    ScrubbedSpanExporter,
    scrub_reader,
)
from otelbot.export.sender import Sender
from otelbot.export.target import Signal, Target
from otelbot.instrumentation import logging as log_capture
from otelbot.logs import exceptions
from otelbot.logs import processor as log_output
from otelbot.tracing import LeanTracerProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.sampling import Sampler

_log = logging.getLogger("otelbot")


class OtelbotConfigurator:
    """What the entry point names. Not the SDK's `_BaseConfigurator`, whose module is of use to its own one only."""

    def configure(self, **_kwargs: Any) -> None:
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _log.warning(
                "otelbot: this program has set up OpenTelemetry's SDK itself; otelbot adds its instrumentation and"
                " leaves the export to it. Remove one of the two: only otelbot's export masks tokens."
            )
            return
        isolated("the export", build)


def build() -> None:
    """Set up the three global providers of this process and have them closed at its end."""
    with lifecycle.signals_blocked():
        _build()


def _build() -> None:
    senders = _Senders()
    shared = resource.create(os.environ)
    tracer_provider = _tracer_provider(shared, senders)
    meter_provider = _meter_provider(shared, senders)
    logger_provider = _logger_provider(shared, senders)
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    set_logger_provider(logger_provider)
    _observe_export(meter_provider, senders)
    isolated("logging", lambda: log_capture.instrument(logger_provider))
    if "errors" in settings.current().events:
        exceptions.watch_ends()
    # Metrics last: they are the only signal whose newest state has not been recorded yet.
    lifecycle.start(
        lifecycle.Pipeline(
            [tracer_provider, logger_provider, meter_provider], senders.batches, senders.made, senders.outages
        )
    )
    if settings.current().health_port:
        isolated("health", lambda: _start_health(senders))


def _start_health(senders: _Senders) -> None:
    from otelbot import health
    from otelbot.health import exporter, memory
    from otelbot.instrumentation import health_sources

    health.start([*health_sources.SOURCES, memory.checks, exporter.Exporter(senders.made).checks])


class _Senders:
    def __init__(self) -> None:
        self.outages = Outages()
        self.pace = Pace()
        self.made: list[Sender] = []
        self.batches: list[Batches] = []

    def make(self, signal: Signal) -> Sender:
        target, most = Target.from_environ(signal, os.environ), settings.current().export_queue_bytes
        sender = Sender(target, self.outages, most, self.pace)
        self.made.append(sender)
        return sender

    def collect(self, signal: Signal, provider: LeanTracerProvider | LoggerProvider) -> Batches:
        """Return where the encoded spans or log records of `provider` wait for their sender."""
        resources = Resources()
        batches = Batches(
            self.make(signal),
            lambda: resources(provider.resource),
            Schedule.from_environ(signal, os.environ),
            settings.current().export_queue_bytes,
            self.pace,
        )
        self.batches.append(batches)
        return batches


def _exporters(signal: Signal) -> Iterator[str]:
    """Yield the names in `OTEL_{signal}_EXPORTER`, with `otlp` resolved by the protocol variable."""
    for name in names(os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "")) or ["otlp"]:
        if name == "otlp" and otlp_value(os.environ, signal, "PROTOCOL") == "grpc":
            yield "otlp_proto_grpc"
        elif name != "none":
            yield name


def _installed(signal: Signal, name: str) -> Any:
    """Return an instance of the exporter or reader that another package registered under `name`."""
    (entry_point,) = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
    return entry_point.load()()


def _tracer_provider(shared: Resource, senders: _Senders) -> LeanTracerProvider:
    provider = LeanTracerProvider(
        sampler=_installed_sampler(), resource=shared, id_generator=_id_generator(), shutdown_on_exit=False
    )

    def add(name: str) -> None:
        if name == "otlp":
            provider.add_span_processor(OtlpSpanProcessor(senders.collect("traces", provider)))
        else:
            exporter = ScrubbedSpanExporter(_installed("traces", name))
            provider.add_span_processor(BatchSpanProcessor(exporter))

    for name in _exporters("traces"):
        isolated(f"the traces exporter {name}", lambda name=name: add(name))  # type: ignore[misc]
    return provider


def _installed_sampler() -> Sampler | None:
    """Return the sampler that another package registered, or None for one that the SDK makes from the variables."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name or name in BUILTIN_SAMPLERS:
        return None
    (entry_point,) = entry_points(group="opentelemetry_traces_sampler", name=name)
    return entry_point.load()(os.environ.get("OTEL_TRACES_SAMPLER_ARG"))  # type: ignore[no-any-return]


class _PrivateIdGenerator(RandomIdGenerator):
    """Random ids that the bot's `random.seed` does not repeat, and that do not shift its draws."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 - ids are no secrets
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._random.seed)

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


def _id_generator() -> IdGenerator:
    name = os.environ.get("OTEL_PYTHON_ID_GENERATOR", "").strip()
    if name in {"", "random"}:
        return _PrivateIdGenerator()
    (entry_point,) = entry_points(group="opentelemetry_id_generator", name=name)
    return entry_point.load()()  # type: ignore[no-any-return]


def _logger_provider(shared: Resource, senders: _Senders) -> LoggerProvider:
    provider = LoggerProvider(resource=shared, shutdown_on_exit=False)

    def add(name: str) -> None:
        if name == "otlp":
            provider.add_log_record_processor(OtlpLogProcessor(senders.collect("logs", provider)))
        else:
            exporter = ScrubbedLogExporter(_installed("logs", name))
            provider.add_log_record_processor(BatchLogRecordProcessor(exporter))

    def add_output() -> None:
        output = log_output.outputs(settings.current())
        if output is not None:
            provider.add_log_record_processor(output)

    for name in _exporters("logs"):
        isolated(f"the logs exporter {name}", lambda name=name: add(name))  # type: ignore[misc]
    isolated("OTELBOT_LOG_FORMAT and OTELBOT_LOG_DIR", add_output)
    return provider


def _meter_provider(shared: Resource, senders: _Senders) -> MeterProvider:
    # The SDK draws its exemplars: not from the bot's random numbers, which the bot may have seeded.
    exemplar_reservoir.randrange = random.Random().randrange  # type: ignore[attr-defined]  # noqa: S311
    readers: list[MetricReader] = []

    def add(name: str) -> None:
        exporter = OtlpMetricExporter(senders.make("metrics")) if name == "otlp" else _metric_exporter(name)
        if not isinstance(exporter, MetricExporter):
            readers.append(scrub_reader(exporter))
            return
        if name != "otlp":
            exporter = ScrubbedMetricExporter(exporter)
        interval = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
        if interval:
            readers.append(_GatedReader(exporter, float(interval)))
        else:
            readers.append(_GatedReader(exporter, DEFAULT_METRIC_INTERVAL_MILLIS, senders.pace))

    for name in _exporters("metrics"):
        isolated(f"the metrics exporter {name}", lambda name=name: add(name))  # type: ignore[misc]
    provider = MeterProvider(metric_readers=readers, resource=shared, shutdown_on_exit=False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _forget_measurements(provider))
    return provider


def _metric_exporter(name: str) -> Any:
    """Return the exporter or reader that another package brings; Prometheus' with a server that is ours to start."""
    if name != "prometheus":
        return _installed("metrics", name)
    from opentelemetry.exporter.prometheus import PrometheusMetricReader

    reader = PrometheusMetricReader()
    if resource.has_workers(sys.orig_argv):
        # The port is for a process that works: a master would serve a page without a bot.
        lifecycle.when_working(lambda: isolated("the metrics exporter prometheus", _serve_prometheus))
    else:
        _serve_prometheus()
    return reader


def _serve_prometheus() -> None:
    """Serve what the reader collects.

    :raises RuntimeError: where the address can't be had.
    """
    from prometheus_client import start_http_server

    host = os.environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip() or "localhost"
    port = int(os.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", "").strip() or 9464)
    try:
        with lifecycle.signals_blocked():
            start_http_server(port, host)
    except OSError as error:
        raise RuntimeError(
            f"{host}:{port} can't be served: {error.strerror or error}; set OTEL_EXPORTER_PROMETHEUS_PORT to a free"
            " port, or OTEL_EXPORTER_PROMETHEUS_HOST to an address of this machine"
        ) from None


def _forget_measurements(provider: MeterProvider) -> None:
    """Let a forked child count from zero: it is an instance of its own, and the parent goes on with what was counted.

    The SDK has no way to ask for it; with the aggregations go their locks, which another thread may have held.
    """
    for storage in provider._measurement_consumer._reader_storages.values():  # noqa: SLF001
        storage._lock = threading.RLock()  # noqa: SLF001
        storage._instrument_view_instrument_matches.clear()  # noqa: SLF001


class _GatedReader(PeriodicExportingMetricReader):
    """Collects behind `lifecycle.collection_gate`, so that a fork never happens in the middle of it.

    With a `pace` it collects as often as an endpoint asks for.
    """

    def __init__(self, exporter: MetricExporter, interval_millis: float, pace: Pace | None = None) -> None:
        self._wait: Callable[[], float] = lambda: interval_millis / 1000
        if pace is not None:
            self._wait = pace.follow(interval_millis / 1000, self._ask)
        super().__init__(exporter, export_interval_millis=interval_millis)

    def _ask(self) -> None:
        self._shutdown_event.set()

    def _ticker(self) -> None:
        """Do what the SDK's does, but be woken also where less time is asked for, and begin when a bot works.

        What is sent before has another resource, and so makes a second series of everything.
        """
        ending = False
        while not ending:
            if not self._shutdown:
                self._shutdown_event.wait(self._wait())
            ending = self._shutdown
            self._shutdown_event.clear()
            if ending or not resource.starting():
                self.collect(timeout_millis=self._export_timeout_millis)

    # Final in the SDK, but the only place between its timer and its locks.
    def collect(  # type: ignore[misc]
        self, timeout_millis: float = 10_000
    ) -> None:
        with lifecycle.collection_gate:
            super().collect(timeout_millis=timeout_millis)


def _observe_export(provider: MeterProvider, senders: _Senders) -> None:
    meter = provider.get_meter(signals.SCOPE)

    def sent(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(sender.sent, {signals.SIGNAL: sender.target.signal}) for sender in senders.made]

    def dropped(_options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {signals.SIGNAL: sender.target.signal, signals.REASON: reason})
            for sender in senders.made
            for reason, count in sender.dropped.items()
        ]

    for instrument, callback in ((signals.EXPORT_SENT, sent), (signals.EXPORT_DROPPED, dropped)):
        meter.create_observable_counter(instrument.name, [callback], instrument.unit, instrument.description)
