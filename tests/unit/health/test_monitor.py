"""Checks run beside each other, each within its time, and their outcomes make a whole."""

from __future__ import annotations

import asyncio
import threading

import pytest

import otelbot
from otelbot.demo.waiting import PATIENCE
from otelbot.health import loops
from otelbot.health.checks import Check, Degraded, Failed
from otelbot.health.monitor import Monitor, worst


def fine() -> None:
    pass


def broken() -> None:
    raise ValueError("it is broken")


def raising(error: Exception):
    def run() -> None:
        raise error

    return run


def monitor_of(*given: Check, told: list | None = None) -> Monitor:
    def changed(before, result) -> None:
        if told is not None:
            told.append((before.status if before else None, result.status))

    return Monitor([lambda: given], changed)


def statuses(results) -> dict[str, str]:
    return {name: result.status for name, result in results.items()}


@pytest.fixture
def loop(monkeypatch):
    """A loop in a thread, that is known as the bot's."""
    monkeypatch.setattr(loops, "_known", [])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    loops.note(loop)
    while not loop.is_running():
        threading.Event().wait(0.01)
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_what_failed_makes_the_whole_unhealthy_or_degraded():
    critical, optional = Check("a", broken), Check("b", broken, critical=False)
    limping = Check("c", raising(Degraded("slowly")))
    healthy = monitor_of(Check("d", fine)).refresh()
    assert worst(healthy.values()) == "healthy"
    assert worst([]) == "healthy"
    assert worst(monitor_of(Check("d", fine), optional).refresh().values()) == "degraded"
    assert worst(monitor_of(Check("d", fine), limping).refresh().values()) == "degraded"
    results = monitor_of(Check("d", fine), limping, optional, critical).refresh()
    assert statuses(results) == {"a": "unhealthy", "b": "degraded", "c": "degraded", "d": "healthy"}
    assert worst(results.values()) == "unhealthy"
    assert [results[name].error for name in "abcd"] == ["ValueError: it is broken"] * 2 + ["slowly", None]


def test_a_check_that_hangs_is_given_up_while_the_others_answer_and_is_not_started_again():
    release, started = threading.Event(), []

    def hang() -> None:
        started.append(threading.get_ident())
        release.wait()

    monitor = monitor_of(Check("hangs", hang, timeout=0.1), Check("fine", fine))
    for _ in range(3):
        results = monitor.refresh(max_age=0)
        assert statuses(results) == {"hangs": "unhealthy", "fine": "healthy"}
        assert results["hangs"].error == "no answer within 0.1 s"
        assert results["hangs"].duration >= 0.1
    assert len(started) == 1
    release.set()
    while monitor._states["hangs"].judged.hangs:
        threading.Event().wait(0.01)
    assert statuses(monitor.refresh(max_age=0))["hangs"] == "healthy"
    assert len(started) == 2


def test_who_asks_gets_a_new_answer_of_what_has_ended_while_another_check_still_hangs():
    release, runs = threading.Event(), []
    monitor = monitor_of(Check("hangs", release.wait, timeout=PATIENCE), Check("counts", lambda: runs.append(1)))
    first = threading.Thread(target=monitor.refresh)
    first.start()
    while not runs:
        threading.Event().wait(0.01)
    second = threading.Thread(target=monitor.refresh, args=(0,))
    second.start()
    while len(runs) < 2:
        threading.Event().wait(0.01)
    release.set()
    first.join()
    second.join()
    assert statuses(monitor.results()) == {"hangs": "healthy", "counts": "healthy"}


def test_several_who_ask_share_one_run():
    release, runs = threading.Event(), []

    def wait() -> None:
        runs.append(1)
        release.wait()

    told: list = []
    monitor = monitor_of(Check("slow", wait, timeout=PATIENCE), told=told)
    asking = [threading.Thread(target=monitor.refresh) for _ in range(8)]
    for thread in asking:
        thread.start()
    while not runs:
        threading.Event().wait(0.01)
    release.set()
    for thread in asking:
        thread.join()
    assert len(runs) == 1
    assert told == [(None, "healthy")]


def test_answers_are_kept_for_a_while():
    runs: list[str] = []
    monitor = monitor_of(
        Check("seldom", lambda: runs.append("seldom"), at_most_every=3600), Check("often", lambda: runs.append("often"))
    )
    monitor.refresh(max_age=3600)
    monitor.refresh(max_age=3600)
    assert sorted(runs) == ["often", "seldom"]
    monitor.refresh(max_age=0)
    assert sorted(runs) == ["often", "often", "seldom"]


def test_a_check_that_is_gone_is_forgotten_and_a_source_that_fails_costs_only_its_own():
    given = [Check("a", fine)]

    def failing():
        raise RuntimeError("no checks today")

    monitor = Monitor([failing, lambda: given], lambda *_: None)
    assert set(monitor.refresh()) == {"a"}
    given[:] = [Check("b", fine)]
    assert set(monitor.refresh()) == {"b"}


def test_the_bots_own_checks_and_the_later_of_one_name():
    @otelbot.health_check
    def disk():
        raise Failed("the disk is full")

    @otelbot.health_check("memory", critical=False, timeout=7)
    def my_memory():
        raise Degraded("mine")

    results = monitor_of(Check("memory", fine)).refresh()
    assert statuses(results) == {"disk": "unhealthy", "memory": "degraded"}
    assert results["disk"].error == "the disk is full"
    assert results["memory"].check.timeout == 7
    assert callable(disk)


def test_a_check_that_is_replaced_is_not_answered_for_by_what_the_other_found():
    monitor = monitor_of(Check("disk", fine, at_most_every=3600))
    assert statuses(monitor.refresh()) == {"disk": "healthy"}
    otelbot.health_check("disk")(broken)
    assert statuses(monitor.refresh()) == {"disk": "unhealthy"}
    otelbot.health_check("disk")(lambda: None)
    assert statuses(monitor.refresh()) == {"disk": "healthy"}


def test_a_coroutine_runs_on_the_bots_loop(loop):
    seen = []

    @otelbot.health_check("mine")
    async def check():
        seen.append(asyncio.get_running_loop())

    assert statuses(monitor_of().refresh()) == {"mine": "healthy"}
    assert seen == [loop]


def test_a_coroutine_without_a_loop_says_nothing(monkeypatch):
    monkeypatch.setattr(loops, "_known", [])

    async def check():
        pass

    assert monitor_of(Check("mine", check)).refresh() == {}


def test_a_coroutine_that_hangs_is_cancelled_and_run_again(loop):
    cancelled = threading.Event()
    runs = []

    async def check():
        runs.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monitor = monitor_of(Check("mine", check, timeout=0.1))
    assert statuses(monitor.refresh()) == {"mine": "unhealthy"}
    assert cancelled.wait(PATIENCE)
    while monitor._states["mine"].judged.hangs:
        threading.Event().wait(0.01)
    monitor.refresh(max_age=0)
    assert len(runs) == 2


def test_a_blocked_loop_holds_up_nobody_and_its_checks_begin_when_it_goes_on(loop):
    release, blocked, runs = threading.Event(), threading.Event(), []

    def block():
        blocked.set()
        release.wait()

    async def check():
        runs.append(1)

    loop.call_soon_threadsafe(block)
    assert blocked.wait(PATIENCE)
    monitor = monitor_of(Check("on the loop", check, timeout=0.1), Check("beside it", fine))
    for _ in range(2):
        assert statuses(monitor.refresh(max_age=0)) == {"on the loop": "unhealthy", "beside it": "healthy"}
    release.set()
    while monitor._states["on the loop"].judged.hangs:
        threading.Event().wait(0.01)
    assert not runs  # it was given up before it could begin
    assert statuses(monitor.refresh(max_age=0))["on the loop"] == "healthy"


def test_changes_are_told_and_one_who_fails_to_listen_costs_nothing():
    told: list = []
    problem: list = []

    def run():
        if problem:
            raise problem[0]

    monitor = monitor_of(Check("a", run), told=told)
    monitor.refresh(0)
    problem[:] = [Failed("away")]
    monitor.refresh(0)
    problem.clear()
    monitor.refresh(0)
    assert told == [(None, "healthy"), ("healthy", "unhealthy"), ("unhealthy", "healthy")]

    def deaf(*_):
        raise RuntimeError

    assert statuses(Monitor([lambda: [Check("a", fine)]], deaf).refresh()) == {"a": "healthy"}


def test_a_check_that_is_cut_off_by_the_end_of_its_loop_says_nothing(loop):
    started = threading.Event()
    told: list = []

    async def check():
        started.set()
        await asyncio.Event().wait()

    def cancel_all():
        for task in asyncio.all_tasks(loop):
            task.cancel()

    monitor = monitor_of(Check("mine", check, timeout=PATIENCE), told=told)
    asking = threading.Thread(target=monitor.refresh)
    asking.start()
    assert started.wait(PATIENCE)
    loop.call_soon_threadsafe(cancel_all)
    asking.join()
    assert not told
    assert not monitor.results()
