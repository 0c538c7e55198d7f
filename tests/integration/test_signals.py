"""What an operator wants to know: how late, what users do, what Telegram refuses, where conversations go, who polls."""

from __future__ import annotations

import time

import pytest

from otelbot.demo.telegram import callback_update, message_update, photo_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

BOT = """
    from aiogram.exceptions import TelegramAPIError
    from aiogram.fsm.scene import Scene, SceneRegistry, on
    from aiogram.fsm.state import State, StatesGroup

    class Order(StatesGroup):
        packs = State()
        city = State()

    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        async def enter(self, message):
            await message.answer("question")
        @on.message(F.text == "leave")
        async def leave(self, message):
            await self.wizard.exit()
    SceneRegistry(dp).add(Quiz)
    dp.message.register(Quiz.as_handler(), Command("quiz"))

    @dp.message(CommandStart())
    async def start(message, state):
        await state.clear()
        await message.answer("hello")

    @dp.message(Command("order"))
    async def order(message, state):
        await state.set_state(Order.packs)
        await message.answer("how many?")

    @dp.message(Order.packs)
    async def packs(message, state):
        await state.set_state("Order:city")
        await message.answer("where to?")

    @dp.message(Order.city)
    async def city(message, state):
        await state.set_state("for " + message.text)
        await state.clear()

    @dp.message(Command("try"))
    async def attempts(message):
        for _ in range(8):
            try:
                await message.answer("hello")
            except TelegramAPIError as error:
                print(type(error).__name__, flush=True)

    @dp.callback_query()
    async def press(callback):
        await asyncio.sleep(0.05)
        await callback.answer("one moment")

    @dp.message(F.photo | (F.text == "good morning"))
    async def rest(message): ...

    main()
"""
REFUSALS = [
    (403, "Forbidden: bot was blocked by the user", "blocked"),
    (403, "Forbidden: user is deactivated", "deactivated"),
    (403, "Forbidden: bot was kicked from the supergroup chat", "kicked"),
    (400, "Bad Request: chat not found", "chat_not_found"),
    (400, "Bad Request: message is not modified: specified new message content is the same", "not_modified"),
    (400, "Bad Request: can't parse entities: Can't find end of the entity", "cant_parse"),
    (400, "Bad Request: something new", "bad_request"),
]


@pytest.fixture(scope="module")
def bot(tmp_path_factory) -> Recording:
    async def play(recording: Recording) -> None:
        api = recording.api
        api.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=1)
        late = message_update("good morning", user_id=41)
        late["message"]["date"] -= 120
        api.push(TOKEN, late)
        api.add_file("cup", "photos/cup.jpg", b"jpeg")
        for number, text in enumerate(("/order", "3", "Lisbon", "/quiz", "leave", "/start"), 2):
            api.push(TOKEN, message_update(text, user_id=42))
            await recording.wait_for_updates(number)  # aiogram handles what comes at once at once
        api.push(TOKEN, photo_update("cup", user_id=43))
        api.push(TOKEN, callback_update("buy", user_id=44))
        await recording.wait_for_updates(9)
        for status, description, _ in REFUSALS:
            api.fail("sendMessage", status, description)
        api.fail("sendMessage", 429, "Too Many Requests: retry after 2", retry_after=2)
        api.push(TOKEN, message_update("/try", user_id=42))
        await recording.wait_for_updates(10)
        api.fail("answerCallbackQuery", 400, "Bad Request: query is too old and response timeout expired")
        api.push(TOKEN, callback_update("buy", user_id=44))
        await recording.wait_for_updates(11)
        recording.notes["polled"] = time.time()
        seen = len(recording.otlp.requests)
        await recording.otlp.wait_for(
            lambda: any(received.signal == "metrics" for received in recording.otlp.requests[seen + 3 :])
        )
        recording.notes["age"] = recording.points("telegram.bot.polling.last_success.age")
        await recording.program.stop()

    return record(BOT, tmp_path_factory.mktemp("signals"), play)


def counts(bot, metric, *keys):
    """Return the values of a metric, of a histogram how many were recorded, by the values of its attributes."""
    return {
        tuple(attributes[key] for key in keys) if len(keys) != 1 else attributes[keys[0]]: value[0]
        if isinstance(value, tuple)
        else value
        for attributes, value in bot.points(metric)
    }


def test_how_late_updates_are(bot):
    ((attributes, (count, total, *_)),) = bot.points("telegram.bot.update.delay")
    assert attributes == {"telegram.update.type": "message"}, "a callback query has no date"
    assert count == 9
    assert 120 <= total < 240


def test_what_users_do(bot):
    assert counts(bot, "telegram.bot.user.actions", "action") == {"text": 4, "command": 4, "media": 1, "callback": 2}
    assert counts(bot, "telegram.bot.users.active", "window") == {"5m": 4, "1h": 4, "24h": 4}


def test_what_telegram_refuses_is_counted_under_its_reason(bot):
    expected = {("sendMessage", reason): 1 for _, _, reason in REFUSALS}
    expected["sendMessage", "rate_limited"] = 1
    expected["answerCallbackQuery", "query_too_old"] = 1
    expected["getUpdates", "conflict"] = 1
    assert counts(bot, "telegram.bot.api.rejections", "telegram.method", "reason") == expected
    assert counts(bot, "telegram.bot.api.retry_after", "telegram.method") == {"sendMessage": 2}
    errors = counts(bot, "telegram.bot.errors", "component", "error.type")
    assert ("bot_api", "TelegramForbiddenError") not in errors, "a user who blocked the bot is no error"


def test_how_long_a_pressed_button_waits(bot):
    ((attributes, (count, total, *_)),) = bot.points("telegram.bot.callback.answer.delay")
    assert (attributes, count) == ({}, 1), "one was answered, for the other it was too late"
    assert total >= 0.05


def test_where_conversations_go(bot):
    assert counts(bot, "telegram.bot.fsm.transitions", "from", "to") == {
        ("none", "Order:packs"): 1,
        ("Order:packs", "Order:city"): 1,
        ("Order:city", "other"): 1,
        ("other", "none"): 1,
        ("none", "quiz"): 1,
        ("quiz", "none"): 1,
    }
    (order,) = (span for span in bot.otlp.spans if span.name == "order")
    assert ("telegram.fsm.transition", {"from": "none", "to": "Order:packs"}) in order.events
    metrics = b"".join(received.body for received in bot.otlp.requests if received.signal == "metrics")
    assert b"Lisbon" not in metrics


def test_each_update_of_a_conversation_is_linked_to_the_one_before(bot):
    mine = sorted((span for span in bot.updates if span.attributes["user.hash"] == hash_of(bot, "order")), key=start)
    assert len(mine) == 7
    before = [None, *mine]
    for update, previous in zip(mine, before, strict=False):
        expected = [] if previous is None else [(previous.trace_id, previous.span_id, {})]
        assert update.links == expected
    assert [span.links for span in bot.updates if span.name == "message rest"] == [[], []]


def hash_of(bot, handler):
    return bot.update(f"message {handler}").attributes["user.hash"]


def start(span):
    return span.start


def test_whether_it_polls(bot):
    ((attributes, age),) = bot.notes["age"]
    assert attributes == {"telegram.bot.id": TOKEN.partition(":")[0]}
    assert 0 <= age < 60
    assert counts(bot, "telegram.bot.polling.failures", "error.type") == {
        "TelegramConflictError": 1,
        "TelegramNetworkError": 0,
        "TelegramUnauthorizedError": 0,
    }
    ((_, (polls, updates, *_)),) = bot.points("telegram.bot.polling.batch.size")
    assert polls >= 3
    assert updates == 11


def test_nothing_is_in_flight_at_the_end(bot):
    assert {value for _, value in bot.points("telegram.bot.api.request.active")} == {0}
    assert {value for _, value in bot.points("telegram.bot.update.active")} == {0}


def test_how_much_is_logged(bot):
    records = counts(bot, "telegram.bot.log.records", "severity")
    assert records["ERROR"] >= 1, "aiogram logs the conflict"
    assert set(records) <= {"DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
