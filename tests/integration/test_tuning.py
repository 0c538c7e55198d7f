"""Each part of OTELBOT_TUNE does what it says, alone or with the others, and nothing else; what the bot sets stays."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from aiogram.types import User

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.integration.test_webhook import Web, free_port
from tests.support import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("forms", "gc", "handlers", "models", "responses", "threads", "unset")
#: The oldest pydantic, 2.5, has nothing for `models` to do.
HERE = {part for part in PARTS if part != "models" or "model_post_init" in vars(User)}

#: `state()` says what a program can notice of each part.
DEFAULT = gc.get_threshold()[0]  # of this Python
RAISED = max(DEFAULT, 2000)  # Python's own from 3.13
STATE = """
    import gc, json, sys, weakref

    def calls(function, *args, **kwargs):
        # Returns what was called, in Python and in C, and the result.
        def count(frame, event, argument):
            names.append(frame.f_code.co_name if event == "call" else getattr(argument, "__name__", ""))

        names = []
        sys.setprofile(count)
        try:
            return names, function(*args, **kwargs)
        finally:
            sys.setprofile(None)

    def state():
        from aiogram.dispatcher.middlewares.manager import MiddlewareManager
        from aiogram.methods import GetMe, Response
        from aiogram.types import User

        user = {"id": 1, "is_bot": False, "first_name": "Ada"}
        User.model_validate(user)
        parsing, _ = calls(User.model_validate, user)
        wrapping, _ = calls(MiddlewareManager.wrap_middlewares, [], state)
        _, form = calls(bot.session.build_form_data, bot, GetMe())
        model = weakref.ref(Response[GetMe.__returning__])
        gc.collect()
        return {
            "forms": "_writer" not in vars(form),
            "gc": gc.get_freeze_count() > 100_000,
            "handlers": "update_wrapper" not in wrapping,
            "models": "init_private_attributes" not in parsing,
            "responses": model() is not None,
            "threads": sys.getswitchinterval() == 0.001,
            "unset": "copy" in parsing,
            "frozen": gc.get_freeze_count(),
            "threshold": gc.get_threshold(),
            "interval": sys.getswitchinterval(),
        }
"""
POLLING = (
    STATE
    + """
    @dp.message()
    async def tell(message):
        await message.answer(json.dumps(state()))

    main()
"""
)


def applied(state: dict[str, Any]) -> set[str]:
    return {part for part in PARTS if state[part]}


def printed(source: str, folder: Path, **options: Any) -> Any:
    """Run a program that ends by itself and return the JSON that its last line is."""

    async def play(recording: Recording) -> None:
        assert await recording.program.wait() == 0, recording.program.stderr

    recording = record(source, folder, play, **options)
    return json.loads(recording.program.stdout.splitlines()[-1])


async def told(api, bot, count=1):
    api.push(TOKEN, message_update("tell"))
    call = await api.wait_for_call("sendMessage", count)
    assert bot.process.returncode is None
    return json.loads(call.params["text"])


@pytest.mark.parametrize("tune", [None, "none", *PARTS])
async def test_each_part_does_what_it_says_and_no_other(api, run, tune):
    bot = await run(POLLING, env={} if tune is None else {"OTELBOT_TUNE": tune})
    state = await told(api, bot)
    assert applied(state) == HERE & ({*PARTS} if tune is None else {tune})
    assert state["frozen"] == 0 or state["gc"]
    assert state["threshold"][0] == (RAISED if state["gc"] else DEFAULT)
    assert state["interval"] == (0.001 if state["threads"] else 0.005)


async def test_nothing_is_done_where_otelbot_is_switched_off(api, run):
    bot = await run(POLLING, env={"OTEL_SDK_DISABLED": "true"})
    assert applied(await told(api, bot)) == set()


async def test_it_needs_no_telemetry(api, run):
    none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    bot = await run(POLLING, env=none | {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"})
    assert applied(await told(api, bot)) == HERE


def test_it_is_done_once_however_often_bots_start(tmp_path):
    program = (
        STATE
        + """
    def over(original):
        async def emit(*args, **kwargs):
            await original(*args, **kwargs)
        return emit

    Router.emit_startup = over(Router.emit_startup)  # as another library would

    async def start_often():
        await dp.emit_startup(bot=bot)
        first = state()
        dp["cache"] = [[] for _ in range(50_000)]
        await Dispatcher().emit_startup()
        await dp.emit_startup(bot=bot)
        print(json.dumps([first, state()]))

    asyncio.run(start_often())
"""
    )
    first, last = printed(program, tmp_path)
    assert applied(first) == HERE
    assert last["frozen"] <= first["frozen"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # (what the bot does first thing, when it starts) → what it finds later
        ("gc.disable()", "pass", (0, DEFAULT, False)),
        ("pass", "pass", ("ours", RAISED, True)),
        ("gc.set_threshold(0)", "pass", (0, 0, True)),
        ("gc.set_threshold(700, 50, 50)", "pass", ("ours", 700, True)),
        ("gc.set_threshold(5000, 20, 20)", "pass", ("ours", 5000, True)),
        ("pass", "gc.set_threshold(5000)", ("ours", 5000, True)),
        ("pass", "gc.disable()", ("ours", DEFAULT, False)),
        ("pass", "gc.unfreeze()", (0, DEFAULT, True)),
        ("gc.freeze(); mine = gc.get_freeze_count()", "pass", ("mine", DEFAULT, True)),
        ("pass", "gc.freeze(); mine = gc.get_freeze_count()", ("mine", DEFAULT, True)),
    ],
)
def test_what_the_bot_sets_of_the_collector_stays(tmp_path, before, after, expected):
    program = f"""
import gc, json
mine = 0
{before}
import asyncio, sys
from aiogram import Dispatcher
dp = Dispatcher()
@dp.startup()
async def start():
    global mine
    {after}
asyncio.run(dp.emit_startup())
frozen = gc.get_freeze_count()
kind = frozen if frozen == 0 else "mine" if mine and frozen <= mine else "ours"
print(json.dumps([kind, gc.get_threshold()[0], gc.isenabled()]))
"""
    assert tuple(printed(program, tmp_path, prelude=False)) == expected


def test_the_switch_interval_of_the_bot_stays(tmp_path):
    program = (
        "import sys\nsys.setswitchinterval(0.02)\nasyncio.run(dp.emit_startup())\nprint(sys.getswitchinterval())\n"
    )
    assert printed(program, tmp_path) == pytest.approx(0.02)


def test_an_import_of_aiogram_that_fails_leaves_the_collector_as_it_was(tmp_path):
    (tmp_path / "aiogram.py").write_text("raise ImportError('half of it')")
    program = """
import gc, json
try:
    import aiogram
except ImportError as error:
    print(json.dumps([str(error), gc.get_threshold(), gc.isenabled()]))
"""
    assert printed(program, tmp_path, prelude=False) == ["half of it", [*gc.get_threshold()], True]


def test_aiogram_is_found_and_loaded_as_ever(tmp_path):
    program = """
import importlib.resources, importlib.util, json, sys
found = importlib.util.find_spec("aiogram")
loader = found.loader
before = "aiogram" in sys.modules, loader.get_filename("aiogram") == found.origin, bool(loader.get_code("aiogram"))
import aiogram
after = type(aiogram.__loader__).__name__, aiogram.__spec__.loader is aiogram.__loader__
rest = importlib.resources.files("aiogram").joinpath("py.typed").is_file()
finders = [type(finder).__name__ for finder in sys.meta_path]
print(json.dumps([before, after, rest, any("Aiogram" in name for name in finders)]))
"""
    assert printed(program, tmp_path, prelude=False) == [[False, True, True], ["SourceFileLoader", True], True, False]


#: Prints what comes of parsing, with and without tuning; without addresses and times, so that it can be compared.
PARSING = """
    import copy, json, pickle
    from typing import Generic, TypeVar
    from aiogram.methods import EditMessageText, GetUpdates, Response, SendMessage
    from aiogram.types import Chat, Update, User
    from pydantic import PrivateAttr, ValidationError

    T = TypeVar("T")

    class Mine(Message):
        _seen: int = PrivateAttr(7)

        def model_post_init(self, context):
            super().model_post_init(context)
            self._seen += 1

    class Other(Message):
        pass

    user = {"id": 1, "is_bot": False, "first_name": "Ada", "brand_new": {"a": [1]}}
    inner = {"message_id": 1, "date": 0, "chat": {"id": 2, "type": "private"}, "from": user, "text": "hi"}
    bold = {"type": "bold", "offset": 0, "length": 2}
    message = inner | {"message_id": 2, "reply_to_message": inner, "entities": [bold]}
    out = []

    def look(model):
        private = model.__pydantic_private__
        bots = [each.bot is bot for each in (model, model.chat, model.from_user, model.reply_to_message)]
        fields = sorted(model.model_fields_set)
        out.append([type(model).__name__, model.model_dump_json(), sorted(private), bots, fields])

    for kind in (Message, Mine, Other):
        for context in ({"bot": bot}, {"bot": None}, {}, None):
            parsed = kind.model_validate(message, context=context)
            look(parsed)
            look(copy.copy(parsed))
            if parsed.bot is None:
                look(copy.deepcopy(parsed))
            look(parsed.model_copy(update={"text": "changed"}))
            look(parsed.as_(bot))
            out.append([parsed == kind.model_validate(message), parsed.chat == parsed.reply_to_message.chat])
            out.append(getattr(parsed, "_seen", None))
        look(kind(**{**message, "from_user": user}))
        built = kind.model_construct(message_id=1, text="x")
        out.append([kind.__name__, built.__pydantic_private__, built.model_dump()])
        restored = pickle.loads(pickle.dumps(kind.model_validate(message)))
        look(restored)
    try:
        Message.model_validate({"message_id": "x"}, context={"bot": bot})
    except ValidationError as error:
        out.append(error.errors(include_url=False, include_input=False))
    again = Message.model_validate(message, context={"bot": bot})
    again.model_post_init({"bot": None})
    out.append([again.bot is None, again.__pydantic_private__])
    for method in (SendMessage(chat_id=1, text="x"), EditMessageText(text="y"), GetUpdates()):
        for result in (message, True, [{"update_id": 1, "message": message}], None):
            content = json.dumps({"ok": True, "result": result, "description": "d"})
            for _ in range(2):
                try:
                    answer = bot.session.check_response(bot, method, 200, content)
                    out.append([type(answer).__name__, answer.model_dump_json()])
                except Exception as error:
                    out.append(type(error).__name__)
    class Own(Response[T], Generic[T]):
        note: str = "own"
    out.append([Response[bool] is Response[bool], Response[list[int]].model_validate({"ok": True}).ok])
    out.append([Own[bool].__name__, Own[bool].model_validate({"ok": True}).note])
    out.append(Response[int | str].model_validate({"ok": True, "result": "1"}).result)
    out.append(Response[str | int].model_validate({"ok": True, "result": 1}).result)
    try:
        Response[Message][int]
    except TypeError as error:
        out.append(str(error))
    print(json.dumps(out, default=str))
"""


def test_answers_and_updates_are_parsed_to_the_same(tmp_path):
    tuned = printed(PARSING, tmp_path)
    assert tuned == printed(PARSING, tmp_path, env={"OTELBOT_TUNE": "none"})
    assert any("Mine" in each for each in tuned if isinstance(each, list))


#: Prints what comes of models, handlers and forms that are not the everyday ones.
BEHAVING = """
    import functools, inspect, json, re, secrets
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.dispatcher.middlewares.manager import MiddlewareManager
    from aiogram.methods import GetMe, SendDocument, SendMediaGroup, SendMessage
    from aiogram.types import (
        BufferedInputFile, InlineKeyboardButton, InlineKeyboardMarkup, InputMediaDocument, MessageEntity, User,
    )
    from aiogram.types.base import UNSET
    from aiohttp import FormData
    from collections import OrderedDict
    from pydantic import ValidationError, model_validator
    from unittest.mock import sentinel

    out = []

    # UNSET

    class Noting(User):
        @model_validator(mode="before")
        @classmethod
        def note(cls, values):
            values["last_name"] = "noted"
            return values

    class Removing(User):
        @classmethod
        def remove_unset(cls, values):
            values = super().remove_unset(values)
            values["last_name"] = "removed"
            return values

    user = {"id": 1, "is_bot": False, "first_name": "Ada"}
    for kind in (User, Noting, Removing):
        for more in ({}, {"last_name": UNSET}, {"last_name": sentinel.OTHER}, {"new": [UNSET]}, {"id": UNSET}):
            for values in (user | more, OrderedDict(user | more)):
                given = dict(values)
                try:
                    made = kind.model_validate(values)
                    out.append([repr(made), sorted(made.model_fields_set), repr(made.model_extra)])
                except ValidationError as error:
                    out.append(error.errors(include_url=False, include_input=False))
                out.append(dict(values) == given or repr(values))
    for values in (user, user | {"id": UNSET}, OrderedDict(user), OrderedDict(user | {"id": UNSET}), [1], None, UNSET):
        for kind in (User, SendMessage):
            result = kind.remove_unset(values)
            out.append([type(result).__name__, repr(result), result is values])
    for wrong in ([], "x", None, UNSET, 1):
        try:
            User.model_validate(wrong)
        except ValidationError as error:
            out.append([each["type"] for each in error.errors()])
    made = User.model_validate(User(**user))
    out.append([repr(made), repr(User.model_validate_json(json.dumps(user)))])
    button = InlineKeyboardButton(text="a", url=UNSET)
    for name, value in (("text", "b"), ("url", UNSET), ("text", 1), ("url", None), ("new", UNSET)):
        try:
            setattr(button, name, value)
        except ValidationError as error:
            out.append([each["type"] for each in error.errors()])
        out.append([repr(button), sorted(button.model_fields_set)])
    method = SendMessage(chat_id=1, text="x", parse_mode=UNSET, reply_markup=UNSET, entities=None)
    out.append([repr(method), sorted(method.model_fields_set)])

    # Handlers

    class Marked:
        "A class."

        def method(self, event, **kwargs: int) -> str:
            "A method."
            return ["method", event, kwargs]

        method.flag = [1]
        method.__wrapped__ = "before"

        def __call__(self, event, **kwargs):
            return ["called", event, kwargs]

    def function(event, **kwargs):
        return ["function", event, kwargs]

    @functools.wraps(function)
    async def coroutine(event, **kwargs):
        "A coroutine."
        return ["coroutine", event, kwargs]

    def undocumented(event, answer=42): return answer

    named = Marked()
    named.__name__ = "named"
    manager, empty = MiddlewareManager(), MiddlewareManager()

    def around(name):
        def middleware(handler, event, data):
            out.append([name, getattr(getattr(handler, "func", handler), "__name__", None)])
            return handler(event, data | {name: len(data)})
        return middleware

    for name in ("first", "second"):
        manager.register(around(name))
    handlers = (
        function, coroutine, undocumented, Marked().method, Marked.method, Marked(), named, len, str.join, "x".join,
        functools.partial(function, a=1), functools.partial(Marked().method), lambda event, **_: event, Marked, dict,
    )
    for handler in handlers:
        wrapped = MiddlewareManager.wrap_middlewares(empty, handler)
        about = [repr(getattr(wrapped, name, None)) for name in (*functools.WRAPPER_ASSIGNMENTS, "__annotations__")]
        own = {name: repr(value) for name, value in vars(wrapped).items() if name != "__wrapped__"}
        out.append([about, own, wrapped.__wrapped__ is handler, inspect.isfunction(wrapped), callable(wrapped)])
        out.append([str(inspect.signature(wrapped, follow_wrapped=False).parameters.keys()), wrapped.__defaults__])
    for handler in (function, undocumented, Marked().method, Marked(), lambda event, **data: data):
        for middlewares in (empty, manager, [around("listed")], ()):
            try:
                out.append(MiddlewareManager.wrap_middlewares(middlewares, handler)("event", {"a": 1}))
            except TypeError as error:
                out.append(str(error).split("(")[0])
    out.append(asyncio.run(manager.wrap_middlewares(manager, coroutine)("event", {"a": 1})))
    class Backwards(MiddlewareManager):
        def __getitem__(self, item):
            return super().__getitem__(len(self) - 1 - item)
    backwards = Backwards()
    for name in ("first", "second"):
        backwards.register(around(name))
    out.append(backwards.wrap_middlewares(backwards, function)("event", {}))

    # Forms

    class Shouting(AiohttpSession):
        def prepare_value(self, value, bot, files, _dumps_json=True):
            return "NOTHING" if value is None else super().prepare_value(value, bot, files, _dumps_json)

    def shout(value, bot, files):
        return "SHOUTED"

    class Writer:
        def __init__(self):
            self.written = b""
        async def write(self, chunk):
            self.written += bytes(chunk)

    async def sent(form):
        assert isinstance(form, FormData)
        multipart = form.is_multipart
        payload = form()
        writer = Writer()
        await payload.write(writer)
        text = writer.written.decode()
        kind = payload.content_type
        for name, value in payload.headers.items():
            kind += f" {name}={value}"
        boundary = getattr(payload, "boundary", None)
        if boundary:
            out.append([len(boundary), f"--{boundary}--" in text])
            text, kind = text.replace(boundary, "BOUNDARY"), kind.replace(boundary, "BOUNDARY")
        keys = sorted(key for key in vars(form) if key != "_writer")
        return [multipart, kind, text, keys]

    async def build(session):
        document = BufferedInputFile(b"content", "a.txt")
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="a", callback_data="b")]])
        bold = MessageEntity(type="bold", offset=0, length=1)
        methods = (
            GetMe(),
            SendMessage(chat_id=1, text="héllo & <b>"),
            SendMessage(chat_id=0, text="", protect_content=False, disable_notification=True, reply_markup=keyboard),
            SendMessage(chat_id=1, text="x", parse_mode=None, entities=[bold]),
            SendMessage(chat_id="@a", text="x", parse_mode="HTML", brand_new={"a": None, "b": [None, 1]}),
            SendDocument(chat_id=1, document=document),
            SendDocument(chat_id=1, document="file-id"),
            SendMediaGroup(chat_id=1, media=[InputMediaDocument(media=document), InputMediaDocument(media="id")]),
        )
        bot = Bot("42:TEST", session=session)
        for method in methods:
            out.append([type(method).__name__, *(await sent(session.build_form_data(bot, method)))])
        mine = session.build_form_data(bot=bot, method=methods[1])
        mine.add_field("more", b"bytes", filename="f")
        out.append(await sent(mine))
        out.append(await sent(session.build_form_data(bot, methods[1])))  # each form is one of its own

    secrets.token_urlsafe = lambda size: "KEY"
    shouted = AiohttpSession()
    shouted.prepare_value = shout
    for session in (AiohttpSession(), Shouting(), shouted):
        asyncio.run(build(session))
    print(re.sub("0x[0-9a-f]+", "address", json.dumps(out, default=str)))
"""


def test_unset_values_handlers_and_forms_are_the_same(tmp_path):
    tuned = printed(BEHAVING, tmp_path)
    assert tuned == printed(BEHAVING, tmp_path, env={"OTELBOT_TUNE": "none"})


def test_what_somebody_else_has_changed_is_left_as_it_is(tmp_path):
    program = (
        STATE
        + """
    import otelbot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.dispatcher.middlewares.manager import MiddlewareManager
    from aiogram.types.base import TelegramObject

    def over(original):
        return lambda *args, **kwargs: original(*args, **kwargs)

    def replaced(cls, values):
        return values

    wrap, form = MiddlewareManager.wrap_middlewares, AiohttpSession.build_form_data
    MiddlewareManager.wrap_middlewares = staticmethod(mine := over(wrap))
    AiohttpSession.build_form_data = over(form)
    TelegramObject.remove_unset.__func__.__code__ = replaced.__code__
    otelbot.instrument()
    asyncio.run(dp.emit_startup())
    print(json.dumps([state(), MiddlewareManager.wrap_middlewares is mine]))
"""
    )
    state, stays = printed(program, tmp_path, instrumented=False)
    assert applied(state) == HERE - {"forms", "handlers", "unset"}
    assert stays


@pytest.mark.parametrize("start", ["await dp.emit_startup()", "await feed()"])
def test_nothing_stays_on_the_way_of_an_update_once_the_bot_has_started(tmp_path, start):
    program = f"""
    import sys
    from aiogram.types import Update

    update = {{"message_id": 1, "date": 0, "chat": {{"id": 2, "type": "private"}}, "text": "hi"}}

    def look(frame, event, argument):
        if event == "call":
            passed.add(frame.f_code.co_filename)

    @dp.message()
    async def handler(message):
        handled.append(message)

    async def feed():
        await dp.feed_update(bot, Update.model_validate({{"update_id": 1, "message": update}}, context={{"bot": bot}}))

    async def play():
        {start}
        sys.setprofile(look)
        await feed()
        sys.setprofile(None)

    passed, handled = set(), []
    asyncio.run(play())
    from otelbot import tuning
    folder = os.path.dirname(tuning.__file__)
    print(json.dumps([len(handled), sys.getswitchinterval(), [name for name in passed if name.startswith(folder)]]))
"""
    updates = 1 if "emit" in start else 2
    assert printed("    import json\n" + program, tmp_path, env={"OTELBOT_TUNE": "threads"}) == [updates, 0.001, []]


def test_program_that_sets_itself_up_after_aiogram_is_tuned_too(tmp_path):
    program = (
        STATE
        + """
    import otelbot
    from aiogram.types import Chat
    from pydantic import PrivateAttr

    class Richer(Chat):
        __module__ = "aiogram.types"  # a later aiogram may have such models
        _seen: int = PrivateAttr(7)

    otelbot.instrument()
    asyncio.run(dp.emit_startup())
    print(json.dumps([state(), Richer(id=1, type="private")._seen]))
"""
    )
    state, seen = printed(program, tmp_path, instrumented=False)
    assert (applied(state), seen) == (HERE, 7)


# Bots that are called by Telegram

WEBHOOK = (
    STATE
    + """
    from aiohttp import web
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application

    @dp.message()
    async def tell(message):
        pass

    async def look(request):
        return web.json_response([os.getpid(), state()])

    app = web.Application()
    app.router.add_post("/state", look)
    SimpleRequestHandler(dp, bot, handle_in_background=False).register(app, "/feed")
    setup_application(app, dp)
    if __name__ == "__main__":
        web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]))
"""
)
FASTAPI = (
    STATE
    + """
    from aiogram.types import Update
    from fastapi import FastAPI, Request

    @dp.message()
    async def tell(message):
        pass

    app = FastAPI()

    @app.post("/feed")
    async def feed(request: Request):
        await dp.feed_update(bot, Update.model_validate(await request.json(), context={"bot": bot}))

    @app.post("/state")
    async def look():
        return [os.getpid(), state()]
"""
)


def served(source: str, folder: Path, *command: str, workers: int = 1) -> list[dict[int, dict[str, Any]]]:
    """Return the states by process, before and after updates, of a bot that is run by `command` or as a script."""
    port = free_port()
    states: list[dict[int, dict[str, Any]]] = [{}, {}]

    async def look(bot: Web, found: dict[int, dict[str, Any]]) -> None:
        for _ in range(500):
            for _, body in await asyncio.gather(*(bot.post("/state") for _ in range(2 * workers - 1))):
                pid, state = json.loads(body)
                found[pid] = state
            if len(found) == workers:
                return

    async def play(recording: Recording) -> None:
        bot = await Web(recording.program, port).started()
        await look(bot, states[0])
        for _ in range(20 * workers):
            await asyncio.gather(*(bot.update("/feed", "hello") for _ in range(2 * workers - 1)))
        await look(bot, states[1])
        await recording.program.stop(signal.SIGTERM)

    words = tuple(word.format(port=port) for word in command) or None
    record(source, folder, play, name="app.py", command=words or ("python", "app.py"), env={"PORT": str(port)})
    return states


def test_a_webhook_app_is_tuned_when_it_has_been_started(tmp_path):
    ((_, before),), ((_, after),) = (states.items() for states in served(WEBHOOK, tmp_path))
    assert applied(before) == applied(after) == HERE
    assert after["frozen"] <= before["frozen"]


def test_a_bot_that_is_only_fed_is_tuned_by_its_first_update(tmp_path):
    states = served(FASTAPI, tmp_path, "uvicorn", "app:app", "--port", "{port}")
    ((_, before),), ((_, after),) = (each.items() for each in states)
    assert applied(before) == HERE - {"threads"}  # what was imported is frozen by then
    assert applied(after) == HERE
    assert after["frozen"] > before["frozen"]


def test_each_worker_process_is_tuned_when_it_works(tmp_path):
    command = "gunicorn app:app -w 2 -b 127.0.0.1:{port} -k aiohttp.GunicornWebWorker".split()
    _, after = served(WEBHOOK, tmp_path, *command, workers=2)
    assert len(after) == 2
    assert [applied(state) for state in after.values()] == [HERE, HERE]


def test_a_process_that_is_forked_before_the_bot_starts_is_tuned_for_itself(tmp_path):
    program = (
        STATE
        + """
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        print(json.dumps([json.loads(open("child").read()), state()]))
    else:
        asyncio.run(dp.emit_startup())
        with open("child", "w") as file:
            file.write(json.dumps(state()))
"""
    )
    child, parent = printed(program, tmp_path)
    assert applied(child) == HERE
    assert applied(parent) == HERE - {"threads"}


# What is said


async def test_the_start_is_told_once_in_telemetry_and_not_on_the_console(api, otlp, run):
    bot = await run(POLLING)
    await told(api, bot)
    assert await bot.stop() == 0
    bodies = [str(record.body) for record in otlp.logs if "tuned" in str(record.body)]
    rest = "; left as it is: models" if {*PARTS} - HERE else ""
    assert bodies == [f"otelbot: tuned {', '.join(sorted(HERE))}{rest}; OTELBOT_TUNE=none switches it off"]
    assert "tuned" not in bot.stdout + bot.stderr


async def test_the_start_is_told_on_the_console_of_a_bot_that_shows_info(api, otlp, run):
    bot = await run("    logging.basicConfig(level=logging.INFO)\n" + POLLING, env={"OTELBOT_TUNE": "threads"})
    await told(api, bot)
    assert await bot.stop() == 0
    assert bot.stderr.count("otelbot: tuned threads; OTELBOT_TUNE=none switches it off") == 1
    assert sum("tuned" in str(record.body) for record in otlp.logs) == 1


async def test_a_part_that_does_not_exist_is_said_and_all_are_used(api, run):
    bot = await run(POLLING, env={"OTELBOT_TUNE": "turbo"})
    assert applied(await told(api, bot)) == HERE
    assert "OTELBOT_TUNE='turbo' has 'turbo', which is none of all, none, forms, gc" in bot.stderr
