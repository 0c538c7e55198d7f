"""The instrumentor in one process: what it replaces it puts back, and its own faults stay its own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import weakref

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.base import BaseSession
from aiogram.client.session.middlewares.manager import RequestMiddlewareManager
from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
from aiogram.dispatcher.event.handler import CallableObject, HandlerObject
from aiogram.dispatcher.middlewares.error import ErrorsMiddleware
from aiogram.dispatcher.router import Router
from aiogram.types import Update
from aiogram.webhook.aiohttp_server import BaseRequestHandler, SimpleRequestHandler, TokenBasedRequestHandler
from opentelemetry.metrics import NoOpMeter, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, NoOpTracerProvider

from otelbot.demo.telegram import message_update
from otelbot.instrumentation import patching
from otelbot.instrumentation.aiogram import AiogramInstrumentor, api
from otelbot.privacy import scrub
from tests.support import TOKEN

CLASSES = (
    Bot,
    Dispatcher,
    Router,
    HandlerObject,
    ErrorsMiddleware,
    RequestMiddlewareManager,
    BaseSession,
    AiohttpSession,
    BaseRequestHandler,
    SimpleRequestHandler,
    TokenBasedRequestHandler,
)


class FakeSession(BaseSession):
    """Answers every call as Telegram would a sendMessage."""

    async def make_request(self, bot, method, timeout=None):
        message = message_update("sent")["message"]
        content = self.json_dumps({"ok": True, "result": message})
        return self.check_response(bot=bot, method=method, status_code=200, content=content).result

    async def stream_content(self, url, headers=None, timeout=30, chunk_size=65536, raise_for_status=True):
        yield b"content"

    async def close(self): ...


@pytest.fixture(autouse=True)
def fresh():
    yield
    if AiogramInstrumentor().is_instrumented_by_opentelemetry:
        AiogramInstrumentor().uninstrument()
    patching._reported.clear()


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(provider)
    return exporter.get_finished_spans


def instrument(tracer_provider=None, meter_provider=None):
    AiogramInstrumentor().instrument(
        skip_dep_check=True,
        tracer_provider=tracer_provider or NoOpTracerProvider(),
        meter_provider=meter_provider or NoOpMeterProvider(),
    )


def make_bot():
    return Bot(TOKEN, session=FakeSession())


def make_update(text="hello"):
    return Update.model_validate({"update_id": 1, **message_update(text)})


def echo_dispatcher():
    dp = Dispatcher()

    @dp.message()
    async def echo(message):
        await message.answer("echo")
        return "handled"

    return dp


def methods():
    return {(owner, name): value for owner in CLASSES for name, value in vars(owner).items() if callable(value)}


def test_uninstrument_puts_every_method_back():
    before = methods()
    instrument()
    assert methods() != before
    AiogramInstrumentor().uninstrument()
    assert methods() == before


def test_instrumentation_that_fails_half_way_leaves_aiogram_as_it_was(monkeypatch):
    def fail(*_):
        raise RuntimeError("no such method")

    before = methods()
    monkeypatch.setattr(api, "patch", fail)
    with pytest.raises(RuntimeError):
        instrument()
    assert methods() == before


async def test_update_handler_and_call_are_one_trace(spans):
    assert await echo_dispatcher().feed_update(make_bot(), make_update()) == "handled"
    call, handler, update = spans()
    assert (update.name, handler.name.rpartition(".")[2], call.name) == ("message echo", "echo", "sendMessage")
    assert call.parent.span_id == handler.context.span_id
    assert handler.parent.span_id == update.context.span_id
    assert update.parent is None


def fault(*_args, **_kwargs):
    raise RuntimeError("a fault of telemetry")


class Broken:
    add = record = fault


class BrokenTracer(NoOpTracer):
    start_span = fault


class BrokenTracers(NoOpTracerProvider):
    def get_tracer(self, *_args, **_kwargs):
        return BrokenTracer()


class BrokenMeter(NoOpMeter):
    def create_histogram(self, *_args, **_kwargs):
        return Broken()

    create_counter = create_up_down_counter = create_histogram


class BrokenMeters(NoOpMeterProvider):
    def get_meter(self, *_args, **_kwargs):
        return BrokenMeter("broken")


@pytest.mark.parametrize(
    "providers", [(BrokenTracers(), None), (None, BrokenMeters()), (BrokenTracers(), BrokenMeters())]
)
async def test_fault_of_telemetry_does_not_reach_the_bot(providers, caplog):
    instrument(*providers)
    dp = echo_dispatcher()
    with caplog.at_level(logging.WARNING, "otelbot"):
        for _ in range(3):
            assert await dp.feed_update(make_bot(), make_update()) == "handled"
    faults = [record.getMessage() for record in caplog.records if record.name == "otelbot"]
    assert faults
    assert len(faults) == len(set(faults))


async def test_error_reaches_the_caller_unchanged(spans):
    dp, error = Dispatcher(), ValueError("broken")

    @dp.message()
    async def fail(message):
        raise error

    with pytest.raises(ValueError) as caught:
        await dp.feed_update(make_bot(), make_update())
    assert caught.value is error
    assert spans()[-1].attributes["telegram.update.outcome"] == "error"


async def test_command_in_a_caption_is_told_and_an_unregistered_one_is_other(spans):
    from aiogram.filters import Command

    dp = Dispatcher()

    @dp.message(Command("sell"))
    async def sell(message): ...

    caption = Update.model_validate({"update_id": 1, **message_update(None, caption="/sell tea")})
    await dp.feed_update(make_bot(), caption)
    await dp.feed_update(make_bot(), make_update("/unknown"))
    commands = [span.attributes["telegram.command"] for span in spans() if span.name.startswith(("message", "process"))]
    assert commands == ["sell", "other"]


async def test_file_on_the_local_servers_disk_is_no_request(spans, tmp_path):
    from aiogram.client.telegram import TelegramAPIServer

    (tmp_path / "file").write_bytes(b"content")
    session = AiohttpSession(api=TelegramAPIServer.from_base("http://localhost:1", is_local=True))
    downloaded = await Bot(TOKEN, session=session).download_file(str(tmp_path / "file"))
    assert downloaded.read() == b"content"
    assert spans() == ()


async def test_stream_of_a_session_of_ones_own_within_download_file_is_one_span(spans):
    downloaded = await make_bot().download_file("docs/file.txt")
    assert downloaded.read() == b"content"
    assert [span.name for span in spans()] == ["downloadFile"]


async def test_subclasses_of_skip_and_cancel_are_no_errors(spans):
    class Stop(CancelHandler):
        pass

    class Skip(SkipHandler):
        pass

    dp = Dispatcher()

    @dp.message(F.text == "stop")
    async def stop(message):
        raise Stop

    @dp.message()
    async def skip(message):
        raise Skip

    with pytest.raises(Stop):
        await dp.feed_update(make_bot(), make_update("stop"))
    await dp.feed_update(make_bot(), make_update("skip"))
    assert {span.status.status_code.name for span in spans()} == {"UNSET"}
    outcomes = [span.attributes.get("telegram.update.outcome") for span in spans()]
    assert [outcome for outcome in outcomes if outcome] == ["cancelled", "unhandled"]


async def test_a_dispatchers_own_step_is_no_handler(spans):
    class Own(Dispatcher):
        async def _listen_update(self, update, **kwargs):
            return await super()._listen_update(update, **kwargs)

    await Own().feed_update(make_bot(), make_update())
    assert [span.name for span in spans()] == ["process message"]


async def test_an_update_that_failed_does_not_keep_the_handlers_frames(spans):
    class Local:
        pass

    kept = weakref.WeakSet()
    waiting = []
    dp = Dispatcher()

    @dp.message()
    async def fail(message):
        local = Local()
        kept.add(local)
        waiting.append(asyncio.create_task(asyncio.sleep(60)))  # copies the context
        raise ValueError

    with pytest.raises(ValueError):
        await dp.feed_update(make_bot(), make_update())
    gc.collect()
    assert not list(kept)
    waiting[0].cancel()


async def test_an_update_fed_later_from_the_context_of_another_is_its_own(spans):
    class Queueing(Dispatcher):
        async def feed_update(self, bot, update, **kwargs):
            self.task = asyncio.create_task(super().feed_update(bot, update, **kwargs))

    dp = Queueing()

    @dp.message()
    async def fail(message):
        raise ValueError

    await dp._process_update(make_bot(), make_update())
    with pytest.raises(ValueError):
        await dp.task
    outcomes = {span.name: span.attributes.get("telegram.update.outcome") for span in spans()}
    assert outcomes["message fail"] == "error"


def test_a_secret_of_another_type_does_not_stop_the_bot(spans):
    class Secret:
        def get_secret_value(self):
            return "hook-secret-value"

        def __len__(self):
            return 17

    SimpleRequestHandler(Dispatcher(), make_bot(), secret_token=Secret())
    assert scrub("hook-secret-value") == "***"
    SimpleRequestHandler(Dispatcher(), make_bot(), secret_token=b"bytes-secret-value")


async def test_a_filter_with_a_command_of_its_own_that_raises_loses_no_span(spans):
    class Odd:
        @property
        def command(self):
            raise RuntimeError

    dp = Dispatcher()

    @dp.message(lambda message: {"command": Odd()})
    async def handler(message):
        pass

    await dp.feed_update(make_bot(), make_update())
    assert [span.name for span in spans()] == ["handler", "process message"]


async def test_a_patch_that_was_there_before_is_called(monkeypatch):
    called = []

    async def theirs(self, *args, **kwargs):
        called.append(self)
        return await CallableObject.call(self, *args, **kwargs)

    monkeypatch.setattr(HandlerObject, "call", theirs, raising=False)
    instrument(TracerProvider(shutdown_on_exit=False))
    await echo_dispatcher().feed_update(make_bot(), make_update())
    assert called
    AiogramInstrumentor().uninstrument()


async def test_what_is_being_handled_is_counted_also_after_instrumenting_again():
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    active = []

    def counted():
        (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
        return {metric.name: metric.data.data_points[0].value for metric in scope.metrics if "active" in metric.name}

    async def handler(message):
        active.append(counted()["telegram.bot.update.active"])

    tracer_provider = NoOpTracerProvider()
    for _ in range(2):
        instrument(tracer_provider, provider)
        dp = Dispatcher()
        dp.message.register(handler)
        await dp.feed_update(make_bot(), make_update())
        AiogramInstrumentor().uninstrument()
    assert active == [1, 1]
    assert counted()["telegram.bot.update.active"] == 0


async def test_a_handler_that_runs_in_pieces_in_contexts_of_their_own_ends_its_span(spans):
    dp = Dispatcher()

    @dp.message()
    async def slow(message):
        await asyncio.sleep(0)

    @dp.message.middleware()
    async def in_pieces(handler, event, data):
        coroutine = handler(event, data)
        waited = None
        try:
            while True:
                waited = contextvars.Context().run(coroutine.send, waited)
        except StopIteration as end:
            return end.value

    await dp.feed_update(make_bot(), make_update())
    assert "slow" in {span.name for span in spans()}
    assert patching._reported == set()


async def test_a_state_of_the_bots_own_does_not_break_a_conversation(spans):
    dp = Dispatcher(disable_fsm=True)

    @dp.message.outer_middleware()
    async def own_state(handler, event, data):
        return await handler(event, {**data, "state": "of mine"})

    @dp.message()
    async def handler(message): ...

    for _ in range(2):
        await dp.feed_update(make_bot(), make_update())
    assert [len(span.links) for span in spans() if span.name.startswith("message ")] == [0, 1]
    assert patching._reported == set()
