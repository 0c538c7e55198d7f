"""aiogram 3: an update is a trace, with its handlers and Bot API calls in it, and the metrics that go with them.

Classes of aiogram are patched before a `Dispatcher` exists; the bot's own routers, middlewares and callbacks never are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otelbot import lifecycle, resource
from otelbot.instrumentation.aiogram import api, fsm, handlers, updates
from otelbot.instrumentation.aiogram.telemetry import Telemetry
from otelbot.instrumentation.patching import Patches

if TYPE_CHECKING:
    from collections.abc import Collection


class AiogramInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Takes `tracer_provider` and `meter_provider`, the global ones by default."""

    _patches: Patches | None = None
    _telemetry: Telemetry | None = None
    _providers: tuple[Any, Any] = (None, None)

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("aiogram >= 3.4, < 4",)

    def _instrument(self, **kwargs: Any) -> None:
        providers = kwargs.get("tracer_provider"), kwargs.get("meter_provider")
        if self._telemetry is None or self._providers != providers:  # a meter asks who observed for it first
            self._telemetry, self._providers = Telemetry(*providers), providers
            lifecycle.before_end(self._telemetry.end)
            lifecycle.when_working(resource.at_work)
        telemetry = self._telemetry
        self._patches = Patches()
        try:
            updates.patch(self._patches, telemetry)
            handlers.patch(self._patches, telemetry)
            fsm.patch(self._patches, telemetry)
            api.patch(self._patches, telemetry)
        except Exception:
            self._patches.undo()  # half of it would make half of a trace
            raise

    def _uninstrument(self, **_kwargs: Any) -> None:
        if self._patches is not None:
            self._patches.undo()


def instrument() -> None:
    AiogramInstrumentor().instrument(skip_dep_check=True)
