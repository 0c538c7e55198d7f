"""Bots that are called by Telegram: aiohttp, FastAPI, several worker processes."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import KEY, TOKEN

if TYPE_CHECKING:
    from tests.support import Program

SECRET = "correct-horse-battery-staple"
OTHER_TOKEN = "987654321:BBGgjrltLA9XnS3xTkjR8_w5UNBLejIn0U1"

AIOHTTP = f"""
    from aiohttp import web
    from aiogram.methods import SendMessage
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, TokenBasedRequestHandler, setup_application
    from opentelemetry import trace

    logging.basicConfig(level=logging.INFO)
    release = asyncio.Event()

    @dp.message(Command("reply"))
    async def reply(message):
        return SendMessage(chat_id=message.chat.id, text="in the answer")

    @dp.message(Command("answer"))
    async def answer(message):
        return SendMessage(chat_id=message.chat.id, text="in the answer")

    @dp.message(Command("linked"))
    async def linked(message):
        await message.answer("linked")

    @dp.message(Command("boom"))
    async def boom(message):
        raise ValueError("broken")

    @dp.message(Command("slow"))
    async def slow(message):
        await release.wait()
        await message.answer("at last")

    @dp.message()
    async def echo(message):
        await message.answer("echo")

    @web.middleware
    async def server_span(request, handler):
        # As an instrumentation of the server would do.
        if "traced" not in request.query:
            return await handler(request)
        with trace.get_tracer("web").start_as_current_span("POST", kind=trace.SpanKind.SERVER):
            return await handler(request)

    async def let_go(request):
        release.set()
        return web.Response()

    async def use_webhook(request):
        url = f"http://127.0.0.1:{{os.environ['PORT']}}/secret"
        await bot.set_webhook(url, secret_token="{SECRET}")
        return web.Response()

    app = web.Application(middlewares=[server_span])
    app.router.add_post("/release", let_go)
    app.router.add_post("/use_webhook", use_webhook)
    SimpleRequestHandler(dp, bot).register(app, "/background")
    SimpleRequestHandler(dp, bot, handle_in_background=False).register(app, "/foreground")
    SimpleRequestHandler(dp, bot, handle_in_background=False, _timeout=0.05).register(app, "/impatient")
    SimpleRequestHandler(dp, bot, handle_in_background=False, secret_token="{SECRET}").register(app, "/secret")
    settings = dict(session=bot.session)
    TokenBasedRequestHandler(dp, bot_settings=settings).register(app, "/bots/{{bot_token}}")
    setup_application(app, dp)
    if __name__ == "__main__":
        web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]))
"""

FASTAPI = """
    from aiogram.types import Update
    from fastapi import FastAPI, Request

    @dp.message(Command("reply"))
    async def reply(message):
        return message.answer("in the answer")

    @dp.message()
    async def echo(message):
        await message.answer("echo")

    app = FastAPI()

    @app.post("/feed_update")
    async def feed_update(request: Request):
        await dp.feed_update(bot, Update.model_validate(await request.json(), context={"bot": bot}))
        return os.getpid()

    @app.post("/feed_webhook_update")
    async def feed_webhook_update(request: Request):
        result = await dp.feed_webhook_update(bot, await request.json())
        return result and type(result).__name__
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Web:
    """A program that listens on a port, and a client that posts updates to it."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port
        self._ids = iter(range(1, 10_000))

    async def started(self) -> Web:
        for _ in range(3000):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self.program.process.returncode is not None:
                    break
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return self
        raise AssertionError(f"nothing listens: {self.program.stderr}")

    async def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.port}{path}", json=body, headers=headers) as response,
        ):
            return response.status, await response.text()

    async def update(self, path: str, text: str, **options: Any) -> tuple[int, str]:
        return await self.post(path, {"update_id": next(self._ids), **message_update(text)}, **options)


WRONG = [
    {"update_id": 1, "message": {"text": "private words", "chat": 7}},
    {"update_id": "private words", "message": {}},
    {"update_id": 3, "private_words": {"brand": "new"}, "message": {"date": "private words"}},
    ["private words"],
]


async def post_wrong_updates(bot: Web) -> list[tuple[int, str]]:
    return [await bot.post(path, body) for path in ("/foreground", "/background") for body in WRONG]


@pytest.fixture(scope="module")
def aiohttp_bot(tmp_path_factory):
    port = free_port()

    async def play(recording: Recording) -> None:
        api, notes = recording.api, recording.notes
        bot = await Web(recording.program, port).started()
        notes["background"] = await bot.update("/background", "hello")
        await bot.update("/background?traced", "/linked")
        await bot.update("/background", "/reply")
        await api.wait_for_call("sendMessage", 3)
        notes["called"] = len(api.calls)
        notes["foreground"] = await bot.update("/foreground?traced", "/answer")
        notes["boom"] = await bot.update("/foreground", "/boom")
        notes["calls_of_foreground"] = [call.method for call in api.calls[notes["called"] :]]
        notes["slow"] = await bot.update("/impatient", "/slow")
        notes["released"] = time.time_ns()
        await bot.post("/release")
        await recording.wait_for_updates(6)
        notes["wrong"] = await post_wrong_updates(bot)
        wrong_secret = {"X-Telegram-Bot-Api-Secret-Token": "wrong"}
        notes["refused"] = await bot.update("/secret", "hello", headers=wrong_secret)
        await bot.post("/use_webhook")
        api.push(TOKEN, message_update("/reply"))
        await api.wait_for_call("sendMessage", where=lambda call: call.in_webhook)
        await bot.update(f"/bots/{OTHER_TOKEN}?traced", "hello")
        await api.wait_for_call("sendMessage", where=lambda call: call.token == OTHER_TOKEN)
        await recording.wait_for_updates(16)

    return record(AIOHTTP, tmp_path_factory.mktemp("aiohttp"), play, env={"PORT": str(port)})


def test_background_webhook_begins_a_trace_that_links_to_the_http_request(aiohttp_bot):
    assert aiohttp_bot.notes["background"] == (200, "{}")
    linked = aiohttp_bot.update("message linked")
    http = next(span for span in aiohttp_bot.otlp.spans if span.span_id == linked.links[0][1])
    assert http.kind == "SERVER"
    assert linked.trace_id != http.trace_id
    assert (linked.parent_span_id, linked.attributes["telegram.update.outcome"]) == ("", "handled")
    call = aiohttp_bot.children(aiohttp_bot.children(linked)["linked"])["sendMessage"]
    assert call.attributes["http.response.status_code"] == 200
    first = next(span for span in aiohttp_bot.updates if span.name == "message echo")
    assert (first.parent_span_id, first.links) == ("", [])
    # A method that a background handler returns is called, within the update.
    replied = next(span for span in aiohttp_bot.updates if span.name == "message reply")
    assert aiohttp_bot.children(replied)["sendMessage"].attributes["http.response.status_code"] == 200


def test_foreground_webhook_is_part_of_the_http_request_and_its_answer_a_call(aiohttp_bot):
    status, body = aiohttp_bot.notes["foreground"]
    assert (status, "sendMessage" in body, "in the answer" in body) == (200, True, True)
    assert aiohttp_bot.notes["calls_of_foreground"] == []
    answered = aiohttp_bot.update("message answer")
    assert aiohttp_bot.parent(answered).kind == "SERVER"
    call = aiohttp_bot.children(answered)["sendMessage"]
    assert (call.kind, call.attributes["telegram.method"]) == ("CLIENT", "sendMessage")
    assert "http.response.status_code" not in call.attributes


def test_foreground_handler_that_fails_is_an_error_and_answered_500(aiohttp_bot):
    assert aiohttp_bot.notes["boom"][0] == 500
    boom = aiohttp_bot.update("message boom")
    assert boom.attributes["telegram.update.outcome"] == "error"
    assert boom.attributes["error.type"] == "ValueError"


def test_update_of_a_slow_foreground_handler_ends_with_the_handler(aiohttp_bot):
    assert aiohttp_bot.notes["slow"][0] == 200
    update = aiohttp_bot.update("message slow")
    assert update.end > aiohttp_bot.notes["released"]
    assert update.attributes["telegram.update.outcome"] == "handled"
    handler = aiohttp_bot.children(update)["slow"]
    assert handler.end <= update.end
    assert "sendMessage" in aiohttp_bot.children(handler)


def test_update_that_does_not_validate_is_an_error(aiohttp_bot):
    failed = [span for span in aiohttp_bot.updates if span.attributes.get("error.type") == "ValidationError"]
    assert len(failed) == 8
    assert {span.attributes["telegram.update.outcome"] for span in failed} == {"error"}
    assert {span.name for span in failed} == {"process message", "process unknown"}
    # What anybody may post to a webhook is no name and no id.
    assert {span.attributes["telegram.update.type"] for span in failed} == {"message", "unknown"}
    assert {span.attributes.get("messaging.message.id") for span in failed} == {"1", "3", None}
    assert b"private words" not in aiohttp_bot.otlp.raw
    assert b"private_words" not in aiohttp_bot.otlp.raw


def test_update_that_does_not_validate_is_answered_as_without_otelbot(aiohttp_bot, tmp_path):
    port = free_port()

    async def play(recording: Recording) -> None:
        recording.notes["wrong"] = await post_wrong_updates(await Web(recording.program, port).started())

    plain = record(AIOHTTP, tmp_path, play, env={"PORT": str(port)}, instrumented=False)
    assert plain.notes["wrong"] == aiohttp_bot.notes["wrong"]
    assert plain.otlp.raw == b""


def test_secret_of_the_webhook_and_token_in_its_path_stay_inside(aiohttp_bot):
    assert aiohttp_bot.notes["refused"][0] == 401
    assert {span.attributes["telegram.bot.id"] for span in aiohttp_bot.updates} == {"123456789", "987654321"}
    # The access log is among the records, so what is looked for was there to be found.
    assert any("POST /bots/" in str(record.body) for record in aiohttp_bot.otlp.logs)
    for secret in (SECRET, KEY, OTHER_TOKEN, OTHER_TOKEN.partition(":")[2]):
        assert secret.encode() not in aiohttp_bot.otlp.raw


def test_a_process_for_several_bots_is_none_of_them(aiohttp_bot):
    assert all("telegram.bot.id" not in span.resource for span in aiohttp_bot.updates)
    (resource,) = {
        tuple(sorted(resource.items()))
        for _, _, resource in aiohttp_bot.otlp.metrics["telegram.bot.update.active"].points
    }
    assert "telegram.bot.id" not in dict(resource)


def test_every_update_that_began_has_ended(aiohttp_bot):
    assert aiohttp_bot.program.returncode == 0
    assert {value for _, value in aiohttp_bot.points("telegram.bot.update.active")} == {0}
    assert len(aiohttp_bot.updates) == 16


def test_fastapi_bot_under_uvicorn(tmp_path):
    port = free_port()

    async def play(recording: Recording) -> None:
        bot = await Web(recording.program, port).started()
        assert (await bot.update("/feed_update", "hello"))[0] == 200
        assert await bot.update("/feed_webhook_update", "/reply") == (200, '"SendMessage"')
        await recording.wait_for_updates(2)

    command = ("uvicorn", "app:app", "--port", str(port))
    bot = record(FASTAPI, tmp_path, play, name="app.py", command=command)
    assert {span.name for span in bot.updates} == {"message echo", "message reply"}
    assert {span.attributes["telegram.update.outcome"] for span in bot.updates} == {"handled"}
    assert "sendMessage" in bot.children(bot.children(bot.update("message echo"))["echo"])
    assert "sendMessage" in bot.children(bot.update("message reply"))
    assert {span.resource["service.name"] for span in bot.otlp.spans} == {"app"}
    assert KEY.encode() not in bot.otlp.raw


SERVERS = {
    "uvicorn": (FASTAPI, "/feed_update", ("uvicorn", "app:app", "--port", "{port}", "--workers", "2")),
    "gunicorn": (
        AIOHTTP + "\n    async def pid(request):\n        await dp.feed_raw_update(bot, await request.json())\n"
        "        return web.json_response(os.getpid())\n    app.router.add_post('/feed_update', pid)\n",
        "/feed_update",
        ("gunicorn", "app:app", "-w", "2", "-b", "127.0.0.1:{port}", "-k", "aiohttp.GunicornWebWorker"),
    ),
}


@pytest.mark.parametrize("server", SERVERS)
def test_worker_processes_send_what_they_hold_when_the_server_is_stopped(tmp_path, server):
    source, path, command = SERVERS[server]
    port = free_port()
    workers: list[int] = []

    async def play(recording: Recording) -> None:
        bot = await Web(recording.program, port).started()
        while len(set(workers)) < 2 and len(workers) < 500:
            answers = await asyncio.gather(*(bot.update(path, "hello") for _ in range(4)))
            workers.extend(int(body) for _, body in answers)
        await recording.program.stop(signal.SIGTERM)

    words = tuple(word.format(port=port) for word in command)
    # On a busy machine uvicorn takes a worker that is still importing aiogram for a dead one.
    env = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "60"}
    bot = record(source, tmp_path, play, name="app.py", command=words, env=env)
    assert len(set(workers)) == 2
    assert sorted(span.resource["process.pid"] for span in bot.updates) == sorted(workers)
    assert {span.name for span in bot.updates} == {"message echo"}
    assert len({span.resource["service.instance.id"] for span in bot.updates}) == 2
    assert {span.resource["service.name"] for span in bot.otlp.spans} == {"app"}
    assert KEY.encode() not in bot.otlp.raw
