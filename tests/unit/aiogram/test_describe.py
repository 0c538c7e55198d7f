"""What updates and handlers are called."""

from __future__ import annotations

import functools
import re

import pytest
from aiogram import F
from aiogram.dispatcher.event.handler import FilterObject, HandlerObject
from aiogram.filters import Command, CommandStart, and_f, invert_f, or_f
from aiogram.handlers import MessageHandler
from aiogram.types import Message, Update

from otelbot.demo.telegram import callback_update, message_update
from otelbot.instrumentation.aiogram import describe


class ClassHandler(MessageHandler):
    async def handle(self): ...


class Service:
    async def method(self, message): ...

    async def __call__(self, message): ...


async def plain(message): ...


def decorator(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs): ...

    return wrapper


def described(callback, *filters):
    return describe.describe_handler(HandlerObject(callback, filters=[FilterObject(each) for each in filters]))


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (plain, "plain"),
        (functools.partial(plain, message=1), "plain"),
        (functools.partial(functools.partial(plain), 1), "plain"),
        (decorator(plain), "plain"),
        (functools.partial(decorator(decorator(plain))), "plain"),
        (ClassHandler, "ClassHandler"),
        (Service().method, "Service.method"),
        (Service(), "Service"),
    ],
)
def test_handler_has_the_name_that_its_author_gave_it(callback, name):
    info = described(callback)
    assert info.name == name
    assert info.function == f"{__name__}.{name}"
    assert not info.internal


def test_function_within_a_function_is_called_by_its_own_name():
    async def inner(message): ...

    info = described(inner)
    assert info.name == "inner"
    assert info.function.endswith(".<locals>.inner")


def test_lambda_is_called_by_file_and_line():
    info = described(lambda message: message)
    assert re.fullmatch(r"<lambda> test_describe\.py:\d+", info.name)


@pytest.mark.parametrize(
    ("filters", "commands"),
    [
        ((Command("Help", "about"),), {"help", "about"}),
        ((CommandStart(),), {"start"}),
        ((F.text, Command("help")), {"help"}),
        ((or_f(Command("a"), and_f(F.text, Command("b"))),), {"a", "b"}),
        ((invert_f(Command("a")),), {"a"}),
        ((Command(re.compile(r"item_\d+")),), set()),
        ((F.text,), set()),
        ((), set()),
    ],
)
def test_commands_are_those_of_the_filters(filters, commands):
    assert described(plain, *filters).commands == commands


def test_update_type_is_one_that_aiogram_knows():
    update = Update.model_validate({"update_id": 1, **callback_update("data")})
    assert describe.update_type(update) == "callback_query"
    assert describe.update_type({"update_id": 1, **message_update("hello")}) == "message"
    assert describe.update_type({"brand_new": {"a": 1}, "message": {"text": "x"}}) == "message"
    assert describe.update_type({"update_id": 1, "brand_new": {"a": 1}}) == "unknown"
    assert describe.update_type(Update(update_id=1)) == "unknown"
    for nonsense in ({}, [], None, "message", {1: 2}):
        assert describe.update_type(nonsense) == "unknown"


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"update_id": 7}, "7"),
        (Update(update_id=7), "7"),
        ({"update_id": "some text"}, None),
        ({"update_id": [1]}, None),
        ({}, None),
        ([], None),
    ],
)
def test_update_id_is_a_number_or_nothing(update, expected):
    assert describe.update_id(update) == expected


def test_callback_query_has_the_chat_of_its_message_and_the_user_who_pressed():
    query = Update.model_validate({"update_id": 1, **callback_update("data", user_id=5)}).callback_query
    assert describe.chat_type(query) == "private"
    assert describe.user_id(query) == 5


@pytest.mark.parametrize(
    ("text", "command"),
    [("/start", True), ("/start@bot x", True), ("/", False), ("/ x", False), ("hello /start", False), (None, False)],
)
def test_text_that_starts_with_a_slash_and_a_word_looks_like_a_command(text, command):
    message = Message.model_validate(message_update(text)["message"])
    assert describe.looks_like_command(message, "message") is command
    assert not describe.looks_like_command(message, "callback_query")


def test_caption_can_be_a_command_too():
    message = Message.model_validate(message_update(None, caption="/sell tea")["message"])
    assert describe.looks_like_command(message, "message")


def test_router_that_aiogram_named_by_its_address_has_no_name():
    class Named:
        name = "shop"

    class Unnamed:
        name = "0x7f0000000000"

    assert describe.router_name({"event_router": Named}) == "shop"
    assert describe.router_name({"event_router": Unnamed}) is None
    assert describe.router_name({}) is None
