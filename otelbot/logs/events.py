"""Log events: records that say by a name what happened, so that «who used what» is a query and no search in texts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.trace import get_current_span, set_span_in_context

from otelbot import __version__, settings, signals
from otelbot.export.encoding import encode_description
from otelbot.export.exporters import sole_exporter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

    from otelbot.export.exporters import OtlpLogProcessor

INFO, DEBUG, WARN, ERROR = SeverityNumber.INFO, SeverityNumber.DEBUG, SeverityNumber.WARN, SeverityNumber.ERROR
_LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARN, "error": ERROR}


def wanted(group: str, severity: SeverityNumber = INFO) -> bool:
    """Whether events of a group of `OTELBOT_EVENTS` are to be emitted, by `OTELBOT_EVENTS_LEVEL` too."""
    chosen = settings.current()
    return group in chosen.events and severity.value >= _LEVELS[chosen.events_level].value


@dataclass(frozen=True)
class Event:
    """A kind of event: `event.name`, what a reader of logs sees, severity; and all of that as OTLP."""

    name: str
    body: str
    severity: SeverityNumber = INFO
    encoded: bytes = field(init=False)

    def __post_init__(self) -> None:
        number, text = self.severity.value, self.severity.name
        object.__setattr__(self, "encoded", encode_description(number, text, None, self.name, self.body))


def emit(what: Event, attributes: Mapping[str, Any], span: Span | None = None) -> None:
    """Emit an event of otelbot's own. What it says is scrubbed where it leaves, like every record.

    :param attributes: texts, numbers, booleans and lists of them.
    :param span: what it belongs to; None is the span of the current context.
    """
    exporter, of, processors, config = _shortcut
    if exporter is None or of._log_record_processors is not processors:  # noqa: SLF001
        exporter, _, _, config = _look_for_shortcut()
    if exporter is not None and config.is_enabled:
        context = (get_current_span() if span is None else span).get_span_context()
        exporter.emit_event(what.encoded, attributes, context)
        return
    _emit_by_sdk(what.name, what.body, attributes, what.severity, span)


def _emit_by_sdk(
    name: str, body: str, attributes: Mapping[str, Any], severity: SeverityNumber = INFO, span: Span | None = None
) -> None:
    get_logger(signals.SCOPE, __version__).emit(
        LogRecord(
            timestamp=time.time_ns(),
            observed_timestamp=time.time_ns(),
            context=None if span is None else set_span_in_context(span),
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes=attributes,
            event_name=name,
        )
    )


#: The exporter where nobody else sees the records of otelbot's own logger; the processors that this was found for.
_shortcut: tuple[OtlpLogProcessor | None, Any, Any, Any] = (None, None, None, None)


def _look_for_shortcut() -> tuple[OtlpLogProcessor | None, Any, Any, Any]:
    global _shortcut  # noqa: PLW0603 - one process, one provider
    logger: Any = get_logger(signals.SCOPE, __version__)
    of = getattr(logger, "_multi_log_record_processor", None)
    processors = getattr(of, "_log_record_processors", None)
    _shortcut = sole_exporter(logger), of, processors, getattr(logger, "_logger_config", None)
    return _shortcut


def event(name: str, /, **fields: Any) -> None:
    """Emit an event of the bot's own, with the trace that it happens in.

    :param name: what happened, in words with dots: `shop.order.paid`. Few different ones.
    :param fields: what there is to know. Numbers, texts, booleans and lists of them; anything else as its text.

    Never raises. Secrets are masked, but what users wrote is for the bot's author to leave out.

    >>> event("shop.order.paid", amount=12.5, currency="EUR")
    """
    from otelbot.instrumentation.log_records import plain
    from otelbot.instrumentation.patching import never_raises

    def emit_own() -> None:
        _emit_by_sdk(str(name), str(name), {key: plain(value) for key, value in fields.items()})

    never_raises(emit_own)()
