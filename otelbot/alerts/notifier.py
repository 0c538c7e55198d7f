"""Tells each target (an e-mail server, a webhook, each Telegram chat) of the alerts that it is to know of.

There is no queue of messages. What a target was told is compared with what is: an alert that fires is due when it was
not told within its severity's cooldown, one that was told and has resolved is due once. So what waits while a target
can't be reached is always the newest, in one message. That an alert is told is written before it is sent, and taken
back only when it surely was not: a process that is killed meanwhile tells nobody twice.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from otelbot.alerts.channels import quiet
from otelbot.alerts.channels.sending import send, targets
from otelbot.alerts.channels.settings import MUTED, seconds
from otelbot.alerts.messages import Form, Notice, compose
from otelbot.alerts.state import Alert, State, Told
from otelbot.alerts.threads import in_thread
from otelbot.privacy import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from otelbot.alerts.channels.outcome import Outcome
    from otelbot.alerts.channels.settings import Channels
    from otelbot.alerts.rule import Rule

_log = logging.getLogger(__name__)

#: Seconds between two messages to one target: a group takes twenty a minute.
SPACING = 3.0
_FIRST_RETRY, _LONGEST_RETRY = 5.0, 300.0  # seconds
#: After so many seconds nobody is told any more that something has resolved.
_GIVE_UP = 3600.0


@dataclass
class _Target:
    """What is known of sending to one target, in this process."""

    name: str
    not_before: float = 0
    failures: int = 0
    sending: asyncio.Task[None] | None = None
    said: str = ""  #: the last trouble that the log has


@dataclass(frozen=True)
class _Due:
    """One alert that is to be told, and what was told before."""

    alert: Alert
    notice: Notice
    event: int
    before: Told | None


class Notifier:
    def __init__(
        self, state: State, channels: Channels, rules: Mapping[str, Rule], page_url: str, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._channels = channels
        self._rules = rules
        self._clock = clock
        self._zone = quiet.zone(channels.timezone)
        self._form = Form(channels.language, self._zone, page_url)
        self._cooldowns = {severity: float(seconds(text)) for severity, text in channels.cooldowns.items()}
        self._targets = [_Target(name) for name in targets(channels)]
        names = {target.name for target in self._targets}
        for alert, name in list(state.told):
            if name not in names or alert.uid not in rules:
                state.set_told(alert, name, None)

    async def work(self, known: Container[str]) -> None:
        """Begin to send what is due, and return; what takes its time goes on beside.

        :param known: the rules that were evaluated since the start: of others nobody knows whether they still fire.
        """
        now = self._clock()
        for target in self._targets:
            # So far ahead only a clock that was set back leaves it.
            waits = 0 < target.not_before - now <= _GIVE_UP
            if target.sending is None and not waits:
                due = self._due(target, known, now)
                if due:
                    target.sending = asyncio.create_task(self._deliver(target, due, now))
        await self._state.flush()

    async def settle(self, timeout: float | None = None) -> None:
        """Wait until everything that is being sent has ended, or for `timeout` seconds."""
        if sending := [target.sending for target in self._targets if target.sending]:
            await asyncio.wait(sending, timeout=timeout)

    async def close(self) -> None:
        """Give what is being sent a moment to end; what takes longer may have arrived and is not sent again."""
        await self.settle(2)
        sending = [target.sending for target in self._targets if target.sending]
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    def troubles(self) -> list[str]:
        """Return a sentence for each target that is not reached at present."""
        return [f"{target.name}: {target.said}" for target in self._targets if target.said]

    # What is due

    def _due(self, target: _Target, known: Container[str], now: float) -> list[_Due]:
        return [*self._firing(target, known, now), *self._resolved(target, now)]

    def _firing(self, target: _Target, known: Container[str], now: float) -> list[_Due]:
        found = []
        for uid, active in self._state.active.items():
            rule = self._rules.get(uid)
            if rule is None or uid not in known or self._held_back(rule, now):
                continue
            for key, each in active.items():
                alert = Alert(uid, key)
                before = self._state.told.get((alert, target.name))
                told_at = before.at if before else 0.0
                # A clock that was set back must not silence anything for long.
                cold = now - told_at >= self._cooldowns[rule.severity] or told_at > now
                # What is only kept so that it does not flap is nothing to tell.
                fires = each.state == "firing" and each.calm is None
                if fires and cold and not self._state.silenced_until(alert, now):
                    found.append(_Due(alert, Notice(rule, each.labels, each.value, each.since), each.event, before))
        return found

    def _resolved(self, target: _Target, now: float) -> list[_Due]:
        found = []
        for (alert, name), told in list(self._state.told.items()):
            if name != target.name or (told.open and not told.resolved):
                continue
            rule = self._rules.get(alert.uid)
            if rule is None or self._held_back(rule, now):
                continue
            if not told.open:
                if now - told.at >= self._cooldowns[rule.severity]:
                    self._state.set_told(alert, name, None)  # it says nothing any more
            elif self._state.silenced_until(alert, now) or (told.tried and now - told.tried >= _GIVE_UP):
                self._state.set_told(alert, name, replace(told, open=False))
            else:
                notice = Notice(rule, alert.labels, told.value, told.since, told.ended)
                found.append(_Due(alert, notice, told.resolved, told))
        return found

    def _held_back(self, rule: Rule, now: float) -> bool:
        hours = self._channels.quiet
        return rule.severity in MUTED and quiet.holds(hours, datetime.fromtimestamp(now, self._zone))

    # Sending

    async def _deliver(self, target: _Target, due: list[_Due], now: float) -> None:
        try:
            await self._send(target, due, now)
        except Exception as error:
            target.not_before = now + _LONGEST_RETRY
            target.said = f"the message could not be made ({type(error).__name__})"
            _log.exception("An alert was not delivered to %s", target.name)
        finally:
            target.sending = None

    async def _send(self, target: _Target, due: list[_Due], now: float) -> None:
        message = compose([each.notice for each in due], self._form)
        for each in due:
            self._state.note(each.event, target.name, "sending", "", now)
            self._state.set_told(each.alert, target.name, _told(each, now))
        await self._state.flush()
        outcome = await in_thread(lambda: send(self._channels, target.name, message))
        self._settle(target, due, replace(outcome, detail=scrub(outcome.detail)))
        await self._state.flush()

    def _settle(self, target: _Target, due: list[_Due], outcome: Outcome) -> None:
        now = self._clock()
        again = outcome.status == "retry"
        for each in due:
            status = {"retry": "waiting", "refused": "failed"}.get(outcome.status, outcome.status)
            if again:
                self._take_back(target.name, each, now)
                if each.notice.ended is None and not self._fires(each.alert):
                    status = "failed"  # it has resolved meanwhile
            elif outcome.status == "refused" and each.notice.ended is None:
                self._untold(target.name, each)
            self._state.note(each.event, target.name, status, outcome.detail, now)
        target.failures = target.failures + 1 if again else 0
        wait = min(_FIRST_RETRY * 2 ** min(target.failures - 1, 20), _LONGEST_RETRY) if again else SPACING
        target.not_before = now + max(wait, outcome.after)
        trouble = "" if outcome.ok else outcome.detail
        if trouble and trouble != target.said:
            _log.warning("An alert was not delivered to %s: %s", target.name, trouble)
        target.said = trouble

    def _fires(self, alert: Alert) -> bool:
        active = self._state.active.get(alert.uid, {}).get(alert.key)
        return active is not None and active.state == "firing"

    def _untold(self, name: str, each: _Due) -> None:
        """Remember that a message was refused: it is tried anew after the cooldown, and its end is not told alone."""
        if current := self._state.told.get((each.alert, name)):
            still = each.before is not None and each.before.open
            self._state.set_told(each.alert, name, replace(current, open=still))

    def _take_back(self, name: str, each: _Due, now: float) -> None:
        """Remember again what was told before a message that surely did not arrive."""
        current = self._state.told.get((each.alert, name))
        if current is None:
            return
        if each.notice.ended is not None:
            if self._fires(each.alert):  # again, so there is nothing to say about its end
                current = replace(current, resolved=0, ended=0.0)
            self._state.set_told(each.alert, name, replace(current, open=True, tried=current.tried or now))
        elif each.before is None:
            self._state.set_told(each.alert, name, None)
        else:
            told = each.before
            if told.open:  # what it became meanwhile still holds
                told = replace(told, resolved=current.resolved, ended=current.ended)
            self._state.set_told(each.alert, name, told)


def _told(each: _Due, now: float) -> Told:
    """Return what a target knows once it has the message."""
    notice = each.notice
    if notice.ended is None:
        return Told(now, open=True, event=each.event, since=notice.since, value=notice.value)
    assert each.before is not None  # noqa: S101 - what was never told to fire does not resolve
    return replace(each.before, open=False)
