"""Bot API calls that go wrong: what the spans say, what never leaves, and that the bot notices nothing of otelbot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import KEY, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from otelbot.demo.bot_api import BotApiServer

PRIVATE = "meet me at the old harbour"

#: One handler per fault; each tells in one line what the bot itself has seen.
CALLS = """
    import io, tempfile
    import aiohttp
    from aiogram.client.session.base import BaseSession
    from aiogram.exceptions import TelegramRetryAfter
    from aiogram.methods import SendMessage

    logging.basicConfig(level=logging.INFO)

    class Answer:
        def __init__(self, status, text):
            self.status, self.text = status, text

    class OwnSession(BaseSession):
        # A session that speaks HTTP in its own way.
        def __init__(self, answers, **options):
            super().__init__(**options)
            self.answers = answers

        async def make_request(self, bot, method, timeout=None):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return self.check_response(bot=bot, method=method, status_code=answer.status, content=answer.text).result

        async def stream_content(self, url, headers=None, timeout=30, chunk_size=65536, raise_for_status=True):
            yield b"own content"

        async def close(self): ...

    async def seen(name, awaitable):
        try:
            result = await awaitable
        except Exception as error:
            print(name, "raised", type(error).__module__, type(error).__qualname__, str(error)[:60], flush=True)
            # What bots do with errors; the record holds message and traceback.
            logging.getLogger("shop").error("%s: %s", name, error, exc_info=True)
        else:
            print(name, "returned", type(result).__name__, flush=True)

    async def stream(file_path):
        url = bot.session.api.file_url(bot.token, file_path)
        return b"".join([chunk async for chunk in bot.session.stream_content(url)])

    async def abandoned_stream(file_path):
        url = bot.session.api.file_url(bot.token, file_path)
        chunks = bot.session.stream_content(url, chunk_size=4)
        async for chunk in chunks:
            break
        await chunks.aclose()
        return chunk

    async def own_request():
        async with aiohttp.ClientSession() as session:
            async with session.get(bot.session.api.api_url(bot.token, "getWebhookInfo")) as response:
                return await response.json()

    async def own_request_that_fails():
        async with aiohttp.ClientSession() as session:
            url = "http://127.0.0.1:9/bot" + bot.token + "/getMe"
            async with session.get(url) as response:
                return await response.json()

    async def retry(make_request, bot, method):
        while True:
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                print("retry after", error.retry_after, flush=True)

    async def patiently(awaitable):
        bot.session.middleware(retry)
        try:
            return await awaitable
        finally:
            bot.session.middleware.unregister(retry)

    @dp.message(Command("calls"))
    async def calls(message):
        chat = message.chat.id
        await seen("ok", message.answer("ok"))
        await seen("bad_request", bot.send_photo(chat, "404"))
        await seen("not_found", bot.send_audio(chat, "404"))
        await seen("flood", bot.send_voice(chat, "429"))
        await seen("patient", patiently(bot.send_video(chat, "429")))
        await seen("server", bot.send_document(chat, "500"))
        await seen("forbidden", bot.send_dice(chat))
        await seen("redirect", bot.send_location(chat, 1, 1))
        await seen("cut", bot.send_contact(chat, "+7999", "Mina"))
        await seen("half", bot.send_chat_action(chat, "typing"))
        await seen("garbled", bot.send_sticker(chat, "x"))
        await seen("invalid", bot.get_chat(chat))
        await seen("slow", bot.get_my_name(request_timeout=0.2))
        own = Bot(bot.token, session=OwnSession([
            Answer(200, '{"ok": true, "result": true}'),
            Answer(403, '{"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}'),
            RuntimeError("no way to http://api.example/bot" + bot.token + "/close"),
        ], api=bot.session.api))
        await seen("own", own.log_out())
        await seen("own_forbidden", own.log_out())
        await seen("own_error", own.close())
        await seen("own_download", own.download_file("docs/own.txt"))
        await message.answer("done")

    @dp.message(Command("files"))
    async def files(message):
        await seen("download", bot.download("known"))
        with tempfile.TemporaryDirectory() as folder:
            await seen("to_disk", bot.download_file("docs/known.txt", os.path.join(folder, "file")))
        await seen("missing", bot.download_file("docs/private-name.txt"))
        await seen("cut_file", bot.download_file("docs/known.txt"))
        await seen("stream", stream("docs/known.txt"))
        await seen("abandoned_stream", abandoned_stream("docs/known.txt"))
        await seen("missing_stream", stream("docs/private-name.txt"))
        await seen("own_request", own_request())
        await seen("own_request_that_fails", own_request_that_fails())
        await message.answer("done")

    @dp.message()
    async def echo(message):
        await message.answer("echo")

    bot.session.timeout = 10
    main(backoff_config=__import__("aiogram").utils.backoff.BackoffConfig(0.01, 0.02, 1.1, 0.0))
"""


class Listener:
    """A Bot API server's requests, as they came over the wire."""

    def __init__(self, recording: Recording) -> None:
        self.headers: list[dict[str, str]] = []
        api = recording.api
        serve = api._serve

        async def listen(request: web.Request, call, answer):
            self.headers.append(
                {"method": call.method, **{key.lower(): value for key, value in request.headers.items()}}
            )
            return await serve(request, call, answer)

        api._serve = listen  # type: ignore[method-assign]


def run(folder: Path, *, instrumented: bool) -> Recording:
    async def play(recording: Recording) -> None:
        api: BotApiServer = recording.api
        recording.notes["listener"] = Listener(recording)
        api.add_file("known", "docs/known.txt", b"content of the file")
        api.fail("sendPhoto", 400, 'Bad Request: can\'t parse entities: Unsupported start tag "old harbour"')
        api.fail("sendAudio", 404, "Not Found")
        api.fail("sendVoice", 429, "Too Many Requests: retry after 3", retry_after=3)
        api.fail("sendVideo", 429, "Too Many Requests: retry after 1", retry_after=1, times=2)
        api.fail("sendDocument", 500, "Internal Server Error")
        api.fail("sendDice", 403, "Forbidden: bot was blocked by the user")
        api.redirect("sendLocation", f"{api.url}/bot{TOKEN}/sendLocation", times=None)
        api.cut("sendContact", times=None)
        api.cut("sendChatAction", after_headers=True)
        api.garble("sendSticker", b'{"ok": true, "result": {"text": "' + PRIVATE.encode())
        api.garble("getChat", b'{"ok": true, "result": {"id": "' + PRIVATE.encode() + b'"}}')
        api.hang("getMyName", 5)
        api.push(TOKEN, message_update("/calls"))
        await api.wait_for_call("sendMessage", 2)
        await api.wait_until_drained(TOKEN)

        # The polling itself: its faults are survived.
        polls = len(api.calls)
        api.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request")
        api.fail("getUpdates", 401, "Unauthorized")
        api.cut("getUpdates")
        api.garble("getUpdates", b'{"ok": true, "result": [{"text": "' + PRIVATE.encode())
        api.push(TOKEN, message_update("hello"))
        await api.wait_for_call("sendMessage", after=polls)

        # Downloads meet their faults in order: the third is the cut one.
        served = api._serve

        async def cut_third(request, call, answer):
            files = [known for known in api.calls if known.method == "file"]
            if call.method == "file" and len(files) == 3:
                api.cut("file", after_headers=True)
            return await served(request, call, answer)

        api._serve = cut_third
        files = len(api.calls)
        api.push(TOKEN, message_update("/files"))
        await api.wait_for_call("sendMessage", after=files)
        await api.wait_until_drained(TOKEN)

    return record(CALLS, folder, play, instrumented=instrumented)


@pytest.fixture(scope="module")
def bot(tmp_path_factory):
    return run(tmp_path_factory.mktemp("bot"), instrumented=True)


def spans_of(bot, method):
    return [span for span in bot.otlp.spans if span.name == method]


def errors_of(bot):
    return {(p["error.type"], p["component"]): value for p, value in bot.points("telegram.bot.errors")}


def test_bot_sees_the_same_as_without_otelbot(bot, tmp_path):
    plain = run(tmp_path, instrumented=False)
    stdout = plain.program.stdout.replace(str(plain.api.port), str(bot.api.port))
    assert bot.program.stdout == stdout
    assert "garbled raised aiogram.exceptions ClientDecodeError" in stdout
    assert bot.program.returncode == plain.program.returncode == 0
    calls = [[call.method for call in run.api.calls if call.method != "getUpdates"] for run in (bot, plain)]
    assert calls[0] == calls[1]
    assert plain.otlp.raw == b""


@pytest.mark.parametrize(
    ("method", "status", "error", "span_status"),
    [
        ("sendPhoto", 400, "TelegramBadRequest", "ERROR"),
        ("sendAudio", 404, "TelegramNotFound", "ERROR"),
        ("sendVoice", 429, "TelegramRetryAfter", "ERROR"),
        ("sendDocument", 500, "TelegramServerError", "ERROR"),
        ("sendDice", 403, "TelegramForbiddenError", "UNSET"),
        ("sendLocation", None, "TelegramNetworkError", "ERROR"),
        ("sendContact", None, "TelegramNetworkError", "ERROR"),
        ("sendChatAction", None, "TelegramNetworkError", "ERROR"),
        ("sendSticker", 200, "ClientDecodeError", "ERROR"),
        ("getChat", 200, "ClientDecodeError", "ERROR"),
        ("getMyName", None, "TelegramNetworkError", "ERROR"),
        ("close", None, "RuntimeError", "ERROR"),
    ],
)
def test_failed_call_tells_status_and_error(bot, method, status, error, span_status):
    (span,) = spans_of(bot, method)
    assert (span.kind, span.status, span.attributes["error.type"]) == ("CLIENT", span_status, error)
    assert span.attributes.get("http.response.status_code") == status
    assert span.attributes["url.template"] == f"/bot{{token}}/{method}"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("127.0.0.1", bot.api.port)
    assert span.attributes["http.request.method"] == "POST"
    assert bot.parent(span).name == "calls"


def test_rate_limit_tells_for_how_long_and_is_no_error_of_the_bot(bot):
    (span,) = spans_of(bot, "sendVoice")
    assert span.attributes["telegram.retry_after"] == 3
    waits = {p["telegram.method"]: value for p, value in bot.points("telegram.bot.api.retry_after")}
    assert waits == {"sendVoice": 3, "sendVideo": 2}


def test_attempts_of_a_retry_middleware_stand_beside_each_other(bot):
    attempts = sorted(spans_of(bot, "sendVideo"), key=lambda span: span.start)
    assert [span.attributes["http.response.status_code"] for span in attempts] == [429, 429, 200]
    assert len({span.parent_span_id for span in attempts}) == 1
    assert attempts[0].end <= attempts[1].start


def test_errors_are_counted_without_refusals(bot):
    errors = errors_of(bot)
    assert errors["TelegramBadRequest", "bot_api"] == 1
    assert errors["TelegramServerError", "bot_api"] == 1
    assert {error for error, _ in errors}.isdisjoint({"TelegramForbiddenError", "TelegramRetryAfter"})
    durations = {
        (p["telegram.method"], p.get("http.response.status_code"), p.get("error.type")): value[0]
        for p, value in bot.points("telegram.bot.api.request.duration")
    }
    assert durations["sendVideo", 429, "TelegramRetryAfter"] == 2
    assert durations["sendVideo", 200, None] == 1
    assert durations["sendDice", 403, "TelegramForbiddenError"] == 1
    assert durations["sendContact", None, "TelegramNetworkError"] == 1


def test_session_of_ones_own_is_traced_like_aiograms(bot):
    assert [span.attributes["http.response.status_code"] for span in spans_of(bot, "logOut")] == [200, 403]
    assert [span.status for span in spans_of(bot, "logOut")] == ["UNSET", "UNSET"]


def test_polling_makes_spans_only_when_it_fails(bot):
    polls = {span.attributes["error.type"]: span for span in spans_of(bot, "getUpdates")}
    assert set(polls) == {
        "TelegramConflictError",
        "TelegramUnauthorizedError",
        "TelegramNetworkError",
        "ClientDecodeError",
    }
    assert polls["TelegramConflictError"].attributes["http.response.status_code"] == 409
    assert polls["TelegramUnauthorizedError"].attributes["http.response.status_code"] == 401
    assert {(span.status, span.parent_span_id) for span in polls.values()} == {("ERROR", "")}
    errors = errors_of(bot)
    assert all(errors[error, "polling"] == 1 for error in polls)
    recorded = [p for p, _ in bot.points("telegram.bot.api.request.duration") if p["telegram.method"] == "getUpdates"]
    assert all("error.type" in point for point in recorded)


def test_downloads_are_spans_with_neither_token_nor_path(bot):
    downloads = [span for span in spans_of(bot, "downloadFile") if bot.parent(span).name == "files"]
    downloads.sort(key=lambda span: span.start)
    told = [
        (span.attributes.get("http.response.status_code"), span.attributes.get("error.type"), span.status)
        for span in downloads
    ]
    assert told == [
        (200, None, "UNSET"),
        (200, None, "UNSET"),
        (404, "ClientResponseError", "ERROR"),
        (None, "ClientPayloadError", "ERROR"),
        (200, None, "UNSET"),
        (None, None, "UNSET"),
        (404, "ClientResponseError", "ERROR"),
    ]
    for span in downloads:
        assert span.kind == "CLIENT"
        assert span.attributes["http.request.method"] == "GET"
        assert span.attributes["url.template"] == "/file/bot{token}/{file_path}"
        assert "private-name" not in str(span)


def test_bot_api_is_one_span_a_call_and_gets_no_trace_context(bot):
    headers = bot.notes["listener"].headers
    assert {"getUpdates", "sendPhoto", "sendLocation", "file"} <= {each["method"] for each in headers}
    # getWebhookInfo is the bot's own request, past aiogram.
    assert "getWebhookInfo" in {each["method"] for each in headers}
    for each in headers:
        assert not {"traceparent", "tracestate", "baggage"} & set(each)
    http = [span for span in bot.otlp.spans if span.name.partition(" ")[0] in {"GET", "POST"}]
    assert len(http) == 2  # the bot's own requests: one answered, one refused


def test_neither_token_nor_texts_leave_the_process(bot):
    raw = bot.otlp.raw
    # What is looked for was there to be found: the errors' texts and tracebacks are among the records.
    assert any(record.attributes.get("exception.stacktrace") for record in bot.otlp.logs)
    assert any("own_request_that_fails" in str(record.body) for record in bot.otlp.logs)
    for secret in (TOKEN, KEY, PRIVATE, "harbour"):
        assert secret.encode() not in raw
