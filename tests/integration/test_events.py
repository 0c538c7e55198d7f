"""The events of a bot: what happened, by name, from the same hooks as the spans, without what users wrote."""

from __future__ import annotations

import json
import signal

import pytest

from otelbot.demo.telegram import callback_update, message_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

SHOP = """
    import otelbot

    @dp.message(Command("start"))
    async def start(message):
        await message.answer("welcome")

    @dp.message(F.text == "pay")
    async def pay(message):
        secret = os.environ["BOT_TOKEN"]
        more = {"buyer": object, "name": "Ada", "errors": [KeyError("x-private")]}
        otelbot.event("shop.order.paid", amount=12.5, items=["tea", "cup"], note=secret, **more)

    @dp.message()
    async def echo(message):
        pass

    @dp.callback_query()
    async def pressed(callback):
        await callback.answer()

    main()
"""
SECRET = "what only Ada knows"
PLAYED = ("/start now", "/unknown", "pay", SECRET)


def play_shop(folder, **options):
    async def play(recording: Recording) -> None:
        for text in PLAYED:
            recording.api.push(TOKEN, message_update(text))
        recording.api.push(TOKEN, callback_update("button-data"))
        await recording.wait_for_updates(len(PLAYED) + 1)

    return record(SHOP, folder, play, **options)


def events(recording, name=None):
    found = [each for each in recording.otlp.logs if each.event_name]
    return found if name is None else [each for each in found if each.event_name == name]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return play_shop(tmp_path_factory.mktemp("shop"), env={"OTELBOT_EVENTS": "all"})


def test_message_is_told_by_its_kind_and_measure(shop):
    received = events(shop, "telegram.message.received")
    lengths = [each.attributes["telegram.message.length"] for each in received]
    assert sorted(lengths) == sorted(map(len, PLAYED))
    last = received[-1].attributes
    assert last["telegram.message.content_type"] == "text"
    assert last["telegram.message.entities"] == 0
    assert last["telegram.chat.type"] == "private"
    assert last["telegram.bot.id"] == TOKEN.partition(":")[0]
    assert len(last["user.hash"]) == 16


def test_event_belongs_to_the_trace_of_its_update(shop):
    for event in (*events(shop, "telegram.message.received"), *events(shop, "telegram.command.executed")):
        (update,) = (span for span in shop.updates if span.trace_id == event.trace_id)
        assert event.span_id == update.span_id
        assert event.attributes["user.hash"] == update.attributes["user.hash"]


def test_command_is_told_with_its_outcome_when_it_is_done(shop):
    told = [
        (each.attributes["telegram.command"], each.attributes["telegram.update.outcome"])
        for each in events(shop, "telegram.command.executed")
    ]
    assert sorted(told) == [("other", "handled"), ("start", "handled")]
    assert all(each.attributes["telegram.command.duration"] > 0 for each in events(shop, "telegram.command.executed"))


def test_callback_is_told(shop):
    (event,) = events(shop, "telegram.callback.received")
    assert event.attributes["telegram.update.type"] == "callback_query"


def test_start_and_stop_are_told_with_versions_and_totals(shop):
    (startup,) = events(shop, "telegram.bot.startup")
    assert startup.attributes["telegram.bot.ids"] == [TOKEN.partition(":")[0]]
    assert startup.attributes["aiogram.handlers"] == 4
    assert {"otelbot.version", "aiogram.version", "process.runtime.version"} <= startup.attributes.keys()
    (shutdown,) = events(shop, "telegram.bot.shutdown")
    assert shutdown.attributes["telegram.bot.total.updates"] == len(PLAYED) + 1
    assert shutdown.attributes["telegram.bot.total.errors"] == 0
    assert shutdown.attributes["telegram.bot.total.users"] == 1
    assert shutdown.attributes["process.uptime"] > 0


def test_session_is_one_for_all_updates_of_a_user_and_ends_with_the_bot(shop):
    (started,) = events(shop, "telegram.session.started")
    (ended,) = events(shop, "telegram.session.ended")
    assert started.attributes["user.hash"] == ended.attributes["user.hash"]
    assert ended.attributes["telegram.session.updates"] == len(PLAYED) + 1
    assert ended.attributes["telegram.session.end"] == "shutdown"


def test_event_of_the_bots_own_has_its_trace_and_its_fields_without_secrets(shop):
    (paid,) = events(shop, "shop.order.paid")
    update = shop.update("message pay")
    assert paid.trace_id == update.trace_id
    assert (paid.attributes["amount"], paid.attributes["items"]) == (12.5, ["tea", "cup"])
    assert paid.attributes["buyer"] == "<class 'object'>"
    assert (paid.attributes["note"], paid.attributes["name"]) == ("***", "Ada")
    assert "x-private" not in str(paid.attributes)


def test_nothing_that_users_wrote_is_told(shop):
    for private in (SECRET, "button-data", TOKEN.partition(":")[2]):
        assert private.encode() not in shop.otlp.raw


def test_levels_and_groups_choose(tmp_path):
    chosen = play_shop(tmp_path, env={"OTELBOT_EVENTS": "updates", "OTELBOT_EVENTS_LEVEL": "debug"})
    names = {each.event_name for each in events(chosen)}
    assert names == {
        "telegram.message.received",
        "telegram.command.executed",
        "telegram.callback.received",
        "telegram.user.activity",
        "shop.order.paid",
    }
    actions = [each.attributes["action"] for each in events(chosen, "telegram.user.activity")]
    assert sorted(actions) == ["callback", "command", "command", "text", "text"]


def test_each_update_is_told_by_default_where_logs_are_shown_and_is_a_span_elsewhere(tmp_path):
    names = []
    for number, env in enumerate(({}, {"OTELBOT_LOG_FORMAT": "json"}, {"OTELBOT_LOG_DIR": str(tmp_path / "logs")})):
        folder = tmp_path / str(number)
        folder.mkdir()
        names.append({each.event_name for each in events(play_shop(folder, env=env))})
    assert "telegram.bot.startup" in names[0]
    assert "telegram.message.received" not in names[0]
    assert (
        names[1]
        == names[2]
        == names[0]
        | {
            "telegram.message.received",
            "telegram.command.executed",
            "telegram.callback.received",
        }
    )


def test_none_and_no_sample_leave_only_the_bots_own(tmp_path):
    for number, env in enumerate(
        ({"OTELBOT_EVENTS": "none"}, {"OTELBOT_EVENTS": "updates", "OTELBOT_EVENTS_SAMPLE": "0"})
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert [each.event_name for each in events(play_shop(folder, env=env))] == ["shop.order.paid"]


def test_stop_is_told_also_where_the_dispatcher_does_not_say_it(tmp_path):
    program = """
    async def feed():
        from aiogram.types import Update
        await dp.emit_startup(bot=bot)
        message = {"message_id": 1, "date": 0, "chat": {"id": 2, "type": "private"}, "text": "hi"}
        await dp.feed_update(bot, Update.model_validate({"update_id": 1, "message": message}))
        await bot.me()
        await asyncio.sleep(60)

    asyncio.run(feed())
"""

    async def play(recording: Recording) -> None:
        await recording.api.wait_for_call("getMe")
        await recording.program.stop(signal.SIGTERM)

    stopped = record(program, tmp_path, play)
    (shutdown,) = events(stopped, "telegram.bot.shutdown")
    assert shutdown.attributes["telegram.bot.total.updates"] == 1
    assert json.dumps(shutdown.attributes["process.uptime"])


def test_bot_stops_when_the_last_of_its_dispatchers_does(tmp_path):
    program = """
    async def both():
        other = Dispatcher()
        await dp.emit_startup(bot=bot)
        await other.emit_startup(bot=bot)
        await feed(1)
        await other.emit_shutdown(bot=bot)
        await feed(2)
        await dp.emit_shutdown(bot=bot)

    async def feed(number):
        from aiogram.types import Update
        user = {"id": 7, "is_bot": False, "first_name": "Ada"}
        message = {"message_id": 1, "date": 0, "chat": {"id": 2, "type": "private"}, "text": "hi", "from": user}
        await dp.feed_update(bot, Update.model_validate({"update_id": number, "message": message}))

    asyncio.run(both())
"""

    async def play(recording: Recording) -> None:
        assert await recording.program.wait() == 0

    stopped = record(program, tmp_path, play)
    (shutdown,) = events(stopped, "telegram.bot.shutdown")
    assert shutdown.attributes["telegram.bot.total.updates"] == 2
    (ended,) = events(stopped, "telegram.session.ended")
    assert ended.attributes["telegram.session.updates"] == 2


def test_bot_that_is_only_fed_ends_its_sessions_too(tmp_path):
    program = """
    async def feed():
        from aiogram.types import Update
        user = {"id": 7, "is_bot": False, "first_name": "Ada"}
        message = {"message_id": 1, "date": 0, "chat": {"id": 2, "type": "private"}, "text": "hi", "from": user}
        await dp.feed_update(bot, Update.model_validate({"update_id": 1, "message": message}))

    asyncio.run(feed())
"""

    async def play(recording: Recording) -> None:
        assert await recording.program.wait() == 0

    names = [each.event_name for each in events(record(program, tmp_path, play))]
    assert names == ["telegram.session.started", "telegram.session.ended", "telegram.bot.shutdown"]


@pytest.mark.parametrize("where", ["program", "thread"])
def test_what_ends_the_program_or_a_thread_is_told_and_printed_as_ever(tmp_path, where):
    program = {
        "program": "    raise LookupError('no tea')",
        "thread": """
    import threading
    thread = threading.Thread(target=lambda: {}["tea"])
    thread.start()
    thread.join()
    raise SystemExit(1)
""",
    }[where]

    async def play(recording: Recording) -> None:
        assert await recording.program.wait() == 1

    told, plain = (
        record(program, made, play, instrumented=instrumented)
        for made, instrumented in ((tmp_path / "told", True), (tmp_path / "plain", False))
        if not made.mkdir()
    )
    (event,) = events(told, "exception")
    assert event.attributes["exception.type"] == ("LookupError" if where == "program" else "KeyError")
    first_and_last = [(lines[0], lines[-1]) for lines in (each.program.stderr.splitlines() for each in (told, plain))]
    assert (
        first_and_last[0] == first_and_last[1]
    )  # between them are frames of OpenTelemetry's instrumentation of threads
