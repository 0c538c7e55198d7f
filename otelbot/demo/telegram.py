"""What Telegram would say: updates as a user makes them, and results as the Bot API types them."""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

_COMMAND = re.compile(r"/[A-Za-z0-9_]+(@\w+)?")
_PHOTO: Json = {
    "file_id": "photo-small",
    "file_unique_id": "photo-small-u",
    "width": 90,
    "height": 90,
    "file_size": 900,
}
_ids = itertools.count(1)


def user(user_id: int = 4242, first_name: str = "Mina") -> Json:
    return {"id": user_id, "is_bot": False, "first_name": first_name, "language_code": "en"}


def chat(chat_id: int | str, chat_type: str | None = None, first_name: str = "Mina") -> Json:
    """Describe a chat; without a type, positive ids are people and negative ones groups, as in Telegram."""
    if isinstance(chat_id, str):
        return {"id": -1000000000001, "type": "channel", "title": chat_id.lstrip("@"), "username": chat_id.lstrip("@")}
    kind = chat_type or ("private" if chat_id > 0 else "supergroup")
    return {
        "id": chat_id,
        "type": kind,
        **({"first_name": first_name} if kind == "private" else {"title": "Tea lovers"}),
    }


def message(text: str | None, in_chat: Json, sender: Json, **content: Any) -> Json:
    """Make a message, with a `bot_command` entity when its text starts with a command."""
    made: Json = {"message_id": next(_ids), "date": int(time.time()), "chat": in_chat, "from": sender, **content}
    if text is not None:
        made["text"] = text
        if found := _COMMAND.match(text):
            made["entities"] = [{"type": "bot_command", "offset": 0, "length": found.end()}]
    return made


def message_update(
    text: str | None = None,
    *,
    user_id: int = 4242,
    chat_id: int | None = None,
    chat_type: str = "private",
    first_name: str = "Mina",
    **content: Any,
) -> Json:
    """Make an update (without its id) with a message; `content` is for other fields, such as `photo`."""
    where = chat(user_id if chat_id is None else chat_id, chat_type, first_name)
    return {"message": message(text, where, user(user_id, first_name), **content)}


def photo_update(file_id: str, *, user_id: int = 4242, first_name: str = "Mina", caption: str | None = None) -> Json:
    """Make an update (without its id) with a photo in one size, which `BotApiServer.add_file` knows by `file_id`."""
    sizes = [{**_PHOTO, "file_id": file_id, "file_unique_id": f"{file_id}-u"}]
    update = message_update(None, user_id=user_id, first_name=first_name, photo=sizes)
    if caption is not None:
        update["message"]["caption"] = caption
    return update


def callback_update(
    data: str, *, user_id: int = 4242, message_id: int = 1, first_name: str = "Mina", text: str = "Choose"
) -> Json:
    """Make an update (without its id) for a pressed inline button below the message `message_id`."""
    below = {**message(text, chat(user_id, first_name=first_name), bot_user(1)), "message_id": message_id}
    return {
        "callback_query": {
            "id": str(next(_ids)),
            "from": user(user_id, first_name),
            "message": below,
            "chat_instance": str(user_id),
            "data": data,
        }
    }


def bot_user(bot_id: int) -> Json:
    return {"id": bot_id, "is_bot": True, "first_name": "Tea shop", "username": f"shop{bot_id}_bot"}


def me(bot_id: int) -> Json:
    """Answer `getMe`."""
    abilities = ("can_join_groups", "can_connect_to_business", "has_main_web_app")
    lacks = ("can_read_all_group_messages", "supports_inline_queries")
    return {**bot_user(bot_id), **dict.fromkeys(abilities, True), **dict.fromkeys(lacks, False)}


def _file(file_id: str, **more: Any) -> Json:
    return {"file_id": file_id, "file_unique_id": f"{file_id}-u", **more}


def _invoice(params: Json) -> Json:
    plain = {name: params.get(name, "") for name in ("title", "description", "currency", "start_parameter")}
    return plain | {"total_amount": sum(int(price["amount"]) for price in params.get("prices", []))}


# What a message holds besides texts, by the `send…` method that makes it.
_CONTENT: dict[str, Callable[[Json], Any]] = {
    "photo": lambda _: [_PHOTO],
    "document": lambda _: _file("document-1"),
    "audio": lambda _: _file("audio-1", duration=1),
    "voice": lambda _: _file("voice-1", duration=1),
    "video": lambda _: _file("video-1", duration=1, width=90, height=90),
    "animation": lambda _: _file("animation-1", duration=1, width=90, height=90),
    "location": lambda params: {name: float(params[name]) for name in ("latitude", "longitude")},
    "contact": lambda params: {name: params[name] for name in ("phone_number", "first_name")},
    "dice": lambda params: {"emoji": params.get("emoji") or "🎲", "value": 4},
    "invoice": _invoice,
}


def sent(method: str, params: Json, bot_id: int, in_chat: Json) -> Json:
    """Return the message that a `send…`, `edit…` or `forward…` call makes."""
    made = message(None, in_chat, bot_user(bot_id))
    if isinstance(params.get("message_id"), int) and method.startswith("edit"):
        made |= {"message_id": params["message_id"], "edit_date": made["date"]}
    if "text" in params:
        made["text"] = params["text"]
    if "caption" in params:
        made["caption"] = params["caption"]
    markup = params.get("reply_markup")
    if isinstance(markup, dict) and "inline_keyboard" in markup:
        made["reply_markup"] = markup
    content = method.removeprefix("send").lower()
    if make := _CONTENT.get(content):
        made[content] = make(params)
    return made


def full_chat(in_chat: Json) -> Json:
    """Answer `getChat`."""
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    accepted = dict.fromkeys(gifts, True)
    return {**in_chat, "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": accepted}
