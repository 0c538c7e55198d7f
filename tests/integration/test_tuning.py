"""Each part of OTELBOT_TUNE does what it says, alone or with the others, and nothing else; what the bot sets stays."""

from __future__ import annotations

import gc
import json

import pytest

from otelbot.demo.telegram import message_update
from tests.integration.tuned import DEFAULT, HERE, PARTS, RAISED, STATE, applied, printed
from tests.support import TOKEN

POLLING = (
    STATE
    + """
    @dp.message()
    async def tell(message):
        await message.answer(json.dumps(state()))

    main()
"""
)


async def told(api, bot, count=1):
    api.push(TOKEN, message_update("tell"))
    call = await api.wait_for_call("sendMessage", count)
    assert bot.process.returncode is None
    return json.loads(call.params["text"])


@pytest.mark.parametrize("tune", [None, "none", *PARTS])
async def test_each_part_does_what_it_says_and_no_other(api, run, tune):
    bot = await run(POLLING, env={} if tune is None else {"OTELBOT_TUNE": tune})
    state = await told(api, bot)
    assert applied(state) == HERE & ({*PARTS} if tune is None else {tune})
    assert state["frozen"] == 0 or state["gc"]
    assert state["threshold"][0] == (RAISED if state["gc"] else DEFAULT)
    assert state["interval"] == (0.001 if state["threads"] else 0.005)


async def test_nothing_is_done_where_otelbot_is_switched_off(api, run):
    bot = await run(POLLING, env={"OTEL_SDK_DISABLED": "true"})
    assert applied(await told(api, bot)) == set()


async def test_it_needs_no_telemetry(api, run):
    none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    bot = await run(POLLING, env=none | {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"})
    assert applied(await told(api, bot)) == HERE


def test_it_is_done_once_however_often_bots_start(tmp_path):
    program = (
        STATE
        + """
    def over(original):
        async def emit(*args, **kwargs):
            await original(*args, **kwargs)
        return emit

    Router.emit_startup = over(Router.emit_startup)  # as another library would

    async def start_often():
        await dp.emit_startup(bot=bot)
        first = state()
        dp["cache"] = [[] for _ in range(50_000)]
        await Dispatcher().emit_startup()
        await dp.emit_startup(bot=bot)
        print(json.dumps([first, state()]))

    asyncio.run(start_often())
"""
    )
    first, last = printed(program, tmp_path)
    assert applied(first) == HERE
    assert last["frozen"] <= first["frozen"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # (what the bot does first thing, when it starts) → what it finds later
        ("gc.disable()", "pass", (0, DEFAULT, False)),
        ("pass", "pass", ("ours", RAISED, True)),
        ("gc.set_threshold(0)", "pass", (0, 0, True)),
        ("gc.set_threshold(700, 50, 50)", "pass", ("ours", 700, True)),
        ("gc.set_threshold(5000, 20, 20)", "pass", ("ours", 5000, True)),
        ("pass", "gc.set_threshold(5000)", ("ours", 5000, True)),
        ("pass", "gc.disable()", ("ours", DEFAULT, False)),
        ("pass", "gc.unfreeze()", (0, DEFAULT, True)),
        ("gc.freeze(); mine = gc.get_freeze_count()", "pass", ("mine", DEFAULT, True)),
        ("pass", "gc.freeze(); mine = gc.get_freeze_count()", ("mine", DEFAULT, True)),
    ],
)
def test_what_the_bot_sets_of_the_collector_stays(tmp_path, before, after, expected):
    program = f"""
import gc, json
mine = 0
{before}
import asyncio, sys
from aiogram import Dispatcher
dp = Dispatcher()
@dp.startup()
async def start():
    global mine
    {after}
asyncio.run(dp.emit_startup())
frozen = gc.get_freeze_count()
kind = frozen if frozen == 0 else "mine" if mine and frozen <= mine else "ours"
print(json.dumps([kind, gc.get_threshold()[0], gc.isenabled()]))
"""
    assert tuple(printed(program, tmp_path, prelude=False)) == expected


def test_the_switch_interval_of_the_bot_stays(tmp_path):
    program = (
        "import sys\nsys.setswitchinterval(0.02)\nasyncio.run(dp.emit_startup())\nprint(sys.getswitchinterval())\n"
    )
    assert printed(program, tmp_path) == pytest.approx(0.02)


def test_an_import_of_aiogram_that_fails_leaves_the_collector_as_it_was(tmp_path):
    (tmp_path / "aiogram.py").write_text("raise ImportError('half of it')")
    program = """
import gc, json
try:
    import aiogram
except ImportError as error:
    print(json.dumps([str(error), gc.get_threshold(), gc.isenabled()]))
"""
    assert printed(program, tmp_path, prelude=False) == ["half of it", [*gc.get_threshold()], True]


def test_aiogram_is_found_and_loaded_as_ever(tmp_path):
    program = """
import importlib.resources, importlib.util, json, sys
found = importlib.util.find_spec("aiogram")
loader = found.loader
before = "aiogram" in sys.modules, loader.get_filename("aiogram") == found.origin, bool(loader.get_code("aiogram"))
import aiogram
after = type(aiogram.__loader__).__name__, aiogram.__spec__.loader is aiogram.__loader__
rest = importlib.resources.files("aiogram").joinpath("py.typed").is_file()
finders = [type(finder).__name__ for finder in sys.meta_path]
print(json.dumps([before, after, rest, any("Aiogram" in name for name in finders)]))
"""
    assert printed(program, tmp_path, prelude=False) == [[False, True, True], ["SourceFileLoader", True], True, False]


@pytest.mark.parametrize("start", ["await dp.emit_startup()", "await feed()"])
def test_nothing_stays_on_the_way_of_an_update_once_the_bot_has_started(tmp_path, start):
    program = f"""
    import sys
    from aiogram.types import Update

    update = {{"message_id": 1, "date": 0, "chat": {{"id": 2, "type": "private"}}, "text": "hi"}}

    def look(frame, event, argument):
        if event == "call":
            passed.add(frame.f_code.co_filename)

    @dp.message()
    async def handler(message):
        handled.append(message)

    async def feed():
        await dp.feed_update(bot, Update.model_validate({{"update_id": 1, "message": update}}, context={{"bot": bot}}))

    async def play():
        {start}
        sys.setprofile(look)
        await feed()
        sys.setprofile(None)

    passed, handled = set(), []
    asyncio.run(play())
    from otelbot import tuning
    folder = os.path.dirname(tuning.__file__)
    print(json.dumps([len(handled), sys.getswitchinterval(), [name for name in passed if name.startswith(folder)]]))
"""
    updates = 1 if "emit" in start else 2
    assert printed("    import json\n" + program, tmp_path, env={"OTELBOT_TUNE": "threads"}) == [updates, 0.001, []]


def test_program_that_sets_itself_up_after_aiogram_is_tuned_too(tmp_path):
    program = (
        STATE
        + """
    import otelbot
    from aiogram.types import Chat
    from pydantic import PrivateAttr

    class Richer(Chat):
        __module__ = "aiogram.types"  # a later aiogram may have such models
        _seen: int = PrivateAttr(7)

    otelbot.instrument()
    asyncio.run(dp.emit_startup())
    print(json.dumps([state(), Richer(id=1, type="private")._seen]))
"""
    )
    state, seen = printed(program, tmp_path, instrumented=False)
    assert (applied(state), seen) == (HERE, 7)


# What is said


async def test_the_start_is_told_once_in_telemetry_and_not_on_the_console(api, otlp, run):
    bot = await run(POLLING)
    await told(api, bot)
    assert await bot.stop() == 0
    bodies = [str(record.body) for record in otlp.logs if "tuned" in str(record.body)]
    rest = "; left as it is: models" if {*PARTS} - HERE else ""
    assert bodies == [f"otelbot: tuned {', '.join(sorted(HERE))}{rest}; OTELBOT_TUNE=none switches it off"]
    assert "tuned" not in bot.stdout + bot.stderr


async def test_the_start_is_told_on_the_console_of_a_bot_that_shows_info(api, otlp, run):
    bot = await run("    logging.basicConfig(level=logging.INFO)\n" + POLLING, env={"OTELBOT_TUNE": "threads"})
    await told(api, bot)
    assert await bot.stop() == 0
    assert bot.stderr.count("otelbot: tuned threads; OTELBOT_TUNE=none switches it off") == 1
    assert sum("tuned" in str(record.body) for record in otlp.logs) == 1


async def test_a_part_that_does_not_exist_is_said_and_all_are_used(api, run):
    bot = await run(POLLING, env={"OTELBOT_TUNE": "turbo"})
    assert applied(await told(api, bot)) == HERE
    assert "OTELBOT_TUNE='turbo' has 'turbo', which is none of all, none, forms, gc" in bot.stderr
