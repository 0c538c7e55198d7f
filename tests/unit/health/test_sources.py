"""Which checks there are for what the process uses."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace

import pytest

from otelbot.health import loops
from otelbot.health.checks import Degraded, Failed
from otelbot.instrumentation import health_sources
from otelbot.instrumentation.health_sources import saw_bot, telegram


@pytest.fixture(autouse=True)
def _nothing_seen(monkeypatch):
    monkeypatch.setattr(loops, "_known", [])
    monkeypatch.setattr(health_sources, "_bots", {})
    monkeypatch.setattr(health_sources, "_last", (lambda: None, lambda: None))


class TelegramRetryAfter(Exception):
    pass


class FakeBot:
    def __init__(self, number: int, error: Exception | None = None) -> None:
        self.id = number
        self.error = error
        self.asked_in: list[asyncio.AbstractEventLoop] = []
        self.session = SimpleNamespace(make_request=self.make_request)

    async def make_request(self, bot, method, timeout):
        self.asked_in.append(asyncio.get_running_loop())
        assert bot is self
        assert type(method).__name__ == "GetMe"
        if self.error is not None:
            raise self.error


async def test_every_bot_that_was_used_is_asked_for_as_long_as_it_is_there():
    bots = [FakeBot(number) for number in range(3)]
    for bot in bots * 2:
        saw_bot(bot)
    (check,) = telegram()
    assert (check.name, check.critical, check.timeout, check.at_most_every) == ("telegram", True, 10.0, 60.0)
    await check.run()
    assert [len(bot.asked_in) for bot in bots] == [1, 1, 1]
    del bots[:], bot, check
    gc.collect()
    assert not list(telegram())


async def test_the_worst_of_several_bots_is_told_by_its_id():
    bots = [FakeBot(1), FakeBot(2, TelegramRetryAfter()), FakeBot(3, RuntimeError("Unauthorized"))]
    for bot in bots:
        saw_bot(bot)
    (check,) = telegram()
    with pytest.raises(Failed, match=r"^bot 3: RuntimeError: Unauthorized$"):
        await check.run()
    bots[2].error = None
    with pytest.raises(Degraded, match=r"^bot 2: Telegram asks to slow down$"):
        await check.run()


async def test_of_very_many_bots_the_last_are_asked():
    bots = [FakeBot(number) for number in range(50)]
    for bot in bots:
        saw_bot(bot)
    (check,) = telegram()
    await check.run()
    assert [bot.id for bot in bots if bot.asked_in] == list(range(30, 50))


def test_a_bot_is_asked_on_the_loop_that_used_it_last():
    bot = FakeBot(1)

    async def use():
        saw_bot(bot)
        (check,) = telegram()
        assert check.loop is asyncio.get_running_loop()
        (looped,) = health_sources.event_loops()
        assert (looped.name, looped.loop) == ("event_loop", check.loop)

    asyncio.run(use())
    assert not list(telegram())
    assert not list(health_sources.event_loops())
    asyncio.run(use())


def test_no_library_is_no_check():
    assert not list(health_sources.databases())
    assert not list(health_sources.redis())
