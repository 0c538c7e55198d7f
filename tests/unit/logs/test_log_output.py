"""What stdout shows where otelbot shapes it: every record once, and what the bot's handlers do elsewhere goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from otelbot.demo.waiting import PATIENCE
from otelbot.logs.processor import outputs
from otelbot.settings import Settings
from tests.support import TOKEN, clean_environ

#: What configurator.py and the capture do, without the rest.
START = """
import io, json, logging, os, sys
from opentelemetry.sdk._logs import LoggerProvider
from otelbot.instrumentation import logging as log_capture
from otelbot.logs.processor import outputs
from otelbot.settings import current

output = outputs(current())
provider = LoggerProvider(shutdown_on_exit=False)
if output is not None:
    provider.add_log_record_processor(output)
log_capture.instrument(provider)
log = logging.getLogger("shop")
"""


def run(source, tmp_path, *, form="json", stdout=subprocess.PIPE, **env):
    environ = clean_environ() | {"OTELBOT_LOG_FORMAT": form} | env
    words = [sys.executable, "-c", START + textwrap.dedent(source)]
    return subprocess.run(
        words,
        env=environ,
        cwd=tmp_path,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=PATIENCE,
        check=False,
    )


def parsed(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


CONFIGURATIONS = {
    "none": "",
    "basicConfig": "logging.basicConfig(level=logging.INFO)",
    "stdout": "logging.basicConfig(level=logging.INFO, stream=sys.stdout)",
    "dictConfig": """
        import logging.config
        logging.config.dictConfig({
            "version": 1, "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"shop": {"handlers": ["console"], "level": "INFO"}},
            "root": {"handlers": ["console"], "level": "INFO"},
        })
    """,
    "wrapped": """
        import codecs
        logging.basicConfig(level=logging.INFO, stream=codecs.getwriter("utf-8")(sys.stderr.buffer))
    """,
    "rich": """
        from rich.logging import RichHandler
        logging.basicConfig(level=logging.INFO, handlers=[RichHandler()])
    """,
    "queue": """
        import logging.handlers, queue
        waiting = queue.Queue()
        listener = logging.handlers.QueueListener(waiting, logging.StreamHandler())
        listener.start()
        logging.basicConfig(level=logging.INFO, handlers=[logging.handlers.QueueHandler(waiting)])
        import atexit
        atexit.register(listener.stop)
    """,
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_each_record_is_shown_once(tmp_path, configuration):
    done = run(textwrap.dedent(configuration) + "\nlog.warning('tea %s', 'is käse')", tmp_path)
    (line,) = parsed(done)
    assert (line["message"], line["severity"], line["logger"]) == ("tea is käse", "WARN", "shop")
    assert done.stderr == ""


def test_handlers_that_write_elsewhere_go_on(tmp_path):
    source = """
    memory, console = io.StringIO(), io.StringIO()
    from rich.console import Console
    from rich.logging import RichHandler
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[
        logging.FileHandler("own.log"), logging.StreamHandler(memory), RichHandler(console=Console(file=console)),
    ])
    log.info("tea")
    assert memory.getvalue() == "tea\\n"
    assert "tea" in console.getvalue()
    """
    assert [line["message"] for line in parsed(run(source, tmp_path))] == ["tea"]
    assert (tmp_path / "own.log").read_text() == "tea\n"


def test_a_handler_of_the_bots_own_that_sends_records_somewhere_goes_on(tmp_path):
    source = """
    class Alert(logging.StreamHandler):
        def emit(self, record):
            with open("alerts", "a") as file:
                file.write(record.getMessage())

    log.addHandler(Alert())
    log.error("the kettle is empty")
    """
    assert [line["message"] for line in parsed(run(source, tmp_path))] == ["the kettle is empty"]
    assert (tmp_path / "alerts").read_text() == "the kettle is empty"


def test_a_record_whose_arguments_do_not_fit_is_told_without_them(tmp_path):
    source = """
    log.error("bad %d", "x")
    """
    assert [line["message"] for line in parsed(run(source, tmp_path))] == ["bad %d"]


def test_a_filter_of_a_silent_handler_still_runs(tmp_path):
    source = """
    def add(record):
        record.shop = "Ada's"
        return True
    first, second = logging.StreamHandler(), logging.FileHandler("own.log")
    first.addFilter(add)
    second.setFormatter(logging.Formatter("%(shop)s %(message)s"))
    logging.basicConfig(handlers=[first, second])
    log.warning("tea")
    """
    assert len(parsed(run(source, tmp_path))) == 1
    assert (tmp_path / "own.log").read_text() == "Ada's tea\n"


def test_what_is_printed_and_what_is_not_captured_stays(tmp_path):
    source = """
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    print("a print", end=" without an end\\n")
    log.debug("too low")
    log.warning("tea")
    print("another")
    """
    done = run(source, tmp_path, OTEL_PYTHON_LOG_HANDLER_LEVEL="info")
    first, second, third = done.stdout.splitlines()
    assert (first, json.loads(second)["message"], third) == ("a print without an end", "tea", "another")
    assert done.stderr == "too low\n"


def test_off_installs_nothing(tmp_path):
    source = """
    assert output is None
    logging.basicConfig(format="%(message)s")
    assert logging.Handler.handle.__module__ == "logging"
    assert not hasattr(logging.Handler.handle, "__wrapped__")
    log.warning("tea")
    """
    done = run(source, tmp_path, form="off")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "tea\n")


def test_files_alone_leave_the_console_alone(tmp_path):
    source = """
    assert not hasattr(logging.Handler.handle, "__wrapped__")
    logging.basicConfig(format="%(message)s")
    log.warning("tea")
    provider.shutdown()
    """
    done = run(source, tmp_path, form="off", OTELBOT_LOG_DIR="logs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "tea\n")
    assert json.loads((tmp_path / "logs" / "bot.log").read_text())["message"] == "tea"


def test_the_console_format_is_for_people_and_without_colours_in_a_pipe(tmp_path):
    source = f"""
    try:
        {{}}["tea"]
    except KeyError:
        log.exception("no %s for {TOKEN}", "tea", extra={{"order": 5}})
    """
    done = run(source, tmp_path, form="console")
    assert done.returncode == 0
    first, *stack = done.stdout.splitlines()
    assert " ERROR shop no tea for *** " in first
    assert first.endswith("order=5")
    assert stack[0] == "    Traceback (most recent call last):"
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_in_a_terminal(tmp_path, no_color, coloured):
    leader, follower = os.openpty()
    done = run("log.warning('tea')", tmp_path, form="console", stdout=follower, NO_COLOR=no_color)
    os.close(follower)
    text = os.read(leader, 10_000).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "tea" in text
    assert ("\x1b[33m" in text) == coloured


def test_a_stdout_of_ascii_gets_json_all_the_same(tmp_path):
    (line,) = parsed(run("log.warning('Käse \\U0001f9c0')", tmp_path, PYTHONIOENCODING="ascii"))
    assert line["message"] == "Käse \U0001f9c0"


@pytest.mark.parametrize("how", ["os.close(1)", "sys.stdout.close()", "sys.stdout = sys.__stdout__ = None", "pass"])
def test_a_stdout_that_is_closed_hurts_nobody(tmp_path, how):
    reader, sink = os.pipe()
    os.close(reader)  # whoever read it has gone
    source = f"{how}\nfor _ in range(3):\n    log.warning('tea')\nopen('done', 'w').close()"
    done = run(source, tmp_path, stdout=sink, OTELBOT_LOG_DIR="logs")
    os.close(sink)
    assert (tmp_path / "done").exists()
    if how != "os.close(1)":  # that Python says itself at its end
        assert (done.returncode, done.stderr) == (0, "")


def test_lines_of_many_threads_are_whole_and_a_fork_goes_on(tmp_path):
    source = """
    import threading
    def work(who):
        for number in range(200):
            log.warning("%s %d %s", who, number, "x" * 500)
    threads = [threading.Thread(target=work, args=(who,)) for who in "abcd"]
    for thread in threads:
        thread.start()
    child = os.fork()
    if child == 0:
        work("child")
        os._exit(0)
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    """
    with (tmp_path / "out").open("ab") as out:
        done = run(source, tmp_path, stdout=out)
    assert done.returncode == 0, done.stderr
    heads = [" ".join(json.loads(line)["message"].split()[:2]) for line in (tmp_path / "out").read_text().splitlines()]
    assert sorted(heads) == sorted(f"{who} {number}" for who in [*"abcd", "child"] for number in range(200))


def test_an_event_is_a_line_too(tmp_path):
    source = """
    from opentelemetry._logs import LogRecord, SeverityNumber
    provider.get_logger("otelbot").emit(LogRecord(
        timestamp=1, severity_number=SeverityNumber.INFO, body="paid", event_name="shop.order.paid",
        attributes={"amount": 12.5},
    ))
    """
    (line,) = parsed(run(source, tmp_path))
    assert (line["event.name"], line["logger"], line["amount"]) == ("shop.order.paid", "otelbot", 12.5)
    assert "trace_id" not in line


def test_who_looks_for_the_line_that_logged_finds_it(tmp_path):
    """loguru's recipe leaves out the frames of `logging`: ours must be left out with them."""
    source = """
    import inspect
    class Intercept(logging.Handler):
        def emit(self, record):
            frame = inspect.currentframe().f_back
            while frame.f_code.co_filename == logging.__file__:
                frame = frame.f_back
            print(frame.f_code.co_name)
    logging.basicConfig(handlers=[Intercept()])
    def pay():
        log.warning("tea")
    pay()
    """
    assert run(source, tmp_path).stdout.splitlines()[-1] == "pay"


def test_settings_ask_for_it_or_not(tmp_path):
    assert outputs(Settings.from_environ({})) is None
    output = outputs(Settings.from_environ({"OTELBOT_LOG_DIR": str(tmp_path), "OTELBOT_LOG_ROTATION": "midnight"}))
    assert output.force_flush()
    output.shutdown()
