"""Dispatchers of a bot's own, and coroutines that nobody holds: each update is seen once, as what came of it."""

from __future__ import annotations

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

RETRYING = """
    class Retrying(Dispatcher):
        async def feed_update(self, bot, update, **kwargs):
            for _ in range(3):
                try:
                    return await super().feed_update(bot, update, **kwargs)
                except ValueError:
                    continue

    dp = Retrying()
    tries = []

    @dp.message()
    async def brew(message):
        tries.append(message.text)
        if tries.count(message.text) < (2 if message.text == "once" else 9):
            raise ValueError("no water")
        await message.answer("tea")

    main()
"""
QUEUEING = """
    class Queueing(Dispatcher):
        queue = asyncio.Queue()

        async def feed_update(self, bot, update, **kwargs):
            await self.queue.put((bot, update, kwargs))

        async def work(self):
            while True:
                bot, update, kwargs = await self.queue.get()
                try:
                    await super().feed_update(bot, update, **kwargs)
                except ValueError:
                    pass

    dp = Queueing()

    @dp.startup()
    async def start():
        dp["worker"] = asyncio.create_task(dp.work())

    @dp.message()
    async def brew(message):
        if message.text == "fail":
            raise ValueError("no water")

    main()
"""
FORGETTING = """
    import gc

    async def child():
        await asyncio.sleep(0.01)
        gc.collect()  # as any collection may: what nobody holds is thrown away here, in a copy of the handler's context

    @dp.message()
    async def wait(message):
        asyncio.create_task(child())
        await asyncio.get_running_loop().create_future()

    async def feed():
        from aiogram.types import Update
        await bot.me()
        message = {"message_id": 1, "date": 0, "chat": {"id": 2, "type": "private"}, "text": "hi"}
        asyncio.create_task(dp.feed_update(bot, Update.model_validate({"update_id": 1, "message": message})))
        await asyncio.sleep(0.2)
        await bot.session.close()

    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    asyncio.run(feed())
"""


def fed(source, folder, *texts):
    async def play(recording: Recording) -> None:
        for text in texts:
            recording.api.push(TOKEN, message_update(text))
        await recording.wait_for_updates(len(texts))

    return record(source, folder, play)


def outcomes(recording):
    return [span.attributes["telegram.update.outcome"] for span in recording.updates]


def durations(recording):
    points = recording.points("telegram.bot.update.duration")
    return {attributes["telegram.update.outcome"]: value for attributes, value in points}


def test_dispatcher_that_tries_again_has_one_update_with_the_outcome_of_the_last_try(tmp_path):
    retried = fed(RETRYING, tmp_path, "once")
    assert outcomes(retried) == ["handled"]
    (update,) = retried.updates
    tries = [span for span in retried.otlp.spans if span.parent_span_id == update.span_id]
    assert [span.status for span in tries] == ["ERROR", "UNSET"]
    assert retried.points("telegram.bot.errors") == []


@pytest.mark.parametrize(("text", "outcome"), [("hello", "handled"), ("fail", "error")])
def test_update_that_waits_in_a_queue_is_one_update_and_begins_when_its_turn_comes(tmp_path, text, outcome):
    queued = fed(QUEUEING, tmp_path, text)
    assert outcomes(queued) == [outcome]
    assert set(durations(queued)) == {outcome}
    ((_, count),) = queued.points("telegram.bot.user.actions")
    assert count == 1
    assert {value for _, value in queued.points("telegram.bot.update.active")} == {0}


def test_update_that_nobody_holds_is_cancelled_when_it_is_thrown_away(tmp_path):
    async def play(recording: Recording) -> None:
        assert await recording.program.wait() == 0

    forgotten = record(FORGETTING, tmp_path, play)
    assert outcomes(forgotten) == ["cancelled"]
    assert {value for _, value in forgotten.points("telegram.bot.update.active")} == {0}
    assert "a fault of its own" not in forgotten.program.stderr
