"""Delivers updates to a bot's webhook, and takes the method that the bot may return in its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from otelbot.demo import params as reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otelbot.demo.bot_state import BotState, Webhook
    from otelbot.demo.telegram import Json

ATTEMPTS = 5
PAUSE = 0.2  # seconds between attempts; Telegram waits longer, but nobody looks at a demo for so long
PATIENCE = aiohttp.ClientTimeout(total=60)


class Deliveries:
    """One task per update that is on its way, at most `max_connections` requests at once."""

    def __init__(self, bot: BotState, execute: Callable[[str, Json], Awaitable[None]]) -> None:
        self._bot = bot
        self._execute = execute
        self._session: aiohttp.ClientSession | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def restart(self) -> None:
        """Stop what is on its way, which stays pending, and begin again with the webhook as it is now."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._gate = asyncio.Semaphore(self._bot.webhook.max_connections if self._bot.webhook else 1)
        self.send()

    def send(self) -> None:
        """Start with the updates that are pending and not yet on their way."""
        webhook = self._bot.webhook
        if webhook is None:
            return
        for update_id, update in self._bot.pending.items():
            if update_id not in self._tasks:
                self._tasks[update_id] = asyncio.create_task(self._deliver(webhook, update_id, update))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, webhook: Webhook, update_id: int, update: Json) -> None:
        async with self._gate:
            for attempt in range(ATTEMPTS):
                if attempt:
                    await asyncio.sleep(PAUSE)
                problem = await self._post(webhook, update)
                if problem is None:
                    break
                webhook.last_error = problem
        # Given up after the last attempt: an update that a bot can't take must not come for ever.
        self._bot.pending.pop(update_id, None)
        self._tasks.pop(update_id, None)
        self._bot.changes.tell()

    async def _post(self, webhook: Webhook, update: Json) -> str | None:
        """Return what went wrong, or None."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=PATIENCE)
        headers = {"X-Telegram-Bot-Api-Secret-Token": webhook.secret_token} if webhook.secret_token else None
        try:
            async with self._session.post(webhook.url, json=update, headers=headers) as response:
                if not 200 <= response.status < 300:
                    return f"Wrong response from the webhook: {response.status} {response.reason}"
                answer = await _read(response)
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            return f"Connection failed: {type(error).__name__}"
        method = answer.pop("method", None)
        if isinstance(method, str):
            await self._execute(method, answer)
        return None


async def _read(response: aiohttp.ClientResponse) -> Json:
    if response.content_type == "multipart/form-data":
        return await reading.of_multipart(aiohttp.MultipartReader.from_response(response))
    if response.content_type == "application/json":
        body = await response.json()
        return body if isinstance(body, dict) else {}
    return {}
