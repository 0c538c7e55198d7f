"""The events of a bot: what the hooks that make spans and metrics see, as log records with a name."""

from __future__ import annotations

import os
import platform
import threading
import time
from typing import TYPE_CHECKING, Any

import aiogram
import psutil
from opentelemetry._logs import SeverityNumber

from otelbot import __version__, lifecycle, signals
from otelbot.instrumentation.aiogram import describe
from otelbot.instrumentation.aiogram.sessions import Session, Sessions
from otelbot.instrumentation.patching import never_raises
from otelbot.logs.events import Event, emit, wanted

if TYPE_CHECKING:
    from otelbot.instrumentation.aiogram.updates import UpdateScope
    from otelbot.settings import Settings

_EVERY = 60.0  # seconds, between two summaries of performance and between two looks for sessions that are over
_MESSAGE = Event(signals.EVENT_MESSAGE, "message received")
_COMMAND = Event(signals.EVENT_COMMAND, "command executed")
_CALLBACK = Event(signals.EVENT_CALLBACK, "callback received")
_ACTIVITY = Event(signals.EVENT_ACTIVITY, "user activity", SeverityNumber.DEBUG)
_STARTUP = Event(signals.EVENT_STARTUP, "bot started")
_SHUTDOWN = Event(signals.EVENT_SHUTDOWN, "bot stopped")
_SESSION_STARTED = Event(signals.EVENT_SESSION_STARTED, "session started")
_SESSION_ENDED = Event(signals.EVENT_SESSION_ENDED, "session ended")
_PERFORMANCE = Event(signals.EVENT_PERFORMANCE, "performance of the last minute")


class Totals:
    """What the bot has done since its start; `longest` since the last summary. Durations are in seconds."""

    updates = errors = api_calls = 0
    seconds = longest = 0.0

    def copy(self) -> Totals:
        other = Totals()
        other.__dict__.update(self.__dict__)
        return other


class BotEvents:
    """Emits the events that `OTELBOT_EVENTS` chooses. `updates` says whether those of each update are among them."""

    def __init__(self, settings: Settings, totals: Totals) -> None:
        self._totals = totals
        self._started: float | None = None
        self._running = 0  # dispatchers
        self._sample = int(settings.events_sample * 2**32)
        self.updates = wanted("updates")
        self.activity = wanted("updates", SeverityNumber.DEBUG)
        self.lifecycle = wanted("lifecycle")
        self.performance = wanted("system")
        self.sessions = Sessions(settings.session_gap, self._session_began, self._session_ended)
        self.counts_sessions = wanted("sessions")
        self.of_updates = self.updates or self.counts_sessions
        self._since = totals.copy()
        self._process = psutil.Process()
        self._has_thread = False
        lifecycle.when_working(self._works)

    def after_fork_in_child(self) -> None:
        self.sessions.after_fork_in_child()
        self._since = self._totals.copy()
        self._process = psutil.Process()
        self._started, self._running, self._has_thread = None, 0, False
        lifecycle.when_working(self._works)

    # Of one update

    def came(self, scope: UpdateScope, event: Any, action: str, user: str | None, chat: str | None) -> None:
        """Note an update whose event is known."""
        if user is not None and self.counts_sessions:
            self.sessions.seen(user, time.monotonic())
        if not self.updates or not self._is_sampled(scope.update_id):
            return
        scope.told = True
        attributes: dict[str, Any] = {signals.UPDATE_TYPE: scope.kind, signals.BOT_ID: scope.bot_id}
        if user is not None:
            attributes[signals.USER_HASH] = user
        if chat is not None:
            attributes[signals.CHAT_TYPE] = chat
        if self.activity:
            emit(_ACTIVITY, attributes | {signals.ACTION: action}, scope.span)
        if scope.kind == "callback_query":
            emit(_CALLBACK, attributes, scope.span)
        elif scope.kind in describe.MESSAGES:
            text = event.text
            if text is None:
                text = event.caption or ""
                attributes[signals.CONTENT_TYPE] = str(getattr(event.content_type, "value", event.content_type))
            else:
                attributes[signals.CONTENT_TYPE] = "text"
            attributes[signals.MESSAGE_LENGTH] = len(text)
            attributes[signals.MESSAGE_ENTITIES] = len(event.entities or event.caption_entities or ())
            emit(_MESSAGE, attributes, scope.span)

    def executed(self, scope: UpdateScope, command: str, outcome: str, seconds: float) -> None:
        """Note the end of an update that was a command."""
        attributes: dict[str, Any] = {
            signals.COMMAND: command,
            signals.UPDATE_OUTCOME: outcome,
            signals.COMMAND_DURATION: seconds,
            signals.BOT_ID: scope.bot_id,
        }
        if scope.user is not None:
            attributes[signals.USER_HASH] = scope.user
        emit(_COMMAND, attributes, scope.span)

    def _is_sampled(self, update_id: str | None) -> bool:
        if self._sample >= 2**32 or update_id is None:
            return True
        return int(update_id) * 2_654_435_761 % 2**32 < self._sample  # Knuth's, which spreads numbers in a row

    # Of the bot

    @never_raises
    def started(self, dispatcher: Any, bots: list[Any]) -> None:
        """Note the start of a dispatcher."""
        self._works()
        self._running += 1
        if not self.lifecycle:
            return
        handlers = sum(
            len(observer.handlers)
            for router in dispatcher.chain_tail
            for name, observer in router.observers.items()
            if name not in {"update", "error"}
        )
        attributes = {
            "otelbot.version": __version__,
            "aiogram.version": aiogram.__version__,
            "process.runtime.name": platform.python_implementation().lower(),
            "process.runtime.version": platform.python_version(),
            "process.pid": os.getpid(),
            "telegram.bot.ids": sorted({str(bot.id) for bot in bots}),
            "aiogram.handlers": handlers,
        }
        emit(_STARTUP, attributes)

    def _works(self) -> None:
        """Note the start of a bot that may have no dispatcher which says it: it is only fed."""
        if self._started is None:
            self._started = time.monotonic()
        if (self.performance or self.counts_sessions) and not self._has_thread:
            self._has_thread = True
            with lifecycle.signals_blocked():
                threading.Thread(target=self._run, name="otelbot-events", daemon=True).start()

    @never_raises
    def ended(self, users: int, *, process: bool) -> None:
        """Note that a dispatcher stops, or the process. With the last one stops the bot, and its sessions end."""
        self._running -= 1
        if self._started is None or (self._running > 0 and not process):
            return
        uptime, self._started = time.monotonic() - self._started, None
        self.sessions.end_all()
        if not self.lifecycle:
            return
        totals = self._totals
        attributes = {
            signals.UPTIME: round(uptime, 3),
            "telegram.bot.total.updates": totals.updates,
            "telegram.bot.total.errors": totals.errors,
            "telegram.bot.total.api_calls": totals.api_calls,
            "telegram.bot.total.users": users,
        }
        emit(_SHUTDOWN, attributes)

    # Sessions

    def _session_began(self, user: str) -> None:
        emit(_SESSION_STARTED, {signals.USER_HASH: user})

    def _session_ended(self, user: str, session: Session, why: str) -> None:
        attributes = {
            signals.USER_HASH: user,
            signals.SESSION_DURATION: round(session.last - session.first, 3),
            signals.SESSION_UPDATES: session.updates,
            signals.SESSION_END: why,
        }
        emit(_SESSION_ENDED, attributes)

    # Once a minute

    def _run(self) -> None:
        while not lifecycle.closed():
            time.sleep(_EVERY)
            self.look(time.monotonic())

    @never_raises
    def look(self, now: float) -> None:
        """End sessions that are over, and tell the last minute's performance."""
        self.sessions.sweep(now)
        if not self.performance or lifecycle.closed():
            return
        before, totals = self._since, self._totals.copy()
        self._since, self._totals.longest = totals, 0.0
        updates = totals.updates - before.updates
        attributes: dict[str, Any] = {
            "telegram.bot.period": _EVERY,
            "telegram.bot.period.updates": updates,
            "telegram.bot.period.errors": totals.errors - before.errors,
            "telegram.bot.period.api_calls": totals.api_calls - before.api_calls,
            "process.memory.usage": self._process.memory_info().rss,
            "process.cpu.utilization": round(self._process.cpu_percent() / 100, 4),
        }
        if updates:
            attributes["telegram.bot.period.duration.mean"] = (totals.seconds - before.seconds) / updates
            attributes["telegram.bot.period.duration.longest"] = totals.longest
        emit(_PERFORMANCE, attributes)
