"""Runs the checks beside each other and keeps what they found last.

Whoever asks starts those checks whose answers are old and waits for them, together with everybody else who asks; the
waiting threads also judge what has ended or has taken too long. Nothing of it happens on the bot's loop.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otelbot.health import checks
from otelbot.health.checks import DEGRADED, HEALTHY, UNHEALTHY, VALUES, Check, Degraded, Failed, Status
from otelbot.health.run import Run
from otelbot.health.texts import said, said_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_log = logging.getLogger("otelbot")

#: How old an answer may be that somebody is given who asks, in seconds.
FRESH = 1.0


@dataclass(frozen=True)
class Result:
    """What a check found. One that is not critical makes nothing worse than degraded."""

    check: Check
    status: Status
    error: str | None
    duration: float  # seconds
    at: float  # seconds since the epoch, when it began
    started: float  # by `time.monotonic()`


@dataclass
class _State:
    result: Result | None = None
    run: Run | None = None
    own: Check | None = None  # what the bot had registered when it was begun
    judged: Run | None = None  # given up, and not started again while it hangs

    @property
    def hangs(self) -> bool:
        return any(run is not None and run.hangs for run in (self.run, self.judged))


def worst(results: Iterable[Result]) -> Status:
    """Return the state of the whole: unhealthy where a critical check failed, degraded where something else did."""
    return min((result.status for result in results), key=VALUES.__getitem__, default=HEALTHY)


class Monitor:
    """:param sources: each gives checks; one that raises gives none.
    :param changed: told of each result with the one before it, in a thread that waits for an answer.
    """

    def __init__(
        self, sources: Sequence[Callable[[], Iterable[Check]]], changed: Callable[[Result | None, Result], None]
    ) -> None:
        self._sources = sources
        self._changed = changed
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def results(self) -> dict[str, Result]:
        """Return what is known, by the checks' names."""
        with self._lock:
            return {name: state.result for name, state in self._states.items() if state.result is not None}

    def refresh(self, max_age: float = FRESH) -> dict[str, Result]:
        """Run what was not asked for `max_age` seconds, wait for it, and return what is known."""
        wanted = self._wanted()
        self._judge_ended()
        begun: list[Run] = []
        awaited: list[Run] = []
        with self._lock:
            for name in self._states.keys() - wanted.keys():
                if self._states[name].hangs:
                    self._states[name].result = None
                else:
                    del self._states[name]
            for name, check in wanted.items():
                state = self._states.setdefault(name, _State())
                if state.run is None and _is_due(check, state, max_age):
                    state.own = checks.own(name)
                    state.run = Run(check)
                    begun.append(state.run)
                if state.run is not None:
                    awaited.append(state.run)
        for run in begun:
            run.begin()
        for run in sorted(awaited, key=lambda run: run.started + run.check.timeout):
            self._judge(run, ended=run.wait())
        return self.results()

    def _wanted(self) -> dict[str, Check]:
        found: dict[str, Check] = {}
        for source in self._sources:
            try:
                found.update((check.name, check) for check in source())
            except Exception:
                _log.debug("otelbot: checks of health could not be listed", exc_info=True)
        found.update((check.name, check) for check in checks.registered())
        return found

    def _judge_ended(self) -> None:
        """Judge what has ended while those who wait for it still wait for others, so that it can begin again."""
        with self._lock:
            ended = [state.run for state in self._states.values() if state.run is not None and state.run.has_ended]
        for run in ended:
            self._judge(run, ended=True)

    def _judge(self, run: Run, *, ended: bool) -> None:
        """Make a result of a run; the first of those who wait does."""
        check = run.check
        with self._lock:
            state = self._states.get(check.name)
            if state is None or state.run is not run:
                return
            state.run = None
            if ended and run.is_cut_off:
                return
            if not ended:
                state.judged = run
            before = state.result
            state.result = result = _result(run, ended=ended)
        if not ended:
            run.give_up()
        try:
            self._changed(before, result)
        except Exception:
            _log.debug("otelbot: a change of health could not be told", exc_info=True)


def _is_due(check: Check, state: _State, max_age: float) -> bool:
    if state.judged is not None:
        if state.judged.hangs:
            return False
        state.judged = None
    if state.result is None or state.own is not checks.own(check.name):
        return True
    return time.monotonic() - state.result.started >= max(max_age, check.at_most_every)


def _result(run: Run, *, ended: bool) -> Result:
    check, error = run.check, run.error
    status: Status = HEALTHY
    text: str | None = None
    if not ended:
        status, text = UNHEALTHY, f"no answer within {check.timeout:g} s"
    elif isinstance(error, Degraded):
        status, text = DEGRADED, said(str(error)) or "degraded"
    elif error is not None:
        status, text = UNHEALTHY, said(str(error)) if isinstance(error, Failed) else said_of(error)
    if status == UNHEALTHY and not check.critical:
        status = DEGRADED
    finished = run.ended if ended and run.ended is not None else time.monotonic()
    return Result(check, status, text, finished - run.started, run.at, run.started)
