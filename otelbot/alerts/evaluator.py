"""Evaluates the rules on the dashboard's own store and has their alerts told.

It stands for what Grafana does in the stack: the same rules, states and cooldowns.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from otelbot.alerts import shown
from otelbot.alerts.embedded_rules import AFTER_THE_FIRST_BOT, OF_ABSENCE, RULES_OF_THE_EMBEDDED
from otelbot.alerts.notifier import Notifier
from otelbot.alerts.promql import select
from otelbot.alerts.state import State
from otelbot.alerts.transitions import MOST, clean, step
from otelbot.privacy import register_secret, scrub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from otelbot.alerts.channels.settings import Channels
    from otelbot.alerts.rule import Rule

_log = logging.getLogger(__name__)

#: Seconds after a start in which bots deliver what they kept meanwhile: longer than their export interval and than
#: the pause after an attempt that failed.
WARM_UP = 45.0
_PATIENCE = 20.0  #: seconds for a query
_TIDY = 3600.0  #: seconds
_LONGEST_SILENCE = 30 * 86_400


class Sample(Protocol):
    """One value of an instant query."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def value(self) -> float: ...


class Alerts:
    """All alerts of one dashboard: `run` evaluates and tells, the rest is for the page.

    :param query: the instant value of a PromQL expression at a time in seconds since the epoch.
    :param folder: for `alerts.sqlite`.
    :param page_url: of the page, for links; without a path.
    :param clock: seconds since the epoch.
    :param seen: whether any bot has ever sent something.
    """

    def __init__(
        self,
        query: Callable[[str, float], Awaitable[Sequence[Sample]]],
        folder: Path,
        channels: Channels,
        *,
        page_url: str,
        seen: Callable[[], Awaitable[bool]],
        rules: Iterable[Rule] = RULES_OF_THE_EMBEDDED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._query = query
        self._channels = channels
        self._seen = seen
        self._clock = clock
        self._rules = {rule.uid: rule for rule in rules}
        self._started = self._tidied = clock()
        self._slots: dict[str, int] = {}
        self._known: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._own_version = 0
        _mask_secrets(channels)
        self._state = State(folder, self._started)
        for uid in self._state.active.keys() - self._rules.keys():
            self._state.set_active(uid, {}, (), self._started)
        for sentence in (self._state.put_aside, self._state.problem):
            if sentence:
                _log.warning("%s", sentence)
        address = page_url.partition("?")[0].partition("#")[0].rstrip("/")  # a token may be behind the question mark
        self._notifier = Notifier(self._state, channels, self._rules, address, clock)

    async def run(self) -> None:
        """Evaluate each rule every `rule.every` seconds, and tell what is due; until cancelled."""
        notifying = asyncio.create_task(self._every_second(self.notify))
        try:
            await self._every_second(self.evaluate)
        finally:
            notifying.cancel()
            await asyncio.gather(notifying, return_exceptions=True)

    async def _every_second(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                _log.exception("Alerts could not be looked at")
            await asyncio.sleep(1)

    async def close(self) -> None:
        """Write what is left; `run` has ended before."""
        await self._notifier.close()
        await self._state.flush()
        self._state.close()

    async def evaluate(self) -> None:
        """Evaluate the rules whose time has come; those of one moment become what they are together."""
        now = self._clock()
        if not 0 <= now - self._tidied < _TIDY:
            self._state.tidy(now)
            self._tidied = now
        found: list[tuple[Rule, float, Sequence[Sample]]] = []
        for rule in self._rules.values():
            slot = int(now // rule.every)
            # At whole steps, as Prometheus: a wait of one step is over at the next, however late that is looked at.
            at = float(slot * rule.every) if rule.uid in self._slots else now
            if self._slots.get(rule.uid) == slot or (rule.uid in OF_ABSENCE and 0 <= now - self._started < WARM_UP):
                continue
            self._slots[rule.uid] = slot
            try:
                if rule.uid not in AFTER_THE_FIRST_BOT or await self._seen():
                    found.append((rule, at, await self._asked(select(rule.expr), at)))
            except Exception as error:
                # What is not known changes nothing.
                self._trouble(rule, f"can't be evaluated: {scrub(str(error)) or type(error).__name__}")
        for rule, at, samples in found:
            result = step(rule, self._state.active.get(rule.uid, {}), [(s.labels, s.value) for s in samples], at)
            self._state.set_active(rule.uid, result.active, result.changes, at)
            self._known.add(rule.uid)
            more = result.left_out
            self._trouble(rule, f"has {more} more than the {MOST} alerts that are looked at" if more else "")
        await self._state.flush()

    async def _asked(self, expr: str, at: float) -> Sequence[Sample]:
        # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the answer,
        # https://github.com/python/cpython/issues/86296
        asking = asyncio.ensure_future(self._query(expr, at))
        try:
            await asyncio.wait({asking}, timeout=_PATIENCE)
            if not asking.done():
                raise TimeoutError(f"no answer within {_PATIENCE:g} s")
            return asking.result()
        finally:
            asking.cancel()

    def _trouble(self, rule: Rule, sentence: str) -> None:
        if sentence == self._troubles.get(rule.uid, ""):
            return
        self._own_version += 1
        if sentence:
            self._troubles[rule.uid] = sentence
            _log.warning("The alert rule “%s” %s", rule.title.en, sentence)
        else:
            del self._troubles[rule.uid]

    async def notify(self) -> None:
        """Begin to tell what is due."""
        await self._notifier.work(self._known)

    async def settle(self) -> None:
        """Wait until everything that is being sent has ended."""
        await self._notifier.settle()

    # For the page

    @property
    def version(self) -> int:
        """Grows with each change."""
        return self._state.version + self._own_version

    @property
    def firing(self) -> int:
        return sum(each.state == "firing" for active in self._state.active.values() for each in active.values())

    def overview(self) -> dict[str, Any]:
        """Return what GET /api/alerts answers."""
        now, state, cooldowns = self._clock(), self._state, self._channels.cooldowns
        return {
            "alerts": [shown.of_rule(rule, state, cooldowns[rule.severity], now) for rule in self._rules.values()],
            "channels": self._channels.names,
            "problems": self._problems(),
        }

    def _problems(self) -> list[str]:
        state = [each for each in (self._state.put_aside, self._state.problem) if each]
        same: dict[str, list[str]] = {}
        for uid, sentence in self._troubles.items():
            same.setdefault(sentence, []).append(self._rules[uid].title.en)
        troubles = [f"{', '.join(titles)}: {sentence}" for sentence, titles in same.items()]
        return [*map(str, self._channels.problems), *state, *troubles, *self._notifier.troubles()]

    def history(self, limit: int) -> dict[str, Any]:
        """Return what GET /api/alerts/history answers, the newest first."""
        return {"history": shown.history(self._state.history(limit), self._rules)}

    async def silence(self, uid: str, labels: Mapping[str, str] | None, seconds: float) -> None:
        """Hold back messages about a rule, or about one set of its labels, for so long.

        :raises ValueError: with a sentence, for what does not exist or is no time.
        """
        labels = self._required(uid, labels)
        if not (isinstance(seconds, (int, float)) and 0 < seconds <= _LONGEST_SILENCE):
            raise ValueError(f"seconds is not a number of up to {_LONGEST_SILENCE}, which is 30 days")
        now = self._clock()
        self._state.silence(uid, labels, now + seconds, now)
        await self._state.flush()

    async def unsilence(self, uid: str, labels: Mapping[str, str] | None) -> None:
        """:raises ValueError: with a sentence, for a rule that does not exist."""
        labels = self._required(uid, labels)
        self._state.unsilence(uid, labels)
        await self._state.flush()

    def _required(self, uid: str, labels: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """Return the labels as alerts have them."""
        if uid not in self._rules:
            raise ValueError("uid is not that of an alert rule: /api/alerts lists them")
        if labels is None:
            return None
        if not all(isinstance(part, str) for pair in labels.items() for part in pair):
            raise ValueError("labels is not an object of texts: take those of /api/alerts")
        return {clean(name): clean(text) for name, text in labels.items()}


def _mask_secrets(channels: Channels) -> None:
    """Have what is secret of the channels masked wherever else it might turn up."""
    if channels.telegram:
        register_secret(channels.telegram.token)
    if channels.email:
        register_secret(channels.email.password)
    if channels.webhook:
        register_secret(channels.webhook.secret)
        register_secret(channels.webhook.url)
    register_secret(channels.proxy)
