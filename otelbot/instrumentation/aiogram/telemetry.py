"""The tracer and the instruments that the aiogram instrumentation shares."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Protocol

from opentelemetry import metrics, trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, Context
from opentelemetry.metrics import Observation
from opentelemetry.trace.propagation import _SPAN_KEY

from otelbot import __version__, settings, signals
from otelbot.instrumentation.aiogram.conversations import Conversations
from otelbot.instrumentation.aiogram.events import BotEvents, Totals
from otelbot.instrumentation.aiogram.shared_users import SharedUsers
from otelbot.instrumentation.aiogram.users import ActiveUsers
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.patching import never_raises
from otelbot.logs import exceptions
from otelbot.privacy import error_type
from otelbot.signals import Cap, Component
from otelbot.tracing import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from otelbot.signals import Instrument

_POLLING_ERRORS = ("TelegramConflictError", "TelegramNetworkError", "TelegramUnauthorizedError")
_MOST_CALLBACKS = 1_000  # unanswered ones that are remembered


class Unfinished(Protocol):
    """An update, a handler's run or an attempt, while it is going on. `counted` is the gauge that counts those."""

    @property
    def counted(self) -> Instrument | None: ...

    def cut_off(self) -> None: ...


class Telemetry:
    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        self.settings = settings.current()
        self.tracer = trace.get_tracer(signals.SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(signals.SCOPE, __version__, meter_provider)
        self.update_duration = create(meter, signals.UPDATE_DURATION)
        self.update_delay = create(meter, signals.UPDATE_DELAY)
        self.handler_duration = create(meter, signals.HANDLER_DURATION)
        self.commands = create(meter, signals.COMMANDS)
        self.user_actions = create(meter, signals.USER_ACTIONS)
        self.callback_answer_delay = create(meter, signals.CALLBACK_ANSWER_DELAY)
        self.fsm_transitions = create(meter, signals.FSM_TRANSITIONS)
        self.errors = create(meter, signals.ERRORS)
        self.api_duration = create(meter, signals.API_DURATION)
        self.api_retry_after = create(meter, signals.API_RETRY_AFTER)
        self.api_rejections = create(meter, signals.API_REJECTIONS)
        self.polling_failures = create(meter, signals.POLLING_FAILURES)
        self.polling_batch = create(meter, signals.POLLING_BATCH)
        create(meter, signals.POLLING_AGE, self._observe_polling)
        create(meter, signals.USERS_ACTIVE, self._observe_users)
        for instrument in (signals.UPDATE_ACTIVE, signals.API_ACTIVE):
            create(meter, instrument, partial(self._observe_active, instrument))
        limit = self.settings.cardinality_limit
        self.cap_handler = Cap(signals.HANDLER, limit)
        self.cap_command = Cap(signals.COMMAND, limit)
        self.cap_method = Cap(signals.METHOD, limit)
        self.cap_error = Cap(signals.ERROR_TYPE, limit)
        self.cap_state = Cap(signals.FSM_STATE, limit)

        self.totals = Totals()
        self.events = BotEvents(self.settings, self.totals)
        self.users = ActiveUsers()
        self.shared_users = SharedUsers(url) if (url := self.settings.active_users_redis_url) else None
        self.conversations = Conversations()
        self.polls: dict[str, float] = {}  # bot id → when getUpdates last succeeded, by time.monotonic()
        self._callbacks: OrderedDict[str, float] = OrderedDict()  # callback query → when it came
        self._unfinished: dict[Unfinished, None] = {}  # in the order of their beginning
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)

    def _after_fork_in_child(self) -> None:
        """Forget what goes on in the parent."""
        self._unfinished.clear()
        self.polls.clear()
        self.users.after_fork_in_child()
        self.events.after_fork_in_child()
        if self.shared_users is not None:
            self.shared_users.after_fork_in_child()

    def _observe_polling(self, _options: CallbackOptions) -> Iterable[Observation]:
        now = time.monotonic()
        return [Observation(now - last, {signals.BOT_ID: bot}) for bot, last in list(self.polls.items())]

    def _observe_users(self, _options: CallbackOptions) -> Iterable[Observation]:
        counts = (self.shared_users.count() if self.shared_users is not None else None) or self.users.count()
        return [Observation(count, {signals.WINDOW: window}) for window, count in counts.items()]

    def _observe_active(self, instrument: Instrument, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(sum(what.counted is instrument for what in list(self._unfinished)))]

    def user_acted(self, bot_id: str, user_id: int, action: str, span: Span) -> None:
        """Note that a user did something now."""
        self.users.add(user_id)
        if self.shared_users is not None:
            self.shared_users.add(bot_id, user_id)
        self.user_actions.series[(action,)](1, span)

    @never_raises
    def polling_began(self, bot_id: str) -> None:
        """Note that a bot is polled for. Its failures count from zero: `rate` doesn't see a series begin."""
        self.polls[bot_id] = time.monotonic()
        for kind in _POLLING_ERRORS:
            self.polling_failures.add(0, (kind,))

    @never_raises
    def polling_ended(self, bot_id: str) -> None:
        self.polls.pop(bot_id, None)

    def polled(self, bot_id: str) -> None:
        """Note that getUpdates succeeded, where it is asked again and again and not only once."""
        if bot_id in self.polls:
            self.polls[bot_id] = time.monotonic()

    def callback_came(self, callback_id: str, at: float) -> None:
        """Note when a callback query came, by `time.perf_counter()`."""
        self._callbacks[callback_id] = at
        if len(self._callbacks) > _MOST_CALLBACKS:
            self._callbacks.popitem(last=False)

    def callback_answered(self, callback_id: str) -> None:
        came = self._callbacks.pop(callback_id, None)
        if came is not None:
            self.callback_answer_delay.record(time.perf_counter() - came)

    def began(self, what: Unfinished) -> None:
        self._unfinished[what] = None

    def ended(self, what: Unfinished) -> bool:
        """Note the end of `what`; returns False where it had ended before."""
        return self._unfinished.pop(what, self) is None

    def goes_on(self, what: Unfinished) -> bool:
        return what in self._unfinished

    def cut_off_unfinished(self) -> None:
        """End what the end of the process cuts off, as cancelled, the innermost first: its trace is whole then."""
        for what in reversed(list(self._unfinished)):
            what.cut_off()

    def end(self) -> None:
        """End what the end of the process cuts off, and tell that the bot stops where its dispatcher has not."""
        self.cut_off_unfinished()
        self.bot_ended(process=True)

    def bot_ended(self, *, process: bool = False) -> None:
        self.events.ended(self.users.count()["24h"], process=process)

    def count_error(self, error: BaseException, component: Component, span: Span) -> None:
        kind = self.cap_error(error_type(error))
        self.totals.errors += 1
        self.errors.add(1, (kind, component))
        exceptions.report(error, span)


def without_http_span(span: Span | None) -> Context:
    """Return the current context with `span` in it and the HTTP client's instrumentation off.

    The call to Telegram is one span, not two, and no traceparent leaves for it.
    """
    if span is None:
        return Context({**current(), _SUPPRESS_HTTP_INSTRUMENTATION_KEY: True})
    return Context({**current(), _SUPPRESS_HTTP_INSTRUMENTATION_KEY: True, _SPAN_KEY: span})
