"""What is compared: the same bot with nothing, with the alternatives, and with otelbot as it comes and in parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Variant:
    """`launcher` is a program of the environment that starts the bot; in `environ`, `{sink}` stands for host and port
    of the telemetry sink; `telemetry` is what the bot does itself, a name in `bot/telemetry.py`.
    """

    name: str
    title: str
    environment: str
    launcher: str = "python"
    telemetry: str = "none"
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return self.environment == "otelbot"


# Metrics are exported every two seconds, not every 15 or 60, so that each run has some exports in it.
_OTLP = {
    "OTEL_SERVICE_NAME": "bench",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://{sink}",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_METRIC_EXPORT_INTERVAL": "2000",
}
SCRAPE_INTERVAL = 2.0  # seconds; the same for metrics that are scraped


def _otelbot(name: str, title: str, **environ: str) -> Variant:
    return Variant(name, title, "otelbot", "otelbot-instrument", environ=_OTLP | environ)


def _ratio(ratio: str) -> Variant:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    return _otelbot(f"otelbot-ratio-{ratio}", f"otelbot, {float(ratio):.0%} of the traces", **sampler)


BARE = Variant("bare", "bare", "bare")
REFERENCE = Variant(
    "opentelemetry-span",
    "opentelemetry-instrument + update span",
    "opentelemetry",
    "opentelemetry-instrument",
    "update_span",
    _OTLP,
)
OTELBOT = _otelbot("otelbot", "**otelbot**")

VARIANTS = (
    BARE,
    Variant("bare-tuned", "bare + the tuning by hand", "bare", telemetry="tuned"),
    Variant("opentelemetry", "opentelemetry-instrument", "opentelemetry", "opentelemetry-instrument", environ=_OTLP),
    REFERENCE,
    Variant("sentry", "sentry-sdk", "sentry", telemetry="sentry", environ={"SENTRY_DSN": "http://key@{sink}/1"}),
    Variant("logfire", "logfire", "logfire", telemetry="logfire", environ=_OTLP),
    Variant("aiogram-prometheus", "aiogram-prometheus (metrics only)", "aiogram-prometheus", telemetry="prometheus"),
    OTELBOT,
    _ratio("0.1"),
    _ratio("0"),
    _otelbot("otelbot-metrics", "otelbot, metrics only", OTEL_TRACES_EXPORTER="none", OTEL_LOGS_EXPORTER="none"),
    _otelbot("otelbot-untuned", "otelbot without tuning", OTELBOT_TUNE="none"),
)
BY_NAME = {variant.name: variant for variant in VARIANTS}
