"""Records of loguru and structlog go out with their trace, each once, and the bot prints what it prints without us."""

from __future__ import annotations

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import Recording, record
from tests.support import TOKEN

BOT = """
    import sys
    import structlog
    from loguru import logger

    logger.remove()
    logger.add("fine.log", level="WARNING")
    logger.add("queued.log", level="INFO", enqueue=True, filter=lambda record: "secret" not in record["message"])
    log = structlog.get_logger().bind(shop="tea")

    @dp.message(Command("loguru"))
    async def brew(message):
        logger.debug("too fine for any handler")
        logger.info("a secret that the filter refuses")
        logger.bind(order=7, tags=["a", {"b": object}]).success("brewed {} with {}", "tea", os.environ["BOT_TOKEN"])
        try:
            {}["Ada"]
        except KeyError as error:
            logger.bind(why=error).exception("no recipe for {}", error)

    @dp.message(Command("structlog"))
    async def pour(message):
        structlog.contextvars.bind_contextvars(guest="anonymous")
        log.info("pouring", cups=2, key=os.environ["BOT_TOKEN"])
        await log.awarning("still pouring")
        try:
            {}["Ada"]
        except KeyError as error:
            log.exception(error, name="Ada")

    main()
"""


@pytest.fixture(scope="module")
def bot(tmp_path_factory) -> Recording:
    async def play(recording: Recording) -> None:
        for number, text in enumerate(("/loguru", "/structlog"), 1):
            recording.api.push(TOKEN, message_update(text))
            await recording.wait_for_updates(number)
        await recording.program.stop()

    return record(BOT, tmp_path_factory.mktemp("libraries"), play)


def logged_by(bot, function):
    return [each for each in bot.otlp.logs if each.attributes.get("code.function.name") == function]


@pytest.mark.parametrize(("function", "count"), [("brew", 2), ("pour", 3)])
def test_records_belong_to_the_handler_that_logged_them(bot, function, count):
    records = logged_by(bot, function)
    assert len(records) == count, bot.program.stderr
    update = bot.update(f"message {function}")
    handler = bot.children(update)[function]
    assert {(each.trace_id, each.span_id) for each in records} == {(handler.trace_id, handler.span_id)}
    assert {each.scope for each in records} == {"__main__"}
    assert len({each.attributes["code.line.number"] for each in records}) == count


def test_what_loguru_was_told_is_in_the_record(bot):
    brewed, failed = logged_by(bot, "brew")
    assert (brewed.severity_text, brewed.severity_number) == ("SUCCESS", 12)
    assert brewed.body == "brewed tea with ***"
    assert brewed.attributes["order"] == 7
    assert brewed.attributes["tags"] == ["a", {"b": "<class 'object'>"}]
    assert failed.severity_text == "ERROR"
    assert failed.body == "no recipe for ***"
    assert failed.attributes["why"] == "***"


def test_what_structlog_was_told_is_in_the_record(bot):
    pouring, still, failed = logged_by(bot, "pour")
    assert (pouring.body, pouring.severity_text) == ("pouring", "INFO")
    told = {key: value for key, value in pouring.attributes.items() if not key.startswith("code.")}
    assert told == {"shop": "tea", "cups": 2, "key": "***", "guest": "anonymous"}
    assert (still.body, still.severity_text) == ("still pouring", "WARN")
    assert (failed.body, failed.severity_text) == ("***", "ERROR")
    assert failed.attributes["name"] == "Ada"
    assert "exc_info" not in failed.attributes


@pytest.mark.parametrize("function", ["brew", "pour"])
def test_an_exception_is_told_with_its_fingerprint_and_as_an_event(bot, function):
    record = logged_by(bot, function)[-1]
    assert (record.attributes["exception.type"], record.attributes["exception.message"]) == ("KeyError", "***")
    assert '{}["Ada"]' in record.attributes["exception.stacktrace"]
    fingerprint = record.attributes["exception.fingerprint"]
    events = [each for each in bot.otlp.logs if each.attributes.get("exception.fingerprint") == fingerprint]
    (event,) = [each for each in events if each.event_name == "exception"]
    assert (event.severity_text, event.body, event.attributes["exception.count"]) == ("ERROR", "KeyError: ***", 1)
    assert (event.trace_id, event.span_id) == (record.trace_id, record.span_id)


def test_they_are_counted_like_records_of_logging(bot):
    counts = {attributes["severity"]: value for attributes, value in bot.points("telegram.bot.log.records")}
    assert counts["ERROR"] >= 2


LATE = """
import os
if os.environ.get("LATE"):
    import otelbot
    otelbot.instrument()
"""

LOGURU = """
import sys
from loguru import logger
logger.remove()
numbers = [logger.add(sys.stdout, format="{level} {name}:{function}:{line} {message} {extra}", diagnose=False)]
numbers.append(logger.add(sys.stderr, format="{message}\\n{exception}", level="WARNING", diagnose=False))
START
def serve():
    logger.bind(order=7).info("brewing {}", "tea")
    logger.opt(raw=True).info("raw\\n")
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("broken")
@logger.catch(message="caught")
def caught():
    [][0]
serve()
caught()
logger.patch(lambda record: record["extra"].update(shop="tea")).info("patched")
logger.disable("__main__")
logger.info("disabled")
logger.enable("__main__")
numbers.append(logger.add("file.log"))
print(numbers, repr(logger))
logger.remove()
logger.info("nobody hears")
print(logger.add(sys.stdout, format="{message}"))
logger.info("again")
"""

INTERCEPT = """
import inspect, logging, logging.handlers, queue, sys
from loguru import logger
class InterceptHandler(logging.Handler):
    def emit(self, record):
        try:
            level = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(level, record.getMessage())
logging.basicConfig(handlers=[InterceptHandler()], level=logging.INFO, force=True)
logger.remove()
logger.add(sys.stdout, format="{level} {name}:{function}:{line} {message}")
waiting = queue.Queue()
queued = logging.getLogger("shop.queued")
queued.propagate = False
queued.addHandler(logging.handlers.QueueHandler(waiting))
listener = logging.handlers.QueueListener(waiting, InterceptHandler())
START
def serve():
    logging.getLogger("shop").info("brewing %s", "tea")
    logger.warning("own")
    queued.info("later")
listener.start()
serve()
listener.stop()
"""

PROPAGATE = """
import logging, sys
from loguru import logger
class PropagateHandler(logging.Handler):
    def emit(self, record):
        logging.getLogger(record.name).handle(record)
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(funcName)s %(message)s")
logger.remove()
logger.add(PropagateHandler(), format="{message}")
logger.add(lambda text: logging.getLogger("function").info(text.strip()), format="{level} {message}")
logger.add(PropagateHandler(), format="queued {message}", enqueue=True)
START
def serve():
    logger.info("brewing {}", "tea")
    logger.complete()
    logging.info("own")
serve()
"""

STRUCTLOG = """
import asyncio, logging, sys
import structlog
from structlog.processors import CallsiteParameter as P
def mask(logger, name, event):
    event.pop("password", None)
    if event["event"] == "drop":
        raise structlog.DropEvent
    return event
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.CallsiteParameterAdder([P.FUNC_NAME, P.LINENO, P.MODULE]),
        structlog.dev.set_exc_info,
        structlog.processors.dict_tracebacks,
        mask,
        structlog.processors.JSONRenderer(sort_keys=True),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    cache_logger_on_first_use=True,
)
early = structlog.get_logger().bind(shop="tea")
START
async def serve():
    early.info("brewing %s", "tea", password="x")
    early.debug("fine")
    early.info("drop")
    await early.aerror("async", stack_info=True)
    structlog.get_logger().new(order=7).warning("new")
    structlog.wrap_logger(structlog.WriteLogger(sys.stderr), processors=[structlog.dev.ConsoleRenderer()]).info("err")
    structlog.PrintLogger().msg("plain")
asyncio.run(serve())
print(repr(early).count("function"), repr(early).count("_begin"))
"""

OVER_LOGGING = """
import logging, sys
import structlog
from structlog.processors import CallsiteParameter as P
shared = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
structlog.configure(
    processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(structlog.stdlib.ProcessorFormatter(
    foreign_pre_chain=shared,
    processors=[
        structlog.processors.CallsiteParameterAdder([P.FUNC_NAME, P.LINENO]),
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(sort_keys=True),
    ],
))
logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
START
def serve():
    structlog.get_logger("shop").bind(order=7).info("brewing")
    logging.getLogger("foreign").warning("hot %s", "tea")
serve()
"""

BROKEN_RECORD = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(funcName)s %(lineno)d %(message)s", level=logging.INFO)
START
def serve():
    logging.info("%d cups", "two")
    logging.info("fine")
serve()
"""

#: Programs, and what is captured of them: logger, severity, body.
PROGRAMS = {
    "loguru": (
        LOGURU,
        [
            ("__main__", "INFO", "brewing tea"),
            ("__main__", "INFO", "raw\n"),
            ("__main__", "ERROR", "broken"),
            ("__main__", "ERROR", "caught"),
            ("__main__", "INFO", "patched"),
            ("__main__", "INFO", "again"),
        ],
    ),
    "logging to loguru": (
        INTERCEPT,
        [("shop", "INFO", "brewing tea"), ("__main__", "WARN", "own"), ("shop.queued", "INFO", "later")],
    ),
    "loguru to logging": (PROPAGATE, [("__main__", "INFO", "brewing tea"), ("root", "INFO", "own")]),
    "structlog": (
        STRUCTLOG,
        [
            ("__main__", "INFO", "brewing tea"),
            ("__main__", "ERROR", "async"),
            ("__main__", "WARN", "new"),
            ("__main__", "INFO", "err"),
            ("__main__", "INFO", "plain"),
        ],
    ),
    "structlog over logging": (OVER_LOGGING, [("shop", "INFO", "brewing"), ("foreign", "WARN", "hot tea")]),
    "a record that can't be rendered": (BROKEN_RECORD, [("root", "INFO", "%d cups"), ("root", "INFO", "fine")]),
}


@pytest.mark.parametrize("late", [False, True], ids=["configured after the start", "configured before the start"])
@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_prints_the_same_and_each_record_is_captured_once(name, late, run, otlp):
    source, expected = PROGRAMS[name]
    source = source.replace("START", LATE)
    bare = await run(source, prelude=False, instrumented=False)
    await bare.wait()
    printed = bare.stdout, bare.stderr
    program = await run(source, prelude=False, instrumented=not late, env={"LATE": "1"} if late else {})
    assert await program.wait() == 0, program.stderr
    assert (program.stdout, program.stderr) == printed
    assert printed[0]
    captured = [(each.scope, each.severity_text, each.body) for each in otlp.logs if not each.event_name]
    assert sorted(captured) == sorted(expected)


async def test_what_a_processor_left_out_stays_out_and_what_it_added_is_no_attribute_twice(run, otlp):
    program = await run(STRUCTLOG.replace("START", ""), prelude=False)
    assert await program.wait() == 0, program.stderr
    (brewing,) = [each for each in otlp.logs if each.body == "brewing tea"]
    assert brewing.attributes["shop"] == "tea"
    assert brewing.attributes["code.function.name"] == "serve"
    assert not {"password", "level", "event"} & set(brewing.attributes)


async def test_events_of_structlog_over_logging_have_their_values_as_attributes(run, otlp):
    program = await run(OVER_LOGGING.replace("START", ""), prelude=False)
    assert await program.wait() == 0, program.stderr
    (brewing,) = [each for each in otlp.logs if each.body == "brewing"]
    assert brewing.attributes["order"] == 7
    assert brewing.attributes["code.function.name"] == "serve"
    assert not {"_logger", "_name"} & set(brewing.attributes)


@pytest.mark.parametrize(
    ("env", "bodies"),
    [
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "logging"}, set()),
        ({"OTEL_PYTHON_LOG_HANDLER_LEVEL": "error"}, {"broken", "async"}),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "loguru"}, {"async", "brewing tea", "new", "err", "plain"}),
    ],
)
async def test_the_variables_for_logging_hold_for_them_too(run, otlp, env, bodies):
    loguru = LOGURU.replace("START", "").replace("caught()\nlogger.patch", "logger.patch")
    for source in (loguru, STRUCTLOG.replace("START", "")):
        program = await run(source, prelude=False, env=env)
        assert await program.wait() == 0, program.stderr
    assert {each.body for each in otlp.logs if not each.event_name} == bodies


REPEATED = """
import logging, os
def fail(number):
    try:
        raise LookupError(f"no tea for {number} with {os.environ['BOT_TOKEN']}")
    except LookupError:
        logging.exception("failed")
        logging.exception("once more, of the same")
for number in range(5):
    fail(number)
logging.warning("as a warning it is no event", exc_info=ValueError("x"))
"""


@pytest.mark.parametrize("errors", [True, False])
async def test_a_repeated_exception_is_an_event_at_once_and_at_the_end_with_its_number(run, otlp, errors):
    program = await run(REPEATED, prelude=False, env={} if errors else {"OTELBOT_EVENTS": "updates"})
    assert await program.wait() == 0
    records = [each for each in otlp.logs if not each.event_name]
    assert len(records) == 11
    events = [each for each in otlp.logs if each.event_name == "exception"]
    assert [each.attributes["exception.count"] for each in events] == ([1, 4] if errors else [])
    of_records = {each.attributes["exception.fingerprint"] for each in records if each.severity_text == "ERROR"}
    assert len(of_records) == 1, "values and tokens make no difference"
    for event in events:
        assert event.body == "LookupError: no tea for 0 with ***"
        assert event.attributes["exception.fingerprint"] in of_records
        assert event.scope == "otelbot"


SINKS = """
import logging
from loguru import logger
logger.remove()
logger.add(lambda text: [][0], format="{message}")
def other(text):
    logging.getLogger("other").warning("about sinks")
    logging.getLogger("broken").warning("%d cups", "two")
logger.add(other, format="{message}")
logger.add(other, format="{message}", enqueue=True)
logger.info("brewing")
logger.complete()
"""


async def test_a_sink_that_fails_does_so_without_us_and_its_own_records_are_captured(run, otlp):
    program = await run(SINKS, prelude=False)
    assert await program.wait() == 0
    assert "IndexError" in program.stderr
    loguru_said = program.stderr.partition("Traceback")[2].partition("--- End of logging error")[0]
    assert "otelbot" not in loguru_said
    assert [each.body for each in otlp.logs if each.scope == "other"] == ["about sinks"] * 2
    assert [each.body for each in otlp.logs if each.scope == "__main__"] == ["brewing"]
