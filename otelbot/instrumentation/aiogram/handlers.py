"""The handler span: what the bot's own code did with the update."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
from opentelemetry.trace import StatusCode

from otelbot import signals
from otelbot.instrumentation import event_loop
from otelbot.instrumentation.aiogram.describe import HandlerInfo, describe_handler, router_name
from otelbot.instrumentation.aiogram.fsm import enter_conversation
from otelbot.instrumentation.aiogram.updates import UpdateScope, current_scope
from otelbot.instrumentation.patching import Patches, never_raises
from otelbot.privacy import error_type, exception_attributes
from otelbot.tracing import attach, context_with, detach

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from opentelemetry.trace import Span

    from otelbot.instrumentation.aiogram.telemetry import Telemetry

_INFO = "_otelbot_info"


@never_raises
def _learn(handler: Any) -> HandlerInfo:
    """Describe a handler, once: HandlerObject can't be hashed, so the result is kept on it."""
    known = handler.__dict__[_INFO] = describe_handler(handler)
    return known


class HandlerRun:
    """One call of one handler."""

    counted = None

    def __init__(
        self, telemetry: Telemetry, scope: UpdateScope | None, handler: Any, event: Any, data: Mapping[str, Any]
    ) -> None:
        self._telemetry, self._scope = telemetry, scope
        self._info = info = handler.__dict__[_INFO]
        self._takes_error = type(event).__name__ == "ErrorEvent"
        state = data.get("raw_state")
        attributes: dict[str, str] = {signals.HANDLER: info.name, signals.CODE_FUNCTION_NAME: info.function}
        if state:
            attributes[signals.FSM_STATE] = str(state)
        self.span = telemetry.tracer.start_span(info.name, attributes=attributes)
        if scope is not None and not self._takes_error:
            self._name_update(scope, data, state)
            if not scope.entered:  # where FSM is switched off
                enter_conversation(telemetry, data)
        self._token: Any = attach(context_with(self.span))
        self._started = time.perf_counter()
        telemetry.began(self)

    def cut_off(self) -> None:
        self.end(GeneratorExit())

    @never_raises
    def _name_update(self, scope: UpdateScope, data: Mapping[str, Any], state: Any) -> None:
        info, span = self._info, scope.span
        command = str(getattr(data.get("command"), "command", "")).lower()
        if command in info.commands:  # also in a caption, or behind a prefix of the bot's own
            scope.command = command
        if not span.is_recording():
            return
        span.update_name(f"{scope.kind} {info.name}")
        attributes = {signals.HANDLER: info.name}
        if router := router_name(data):
            attributes[signals.ROUTER] = router
        if state:
            attributes[signals.FSM_STATE] = str(state)
        span.set_attributes(attributes)

    def end(self, error: BaseException | None) -> None:
        telemetry, span = self._telemetry, self.span
        if not isinstance(error, GeneratorExit):
            try:  # noqa: SIM105 - `suppress` takes a microsecond
                detach(self._token)
            except ValueError:  # a middleware ran the handler in pieces, in contexts of its own
                pass
        if not telemetry.ended(self):
            return
        elapsed = time.perf_counter() - self._started
        kind = "error" if self._takes_error else self._scope.kind if self._scope else "unknown"
        failure: str | None = None
        if error is not None and not isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
            name = error_type(error)
            if not isinstance(error, SkipHandler | CancelHandler):
                failure = telemetry.cap_error(name)
                span.set_attribute(signals.ERROR_TYPE, name)
                span.set_status(StatusCode.ERROR, name)
                if span.is_recording():
                    span.add_event("exception", exception_attributes(error))
                    if self._scope is not None and telemetry.goes_on(self._scope):
                        self._scope.recorded = error
        telemetry.handler_duration.series[telemetry.cap_handler(self._info.name), kind, failure](elapsed, span)
        span.end()


_start = never_raises(HandlerRun)
_end = never_raises(HandlerRun.end)


def patch(patches: Patches, telemetry: Telemetry) -> None:
    from aiogram.dispatcher.event.handler import HandlerObject

    patched_before = "call" in vars(HandlerObject)

    def replace(original: Any) -> Any:
        def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
            if patched_before:
                return original(self, *args, **kwargs)
            # Looked up at every call: tests replace it on the base class, also with what is no function.
            return super(HandlerObject, self).call(*args, **kwargs)

        async def watched(handler: Any, scope: UpdateScope | None, args: Any, kwargs: Any) -> Any:
            run = _start(telemetry, scope, handler, args[0], kwargs)
            if run is None:
                return await inner(handler, *args, **kwargs)
            try:
                result = await inner(handler, *args, **kwargs)
            except BaseException as error:
                _end(run, error)
                raise
            _end(run, None)
            return result

        # No coroutine where nothing is to be seen: each of them costs whenever the handler waits.
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            scope = current_scope.get()
            # Startup and shutdown callbacks come through here too: aiogram hands only an event's handler to itself.
            if args and (scope is not None or kwargs.get("handler") is self):
                known = self.__dict__.get(_INFO) or _learn(self)
                if known is not None and not known.internal:
                    return watched(self, scope, args, kwargs)
            return inner(self, *args, **kwargs)

        return call

    patches.method(HandlerObject, "call", replace)
    event_loop.span_finders.append(_span_of_frame)


def _span_of_frame(frame: FrameType) -> Span | None:
    """Return the span of the handler that a frame is `watched`, above, of."""
    if frame.f_code.co_name != "watched" or frame.f_code.co_filename != __file__:
        return None
    run = frame.f_locals.get("run")
    return run.span if isinstance(run, HandlerRun) else None
