"""A real bot's logs: JSON that ties to its traces, files that hold what they should, and by default its own output."""

from __future__ import annotations

import json

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.recording import record
from tests.support import KEY, TOKEN

SHOP = """
    logging.basicConfig(level=logging.INFO)
    log = logging.getLogger("shop")

    @dp.message()
    async def order(message):
        log.info("order of %s", "käse", extra={"order": 5})
        if message.text == "fail":
            try:
                raise RuntimeError(f"no answer from /bot{bot.token}/getMe")
            except RuntimeError:
                log.exception("it failed")
        await message.answer("thanks")

    print("a line of the bot's own", flush=True)
    main()
"""


async def two_updates(recording):
    for text in ("tea", "fail"):
        recording.api.push(TOKEN, message_update(text))
    await recording.api.wait_for_call("sendMessage", count=2)
    await recording.wait_for_updates(2)
    await recording.otlp.wait_for(lambda: any(log.body == "it failed" for log in recording.otlp.logs))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A bot with JSON on stdout and with files; returns its recording and its folder."""
    folder = tmp_path_factory.mktemp("shop")
    env = {"OTELBOT_LOG_FORMAT": "json", "OTELBOT_LOG_DIR": "logs"}
    return record(SHOP, folder, two_updates, env=env), folder


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def test_stdout_is_json_and_the_bots_own_print(shop):
    recording, _ = shop
    lines = recording.program.stdout.splitlines()
    assert "a line of the bot's own" in lines
    lines.remove("a line of the bot's own")
    found = records("\n".join(lines))
    messages = [each["message"] for each in found]
    assert messages.count("order of käse") == 2
    assert "Start polling" in messages
    assert {each["service.name"] for each in found} == {"bot"}
    assert all(list(each)[:4] == ["timestamp", "severity", "logger", "message"] for each in found)
    assert recording.program.stderr == ""
    assert recording.program.returncode == 0


def test_trace_ids_are_those_of_received_spans(shop):
    recording, folder = shop
    spans = {(span.trace_id, span.span_id) for span in recording.otlp.spans}
    for text in (recording.program.stdout, (folder / "logs" / "bot.log").read_text(encoding="utf-8")):
        lines = [line for line in text.splitlines() if line.startswith("{")]
        found = [each for each in records("\n".join(lines)) if each["logger"] == "shop"]
        assert len(found) == 3
        assert {(each["trace_id"], each["span_id"]) for each in found} <= spans
        assert len({each["trace_id"] for each in found}) == 2
        assert [each["order"] for each in found if "order" in each] == [5, 5]


def test_the_file_has_what_stdout_has_and_the_errors_file_only_errors(shop):
    recording, folder = shop
    in_file = (folder / "logs" / "bot.log").read_text(encoding="utf-8").splitlines()
    on_stdout = [line for line in recording.program.stdout.splitlines() if line.startswith("{")]
    assert sorted(in_file) == sorted(on_stdout)  # threads may come between
    errors = records((folder / "logs" / "errors.log").read_text(encoding="utf-8"))
    assert errors
    assert {each["severity"] for each in errors} <= {"ERROR", "FATAL"}
    assert [each for each in records("\n".join(in_file)) if each["severity"] in {"ERROR", "FATAL"}] == errors
    (failed,) = (each for each in errors if each["message"] == "it failed")
    assert failed["exception.type"] == "RuntimeError"
    assert "in order" in failed["exception.stacktrace"]


def test_no_secret_is_written(shop):
    recording, folder = shop
    written = recording.program.stdout + "".join(
        path.read_text(encoding="utf-8") for path in (folder / "logs").iterdir()
    )
    assert KEY not in written
    assert "no answer from /bot***/getMe" in written


async def test_files_are_written_without_any_exporter_and_rotate(run, api, tmp_path):
    env = {
        "OTELBOT_LOG_DIR": "logs",
        "OTELBOT_LOG_MAX_BYTES": "2000",
        "OTELBOT_LOG_BACKUPS": "1000",
        "OTEL_LOGS_EXPORTER": "none",
    }
    bot = await run(SHOP, env=env)
    for count in range(1, 21):
        api.push(TOKEN, message_update("tea"))
        await api.wait_for_call("sendMessage", count=count)
    assert await bot.stop() == 0
    paths = list((tmp_path / "logs").glob("bot*.log"))
    assert len(paths) > 2
    found = [each for path in paths for each in records(path.read_text(encoding="utf-8"))]
    assert sum(each["message"] == "order of käse" for each in found) == 20
    assert bot.stdout == "a line of the bot's own\n"
    assert "INFO:shop:order of käse" in bot.stderr


async def test_a_folder_that_can_not_be_made_is_one_warning_and_the_bot_goes_on(run, api, tmp_path):
    (tmp_path / "mine").write_text("no folder")
    bot = await run(SHOP, env={"OTELBOT_LOG_DIR": str(tmp_path / "mine")})
    for count in range(1, 4):
        api.push(TOKEN, message_update("fail"))
        await api.wait_for_call("sendMessage", count=count)
    assert await bot.stop() == 0
    warnings = [line for line in bot.stderr.splitlines() if "OTELBOT_LOG_DIR" in line]
    assert len(warnings) == 1
    assert str(tmp_path / "mine") in warnings[0]


async def test_workers_of_one_program_share_a_folder(run, tmp_path):
    source = """
    import logging, multiprocessing
    logging.basicConfig(level=logging.INFO)
    def work(who):
        for number in range(300):
            logging.getLogger("shop").info("%s %d", who, number)
    if __name__ == "__main__":
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            workers = [context.Process(target=work, args=(f"{method} {who}",)) for who in range(2)]
            for worker in workers:
                worker.start()
            work(f"{method} parent")
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
    """
    env = {"OTELBOT_LOG_DIR": "logs", "OTELBOT_LOG_MAX_BYTES": "20000", "OTELBOT_LOG_BACKUPS": "1000"}
    program = await run(source, prelude=False, env=env)
    assert await program.wait() == 0, program.stderr
    paths = (tmp_path / "logs").glob("bot*.log")
    found = [each["message"] for path in paths for each in records(path.read_text(encoding="utf-8"))]
    expected = [
        f"{method} {who} {number}" for method in ("fork", "spawn") for who in (0, 1, "parent") for number in range(300)
    ]
    assert sorted(message for message in found if message.startswith(("fork", "spawn"))) == sorted(expected)


DICT_CONFIG = """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s %(funcName)s:%(lineno)d %(message)s"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"},
        "file": {"class": "logging.FileHandler", "formatter": "plain", "filename": "own.log", "mode": "w"},
    },
    "root": {"handlers": ["out", "file"], "level": "INFO"},
})
"""
STRUCTLOG = """
import structlog
structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.KeyValueRenderer()])
"""
LOGURU = """
import sys
from loguru import logger
logger.remove()
logger.add(sys.stdout, format="{level} {function}:{line} {message}")
logger.add(sys.stderr, format="{level} {message} {exception}")
"""
CONFIGURATIONS = {
    "nothing": ("", ""),
    "basicConfig": ("", "logging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s %(message)s')"),
    "dictConfig": ("", DICT_CONFIG),
    "structlog": ("structlog", STRUCTLOG),
    "loguru": ("loguru", LOGURU),
}
SAYING = {
    "structlog": "structlog.get_logger().info('tea', order=5); structlog.get_logger().error('käse')",
    "loguru": "logger.info('tea {}', 5); logger.error('käse')",
}
OWN = """
import logging, sys
def say():
    log = logging.getLogger("shop")
    log.debug("low")
    log.info("tea %d", 5)
    log.warning("käse", extra={"order": 5})
    try:
        {}["tea"]
    except KeyError:
        log.exception("no tea")
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_by_default_a_program_prints_just_what_it_prints_without_otelbot(run, tmp_path, name, when):
    library, configuration = CONFIGURATIONS[name]
    if library:
        pytest.importorskip(library)
    start = "try:\n    import otelbot\nexcept ImportError:\n    otelbot = None\n"
    saying = f"say()\n{SAYING.get(name, '')}\n"
    # By the launcher otelbot is set up before the program begins; by instrument() it can be after.
    instrumented = {"before": configuration + "\notelbot.instrument()\n", "after": "\n" + configuration + "\n"}[when]
    plain = {"before": configuration + "\n\n", "after": "\n" + configuration + "\n"}[when]
    env = {"PYTHONIOENCODING": "utf-8"}
    printed = {}
    for kind, middle in (("without", plain), ("with", instrumented)):
        source = start + OWN + middle + saying
        launched = kind == "with" and when == "after"
        program = await run(source, prelude=False, instrumented=launched, env=env)
        assert await program.wait() == 0, program.stderr
        own = tmp_path / "own.log"
        printed[kind] = (program.stdout, program.stderr, own.read_text(encoding="utf-8") if own.exists() else "")
    assert printed["with"] == printed["without"]
    assert "tea" in "".join(printed["without"])


@pytest.mark.parametrize("form", ["json", "console"])
async def test_where_stdout_is_shaped_the_bots_handlers_do_not_say_it_again(run, form):
    source = OWN + "logging.basicConfig(level=logging.INFO)\nsay()\nprint('printed')\n"
    program = await run(source, prelude=False, env={"OTELBOT_LOG_FORMAT": form})
    assert await program.wait() == 0
    assert program.stderr == ""
    assert program.stdout.count("tea 5") == 1
    assert program.stdout.count("käse") == 1
    assert program.stdout.splitlines()[-1] == "printed"
