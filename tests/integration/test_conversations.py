"""States and links are right whoever sets a state and whenever: middlewares, later tasks, other users' contexts."""

from __future__ import annotations

import itertools

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

BOT = """
    from aiogram.dispatcher.event.bases import SkipHandler
    from aiogram.fsm.state import State, StatesGroup

    class Tea(StatesGroup):
        menu = State()
        cup = State()

    @dp.message.outer_middleware()
    async def reset(handler, event, data):
        if event.text == "/reset":
            await data["state"].clear()
        return await handler(event, data)

    @dp.message(CommandStart())
    async def skips(message):
        raise SkipHandler

    @dp.message(F.text.in_({"/start", "menu"}))
    async def menu(message, state):
        await state.set_state(Tea.menu)
        if message.text == "/start":
            return
        async def later():
            await asyncio.sleep(0.3)
            await state.clear()
            print("cleared", flush=True)
        global task
        task = asyncio.create_task(later())

    @dp.message(F.text == "cup")
    async def cup(message, state):
        await state.set_state(Tea.cup)

    @dp.message(F.text == "made up")
    async def made_up(message, state):
        await state.set_state(State(f"order_{message.from_user.id}"))
        await state.clear()

    @dp.message(F.text == "blocked")
    async def blocked(message):
        await message.answer("are you there?")

    main()
"""


@pytest.fixture(scope="module")
def bot(tmp_path_factory) -> Recording:
    async def play(recording: Recording) -> None:
        api = recording.api
        sent = 0

        async def say(update) -> None:
            nonlocal sent
            api.push(TOKEN, update)
            sent += 1
            await recording.wait_for_updates(sent)

        for text in ("/reset", "/start", "/reset", "menu", "cup"):
            await say(message_update(text, user_id=42))
        await recording.otlp.wait_for(lambda: "cleared" in recording.program.stdout or None)
        await say(message_update("unheard of", user_id=42))
        await say(message_update("made up", user_id=700600500))
        api.fail("sendMessage", 403, "Forbidden: bot was blocked by the user")
        await say(message_update("blocked", user_id=43))
        await say(message_update("unheard of", user_id=43))
        await recording.program.stop()

    return record(BOT, tmp_path_factory.mktemp("conversations"), play)


def test_transitions(bot):
    transitions = {
        (attributes["from"], attributes["to"]): value
        for attributes, value in bot.points("telegram.bot.fsm.transitions")
    }
    assert transitions == {
        ("none", "Tea:menu"): 2,
        ("Tea:menu", "none"): 1,  # by the middleware
        ("Tea:menu", "Tea:cup"): 1,
        ("Tea:cup", "none"): 1,  # by a task that outlived its update
        ("none", "other"): 1,
        ("other", "none"): 1,
    }
    metrics = b"".join(received.body for received in bot.otlp.requests if received.signal == "metrics")
    assert b"700600500" not in metrics


def test_unhandled_updates_are_part_of_a_conversation(bot):
    by_user: dict[str, list] = {}
    for span in sorted(bot.updates, key=lambda span: span.start):
        by_user.setdefault(span.attributes["user.hash"], []).append(span)
    assert sorted(map(len, by_user.values())) == [1, 2, 6]
    for spans in by_user.values():
        for before, span in itertools.pairwise(spans):
            assert span.links == [(before.trace_id, before.span_id, {})]


def test_a_command_whose_handler_passed_it_on_keeps_its_name(bot):
    commands = {attributes["telegram.command"]: value for attributes, value in bot.points("telegram.bot.commands")}
    assert commands == {"start": 1, "other": 2}


def test_a_user_who_blocked_the_bot_is_no_error_of_it(bot):
    update = bot.update("message blocked")
    assert update.attributes["telegram.update.outcome"] == "error", "nobody handled the exception"
    assert bot.points("telegram.bot.errors") == []
