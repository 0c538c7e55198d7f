"""What tuning takes the place of does the same: parsing, middlewares around handlers, forms, unset values."""

from __future__ import annotations

from tests.integration.tuned import HERE, STATE, applied, printed

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
            SendMessage(chat_id=1, text="a+b = 100%\\n~sure-thing_1.5~ /?#;, سلام 🫖 ¹² \\x00"),
            SendMessage(chat_id=1, text="x", **{"odd name": "1", "über&": "2"}),
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
