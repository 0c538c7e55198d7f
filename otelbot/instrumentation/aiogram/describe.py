"""What updates and handlers are called. Nothing here reads a text, a name or a payload."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

MESSAGES = frozenset(
    {"message", "edited_message", "channel_post", "edited_channel_post", "business_message", "edited_business_message"}
)


def update_type(update: Any) -> str:
    """Return the type of an `Update`, or of the dictionary that may become one; `unknown` where it has none."""
    # Of a model this is what `event_type` says, which is remembered by an update's hash, in Python.
    fields = update if isinstance(update, dict) else getattr(update, "__dict__", update)
    if type(fields) is not dict and not isinstance(fields, Mapping):
        return "unknown"
    types = _update_types()
    for key in fields:  # posted to a webhook by anybody, so only names that aiogram knows
        if key in types and fields[key]:
            return str(key)
    return "unknown"


@cache
def _update_types() -> frozenset[str]:
    from aiogram.types import Update

    return frozenset(Update.model_fields) - {"update_id"}


def update_id(update: Any) -> str | None:
    value = getattr(update, "update_id", None)
    if value is None and isinstance(update, Mapping):
        value = update.get("update_id")
    return str(value) if isinstance(value, int) else None


def event_of(update: Any, kind: str) -> Any:
    return None if isinstance(update, dict) else getattr(update, kind, None)


def chat_type(event: Any) -> str | None:
    """Return `private`, `group`, `supergroup` or `channel`, or None for an event without a chat."""
    chat = getattr(event, "chat", None)
    if chat is None:
        chat = getattr(getattr(event, "message", None), "chat", None)
    return getattr(chat, "type", None)


def user_id(event: Any) -> int | None:
    """Return who acted, or None: an anonymous administrator is a bot of Telegram's."""
    user = getattr(event, "from_user", None)
    if user is None:
        user = getattr(event, "user", None)
    return None if getattr(user, "is_bot", False) else getattr(user, "id", None)


def looks_like_command(event: Any, kind: str) -> bool:
    if kind not in MESSAGES:
        return False
    text = str(getattr(event, "text", None) or getattr(event, "caption", None) or "")
    return len(text) > 1 and text[0] == "/" and not text[1].isspace()


def age(event: Any) -> float | None:
    """Return the seconds since Telegram dated an event, which it does by whole seconds; None where it does not."""
    date = getattr(event, "edit_date", None) or getattr(event, "date", None)
    if isinstance(date, datetime):
        date = date.timestamp()
    return max(time.time() - date, 0.0) if isinstance(date, int | float) else None


_ACTIONS = {
    "callback_query": "callback",
    "inline_query": "inline",
    "chosen_inline_result": "inline",
    "pre_checkout_query": "payment",
    "shipping_query": "payment",
    "purchased_paid_media": "payment",
    "my_chat_member": "member",
    "chat_member": "member",
    "chat_join_request": "join_request",
    "message_reaction": "reaction",
    "poll_answer": "poll",
}
_MEDIA = (
    "photo",
    "video",
    "voice",
    "document",
    "sticker",
    "video_note",
    "audio",
    "animation",
    "paid_media",
    "story",
    "contact",
    "location",
    "venue",
    "dice",
    "poll",
)
_MEMBER = ("new_chat_members", "left_chat_member")
_PAYMENT = ("successful_payment", "refunded_payment")


def action(event: Any, kind: str) -> str:
    """Return what a user did, in one of few words."""
    if kind not in MESSAGES:
        return _ACTIONS.get(kind, "other")
    if looks_like_command(event, kind):
        return "command"
    if getattr(event, "text", None):
        return "text"
    for fields, name in ((_MEDIA, "media"), (_PAYMENT, "payment"), (_MEMBER, "member")):
        if any(getattr(event, field, None) for field in fields):
            return name
    return "other"


@dataclass(frozen=True)
class HandlerInfo:
    """What is known of a handler once and for all.

    `name` is for people, `function` is `code.function.name`; `commands` are those of its filters, in lower case.
    """

    name: str
    function: str
    commands: frozenset[str]
    internal: bool = False


def describe_handler(handler: Any) -> HandlerInfo:
    """Describe an aiogram `HandlerObject`."""
    callback = _unwrap(handler.callback)
    qualname = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    module = getattr(callback, "__module__", None) or ""
    name = qualname.rpartition("<locals>.")[2]
    if name == "<lambda>":
        code = callback.__code__
        name = f"<lambda> {Path(code.co_filename).name}:{code.co_firstlineno}"
    owner = getattr(handler.callback, "__self__", None)
    internal = name.endswith("._listen_update") and hasattr(owner, "feed_update")  # a Dispatcher's own step
    return HandlerInfo(name, f"{module}.{qualname}", frozenset(_commands(handler.filters or ())), internal)


def _unwrap(callback: Any) -> Any:
    """Return what the bot's author wrote, behind partial, functools.wraps and aiogram's scenes."""
    for _ in range(20):
        if isinstance(callback, partial):
            callback = callback.func
        elif type(callback).__name__ == "SceneHandlerWrapper":
            inner = callback.handler.callback
            # `on.message.exit()` has no function of its own: the scene is what there is to name.
            callback = callback.scene if getattr(inner, "__name__", "") == "_empty_handler" else inner
        elif hasattr(callback, "__wrapped__"):
            callback = inspect.unwrap(callback)
        elif getattr(callback, "__name__", "") == "enter_to_scene_handler":
            return inspect.getclosurevars(callback).nonlocals.get("cls", callback)  # `Scene.as_handler()`
        else:
            break
    return callback


def _commands(filters: Iterable[Any]) -> Iterable[str]:
    """Yield the commands in Command filters, also inside or_f, and_f and ~. Patterns are open-ended, so left out."""
    for each in filters:
        callback = getattr(each, "callback", each)
        for command in getattr(callback, "commands", ()) or ():
            if isinstance(command, str):
                yield command.lower()
        nested = getattr(callback, "targets", None) or getattr(callback, "target", None)
        if nested is not None:
            yield from _commands(nested if isinstance(nested, list | tuple) else (nested,))


def router_name(data: Mapping[str, Any]) -> str | None:
    """Return the name that the bot's author gave the router; aiogram names the others by their address in memory."""
    name = getattr(data.get("event_router"), "name", None)
    return None if name is None or name.startswith("0x") else str(name)
