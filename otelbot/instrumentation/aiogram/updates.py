"""The update span: opened where an update enters aiogram, closed when everything that it caused has been done.

All roads end in `Dispatcher.feed_update`, but some begin before it: polling answers `return SendMessage(…)` after it,
webhooks validate before it. So the outermost opens a scope and the inner ones use it.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aiogram.dispatcher.event.bases import UNHANDLED, CancelHandler, SkipHandler
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

from otelbot import lifecycle, signals
from otelbot.instrumentation import event_loop, health_sources
from otelbot.instrumentation.aiogram import api, describe
from otelbot.instrumentation.aiogram.attempts import NOT_ERRORS
from otelbot.instrumentation.patching import Patches, never_raises
from otelbot.privacy import error_type, exception_attributes, hash_user
from otelbot.tracing import attach, current, detach

if TYPE_CHECKING:
    from collections.abc import Callable

    from otelbot.instrumentation.aiogram.telemetry import Telemetry
    from otelbot.signals import Outcome

_NOTHING = Context()

current_scope: ContextVar[UpdateScope | None] = ContextVar("otelbot_update", default=None)


class UpdateScope:
    """One update on its way through the dispatcher. `fed` and `done` say how far `feed_update` has come."""

    fed = done = abandoned = described = False
    entered = False  # its conversation
    outcome: Outcome | None = None
    error: BaseException | None = None
    recorded: BaseException | None = None
    caught: BaseException | None = None  # and given to the error handlers
    command: str | None = None
    user: str | None = None  # its hash
    told = False  # by events
    counted = signals.UPDATE_ACTIVE

    def __init__(self, telemetry: Telemetry, bot: Any, update: Any, *, new_root: bool) -> None:
        self.telemetry = telemetry
        self.kind = kind = describe.update_type(update)
        self.started = time.perf_counter()
        self.bot_id = bot_id = str(bot.id)
        attributes = {
            signals.MESSAGING_SYSTEM: "telegram",
            signals.MESSAGING_OPERATION_NAME: "process",
            signals.MESSAGING_OPERATION_TYPE: "process",
            signals.UPDATE_TYPE: kind,
            signals.BOT_ID: bot_id,
        }
        self.update_id = update_id = describe.update_id(update)
        if update_id:
            attributes[signals.MESSAGING_MESSAGE_ID] = update_id
        around = current_scope.get()
        # Fed on by a handler to another dispatcher: what the user did is counted.
        self._fed_on = around is not None and (around.bot_id, around.update_id) == (bot_id, update_id)
        start_span = telemetry.tracer.start_span
        if new_root:
            outer: Any = current().get(_SPAN_KEY)
            links = None
            if outer is not None and isinstance(outer, trace.Span) and outer.get_span_context().is_valid:
                links = [Link(outer.get_span_context())]
            self.span = span = start_span(f"process {kind}", _NOTHING, SpanKind.CONSUMER, attributes, links)
            self._context = Context({_SPAN_KEY: span, signals.UPDATE_CONTEXT_KEY: span})
        else:
            self.span = span = start_span(f"process {kind}", None, SpanKind.CONSUMER, attributes)
            self._context = Context({**current(), _SPAN_KEY: span, signals.UPDATE_CONTEXT_KEY: span})

    def describe(self, bot: Any, update: Any) -> None:
        """Add what is known of the event, once the update is an `Update` and no longer a dictionary."""
        kind = self.kind
        event = describe.event_of(update, kind)
        if event is None or self.described:
            return
        self.described = True
        telemetry, span = self.telemetry, self.span
        action = describe.action(event, kind)
        if action == "command":
            self.command = signals.OTHER
        user = describe.user_id(event)
        if not self._fed_on:
            if (age := describe.age(event)) is not None:
                telemetry.update_delay.series[(kind,)](age, span)
            if kind == "callback_query":
                telemetry.callback_came(event.id, self.started)
            if user is not None:
                telemetry.user_acted(self.bot_id, user, action, span)
        tells = telemetry.events.of_updates and not self._fed_on
        if not (tells or span.is_recording()):
            return
        attributes = {}
        chat_type = describe.chat_type(event)
        if chat_type is not None:
            attributes[signals.CHAT_TYPE] = chat_type
        if user is not None:
            settings = telemetry.settings
            self.user = attributes[signals.USER_HASH] = hash_user(user, settings.user_hash_key or bot.token)
            if settings.capture_user_id:
                attributes[signals.USER_ID] = str(user)
        span.set_attributes(attributes)
        if tells:
            telemetry.events.came(self, event, action, self.user, chat_type)

    def enter(self) -> None:
        self._token = attach(self._context)
        self._scope_token = current_scope.set(self)
        self.telemetry.began(self)

    def cut_off(self) -> None:
        self.failed(GeneratorExit())
        self.close()

    def leave(self, error: BaseException | None) -> None:
        """Leave the scope. An update that goes on in another task (a slow webhook) is closed by that task."""
        # A coroutine that is thrown away may end in a foreign context, or in a copy of its own.
        if current_scope.get() is self:
            try:
                current_scope.reset(self._scope_token)
                detach(self._token)
            except ValueError:
                pass
        # Timers that were set on the way keep a context with this scope in it for a while.
        del self._scope_token, self._token, self._context
        if self.fed and not self.done:
            self.abandoned = True
            return
        if not self.fed and error is None:  # a dispatcher of the bot's own keeps it for later, and it begins then
            self.telemetry.ended(self)
            self.fed = True
            return
        if error is not None and self.outcome is None:
            self.failed(error)
        self.close()

    def failed(self, error: BaseException) -> None:
        self.error = error
        stopped = isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt)
        if stopped or isinstance(error, CancelHandler):
            self.outcome = "cancelled"
        elif isinstance(error, SkipHandler):
            self.outcome = "unhandled"
        else:
            self.outcome = "error"

    def close(self) -> None:
        if not self.telemetry.ended(self):
            return
        outcome: Outcome = self.outcome or "handled"
        telemetry, span, error = self.telemetry, self.span, self.error
        kind: str | None = None
        span.set_attribute(signals.UPDATE_OUTCOME, outcome)
        if error is not None and outcome in {"error", "error_handled"}:
            span.set_attribute(signals.ERROR_TYPE, error_type(error))
            if outcome == "error":
                span.set_status(StatusCode.ERROR, error_type(error))
            if self.recorded is not error and span.is_recording():
                span.add_event("exception", exception_attributes(error))
            kind = telemetry.cap_error(error_type(error))
            if error_type(error) not in NOT_ERRORS:
                telemetry.count_error(error, "handler", span)
        if self.command is not None:
            span.set_attribute(signals.COMMAND, self.command)
            command = telemetry.cap_command(self.command)
            telemetry.commands.series[command, outcome](1, span)
        elapsed = time.perf_counter() - self.started
        if self.told and self.command is not None:
            telemetry.events.executed(self, command, outcome, elapsed)
        span.end()
        telemetry.update_duration.series[self.kind, outcome, kind](elapsed, span)
        totals = telemetry.totals
        totals.updates += 1
        totals.seconds += elapsed
        if elapsed > totals.longest:  # noqa: PLR1730 - `max` is a call
            totals.longest = elapsed
        # Contexts that were copied on the way keep the scope, but must not keep the handler's frames.
        self.error = self.recorded = self.caught = None
        self.fed = True  # what is fed from such a context is an update of its own


@never_raises
def _open(telemetry: Telemetry, bot: Any, update: Any, *, new_root: bool) -> UpdateScope:
    lifecycle.working()
    event_loop.watch()
    if telemetry.settings.health_port:
        health_sources.saw_bot(bot)
    scope = UpdateScope(telemetry, bot, update, new_root=new_root)
    scope.enter()
    return scope


_leave = never_raises(UpdateScope.leave)
_describe = never_raises(UpdateScope.describe)


@never_raises
def _retries(scope: UpdateScope, bot: Any, update: Any) -> bool:
    """Whether a dispatcher of the bot's own feeds once more what it has fed before; what came of that is forgotten."""
    what = str(bot.id), describe.update_id(update)
    if not scope.done or (scope.bot_id, scope.update_id) != what or not scope.telemetry.goes_on(scope):
        return False
    scope.done = False
    scope.outcome = scope.error = scope.caught = None
    return True


@never_raises
def _fed(scope: UpdateScope, response: Any, error: BaseException | None) -> None:
    scope.done = True
    if error is not None:
        scope.failed(error)
    elif scope.caught is not None:
        scope.outcome, scope.error = "error_handled", scope.caught
    else:
        scope.outcome = "unhandled" if response is UNHANDLED else "handled"
    if scope.abandoned:
        scope.close()


def patch(patches: Patches, telemetry: Telemetry) -> None:
    """Patch the ways into aiogram: polling, webhooks in the foreground and background, and direct feeding."""
    from aiogram.dispatcher.dispatcher import Dispatcher
    from aiogram.dispatcher.router import Router
    from aiogram.methods import TelegramMethod
    from aiogram.types import ErrorEvent

    def entrance(new_root: bool, after: Callable[[Any, Any], None] | None = None) -> Callable[[Any], Any]:
        """A method (self, bot, update, …) that opens a scope unless one waits to be fed."""

        def replace(original: Any) -> Any:
            async def enter(self: Any, bot: Any, update: Any, *args: Any, **kwargs: Any) -> Any:
                waiting = current_scope.get()
                if waiting is not None and not waiting.fed:
                    return await original(self, bot, update, *args, **kwargs)
                scope = _open(telemetry, bot, update, new_root=new_root)
                if scope is None:
                    return await original(self, bot, update, *args, **kwargs)
                try:
                    result = await original(self, bot, update, *args, **kwargs)
                    if after is not None:
                        after(bot, result)
                except BaseException as error:
                    _leave(scope, error)
                    raise
                _leave(scope, None)
                return result

            return enter

        return replace

    def feed_update(original: Any) -> Any:
        async def feed(self: Any, bot: Any, update: Any, **kwargs: Any) -> Any:
            scope = current_scope.get()
            opened = None
            if scope is None or (scope.fed and not _retries(scope, bot, update)):
                scope = opened = _open(telemetry, bot, update, new_root=False)
                if scope is None:
                    return await original(self, bot, update, **kwargs)
            _describe(scope, bot, update)
            scope.fed = True
            try:
                response = await original(self, bot, update, **kwargs)
            except BaseException as error:
                _fed(scope, None, error)
                if opened is not None:
                    _leave(opened, error)
                raise
            _fed(scope, response, None)
            if opened is not None:
                _leave(opened, None)
            return response

        return feed

    def error_event(original: Any) -> Any:
        """What the middleware for errors makes for the handlers of errors, and nobody where nothing failed."""

        def init(self: Any, /, **kwargs: Any) -> None:
            original(self, **kwargs)
            scope = current_scope.get()
            if scope is not None:
                scope.caught = self.exception

        return init

    def emit_startup(original: Any) -> Any:
        async def emit(self: Any, /, *args: Any, **kwargs: Any) -> Any:  # a router may be workflow data too
            lifecycle.arm_signals()
            lifecycle.working()
            event_loop.watch()
            result = await original(self, *args, **kwargs)
            if isinstance(self, Dispatcher):
                telemetry.events.started(self, kwargs.get("bots") or [bot for bot in [kwargs.get("bot")] if bot])
            return result

        return emit

    def emit_shutdown(original: Any) -> Any:
        async def emit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if isinstance(self, Dispatcher):
                telemetry.bot_ended()
            return await original(self, *args, **kwargs)

        return emit

    def polling(original: Any) -> Any:
        async def poll(self: Any, bot: Any, *args: Any, **kwargs: Any) -> Any:
            health_sources.saw_bot(bot)
            telemetry.polling_began(str(bot.id))
            try:
                return await original(self, bot, *args, **kwargs)
            finally:
                telemetry.polling_ended(str(bot.id))

        return poll

    def reply(bot: Any, result: Any) -> None:
        if isinstance(result, TelegramMethod):
            api.webhook_reply(telemetry, bot, result)

    patches.method(Dispatcher, "_polling", polling)
    patches.method(Dispatcher, "feed_update", feed_update)
    patches.method(Dispatcher, "_process_update", entrance(new_root=True))
    patches.method(Dispatcher, "feed_raw_update", entrance(new_root=False))
    patches.method(Dispatcher, "feed_webhook_update", entrance(new_root=False, after=reply))
    patches.method(ErrorEvent, "__init__", error_event)
    patches.method(Router, "emit_startup", emit_startup)
    patches.method(Router, "emit_shutdown", emit_shutdown)

    def webhook() -> None:
        from aiogram.webhook.aiohttp_server import BaseRequestHandler

        patches.method(BaseRequestHandler, "_background_feed_update", entrance(new_root=True))

    # It imports aiohttp's server, which a bot that polls has no use for.
    patches.when_imported("aiogram.webhook.aiohttp_server", webhook)
