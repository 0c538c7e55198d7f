"""The Bot API server answers as Telegram does, to aiogram and to plain HTTP clients."""

from __future__ import annotations

import asyncio
import io

import aiohttp
import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import SendMessage  # noqa: TC002 - aiogram reads the annotations
from aiogram.types import BotCommand, BufferedInputFile, LabeledPrice, Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from otelbot.demo.bot_api import BotApiServer, callback_update, message_update, photo_update

TOKEN = "424242:" + "A" * 35
METHODS = f"/bot{TOKEN}"


@pytest.fixture
async def api():
    async with BotApiServer() as server:
        yield server


@pytest.fixture
async def bot(api):
    session = AiohttpSession(api=TelegramAPIServer.from_base(api.url))
    async with Bot(TOKEN, session=session).context() as made:
        yield made


@pytest.fixture
async def http(api):
    async with aiohttp.ClientSession(api.url) as session:
        yield session


async def test_typed_results(api, bot):
    me = await bot.get_me()
    assert (me.id, me.is_bot, me.username) == (424242, True, "shop424242_bot")
    message = await bot.send_message(7, "[tea]")
    assert (message.chat.id, message.chat.type, message.text) == (7, "private", "[tea]")
    edited = await bot.edit_message_text("less", chat_id=7, message_id=message.message_id)
    assert (edited.message_id, edited.text) == (message.message_id, "less")
    photo = await bot.send_photo(-5, BufferedInputFile(b"123", "a.jpg"), caption="see")
    assert photo.photo
    assert (photo.chat.type, photo.caption) == ("supergroup", "see")
    price = LabeledPrice(label="Tea", amount=300)
    invoice = await bot.send_invoice(
        7, title="Tea", description="Black", payload="p", provider_token="", currency="EUR", prices=[price]
    )
    assert invoice.invoice.total_amount == 300
    assert (await bot.send_document(7, BufferedInputFile(b"1", "a.txt"))).document
    assert (await bot.send_dice(7)).dice.value == 4
    assert await bot.answer_callback_query("1") is True
    assert await bot.send_chat_action(7, "typing") is True
    assert await bot.delete_message(7, 1) is True
    assert await bot.set_my_commands([BotCommand(command="start", description="Start")]) is True
    assert [command.command for command in await bot.get_my_commands()] == ["start"]
    assert (await bot.get_chat("@leaves")).username == "leaves"
    assert (await bot.get_chat_member(7, 8)).user.id == 8
    assert (await bot.copy_message(7, 8, 9)).message_id
    call = await api.wait_for_call("sendPhoto")
    assert (call.params["chat_id"], call.status, call.token) == (-5, 200, TOKEN)


async def test_bad_requests(bot):
    with pytest.raises(TelegramBadRequest, match="message text is empty"):
        await bot.send_message(7, " ")
    with pytest.raises(TelegramBadRequest, match="wrong file_id"):
        await bot.get_file("nothing")


async def test_each_encoding_gives_the_same_parameters(api, http):
    fields = {"chat_id": 7, "text": "tea"}
    await http.get(f"{METHODS}/sendMessage", params=fields)
    await http.post(f"{METHODS}/sendMessage", json=fields)
    await http.post(f"{METHODS}/sendMessage", data=fields)
    multipart = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        multipart.append(str(value)).set_content_disposition("form-data", name=name)
    await http.post(f"{METHODS}/sendMessage", data=multipart)
    assert [call.params for call in api.calls] == [fields] * 4
    async with http.post(f"{METHODS}/sendMessage", data=b"{", headers={"Content-Type": "application/json"}) as broken:
        assert broken.status == 400


async def test_offset_limit_and_allowed_updates(api, http):
    async def get(**params):
        async with http.get(f"{METHODS}/getUpdates", params=params) as response:
            return [update["update_id"] for update in (await response.json())["result"]]

    ids = [api.push(TOKEN, message_update(str(n))) for n in range(5)]
    assert await get() == ids
    assert await get(limit=2) == ids[:2]
    assert await get(offset=ids[2]) == ids[2:]
    assert await get() == ids[2:]  # the confirmed ones are gone
    assert await get(offset=-1) == ids[-1:]
    assert await get() == ids[-1:]
    assert await get(offset=ids[-1] + 1, allowed_updates='["callback_query"]') == []
    await api.wait_until_drained(TOKEN)
    api.push(TOKEN, message_update("not wanted"))
    wanted = api.push(TOKEN, callback_update("wanted"))
    assert await get() == [wanted]


async def test_commands_get_an_entity():
    message = message_update("/start now")["message"]
    assert message["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
    assert "entities" not in message_update("start")["message"]


async def test_long_poll_ends_with_an_update(api, bot):
    poll = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    assert not poll.done()
    api.push(TOKEN, message_update("/start"))
    assert (await poll)[0].message.text == "/start"


async def test_long_poll_ends_when_its_time_is_up(bot):
    assert await bot.get_updates(timeout=1) == []


async def test_second_poll_ends_the_first(api, bot):
    first = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(bot.get_updates(timeout=30))
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates"):
        await first
    api.push(TOKEN, message_update("tea"))
    assert len(await second) == 1


async def test_no_polling_beside_a_webhook(bot):
    waiting = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    await bot.set_webhook("http://127.0.0.1:1/hook")
    with pytest.raises(TelegramConflictError, match="terminated by setWebhook"):
        await waiting
    with pytest.raises(TelegramConflictError, match="webhook is active"):
        await bot.get_updates()
    assert (await bot.get_webhook_info()).url.endswith("/hook")
    await bot.delete_webhook()
    assert await bot.get_updates() == []


async def test_server_stops_while_a_poll_waits(bot):
    poll = asyncio.create_task(bot.get_updates(timeout=40, request_timeout=50))
    await asyncio.sleep(0.05)
    assert not poll.done()
    poll.cancel()


async def test_unknown_tokens_are_unauthorized():
    async with BotApiServer(tokens=[TOKEN]) as api, aiohttp.ClientSession() as http:
        async with http.get(f"{api.url}/bot1:x/getMe") as response:
            assert response.status == 401
            assert await response.json() == {"ok": False, "error_code": 401, "description": "Unauthorized"}
        async with Bot("1:x", session=AiohttpSession(api=TelegramAPIServer.from_base(api.url))).context() as stranger:
            with pytest.raises(TelegramUnauthorizedError):
                await stranger.get_me()


async def test_bots_have_queues_of_their_own(api, bot):
    other = "77:" + "B" * 35
    api.push(other, message_update("for the other"))
    assert await bot.get_updates() == []
    async with Bot(other, session=AiohttpSession(api=TelegramAPIServer.from_base(api.url))).context() as second:
        assert len(await second.get_updates()) == 1


async def test_errors(api, bot, http):
    api.fail("sendMessage", 429, "Too Many Requests: retry after 3", retry_after=3)
    api.fail("sendMessage", 403, "Forbidden: bot was blocked by the user")
    api.fail("sendMessage", 400, "Bad Request: upgraded", migrate_to_chat_id=-1009)
    api.fail("sendMessage", 500, "Internal Server Error")
    with pytest.raises(TelegramRetryAfter) as limited:
        await bot.send_message(1, "a")
    assert limited.value.retry_after == 3
    with pytest.raises(TelegramForbiddenError):
        await bot.send_message(1, "a")
    with pytest.raises(TelegramMigrateToChat):
        await bot.send_message(1, "a")
    with pytest.raises(TelegramServerError):
        await bot.send_message(1, "a")
    assert await bot.send_message(1, "a")
    assert [call.status for call in api.calls] == [429, 403, 400, 500, 200]

    api.fail("getMe", 429, "Too Many Requests: retry after 3", retry_after=3, times=None, token="1:other")
    async with http.get(f"{METHODS}/getMe") as response:
        assert response.status == 200
    api.fail("getMe", 429, "Too Many Requests: retry after 3", retry_after=3, times=None)
    async with http.get(f"{METHODS}/getMe") as response:
        assert await response.json() == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 3",
            "parameters": {"retry_after": 3},
        }
    api.clear_faults()
    async with http.get(f"{METHODS}/getMe") as response:
        assert response.status == 200


async def test_broken_connections_and_answers(api, bot):
    api.cut("sendMessage")
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(1, "a")
    api.cut("sendMessage", after_headers=True)
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(1, "a")
    api.garble("sendMessage")
    with pytest.raises(ClientDecodeError):
        await bot.send_message(1, "a")
    api.redirect("sendMessage", f"{api.url}/bot{TOKEN}/sendMessage", times=None)
    api.redirect("getMe", f"{api.url}/bot{TOKEN}/getMe", times=None)
    with pytest.raises(TelegramNetworkError, match="TooManyRedirects"):
        await bot.get_me()
    api.clear_faults()
    assert [call.status for call in api.calls[:3]] == [0, 0, 200]


async def test_late_answers(api, bot):
    api.hang("sendMessage", 30)
    with pytest.raises(TelegramNetworkError, match="timeout"):
        await bot.send_message(1, "a", request_timeout=1)
    api.latency = 0.01
    assert await bot.get_me()


async def test_files(api, bot):
    api.add_file("leaf", "photos/leaf 1.jpg", b"\xff\xd8leaf")
    api.push(TOKEN, photo_update("leaf", caption="mine"))
    (update,) = await bot.get_updates()
    file = await bot.get_file(update.message.photo[-1].file_id)
    target = io.BytesIO()
    await bot.download_file(file.file_path, target)
    assert target.getvalue() == b"\xff\xd8leaf"
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        await bot.download_file("photos/other.jpg", io.BytesIO())
    api.cut("file", after_headers=True)
    with pytest.raises(aiohttp.ClientPayloadError):
        await bot.download_file(file.file_path, io.BytesIO())
    assert [call.status for call in api.calls if call.method == "file"] == [200, 404, 0]


class Hook:
    """A bot behind a webhook."""

    def __init__(self, bot, secret="s3cret", **handler_options):
        self.dispatcher = Dispatcher()
        app = web.Application()
        handler = SimpleRequestHandler(self.dispatcher, bot, secret_token=secret, **handler_options)
        handler.register(app, "/hook")
        self.runner = web.AppRunner(app)

    async def __aenter__(self):
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()


@pytest.mark.parametrize("background", [False, True])
async def test_webhook_delivery_with_a_reply(api, bot, background):
    async with Hook(bot, handle_in_background=background) as hook:

        @hook.dispatcher.message()
        async def reply(message: Message) -> SendMessage:
            return message.answer("[you said] " + message.text)

        api.push(TOKEN, message_update("before", user_id=5))  # what is pending goes to the webhook as well
        await bot.set_webhook(hook.url, secret_token="s3cret")
        api.push(TOKEN, message_update("after", user_id=5))
        await api.wait_until_drained(TOKEN)
        call = await api.wait_for_call("sendMessage", 2)
        assert (call.status, call.params["chat_id"], call.in_webhook) == (200, 5, not background)
        assert {c.params["text"] for c in api.calls if c.method == "sendMessage"} == {
            "[you said] before",
            "[you said] after",
        }


async def test_webhook_is_tried_again_and_given_up(api, bot, monkeypatch):
    monkeypatch.setattr("otelbot.demo.webhooks.PAUSE", 0.01)
    seen = []

    async def refuse(request):
        seen.append(await request.json())
        return web.Response(status=500)

    app = web.Application()
    app.router.add_post("/hook", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await bot.set_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    api.push(TOKEN, message_update("tea"))
    await api.wait_until_drained(TOKEN)
    assert len(seen) == 5
    assert "500" in (await bot.get_webhook_info()).last_error_message
    await runner.cleanup()


async def test_waiting_in_vain_says_for_what(api):
    with pytest.raises(TimeoutError, match=r"0\.01 s in vain for 1 x sendMessage"):
        await api.wait_for_call("sendMessage", timeout=0.01)
