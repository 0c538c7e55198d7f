"""A Bot API server on 127.0.0.1: real HTTP, real long polling and webhooks, and faults on demand.

It is as strict as Telegram in what matters to a bot's telemetry: an error is never answered with 200, `offset`
confirms, a second `getUpdates` ends the first with 409.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from otelbot.demo import faults, methods, params
from otelbot.demo.bot_state import ApiError, BotState, Call
from otelbot.demo.faults import Fault, Faults
from otelbot.demo.telegram import callback_update, message_update, photo_update
from otelbot.demo.waiting import PATIENCE, Changes
from otelbot.demo.webhooks import Deliveries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from otelbot.demo.telegram import Json

__all__ = ["BotApiServer", "Call", "callback_update", "message_update", "photo_update"]

_BIGGEST_UPLOAD = 64 * 2**20
_CHANGE_DELIVERY = {"setWebhook", "deleteWebhook"}


class BotApiServer:
    """`async with BotApiServer() as api:`, then point a bot at `api.url` with `TelegramAPIServer.from_base`."""

    def __init__(self, tokens: Iterable[str] | None = None, port: int = 0) -> None:
        """:param tokens: the known ones; None accepts every token.
        :param port: 0 takes a free one.
        """
        self.tokens = None if tokens is None else set(tokens)
        self.port = port
        self.calls: list[Call] = []
        self.latency = 0.0  # seconds added to every call
        self._files: dict[str, tuple[str, bytes]] = {}
        self._bots: dict[str, BotState] = {}
        self._deliveries: dict[str, Deliveries] = {}
        self._faults = Faults()
        self._changes = Changes()
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_BIGGEST_UPLOAD)
        app.router.add_route("*", "/bot{token}/{method}", self._on_call)
        app.router.add_get("/file/bot{token}/{path:.+}", self._on_file)
        app.on_shutdown.append(self._on_shutdown)
        # A client that goes away takes its long poll with it; access logs would hold tokens.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    # Updates and files

    def push(self, token: str, update: Json) -> int:
        """Queue an update, given without its id, for the bot and return the id."""
        update_id = self._bot(token).add(update)
        self._deliveries[token].send()
        return update_id

    def add_file(self, file_id: str, path: str, content: bytes) -> None:
        """Make a file known to `getFile` and to downloads."""
        self._files[file_id] = (path, content)

    # Waiting

    async def wait_for_call(
        self,
        method: str,
        count: int = 1,
        timeout: float = PATIENCE,
        *,
        after: int = 0,
        where: Callable[[Call], bool] = lambda _: True,
    ) -> Call:
        """Return the `count`-th answered call of a method.

        :param after: skip that many of `calls`.
        :raises TimeoutError: when it has not come within `timeout` seconds.
        """

        def look() -> Call | None:
            fits = (c for c in self.calls[after:] if c.method == method and c.status is not None and where(c))
            return next((call for number, call in enumerate(fits, 1) if number == count), None)

        return await self._changes.until(look, timeout, f"{count} x {method}")

    async def wait_until_drained(self, token: str, timeout: float = PATIENCE) -> None:
        """Wait until the bot has confirmed every update, or its webhook has taken them."""
        bot = self._bot(token)
        await self._changes.until(lambda: not bot.pending, timeout, "the updates to be taken")

    # Faults

    def fail(
        self,
        method: str,
        status: int,
        description: str,
        *,
        retry_after: int | None = None,
        migrate_to_chat_id: int | None = None,
        times: int | None = 1,
        token: str | None = None,
    ) -> None:
        """Answer the next calls with an error; `times=None` is for ever. Downloads are the method `file`."""

        def make() -> web.Response:
            return faults.error(status, description, retry_after=retry_after, migrate_to_chat_id=migrate_to_chat_id)

        self._faults.add(Fault(method, faults.answering(make), times, token))

    def cut(self, method: str, times: int | None = 1, *, after_headers: bool = False, token: str | None = None) -> None:
        """Close the connection without an answer, or in the middle of its body."""
        self._faults.add(Fault(method, faults.cutting(after_headers=after_headers), times, token))

    def redirect(self, method: str, location: str, times: int | None = 1, *, token: str | None = None) -> None:
        self._faults.add(
            Fault(
                method,
                faults.answering(lambda: web.Response(status=302, headers={"Location": location})),
                times,
                token,
            )
        )

    def garble(
        self,
        method: str,
        body: bytes = b"not json",
        status: int = 200,
        times: int | None = 1,
        *,
        token: str | None = None,
    ) -> None:
        """Answer with something that is not the Bot API's JSON."""

        def make() -> web.Response:
            return web.Response(body=body, status=status, content_type="application/json")

        self._faults.add(Fault(method, faults.answering(make), times, token))

    def hang(self, method: str, seconds: float, times: int | None = 1, *, token: str | None = None) -> None:
        """Answer the next calls only after `seconds`."""
        self._faults.add(Fault(method, faults.hanging(seconds, self._closing), times, token))

    def clear_faults(self) -> None:
        self._faults.clear()

    # HTTP

    async def _on_call(self, request: web.Request) -> web.StreamResponse:
        token, method = request.match_info["token"], request.match_info["method"]
        try:
            given = await params.of_request(request)
        except ValueError:
            return faults.error(400, "Bad Request: can't parse the request's body")
        call = Call(token, method, given, time.time())

        async def answer() -> web.StreamResponse:
            call.result = await self._execute(call)
            return web.json_response({"ok": True, "result": call.result})

        return await self._serve(request, call, answer)

    async def _on_file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]

        async def answer() -> web.StreamResponse:
            for known, content in self._files.values():
                if known == path:
                    return web.Response(body=content, content_type="application/octet-stream")
            raise ApiError(404, "Not Found")

        call = Call(request.match_info["token"], "file", {"path": path}, time.time())
        return await self._serve(request, call, answer)

    async def _serve(self, request: web.Request, call: Call, answer: Any) -> web.StreamResponse:
        self.calls.append(call)
        if self.latency:
            await asyncio.sleep(self.latency)
        response: web.StreamResponse | None = None
        if act := self._faults.take(call.method, call.token):
            response = await act(request)
        if response is None:
            try:
                if self.tokens is not None and call.token not in self.tokens:
                    raise ApiError(401, "Unauthorized")  # noqa: TRY301
                response = await answer()
            except ApiError as error:
                response = faults.error(error.status, error.description)
        cut = request.transport is None or request.transport.is_closing()
        call.status = faults.CUT if cut else response.status
        self._changes.tell()
        return response

    async def _execute(self, call: Call) -> Any:
        bot = self._bot(call.token)
        if call.method == "getUpdates":
            return await bot.get_updates(call.params)
        result = methods.answer(bot, call.method, call.params, self._files)
        if call.method in _CHANGE_DELIVERY:
            self._deliveries[call.token].restart()
        return result

    async def _execute_reply(self, token: str, method: str, given: Json) -> None:
        """Execute the method that a bot returned into its webhook; Telegram tells nobody how that went."""
        call = Call(token, method, given, time.time(), in_webhook=True)
        self.calls.append(call)
        try:
            call.result = await self._execute(call)
            call.status = 200
        except ApiError as error:
            call.status = error.status
        self._changes.tell()

    def _bot(self, token: str) -> BotState:
        if token not in self._bots:
            bot = self._bots[token] = BotState(token, self._changes)

            async def execute(method: str, given: Json) -> None:
                await self._execute_reply(token, method, given)

            self._deliveries[token] = Deliveries(bot, execute)
        return self._bots[token]

    async def _on_shutdown(self, _app: web.Application) -> None:
        self._closing.set()
        for bot in self._bots.values():
            bot.close()
        for deliveries in self._deliveries.values():
            await deliveries.close()
