"""One message to one target: an e-mail server, a webhook, or one of the Telegram chats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot.alerts.channels import proxies, smtp, telegram, webhook
from otelbot.alerts.channels.outcome import Outcome, Result

if TYPE_CHECKING:
    from otelbot.alerts.channels.message import Message
    from otelbot.alerts.channels.settings import Channels

_TIMEOUT = 15.0


def targets(channels: Channels) -> list[str]:
    """Return the names of all that messages go to: `telegram 55`, `email`, `webhook`."""
    chats = channels.telegram.chats if channels.telegram else ()
    rest = (name for name in channels.names if name != "telegram")
    return [*(f"telegram {chat}" for chat in chats), *rest]


def send(channels: Channels, target: str, message: Message) -> Outcome:
    """Send, which takes up to some 15 seconds for each answer that is waited for; raises nothing."""
    try:
        result = _send(channels, target, message)
    except Exception as error:
        # One of a library that we do not know of: what was done until then nobody can tell.
        result = Result("unknown", f"sending failed ({type(error).__name__})")
    return Outcome(target, result.status, result.detail, result.after)


def _send(channels: Channels, target: str, message: Message) -> Result:
    if target == "email" and channels.email:
        return smtp.send(channels.email, message.subject, message.plain)
    # Of its own for each message: on a connection that was kept nobody knows whether the server still has it.
    http = proxies.Web(channels.proxy, _TIMEOUT)
    if target == "webhook" and channels.webhook:
        return webhook.send(http, channels.webhook, message.payload)
    for chat in channels.telegram.chats if channels.telegram else ():
        if channels.telegram and target == f"telegram {chat}":
            return telegram.send(http, channels.telegram, chat, message.telegram)
    return Result("refused", f"{target} is no longer set")
