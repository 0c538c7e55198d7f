"""However a program ends, what it had finished is sent."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from otelbot.demo.telegram import message_update
from tests.support import OTELBOT_INSTRUMENT, PRELUDE, TOKEN

LONG = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BLRP_SCHEDULE_DELAY": "60000", "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
HANDLER = """
    @dp.message()
    async def echo(message):
        logging.warning("echoing")
        await message.answer("hello")
"""
SPAN = """
    from opentelemetry import trace
    import logging, os, signal, sys, threading, time
    def span(name):
        trace.get_tracer("shop").start_span(name).end()
    span("before")
"""


def names(otlp):
    return {span.name for span in otlp.spans}


async def until(true):
    while not true():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", ["", "handle_signals=False"])
async def test_a_polling_bot_that_is_stopped(api, otlp, run, signum, options):
    bot = await run(f"{HANDLER}\n    main({options})", env=LONG)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    code = await bot.stop(signum)
    graceful = not options
    assert code == (0 if graceful else -signal.SIGTERM if signum == signal.SIGTERM else -signal.SIGINT)
    assert {"message echo", "echo", "sendMessage"} <= names(otlp)
    assert "telegram.bot.update.duration" in otlp.metrics
    assert "echoing" in {record.body for record in otlp.logs}


async def test_what_the_end_cuts_off_is_in_the_trace_as_cancelled(api, otlp, run):
    api.hang("sendMessage", 60)
    bot = await run(f"{HANDLER}\n    main(handle_signals=False)", env=LONG)
    api.push(TOKEN, message_update("hi"))
    while not any(call.method == "sendMessage" for call in api.calls):
        await asyncio.sleep(0.02)
    assert await bot.stop() == -signal.SIGTERM
    spans = {span.name: span for span in otlp.spans}
    update, handler, call = spans["message echo"], spans["echo"], spans["sendMessage"]
    assert (handler.parent_span_id, call.parent_span_id) == (update.span_id, handler.span_id)
    assert update.attributes["telegram.update.outcome"] == "cancelled"
    assert {span.status for span in (update, handler, call)} == {"UNSET"}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_run_polling_and_uvloop(api, otlp, run, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    start = (
        "dp.run_polling(bot, polling_timeout=2)"
        if loop == "asyncio"
        else "import uvloop; uvloop.install(); main(handle_signals=False)"
    )
    env = LONG | {"PYTHONWARNINGS": "ignore"}
    bot = await run(f"{HANDLER}\n    {start}", env=env)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    assert await bot.stop() == (0 if loop == "asyncio" else -signal.SIGTERM)
    assert {"message echo", "echo", "sendMessage"} <= names(otlp)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("1 / 0", 1),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)", -signal.SIGHUP),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
        (
            "threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGTERM)).start(); time.sleep(60)",
            -signal.SIGTERM,
        ),
    ],
)
async def test_a_plain_program_that_ends(otlp, run, ending, code):
    program = await run(f"{SPAN}\n    {ending}", prelude=False, env=LONG)
    assert await program.wait() == code
    assert names(otlp) == {"before"}


async def test_a_loop_that_is_blocked_does_not_keep_the_signal_waiting(otlp, run):
    program = await run(
        SPAN
        + """
    import asyncio
    async def block():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        for _ in range(600):
            time.sleep(0.1)
    asyncio.run(block())
    """,
        prelude=False,
        env=LONG,
    )
    assert await program.wait() == -signal.SIGTERM
    assert names(otlp) == {"before"}


async def test_a_slow_endpoint_is_waited_for_however_often_the_signal_comes(api, otlp, run):
    bot = await run(f"{HANDLER}\n    main(handle_signals=False)", env=LONG)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    otlp.hang(1, times=3)  # the first request of each signal
    bot.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert await bot.stop(signal.SIGTERM) == -signal.SIGTERM
    assert {"message echo", "echo", "sendMessage"} <= names(otlp)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_during_the_flush_of_a_normal_exit_waits_for_it(otlp, run, signum):
    otlp.hang(1.2, times=1, signal="traces")
    program = await run(f"{SPAN}\n    print('end', flush=True)", prelude=False, env=LONG)
    await until(lambda: "end" in program.stdout)
    await asyncio.sleep(0.4)
    code = await program.stop(signum)
    assert code == (-signal.SIGTERM if signum == signal.SIGTERM else 0)
    assert names(otlp) == {"before"}
    assert "Traceback" not in program.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", ["", "handle_signals=False"])
async def test_a_polling_bot_that_is_stopped_twice(api, otlp, run, signum, options):
    bot = await run(f"{HANDLER}\n    main({options})", env=LONG)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    otlp.hang(1, times=3)
    bot.process.send_signal(signum)
    await asyncio.sleep(0.6)
    await bot.stop(signum)
    assert {"message echo", "echo", "sendMessage"} <= names(otlp)
    assert "lifecycle.py" not in bot.stderr
    # aiogram closes its session under its own poll: the end of a bot is no failure of it.
    assert "getUpdates" not in names(otlp)
    assert "telegram.bot.errors" not in otlp.metrics


async def test_a_second_signal_while_the_bot_cleans_up_behind_its_loop(api, otlp, run):
    source = """
    # Not uvloop, which aiogram 3.4 sets: a closed uvloop goes on ignoring the signal, with or without otelbot.
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    main()
    import time
    print("cleanup", flush=True)
    time.sleep(60)
    """
    bot = await run(HANDLER + source, env=LONG)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    bot.process.send_signal(signal.SIGTERM)
    await until(lambda: "cleanup" in bot.stdout)
    assert await bot.stop(signal.SIGTERM) == -signal.SIGTERM
    assert {"message echo", "echo", "sendMessage"} <= names(otlp)


async def test_a_program_that_blocks_a_signal_gets_it_when_it_asks_for_it(otlp, run):
    program = await run(
        SPAN
        + """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.3)
    print("got", signal.sigwait([signal.SIGTERM]).name)
    """,
        prelude=False,
        env=LONG,
    )
    assert await program.wait() == 0
    assert program.stdout == "got SIGTERM\n"
    assert names(otlp) == {"before"}


@pytest.mark.skipif(
    subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="needs unshare, and the right to use it",
)
async def test_a_containers_first_process_that_ignores_the_signal_goes_on_being_seen(otlp, run):
    program = await run(
        SPAN
        + """
    print(os.getpid(), flush=True)
    while not os.path.exists("go on"):
        time.sleep(0.05)
    span("after")
    """,
        prelude=False,
        instrumented=False,
        command=("unshare", "--pid", "--fork", "--kill-child", OTELBOT_INSTRUMENT, sys.executable, "bot.py"),
        env=LONG,
    )
    await until(lambda: program.stdout == "1\n")
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text()
    os.kill(int(children), signal.SIGTERM)
    await otlp.wait_for(lambda: names(otlp) == {"before"}, what="what was held at the signal")
    (program.folder / "go on").write_text("")
    assert await program.wait() == 0
    assert names(otlp) == {"before", "after"}


async def test_a_second_polling_in_the_same_process_is_flushed_too(api, otlp, run):
    """An event loop that closes puts SIGTERM back to its default."""
    bot = await run(
        HANDLER
        + """
    async def first():
        other = Dispatcher()
        asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(other.stop_polling()))
        await other.start_polling(make_bot(), polling_timeout=1)
    # Not uvloop, which aiogram 3.4 sets: a closed uvloop goes on ignoring the signal, with or without otelbot.
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    asyncio.run(first())
    print("again", flush=True)
    main(handle_signals=False)
    """,
        env=LONG,
    )
    await api.wait_for_call("getMe", count=2)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    assert await bot.stop() == -signal.SIGTERM
    assert "message echo" in names(otlp)


async def test_forked_children_export_or_are_silent_but_never_hang(otlp, run):
    program = await run(
        SPAN
        + """
    import multiprocessing
    def work(number):
        span(f"worker {number}")
        return number
    if __name__ == "__main__":
        for number in range(3):
            child = os.fork()
            if child == 0:
                span(f"forked {number}")
                sys.exit(0)
            os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(work, range(4)))
            pool.close()
            pool.join()
        span("after")
    """,
        prelude=False,
        env=LONG,
    )
    assert await program.wait() == 0
    assert program.stdout == "[0, 1, 2, 3]\n"
    assert names(otlp) >= {"before", "after", "forked 0", "forked 1", "forked 2"}
    assert names(otlp) >= {f"worker {number}" for number in range(4)}
    instances = {span.name: span.resource["service.instance.id"] for span in otlp.spans}
    assert instances["before"] == instances["after"] != instances["forked 0"] != instances["forked 1"]
    assert len({span.span_id for span in otlp.spans}) == len(otlp.spans)


async def test_a_fork_while_something_is_sent_leaves_the_child_able_to_send(otlp, run):
    # A module that another thread imports at the moment of a fork is locked in the child for ever.
    program = await run(
        SPAN
        + """
    import importlib.abc, threading, time
    importing = threading.Event()
    class Slow(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if threading.current_thread() is not threading.main_thread():
                importing.set()
                time.sleep(1)
    sys.meta_path.insert(0, Slow())
    trace.get_tracer_provider().force_flush()
    importing.wait(1)
    if os.fork() == 0:
        span("forked")
        sys.exit(0)
    os.wait()
    """,
        prelude=False,
        env=LONG,
    )
    assert await program.wait() == 0
    assert names(otlp) == {"before", "forked"}


@pytest.mark.parametrize("method", ["fork", "forkserver"])
async def test_a_pool_that_is_terminated_at_once_sends_what_it_did(otlp, run, method):
    program = await run(
        SPAN
        + f"""
    import multiprocessing
    if __name__ == "__main__":
        for round in range(4):
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                pool.map(span, [f"a{{round}}", f"b{{round}}"], chunksize=1)
    """,
        prelude=False,
        env=LONG | {"OTELBOT_FLUSH_TIMEOUT": "60"},
    )
    # A child that waited for a flush which nobody makes would take the minute.
    assert await program.wait(timeout=50) == 0
    assert names(otlp) >= {f"{worker}{number}" for worker in "ab" for number in range(4)}


async def test_a_forked_child_counts_from_zero(otlp, run):
    program = await run(
        """
    import os, sys
    from opentelemetry import metrics
    counter = metrics.get_meter("shop").create_counter("sold")
    counter.add(5, {"tea": "green"})
    if os.fork() == 0:
        counter.add(1, {"tea": "green"})
        sys.exit(0)
    os.wait()
    counter.add(1, {"tea": "green"})
    """,
        prelude=False,
        env=LONG,
    )
    assert await program.wait() == 0
    assert sorted(value for _, value, *_ in otlp.metrics["sold"].points) == [1, 6]


async def test_multiprocessing_by_spawn_exports(otlp, run):
    program = await run(
        """
    import multiprocessing
    from opentelemetry import trace
    def work(number):
        trace.get_tracer("shop").start_span(f"worker {number}").end()
        return number
    if __name__ == "__main__":
        process = multiprocessing.get_context("spawn").Process(target=work, args=(1,))
        process.start()
        process.join()
    """,
        prelude=False,
        env=LONG,
    )
    assert await program.wait() == 0
    assert names(otlp) == {"worker 1"}
    assert otlp.spans[0].resource["service.name"] == "bot"


async def test_instrument_from_code(api, otlp, run):
    source = "import otelbot\notelbot.instrument()\n" + PRELUDE + textwrap.dedent(HANDLER) + "\nmain()\n"
    bot = await run(source, prelude=False, instrumented=False, env=LONG)
    api.push(TOKEN, message_update("hi"))
    await api.wait_for_call("sendMessage")
    await api.wait_until_drained(TOKEN)
    assert await bot.stop() == 0
    assert {"message echo", "echo", "sendMessage"} <= names(otlp)
    assert otlp.spans[0].resource["service.name"] == "bot"


async def test_shutdown_from_code_sends_what_is_held(otlp, run):
    program = await run(SPAN + "\n    import otelbot\n    otelbot.shutdown()\n    os._exit(4)", prelude=False, env=LONG)
    assert await program.wait() == 4
    assert names(otlp) == {"before"}


async def test_a_program_with_its_own_sdk_keeps_it(otlp, run):
    program = await run(
        """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    mine = TracerProvider()
    trace.set_tracer_provider(mine)
    import otelbot
    otelbot.instrument()
    import aiogram
    print(trace.get_tracer_provider() is mine, hasattr(aiogram.Dispatcher.feed_update, "__wrapped__"))
    """,
        prelude=False,
        instrumented=False,
        command=(sys.executable, "bot.py"),
    )
    assert await program.wait() == 0
    assert program.stdout == "True True\n"
    assert "has set up OpenTelemetry's SDK itself" in program.stderr
