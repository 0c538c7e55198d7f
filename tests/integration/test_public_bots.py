"""Bots as people publish them run unchanged: aiogram-dialog, FSM in Redis, SQLAlchemy, taskiq, retrying middlewares."""

from __future__ import annotations

import pytest

from otelbot.demo.services import redis_server
from otelbot.demo.telegram import callback_update, message_update
from tests.support import TOKEN

DIALOG = """
    from aiogram.fsm.state import State, StatesGroup
    from aiogram.fsm.storage.memory import MemoryStorage
    from aiogram_dialog import Dialog, DialogManager, StartMode, Window, setup_dialogs
    from aiogram_dialog.widgets.kbd import Button
    from aiogram_dialog.widgets.text import Const

    class Tea(StatesGroup):
        menu = State()
        done = State()

    async def chosen(callback, button, manager):
        await manager.switch_to(Tea.done)

    dp.include_router(Dialog(
        Window(Const("Tea?"), Button(Const("Yes"), id="yes", on_click=chosen), state=Tea.menu),
        Window(Const("Here you are"), state=Tea.done),
    ))

    @dp.message(CommandStart())
    async def start(message: Message, dialog_manager: DialogManager):
        await dialog_manager.start(Tea.menu, mode=StartMode.RESET_STACK)

    setup_dialogs(dp)
    main()
"""


async def test_aiogram_dialog(api, otlp, run):
    pytest.importorskip("aiogram_dialog")
    bot = await run(DIALOG)
    api.push(TOKEN, message_update("/start", user_id=42))
    shown = await api.wait_for_call("sendMessage")
    (button,) = shown.params["reply_markup"]["inline_keyboard"][0]
    api.push(TOKEN, callback_update(button["callback_data"], user_id=42, text="Tea?"))
    await api.wait_for_call("answerCallbackQuery")
    await otlp.wait_for_spans(lambda spans: sum(span.kind == "CONSUMER" for span in spans) == 2)
    assert await bot.stop() == 0
    first, second = sorted((span for span in otlp.spans if span.kind == "CONSUMER"), key=lambda span: span.start)
    assert (first.name, first.attributes["telegram.update.outcome"]) == ("message start", "handled")
    assert second.attributes["telegram.update.outcome"] == "handled"
    assert second.links, "the press of the button follows the command"
    assert all(span.status != "ERROR" for span in otlp.spans)
    assert "Traceback" not in bot.stderr


REDIS_FSM = """
    from aiogram.fsm.state import State, StatesGroup
    from aiogram.fsm.storage.redis import RedisStorage

    class Order(StatesGroup):
        packs = State()

    dp = Dispatcher(storage=RedisStorage.from_url(os.environ["REDIS_URL"]))

    @dp.message(Order.packs)
    async def packs(message, state):
        await state.clear()

    @dp.message()
    async def order(message, state):
        await state.set_state(Order.packs)

    main()
"""


async def test_conversations_kept_in_redis(api, otlp, run):
    async with redis_server() as url:
        bot = await run(REDIS_FSM, env={"REDIS_URL": url})
        for number in (1, 2):
            api.push(TOKEN, message_update("3", user_id=42))
            await otlp.wait_for_spans(lambda spans, n=number: sum(span.kind == "CONSUMER" for span in spans) == n)
        assert await bot.stop() == 0
    transitions = {
        (attributes["from"], attributes["to"]): value
        for attributes, value, _ in otlp.metrics["telegram.bot.fsm.transitions"].points
    }
    assert transitions == {("none", "Order:packs"): 1, ("Order:packs", "none"): 1}
    (order,) = (span for span in otlp.spans if span.name == "order")
    assert [span.name for span in otlp.spans if span.parent_span_id == order.span_id] == ["SET"]
    assert b"fsm:" not in otlp.raw, "a key holds the ids of chat and user"


RETRYING = """
    from aiogram.client.session.middlewares.base import BaseRequestMiddleware
    from aiogram.exceptions import TelegramRetryAfter

    class Retry(BaseRequestMiddleware):
        async def __call__(self, make_request, bot, method):
            while True:
                try:
                    return await make_request(bot, method)
                except TelegramRetryAfter as error:
                    await asyncio.sleep(error.retry_after)

    bot.session.middleware(Retry())

    @dp.message()
    async def echo(message):
        await message.answer("hello")

    main()
"""


async def test_attempts_stand_beside_each_other(api, otlp, run):
    api.fail("sendMessage", 429, "Too Many Requests: retry after 1", retry_after=1, times=2)
    bot = await run(RETRYING)
    api.push(TOKEN, message_update("hi"))
    await otlp.wait_for_spans(lambda spans: any(span.kind == "CONSUMER" for span in spans))
    assert await bot.stop() == 0
    (handler,) = (span for span in otlp.spans if span.name == "echo")
    attempts = [span for span in otlp.spans if span.parent_span_id == handler.span_id]
    assert [span.attributes["http.response.status_code"] for span in attempts] == [429, 429, 200]
    assert [span.attributes.get("telegram.retry_after") for span in attempts] == [1, 1, None]


TASKIQ = """
    from taskiq import InMemoryBroker
    broker = InMemoryBroker()

    @broker.task
    async def remind(chat: int):
        await bot.send_message(chat, "time for tea")

    async def work():
        await broker.startup()
        await (await remind.kiq(42)).wait_result()
        await broker.shutdown()
        await bot.session.close()

    asyncio.run(work())
"""


async def test_a_job_of_taskiq_is_a_trace_with_what_it_sends(api, otlp, run):
    pytest.importorskip("taskiq")
    program = await run(TASKIQ)
    assert await program.wait() == 0
    (call,) = (span for span in otlp.spans if span.name == "sendMessage")
    job = next(span for span in otlp.spans if span.span_id == call.parent_span_id)
    assert "remind" in job.name


async def test_a_revoked_token_is_counted_and_seen(api, otlp, run):
    api.fail("getUpdates", 401, "Unauthorized", times=None)
    bot = await run("    main()")
    await otlp.wait_for(lambda: failures(otlp).get("TelegramUnauthorizedError"))
    assert await bot.stop() == 0
    rejections = otlp.metrics["telegram.bot.api.rejections"].points
    assert [(attributes["telegram.method"], attributes["reason"]) for attributes, _, _ in rejections] == [
        ("getUpdates", "unauthorized")
    ]
    assert {span.status for span in otlp.spans if span.name == "getUpdates"} == {"ERROR"}


def failures(otlp):
    metric = otlp.metrics.get("telegram.bot.polling.failures")
    return {attributes["error.type"]: value for attributes, value, _ in metric.points} if metric else {}
