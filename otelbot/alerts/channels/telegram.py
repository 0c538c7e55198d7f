"""Sends to a Telegram chat by the Bot API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import urllib3

from otelbot.alerts.channels import proxies
from otelbot.alerts.channels.outcome import Result, of_answer, of_error, reason
from otelbot.alerts.channels.values import is_url

if TYPE_CHECKING:
    from otelbot.alerts.channels.settings import Chat, Telegram

_LONGEST_WAIT = 3600.0
_NO_ADDRESS = "TELEGRAM_API_URL is not an http:// or https:// address: write the whole one"


def send(http: proxies.Web, bot: Telegram, chat: Chat, text: str) -> Result:
    """:param text: in Telegram's HTML."""
    if not is_url(bot.api):
        return Result("refused", _NO_ADDRESS)
    body: dict[str, Any] = {
        "chat_id": chat.id,
        "text": text,
        "parse_mode": "HTML",
        "disable_web_page_preview": True,
    }
    if chat.topic:
        body["message_thread_id"] = int(chat.topic)
    try:
        response = http.request("POST", f"{bot.api}/bot{bot.token}/sendMessage", json=body)
    except urllib3.exceptions.ProxyError as error:
        return Result(of_error(error), proxies.unreachable(reason(error)))
    except urllib3.exceptions.LocationValueError as error:
        return Result(of_error(error), _NO_ADDRESS)
    except urllib3.exceptions.HTTPError as error:
        return Result(
            of_error(error), f"Telegram can't be reached ({reason(error)}): mend the network, or set ALERT_PROXY"
        )
    if response.status == 200:
        return Result("sent", "sent")
    return _refusal(response, chat)


def _refusal(response: urllib3.BaseHTTPResponse, chat: Chat) -> Result:
    status = response.status
    try:
        answer: Any = json.loads(response.data)
        said = str(answer.get("description", "")).lower()
        parameters = answer.get("parameters") or {}
        parameters.get("")
    except (ValueError, AttributeError):
        return Result(of_answer(status), f"what answers with {status} is not the Bot API: mend TELEGRAM_API_URL")
    if status == 429:
        asked: Any = parameters.get("retry_after")
        wait: int = asked if isinstance(asked, int) and asked > 0 else 0
        detail = f"Telegram asks to wait {wait or 'some'} seconds: try again after that"
        return Result("retry", detail, min(wait, _LONGEST_WAIT))
    return Result(of_answer(status), _words(status, said, parameters, chat))


def _words(status: int, said: str, parameters: dict[str, Any], chat: Chat) -> str:
    if status in {401, 404}:
        return "Telegram does not know the token: copy ALERT_TELEGRAM_TOKEN from @BotFather again"
    if isinstance(new := parameters.get("migrate_to_chat_id"), int):
        return f"the group is a supergroup now: write {new} instead of {chat.id} into ALERT_TELEGRAM_CHATS"
    if chat.topic and ("thread" in said or "topic" in said):
        return f"the group has no open topic {chat.topic}: mend the number behind the colon in ALERT_TELEGRAM_CHATS"
    if "chat not found" in said:
        return f"the bot does not know {chat.id}: add it to the group, or write to it, or mend ALERT_TELEGRAM_CHATS"
    if status == 403:
        return f"the bot may not write to {chat.id}: unblock it or add it to the group, or mend ALERT_TELEGRAM_CHATS"
    if status >= 500:
        return f"Telegram has a fault of its own (status {status}): try again later"
    return f"Telegram refuses the message (status {status}): look whether the bot may write to {chat.id}"
