"""Puts spans together into traces, which arrive in any order and in several requests."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelbot.demo.otlp_views import SpanView

KEPT = 200  # traces; the oldest are forgotten


@dataclass
class Trace:
    spans: dict[str, SpanView] = field(default_factory=dict)

    @property
    def root(self) -> SpanView | None:
        return next((span for span in self.spans.values() if not span.parent_span_id), None)

    def children(self, parent: SpanView) -> list[SpanView]:
        """Return the spans below one, the earliest first."""
        found = [span for span in self.spans.values() if span.parent_span_id == parent.span_id]
        return sorted(found, key=lambda span: span.start)


class Traces:
    def __init__(self) -> None:
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self.finished: OrderedDict[str, Trace] = OrderedDict()  # those whose root has arrived, the newest last
        self.fullest: Trace | None = None  # the newest of those with the most spans
        self.failed: Trace | None = None  # the newest whose root failed

    def add(self, spans: Iterable[SpanView]) -> list[Trace]:
        """Take the spans of a request and return the traces whose root was among them."""
        new: list[Trace] = []
        for span in spans:
            trace = self._traces.setdefault(span.trace_id, Trace())
            trace.spans[span.span_id] = span
            if not span.parent_span_id:
                self.finished[span.trace_id] = trace
                new.append(trace)
        for traces in (self._traces, self.finished):
            while len(traces) > KEPT:
                traces.popitem(last=False)
        for trace in new:
            if self.fullest is None or len(trace.spans) >= len(self.fullest.spans):
                self.fullest = trace
            if trace.root is not None and trace.root.status == "ERROR":
                self.failed = trace
        return new
