"""The process: memory, CPU, threads, descriptors, garbage collection, by OpenTelemetry's instrumentation."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import psutil
from opentelemetry import metrics
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import Observation

from otelbot import __version__, signals
from otelbot.instrumentation.meters import create

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions

#: Of what the instrumentation can do, the process's own; what the machine does is for the Collector's host metrics.
_MEASURED: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.memory.virtual": None,
    "process.open_file_descriptor.count": None,
    "process.thread.count": None,
    "cpython.gc.collections": None,
    "cpython.gc.collected_objects": None,
    "cpython.gc.uncollectable_objects": None,
}


def instrument() -> None:
    instrumentor = SystemMetricsInstrumentor(config=_MEASURED)
    instrumentor.instrument()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: setattr(instrumentor, "_proc", psutil.Process()))

    def uptime(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(max(time.time() - psutil.Process().create_time(), 0.0))]

    create(metrics.get_meter(signals.SCOPE, __version__), signals.PROCESS_UPTIME, uptime)
