"""What the Bot API server remembers of one bot: its updates, how they are fetched, its webhook and its chats."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelbot.demo import telegram

if TYPE_CHECKING:
    from otelbot.demo.telegram import Json
    from otelbot.demo.waiting import Changes

_WEBHOOK_IS_ACTIVE = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
LIMIT = 100  # updates in one answer, as in Telegram
LONGEST_POLL = 50.0  # seconds, as in Telegram


class ApiError(Exception):
    """An error answer of the Bot API."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.description = description


@dataclass
class Call:
    """A Bot API call that the server got. `status` is None until it is answered and 0 when the connection was cut."""

    token: str
    method: str
    params: Json
    at: float
    status: int | None = None
    result: Any = None
    in_webhook: bool = False


@dataclass
class Webhook:
    url: str
    secret_token: str | None
    max_connections: int
    last_error: str | None = None


@dataclass
class BotState:
    token: str
    changes: Changes
    pending: dict[int, Json] = field(default_factory=dict)
    next_id: int = 1
    allowed_updates: list[str] = field(default_factory=list)
    webhook: Webhook | None = None
    chats: dict[int, Json] = field(default_factory=dict)
    commands: list[Json] = field(default_factory=list)
    _poll: asyncio.Future[str] | None = None

    @property
    def bot_id(self) -> int:
        head = self.token.partition(":")[0]
        return int(head) if head.isdigit() else 1

    def add(self, update: Json) -> int:
        """Queue an update if the bot wants its kind, and return the id it got."""
        update_id, self.next_id = self.next_id, self.next_id + 1
        kind = next(iter(update))
        if not self.allowed_updates or kind in self.allowed_updates:
            self.pending[update_id] = {"update_id": update_id, **update}
            content = update[kind]
            if isinstance(content, dict):
                seen = content.get("chat") or content.get("message", {}).get("chat")
                if seen:
                    self.chats[seen["id"]] = seen
            self._wake("")
        return update_id

    def chat(self, chat_id: int | str) -> Json:
        """Return the chat as the bot met it, or as its id suggests."""
        known = self.chats.get(chat_id) if isinstance(chat_id, int) else None
        return known or telegram.chat(chat_id)

    async def get_updates(self, params: Json) -> list[Json]:
        """Answer `getUpdates`: confirm what the offset has passed, then wait until there is something or time is up."""
        if self.webhook is not None:
            raise ApiError(409, f"Conflict: {_WEBHOOK_IS_ACTIVE}")
        # Only one request at a time: the newer one ends the older one.
        self._wake("terminated by other getUpdates request; make sure that only one bot instance is running")
        if params.get("allowed_updates") is not None:
            self.allowed_updates = list(params["allowed_updates"])
        offset = int(params.get("offset") or 0)
        if offset < 0:
            offset = next(iter(list(self.pending)[offset:]), 0)
        for update_id in [known for known in self.pending if known < offset]:
            del self.pending[update_id]
        self.changes.tell()
        limit = min(max(int(params.get("limit") or LIMIT), 1), LIMIT)
        if not self.pending and (patience := min(float(params.get("timeout") or 0), LONGEST_POLL)) > 0:
            await self._wait(patience)
        return list(self.pending.values())[:limit]

    async def _wait(self, seconds: float) -> None:
        poll: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._poll = poll
        done, _ = await asyncio.wait({poll}, timeout=seconds)
        if self._poll is poll:
            self._poll = None
        if done and poll.result():
            raise ApiError(409, f"Conflict: {poll.result()}")

    def set_webhook(self, params: Json) -> bool:
        """Apply `setWebhook`; an empty url removes the webhook."""
        if params.get("drop_pending_updates"):
            self.pending.clear()
        if params.get("allowed_updates") is not None:
            self.allowed_updates = list(params["allowed_updates"])
        url = params.get("url")
        if url:
            self.webhook = Webhook(url, params.get("secret_token"), int(params.get("max_connections") or 40))
            self._wake("terminated by setWebhook request")
        else:
            self.webhook = None
        return True

    def set_commands(self, commands: list[Json]) -> bool:
        self.commands = list(commands)
        return True

    def webhook_info(self) -> Json:
        info: Json = {
            "url": self.webhook.url if self.webhook else "",
            "has_custom_certificate": False,
            "pending_update_count": len(self.pending),
        }
        if self.allowed_updates:
            info["allowed_updates"] = self.allowed_updates
        if self.webhook and self.webhook.last_error:
            info["last_error_message"] = self.webhook.last_error
        return info

    def close(self) -> None:
        """End a waiting `getUpdates` with an empty answer."""
        self._wake("")

    def _wake(self, conflict: str) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(conflict)
