"""The ways in which people write handlers: what they are called in a trace, and how their updates end."""

from __future__ import annotations

import pytest

from otelbot.demo.telegram import callback_update, message_update
from tests.integration.recording import Recording, record
from tests.support import KEY, PRELUDE, TOKEN

OTHER_TOKEN = "987654321:BBGgjrltLA9XnS3xTkjR8_w5UNBLejIn0U1"
SHOP = f"@shop{TOKEN.partition(':')[0]}_bot"
FIRST_USER, SECOND_USER = 700600500, 700600501

HANDLERS = """
    import functools, re
    from contextvars import ContextVar
    from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
    from aiogram.filters import StateFilter
    from aiogram.fsm.scene import Scene, SceneRegistry, on
    from aiogram.fsm.state import State, StatesGroup
    from aiogram.handlers import MessageHandler
    from aiogram.types import Update

    logging.basicConfig(level=logging.INFO)
    seen = ContextVar("seen", default="nothing")
    shop, orders, payments = Router(name="shop"), Router(name="orders"), Router()
    dp.include_router(shop)
    shop.include_router(orders)
    orders.include_router(payments)

    class Order(StatesGroup):
        address = State()

    class OutsideError(Exception): pass
    class FilterError(Exception): pass
    class HandledError(Exception): pass
    class RescueError(Exception): pass
    class Unusual(BaseException): pass

    @dp.update.outer_middleware()
    async def outer(handler, event, data):
        token = seen.set("from the middleware")
        try:
            if event.message and event.message.text == "/outside":
                raise OutsideError("outer middleware")
            return await handler(event, data)
        finally:
            seen.reset(token)

    async def failing_filter(message):
        if message.text == "/filter":
            raise FilterError("filter")
        return False

    @shop.message(failing_filter)
    async def never(message): ...

    @shop.message(Command("class"))
    class ClassHandler(MessageHandler):
        async def handle(self):
            await self.event.answer("class")

    @orders.message(Command("nested"))
    async def nested(message):
        await message.answer("nested")

    @payments.message(Command("unnamed_router"))
    async def unnamed_router(message):
        await message.answer("unnamed")

    async def with_extra(message, extra):
        await message.answer(extra)
    shop.message.register(functools.partial(functools.partial(with_extra, extra="x")), Command("partial"))

    def decorator(function):
        @functools.wraps(function)
        async def wrapper(message):
            return await function(message)
        return wrapper

    @shop.message(Command("wrapped"))
    @decorator
    async def wrapped(message):
        await message.answer("wrapped")

    shop.message.register(lambda message: message.answer("lambda"), Command("lambda"))

    class Service:
        async def bound(self, message):
            await message.answer("bound")
        async def __call__(self, message):
            await message.answer("callable")
    shop.message.register(Service().bound, Command("bound"))

    class Quiz(Scene, state="quiz"):
        @on.message.enter()
        async def enter(self, message):
            await message.answer("question")
        @on.message(F.text == "leave the quiz")
        async def leave(self, message):
            await self.wizard.exit()
        @on.message()
        async def guess(self, message):
            await message.answer("no")
    SceneRegistry(shop).add(Quiz)
    shop.message.register(Quiz.as_handler(), Command("quiz"))

    @shop.message(Command("skip"))
    async def skips(message):
        raise SkipHandler

    @shop.message(Command("skip"))
    async def takes(message):
        await message.answer("taken")

    @shop.message(Command("cancel"))
    async def cancels(message):
        raise CancelHandler

    @shop.message(Command("handled"))
    async def handled(message):
        raise HandledError("private words")

    @dp.error(F.exception.as_("error"), lambda event: isinstance(event.exception, HandledError))
    async def on_error(event):
        await event.update.message.answer("sorry")

    @shop.message(Command("rescue"))
    async def rescue(message):
        raise KeyError("first")

    @dp.error(lambda event: isinstance(event.exception, KeyError))
    async def failing_rescue(event):
        raise RescueError("second")

    @shop.message(Command("unusual"))
    async def unusual(message):
        raise Unusual

    @shop.message(Command("order"))
    async def order(message, state):
        await state.set_state(Order.address)

    @shop.message(StateFilter(Order.address))
    async def address(message, state):
        await state.clear()

    @shop.message(Command(re.compile(r"item_(\\d+)")))
    async def item(message):
        await message.answer("item")

    @shop.message(CommandStart(deep_link=True))
    async def invited(message):
        await message.answer("welcome")

    @shop.message(Command("ban", prefix="!"))
    async def ban(message):
        await message.answer("banned")

    @shop.message(Command("where"))
    async def where(message):
        await message.answer(seen.get())

    @shop.message(Command("thread"))
    def in_thread(message):
        logging.getLogger("shop").warning("thread sees " + seen.get())

    @shop.message(Command("again"))
    async def again(message):
        update = Update(update_id=999, message=message.model_copy(update={"text": "/nested"}))
        await dp.feed_update(bot, update)

    @shop.callback_query(F.data == "buy")
    async def buy(query):
        await query.answer()

    @shop.edited_message()
    async def edited(message): ...

    @dp.startup()
    async def on_startup(): ...

    main(allowed_updates=[])
"""

TEXTS = (
    "/class",
    "/nested",
    "/unnamed_router",
    "/partial",
    "/wrapped",
    "/lambda",
    "/bound",
    "/skip",
    "/cancel",
    "/handled",
    "/rescue",
    "/unusual",
    "/outside",
    "/filter",
    "/item_42",
    "/foo private words",
    "/start PAYLOAD-0815",
    "!ban private words",
    "/where",
    "/thread",
    "/again",
    "private words",
)
ONE_BY_ONE = ("/order", "12 Private Street", "/quiz", "private guess", "leave the quiz")
OTHERS = (
    message_update(f"/nested{SHOP} private words", user_id=FIRST_USER, chat_id=-1001, chat_type="supergroup"),
    message_update("/nested@other_bot", user_id=FIRST_USER, chat_id=-1001, chat_type="supergroup"),
    callback_update("buy", user_id=FIRST_USER, first_name="Persephone"),
    {"edited_message": {**message_update("private words", user_id=FIRST_USER)["message"], "edit_date": 1}},
    {"brand_new_thing": {"text": "private words"}},
)
ALL = len(TEXTS) + len(ONE_BY_ONE) + len(OTHERS) + 2  # /again feeds one more, another user says one thing


@pytest.fixture(scope="module")
def bot(tmp_path_factory):
    async def play(recording: Recording) -> None:
        api = recording.api
        for text in TEXTS:
            api.push(TOKEN, message_update(text, user_id=FIRST_USER, first_name="Persephone"))
        for update in OTHERS:
            api.push(TOKEN, update)
        api.push(TOKEN, message_update("/where", user_id=SECOND_USER))
        before = ALL - len(ONE_BY_ONE)
        await recording.wait_for_updates(before)
        for count, text in enumerate(ONE_BY_ONE, before + 1):
            api.push(TOKEN, message_update(text, user_id=FIRST_USER))
            await recording.wait_for_updates(count)

    return record(HANDLERS, tmp_path_factory.mktemp("bot"), play)


def outcome(span):
    return span.attributes["telegram.update.outcome"]


@pytest.mark.parametrize(
    "name",
    [
        "ClassHandler",
        "unnamed_router",
        "with_extra",
        "wrapped",
        "Service.bound",
        "takes",
        "Quiz.guess",
        "Quiz.leave",
        "in_thread",
    ],
)
def test_handler_is_called_what_its_author_called_it(bot, name):
    update = bot.update(f"message {name}")
    assert outcome(update) == "handled"
    assert update.attributes["aiogram.handler.name"] == name
    handler = bot.children(update)[name]
    assert handler.attributes["aiogram.handler.name"] == name
    assert handler.attributes["code.function.name"].endswith(name)
    assert handler.kind == "INTERNAL"


def test_lambda_is_called_by_its_place_in_the_source(bot):
    source = (bot.program.folder / "bot.py").read_text().splitlines()
    line = 1 + next(number for number, text in enumerate(source) if "lambda message: message" in text)
    assert outcome(bot.update(f"message <lambda> bot.py:{line}")) == "handled"


def test_scene_that_is_entered_by_a_command_has_a_name(bot):
    entered = next(span for span in bot.updates if span.attributes.get("telegram.command") == "quiz")
    assert outcome(entered) == "handled"
    assert "sendMessage" in bot.children(bot.children(entered)[entered.attributes["aiogram.handler.name"]])
    assert bot.update("message Quiz.guess").attributes["aiogram.fsm.state"] == "quiz"


def test_router_is_named_unless_aiogram_made_up_its_name(bot):
    routers = {span.name: span.attributes.get("aiogram.router.name") for span in bot.updates}
    assert routers["message Service.bound"] == "shop"
    assert routers["message nested"] == "orders"
    assert routers["message unnamed_router"] is None


def test_skipped_handler_is_no_error_and_the_next_one_names_the_update(bot):
    update = bot.update("message takes")
    handlers = bot.children(update)
    assert {"skips", "takes"} <= set(handlers)
    assert handlers["skips"].status == "UNSET"
    assert "error.type" not in handlers["skips"].attributes
    assert "exception" not in dict(handlers["skips"].events)


def test_cancel_handler_is_cancelled_and_no_error(bot):
    update = bot.update("message cancels")
    assert (outcome(update), update.status) == ("cancelled", "UNSET")
    assert bot.children(update)["cancels"].status == "UNSET"


def test_error_that_an_error_handler_takes_is_handled_and_stands_on_the_handler(bot):
    update = bot.update("message handled")
    assert (outcome(update), update.attributes["error.type"], update.status) == (
        "error_handled",
        "HandledError",
        "UNSET",
    )
    handler = bot.children(update)["handled"]
    assert (handler.status, handler.attributes["error.type"]) == ("ERROR", "HandledError")
    ((event, attributes),) = handler.events
    assert (event, attributes["exception.type"]) == ("exception", "HandledError")
    assert 'raise HandledError("private words")' in attributes["exception.stacktrace"]
    assert "exception" not in dict(update.events)
    assert "sendMessage" in bot.children(bot.children(update)["on_error"])


def test_error_of_an_error_handler_is_the_one_that_counts(bot):
    update = bot.update("message rescue")
    assert (outcome(update), update.attributes["error.type"], update.status) == ("error", "RescueError", "ERROR")
    children = bot.children(update)
    assert children["rescue"].attributes["error.type"] == "KeyError"
    assert children["failing_rescue"].attributes["error.type"] == "RescueError"


def test_base_exception_is_an_error_that_no_error_handler_sees(bot):
    update = bot.update("message unusual")
    assert (outcome(update), update.attributes["error.type"]) == ("error", "Unusual")
    assert set(bot.children(update)) == {"unusual"}


@pytest.mark.parametrize("error", ["OutsideError", "FilterError"])
def test_error_outside_of_handlers_stands_on_the_update(bot, error):
    update = next(span for span in bot.updates if span.attributes.get("error.type") == error)
    assert (outcome(update), update.name, update.status) == ("error", "process message", "ERROR")
    assert [attributes["exception.type"] for _, attributes in update.events] == [error]


def test_fsm_state_is_the_one_in_which_the_update_came(bot):
    update = bot.update("message address")
    handler = bot.children(update)["address"]
    assert update.attributes["aiogram.fsm.state"] == handler.attributes["aiogram.fsm.state"] == "Order:address"
    assert "aiogram.fsm.state" not in bot.update("message order").attributes


def test_commands_are_the_registered_ones_or_other(bot):
    commands = {span.name: span.attributes.get("telegram.command") for span in bot.updates}
    assert commands["message item"] == "other"
    assert commands["message invited"] == "start"
    assert commands["message ban"] == "ban"
    assert commands["message address"] is None
    assert commands["callback_query buy"] is None
    unhandled = [span.attributes.get("telegram.command") for span in bot.updates if outcome(span) == "unhandled"]
    assert sorted(unhandled, key=str) == [None, None, "other", "other"]
    counted = {
        (point["telegram.command"], point["telegram.update.outcome"]): n
        for point, n in bot.points("telegram.bot.commands")
    }
    assert counted["nested", "handled"] == 3  # in private, in the group by the bot's name, and fed again
    assert counted["other", "unhandled"] == 2
    assert counted["cancel", "cancelled"] == 1
    assert counted["handled", "error_handled"] == 1
    assert counted["where", "handled"] == 2
    assert "foo" not in {command for command, _ in counted}


def test_chat_type_and_update_type_are_told(bot):
    groups = [span for span in bot.updates if span.attributes.get("telegram.chat.type") == "supergroup"]
    assert {(span.name, outcome(span)) for span in groups} == {
        ("message nested", "handled"),
        ("process message", "unhandled"),
    }
    query = bot.update("callback_query buy")
    assert (query.attributes["telegram.chat.type"], query.attributes["telegram.update.type"]) == (
        "private",
        "callback_query",
    )
    assert bot.update("edited_message edited").attributes["telegram.update.type"] == "edited_message"


def test_update_of_a_type_that_aiogram_does_not_know_is_unhandled(bot):
    update = bot.update("process unknown")
    assert (outcome(update), update.status) == ("unhandled", "UNSET")
    assert "brand_new_thing" not in str(update.attributes)


def test_update_that_a_handler_feeds_again_lies_inside_of_the_handler(bot):
    again = bot.update("message again")
    handler = bot.children(again)["again"]
    inner = bot.children(handler)["message nested"]
    assert (inner.kind, outcome(inner), inner.attributes["messaging.message.id"]) == ("CONSUMER", "handled", "999")
    assert "sendMessage" in bot.children(bot.children(inner)["nested"])
    assert outcome(again) == "handled"


def test_context_variables_of_a_middleware_reach_handlers_also_in_threads(bot):
    assert any(call.params.get("text") == "from the middleware" for call in bot.api.calls)
    said = next(log for log in bot.otlp.logs if log.body == "thread sees from the middleware")
    assert said.span_id == bot.children(bot.update("message in_thread"))["in_thread"].span_id


def test_user_is_a_hash_that_is_the_same_for_the_same_user_only(bot):
    hashes = [span.attributes["user.hash"] for span in bot.updates if "user.hash" in span.attributes]
    assert len(set(hashes)) == 2
    assert len(hashes) == ALL - 1  # the unknown update type has no user that aiogram knows
    assert min(map(hashes.count, set(hashes))) == 1


def test_nothing_that_users_wrote_or_are_called_leaves_the_process(bot):
    raw = bot.otlp.raw
    for private in (KEY, str(FIRST_USER), str(SECOND_USER), "Persephone", "PAYLOAD-0815", "12 Private Street"):
        assert private.encode() not in raw
    # The words stand in the bot's source too, so tracebacks may show them; an update may not.
    texts = [str(value) for span in bot.otlp.spans for value in span.attributes.values()]
    texts += [str(record.body) for record in bot.otlp.logs]
    assert not any("private words" in text and "HandledError" not in text for text in texts)


def test_metrics_are_named_and_told_apart_as_the_contract_says(bot):
    durations = {
        (p["telegram.update.type"], p["telegram.update.outcome"], p.get("error.type")): value[0]
        for p, value in bot.points("telegram.bot.update.duration")
    }
    assert sum(durations.values()) == ALL
    assert durations["message", "error_handled", "HandledError"] == 1
    assert durations["message", "error", "FilterError"] == 1
    assert durations["message", "cancelled", None] == 1
    assert durations["unknown", "unhandled", None] == 1
    handlers = {
        (p["aiogram.handler.name"], p["telegram.update.type"], p.get("error.type")): value[0]
        for p, value in bot.points("telegram.bot.handler.duration")
    }
    assert handlers["nested", "message", None] == 3
    assert handlers["handled", "message", "HandledError"] == 1
    assert handlers["skips", "message", None] == 1
    assert handlers["on_error", "error", None] == 1
    assert not any(name in str(handlers) for name in ("on_startup", "_listen_update"))
    errors = {(p["error.type"], p["component"]): value for p, value in bot.points("telegram.bot.errors")}
    assert errors["HandledError", "handler"] == 1
    assert errors["OutsideError", "handler"] == 1
    assert errors["RescueError", "handler"] == 1
    assert ("CancelHandler", "handler") not in errors
    assert ("SkipHandler", "handler") not in errors
    calls = [p for p, _ in bot.points("telegram.bot.api.request.duration") if p["telegram.method"] == "sendMessage"]
    assert calls == [{"telegram.method": "sendMessage", "http.response.status_code": 200}]
    assert {value for _, value in bot.points("telegram.bot.update.active")} == {0}
    units = {name: metric.unit for name, metric in bot.otlp.metrics.items() if name.startswith("telegram.bot.")}
    assert units["telegram.bot.update.duration"] == units["telegram.bot.handler.duration"] == "s"
    assert (units["telegram.bot.update.active"], units["telegram.bot.commands"]) == ("{update}", "{command}")


def test_lifecycle_callbacks_are_no_handlers(bot):
    assert not any(span.name == "on_startup" for span in bot.otlp.spans)
    assert bot.program.returncode == 0


STOPPED = """
    @dp.message(Command("wait"))
    async def wait(message):
        print("waiting", flush=True)
        await message.answer("waiting")
        await asyncio.Event().wait()

    @dp.message(Command("fork"))
    async def forks(message):
        import multiprocessing
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        await asyncio.to_thread(child.join)
        await message.answer("forked")

    @dp.message(Command("exit"))
    async def leave(message):
        raise SystemExit(7)

    main()
"""


def stop_program(tmp_path, text, *, instrumented=True, also=()):
    async def play(recording: Recording) -> None:
        for other in (*also, text):
            recording.api.push(TOKEN, message_update(other))
        if text == "/wait":
            await recording.api.wait_for_call("sendMessage")
            await recording.api.wait_until_drained(TOKEN)
        else:
            await recording.program.wait()

    folder = tmp_path / str(instrumented)
    folder.mkdir()
    return record(STOPPED, folder, play, instrumented=instrumented)


def test_update_that_is_cut_off_by_the_end_is_cancelled(tmp_path):
    stopped = stop_program(tmp_path, "/wait")
    update = stopped.update("message wait")
    assert (outcome(update), update.status) == ("cancelled", "UNSET")
    handler = stopped.children(update)["wait"]
    assert handler.status == "UNSET"
    assert "exception" not in dict(handler.events)
    assert stopped.program.returncode == 0
    assert {value for _, value in stopped.points("telegram.bot.update.active")} == {0}
    assert stopped.points("telegram.bot.errors") == []


def test_system_exit_of_a_handler_ends_the_program_as_without_otelbot(tmp_path):
    stopped = stop_program(tmp_path, "/exit", also=("/wait",))
    plain = stop_program(tmp_path, "/exit", instrumented=False)
    assert stopped.program.returncode == plain.program.returncode == 7
    update = stopped.update("message leave")
    assert (outcome(update), update.attributes["error.type"]) == ("error", "SystemExit")
    assert outcome(stopped.update("message wait")) == "cancelled"


def test_child_that_a_handler_forks_does_not_end_the_handlers_span(tmp_path):
    async def play(recording: Recording) -> None:
        recording.api.push(TOKEN, message_update("/fork"))
        await recording.wait_for_updates(1)
        await recording.api.wait_for_call("sendMessage")

    forked = record(STOPPED, tmp_path, play)
    assert outcome(forked.update("message forks")) == "handled"
    ids = [span.span_id for span in forked.otlp.spans]
    assert len(ids) == len(set(ids))


SEVERAL = (
    PRELUDE.rpartition("def main")[0]
    + """
second = make_bot(os.environ["SECOND_TOKEN"])

@dp.message()
async def echo(message):
    await message.answer("echo")

asyncio.run(dp.start_polling(bot, second, polling_timeout=2))
"""
)


def test_several_bots_in_one_process_are_told_apart_by_span(tmp_path):
    async def play(recording: Recording) -> None:
        for token in (TOKEN, OTHER_TOKEN, OTHER_TOKEN):
            recording.api.push(token, message_update("hello"))
        await recording.wait_for_updates(3)

    bots = record(SEVERAL, tmp_path, play, prelude=False, env={"SECOND_TOKEN": OTHER_TOKEN})
    ids = sorted(span.attributes["telegram.bot.id"] for span in bots.updates)
    assert ids == ["123456789", "987654321", "987654321"]
    for update in bots.updates:
        call = bots.children(bots.children(update)["echo"])["sendMessage"]
        assert call.attributes["telegram.bot.id"] == update.attributes["telegram.bot.id"]
    assert not any("telegram.bot.id" in span.resource for span in bots.otlp.spans)
    for secret in (KEY, OTHER_TOKEN.partition(":")[2]):
        assert secret.encode() not in bots.otlp.raw
