"""The monitor costs the same however loops come and go."""

from __future__ import annotations

import asyncio
import threading

from otelbot.instrumentation.event_loop import Monitor


def test_loops_that_work_in_turns_are_watched_once_each():
    monitor = Monitor(0.1)
    ready, done = threading.Barrier(2), threading.Barrier(2)
    seen = []

    async def bot():
        ready.wait()
        for _ in range(20):
            loop = asyncio.get_running_loop()
            if not monitor.watches(loop):
                monitor.watch(loop)
            await asyncio.sleep(0)
        done.wait()
        seen.append(len(monitor._loops))

    threads = [threading.Thread(target=asyncio.run, args=(bot(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(seen) == 2


def test_a_loop_that_stops_and_starts_again_is_watched_again_and_its_pause_is_no_lag(monkeypatch):
    monitor = Monitor(0.1)
    late = []
    monkeypatch.setattr(monitor, "note", lambda seconds, _block: late.append(seconds))
    loop = asyncio.new_event_loop()

    async def update(seconds):
        if not monitor.watches(loop):
            monitor.watch(loop)
        await asyncio.sleep(seconds)

    loop.run_until_complete(update(0.25))
    first = len(late)
    stopped = threading.Event()
    while monitor._loops:  # until it is noticed that nothing runs
        stopped.wait(0.02)
    stopped.wait(1)
    loop.run_until_complete(update(0.25))
    loop.close()
    assert first >= 1
    assert len(late) > first
    assert max(late) < 1
