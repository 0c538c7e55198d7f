"""The Bot API's methods: what each answers when all goes well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otelbot.demo import telegram
from otelbot.demo.bot_state import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelbot.demo.bot_state import BotState
    from otelbot.demo.telegram import Json

# Methods named `send…` that answer true instead of a message.
_NO_MESSAGE = {"sendChatAction", "sendMessageDraft"}


def answer(bot: BotState, method: str, params: Json, files: Mapping[str, tuple[str, bytes]]) -> Any:
    """Return the result of a method, or true when nothing better is known.

    :raises ApiError: for what Telegram answers with 400.
    """
    if method == "getFile":
        return _file(params, files)
    if known := _ANSWERS.get(method):
        return known(bot, params)
    return _message(bot, method, params) if _makes_message(method, params) else True


def _makes_message(method: str, params: Json) -> bool:
    if method.startswith("send"):
        return method not in _NO_MESSAGE
    # Without a chat it is an inline message that is edited, and the answer is true.
    return method == "forwardMessage" or (method.startswith("editMessage") and "chat_id" in params)


def _chat(bot: BotState, params: Json) -> Json:
    if params.get("chat_id") in {None, ""}:
        raise ApiError(400, "Bad Request: chat_id is empty")
    return bot.chat(params["chat_id"])


def _message(bot: BotState, method: str, params: Json) -> Json:
    chat = _chat(bot, params)
    if method in {"sendMessage", "editMessageText"}:
        text = str(params.get("text") or "").strip()
        if not text:
            raise ApiError(400, "Bad Request: message text is empty")
        if len(text) > 4096:
            raise ApiError(400, "Bad Request: message is too long")
    return telegram.sent(method, params, bot.bot_id, chat)


def _file(params: Json, files: Mapping[str, tuple[str, bytes]]) -> Json:
    file_id = str(params.get("file_id", ""))
    if file_id not in files:
        raise ApiError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    path, content = files[file_id]
    return {"file_id": file_id, "file_unique_id": f"{file_id}-u", "file_size": len(content), "file_path": path}


def _delete_webhook(bot: BotState, params: Json) -> bool:
    return bot.set_webhook({"drop_pending_updates": params.get("drop_pending_updates")})


_ANSWERS: dict[str, Callable[[BotState, Json], Any]] = {
    "getMe": lambda bot, _: telegram.me(bot.bot_id),
    "setWebhook": lambda bot, params: bot.set_webhook(params),
    "deleteWebhook": _delete_webhook,
    "getWebhookInfo": lambda bot, _: bot.webhook_info(),
    "setMyCommands": lambda bot, params: bot.set_commands(params.get("commands") or []),
    "deleteMyCommands": lambda bot, _: bot.set_commands([]),
    "getMyCommands": lambda bot, _: bot.commands,
    "getMyName": lambda *_: {"name": "Tea shop"},
    "getMyDescription": lambda *_: {"description": "Sells tea"},
    "getMyShortDescription": lambda *_: {"short_description": "Tea"},
    "getChat": lambda bot, params: telegram.full_chat(_chat(bot, params)),
    "getChatMember": lambda _, params: {"status": "member", "user": telegram.user(int(params["user_id"]))},
    "getChatMemberCount": lambda *_: 2,
    "getUserProfilePhotos": lambda *_: {"total_count": 0, "photos": []},
    "createInvoiceLink": lambda *_: "https://t.me/$otelbot",
    "exportChatInviteLink": lambda *_: "https://t.me/+otelbot",
    "copyMessage": lambda bot, params: {"message_id": _message(bot, "copyMessage", params)["message_id"]},
    "sendMediaGroup": lambda bot, params: [_message(bot, "sendMediaGroup", params) for _ in params.get("media") or []],
}
