"""The launcher leaves the program as it is (exit code, streams, signals, children) and says what it can't do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import OTELBOT_INSTRUMENT, TOKEN, clean_environ, default_signals

OPENTELEMETRY_INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))

WHO = """
    import json, os, sys
    print(json.dumps({
        "instrumented": "otelbot.startup" in sys.modules,
        "argv": sys.argv,
        "path": sys.path[:2],
        "bootstrap_on_path": any("_bootstrap" in part for part in sys.path),
    }))
"""


def launch(*words, env=None, cwd=None, **options):
    environ = clean_environ() | {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    environ |= {"OTEL_LOGS_EXPORTER": "none", **(env or {})}
    return subprocess.run(
        [OTELBOT_INSTRUMENT, *words],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def write(folder, name, source):
    import textwrap

    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path):
    write(tmp_path, "who.py", WHO)
    write(tmp_path, "pkg/__main__.py", WHO)
    write(tmp_path, "pkg/__init__.py", "")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("python", "who.py", "--flag", "a b"),
        (sys.executable, "who.py", "--flag", "a b"),
        ("python", "-m", "pkg", "--flag", "a b"),
        ("--", "python", "who.py", "--flag", "a b"),
        ("python", "-Wignore::ImportWarning", "-X", "utf8", "who.py", "--flag", "a b"),
        ("python", "-mpkg", "--flag", "a b"),
        ("env", "X=1", "python", "who.py", "--flag", "a b"),
        ("sh", "-c", 'exec python who.py --flag "a b"'),
        ("sh", "-c", 'python who.py --flag "a b"'),
    ],
)
def test_programs_are_instrumented_however_they_are_named(project, words):
    result = launch(*words, cwd=project)
    assert result.stderr == ""
    seen = json.loads(result.stdout)
    assert seen["instrumented"]
    assert seen["argv"][1:] == ["--flag", "a b"]
    assert not seen["bootstrap_on_path"]


def test_sys_path_is_the_one_without_otelbot(project):
    plain = subprocess.run(
        [sys.executable, "who.py"], cwd=project, capture_output=True, text=True, env=clean_environ(), check=True
    )
    assert json.loads(launch("python", "who.py", cwd=project).stdout)["path"] == json.loads(plain.stdout)["path"]


def test_console_scripts_run_under_their_own_interpreter(project):
    script = write(project, "bin/mybot", f"#!{sys.executable}\n" + "exec(open('who.py').read())")
    script.chmod(0o755)
    assert json.loads(launch("./bin/mybot", cwd=project).stdout)["instrumented"]


def test_exit_code_and_streams_are_the_programs_own(tmp_path):
    write(tmp_path, "bot.py", "import sys; print(sys.stdin.read().upper()); print('err', file=sys.stderr); sys.exit(7)")
    result = launch("python", "bot.py", cwd=tmp_path, input="in")
    assert (result.returncode, result.stdout, result.stderr) == (7, "IN\n", "err\n")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
async def test_a_signal_ends_it_as_without_otelbot(tmp_path, signum):
    write(tmp_path, "bot.py", "import time; print('up', flush=True); time.sleep(60)")
    codes = []
    for prefix in ([], [OTELBOT_INSTRUMENT]):
        process = await asyncio.create_subprocess_exec(
            *prefix,
            sys.executable,
            "bot.py",
            cwd=tmp_path,
            env=clean_environ() | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=default_signals,
        )
        assert await process.stdout.readline() == b"up\n"
        process.send_signal(signum)
        codes.append(await asyncio.wait_for(process.wait(), 30))
    assert codes[0] == codes[1]


def test_closed_streams_stay_closed(tmp_path):
    write(tmp_path, "bot.py", "import sys; open('seen', 'w').write(f'{sys.stdout} {sys.stderr}')")
    launch("sh", "-c", f"exec {OTELBOT_INSTRUMENT} python bot.py >&- 2>&-", cwd=tmp_path)
    assert (tmp_path / "seen").read_text() == "None None"


def test_signals_that_python_ignores_are_not_ignored_by_the_program():
    result = launch("sh", "-c", "yes | head -1")
    assert (result.stdout, result.stderr) == ("y\n", "")


def test_other_services_that_the_bot_starts_keep_their_own_telemetry(tmp_path):
    write(
        tmp_path,
        "bot.py",
        """
        import subprocess, sys
        names = "import os; print([name for name in os.environ if name.startswith('OTEL_PYTHON_')])"
        subprocess.run([sys.executable, "-c", names])
        subprocess.run([sys.executable, "service.py"])
        """,
    )
    write(
        tmp_path,
        "service.py",
        """
        import otelbot
        otelbot.instrument()
        from opentelemetry import trace
        print(trace.get_tracer_provider().resource.attributes["service.name"])
        """,
    )
    assert launch("python", "bot.py", cwd=tmp_path).stdout == "[]\nservice\n"


def test_an_empty_variable_is_an_unset_one(project):
    env = {"OTEL_PYTHON_DISTRO": "", "OTEL_PYTHON_CONFIGURATOR": " ", "OTEL_PROPAGATORS": ""}
    source = "from opentelemetry import trace; print(type(trace.get_tracer_provider()).__module__)"
    result = launch("python", "-c", source, cwd=project, env=env)
    assert (result.stdout, result.stderr) == ("otelbot.tracing\n", "")


def test_the_programs_own_handler_of_sigterm_is_the_only_one(tmp_path):
    write(
        tmp_path,
        "bot.py",
        """
        import os, signal, sys
        def stop(signum, frame):
            print("mine"); sys.exit(5)
        signal.signal(signal.SIGTERM, stop)
        os.kill(os.getpid(), signal.SIGTERM)
        """,
    )
    result = launch("python", "bot.py", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (5, "mine\n")


def test_an_existing_sitecustomize_runs(tmp_path):
    write(tmp_path, "site/sitecustomize.py", "import builtins; builtins.FROM_SITE = 'here'")
    write(tmp_path, "bot.py", "import sys; print(FROM_SITE, 'otelbot.startup' in sys.modules)")
    result = launch("python", "bot.py", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert result.stdout == "here True\n"


def test_a_sitecustomize_that_fails_is_reported_by_python_and_the_bot_is_instrumented(tmp_path):
    write(tmp_path, "site/sitecustomize.py", "1 / 0")
    write(tmp_path, "bot.py", "import sys; print('otelbot.startup' in sys.modules)")
    result = launch("python", "bot.py", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert result.stdout == "True\n"
    assert "ZeroDivisionError" in result.stderr


DICT_CONFIG = """import logging.config; logging.config.dictConfig({
        "version": 1,
        "handlers": {"h": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["h"], "level": "DEBUG"},
        "disable_existing_loggers": True,
    })"""
CONSOLE = """
    import logging, sys
    {setup}
    logging.getLogger("shop").debug("debug line")
    logging.getLogger("shop").warning("warning line %s", 1)
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("shop").exception("failed")
    print(logging.getLogger().handlers, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "setup",
    [
        "",
        "logging.basicConfig(level=logging.DEBUG, format='%(levelname)s:%(message)s')",
        DICT_CONFIG,
    ],
)
async def test_console_logs_are_what_they_are_without_otelbot(api, otlp, run, setup):
    plain = await run(CONSOLE.format(setup=setup), prelude=False, instrumented=False)
    assert await plain.wait() == 0
    expected = plain.stderr
    bot = await run(CONSOLE.format(setup=setup), prelude=False)
    assert await bot.wait() == 0
    assert bot.stderr == expected
    assert {record.body for record in otlp.logs} >= {"warning line 1", "failed"}


def test_workers_are_instrumented_and_other_children_are_not(tmp_path):
    write(
        tmp_path,
        "bot.py",
        """
        import multiprocessing, subprocess, sys

        def who(_=None):
            return "otelbot.startup" in sys.modules

        if __name__ == "__main__":
            for method in ("spawn", "fork", "forkserver"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    print(method, pool.map(who, [0]))
            sys.stdout.flush()
            subprocess.run([sys.executable, "other.py"])
        """,
    )
    write(
        tmp_path,
        "other.py",
        """
        import multiprocessing, sys

        def who(_=None):
            return "otelbot.startup" in sys.modules

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print("child", who(), "and its worker", pool.map(who, [0]))
        """,
    )
    workers = "spawn [True]\nfork [True]\nforkserver [True]\n"
    assert launch("python", "bot.py", cwd=tmp_path).stdout == workers + "child False and its worker [False]\n"
    assert (
        launch("--children", "python", "bot.py", cwd=tmp_path).stdout == workers + "child True and its worker [True]\n"
    )


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ((), 2, "no command; e.g. otelbot-instrument python bot.py"),
        (("nosuchcommand",), 127, "there is no command 'nosuchcommand' on PATH"),
        (("python9",), 127, "there is no python9 on PATH; name the interpreter"),
        (("/no/such/python", "bot.py"), 127, "there is no command '/no/such/python'"),
        (("bot.py",), 126, "bot.py is a Python file, not a command; run: otelbot-instrument python bot.py"),
        (("./data",), 126, "./data can't be executed; make it executable"),
        (("python", "-I", "bot.py"), 1, "python -I ignores PYTHONPATH"),
        (("./isolated",), 1, "python -I ignores PYTHONPATH"),
        (("./isolated-by-env",), 1, "python -E ignores PYTHONPATH"),
        (("./gone",), 127, "/no/such/python3"),
        ((".",), 126, ". is a folder, not a command"),
    ],
)
def test_what_can_not_be_run_is_said_in_one_sentence(tmp_path, words, status, sentence):
    write(tmp_path, "bot.py", "")
    write(tmp_path, "data", "")
    write(tmp_path, "gone", "#!/no/such/python3\n").chmod(0o755)
    write(tmp_path, "isolated", f"#!{sys.executable} -I\n").chmod(0o755)
    write(tmp_path, "isolated-by-env", f"#!/usr/bin/env -S {sys.executable} -E\n").chmod(0o755)
    result = launch(*words, cwd=tmp_path)
    assert result.returncode == status
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_another_python_in_the_same_folder_is_another_interpreter(tmp_path):
    fake = write(tmp_path, "bin/python3.99", "#!/bin/sh\nexit 7\n")
    fake.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    result = launch(str(fake), "bot.py", cwd=tmp_path)
    assert result.returncode == 1
    assert f"{fake} has no otelbot" in result.stderr


def test_an_interpreter_without_otelbot_is_named_with_the_command_that_mends_it(tmp_path):
    import venv

    venv.create(tmp_path / "other", with_pip=False, symlinks=True)
    other = str(tmp_path / "other" / "bin" / "python")
    result = launch(other, "bot.py", cwd=tmp_path)
    assert result.returncode == 1
    assert f"{other} has no otelbot; install it there: {other} -m pip install otelbot" in result.stderr
    # Behind a command that the launcher can't look into, the bot runs, and says why it is not seen.
    write(tmp_path, "bot.py", "print('up')")
    result = launch("env", other, "bot.py", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "up\n")
    assert f"{other} has no otelbot" in result.stderr


@pytest.mark.parametrize(
    "variable",
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318"),
        ("OTEL_PROPAGATORS", "nosuch"),
        ("OTEL_TRACES_SAMPLER", "nosuch"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_TRACES_EXPORTER", "nosuch"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "ten"),
        ("OTELBOT_FLUSH_TIMEOUT", "long"),
        ("OTELBOT_FLUSH_TIMEOUT", "1e10"),
        ("OTEL_BSP_SCHEDULE_DELAY", "99999999999999999999"),
        ("OTEL_PYTHON_METER_PROVIDER", "nonsense"),
        ("OTEL_PYTHON_CONTEXT", "nonsense"),
        ("OTEL_PYTHON_DISTRO", "nonsense"),
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "nonsense"),
        ("OTELBOT_NO_SUCH_THING", "1"),
    ],
)
def test_a_bad_variable_is_one_warning_that_names_it(tmp_path, variable):
    write(tmp_path, "bot.py", "import aiogram; print('up')")
    name, value = variable
    result = launch("python", "bot.py", cwd=tmp_path, env={name: value})
    assert (result.returncode, result.stdout) == (0, "up\n")
    (line,) = [line for line in result.stderr.splitlines() if name in line]
    assert "; using " in line
    assert "Traceback" not in result.stderr


def test_a_secret_value_is_not_repeated(tmp_path):
    write(tmp_path, "bot.py", "")
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "Bearer-abc", "OTEL_TRACES_SAMPLER": TOKEN}
    result = launch("python", "bot.py", cwd=tmp_path, env=env)
    assert "Bearer-abc" not in result.stderr
    assert TOKEN not in result.stderr


def test_beside_opentelemetry_instrument_there_is_one_of_everything(tmp_path):
    write(
        tmp_path,
        "bot.py",
        """
        from opentelemetry import trace
        import logging
        provider = trace.get_tracer_provider()
        capture = hasattr(logging.Logger.callHandlers, "__wrapped__")
        print(type(provider).__module__, capture, provider.resource.attributes["service.name"])
        """,
    )
    for words, said in (((OPENTELEMETRY_INSTRUMENT, "python", "bot.py"), 1), (("python", "bot.py"), 0)):
        result = launch(*words, cwd=tmp_path)
        assert result.returncode == 0
        assert result.stdout == "otelbot.tracing True bot\n"
        assert result.stderr.count("opentelemetry-instrument is in use as well") == said
    outer = subprocess.run(
        [OPENTELEMETRY_INSTRUMENT, OTELBOT_INSTRUMENT, "python", "bot.py"],
        cwd=tmp_path,
        env=clean_environ() | {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outer.returncode == 0
    assert outer.stderr.count("opentelemetry-instrument is in use as well") == 1


def test_instrumenting_twice_is_detected(tmp_path):
    write(tmp_path, "bot.py", "import otelbot; otelbot.instrument(); print('up')")
    result = launch("python", "bot.py", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "up\n")
    assert result.stderr.count("already set up in this process") == 1


def test_an_instrumentor_that_fails_does_not_stop_the_others(tmp_path):
    dist = tmp_path / "plugins" / "broken-1.0.dist-info"
    write(dist, "METADATA", "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    write(dist, "entry_points.txt", "[opentelemetry_instrumentor]\nbroken = broken_instrumentor:Broken\n")
    write(
        tmp_path / "plugins",
        "broken_instrumentor.py",
        "class Broken:\n    def instrument(self, **kwargs):\n        raise RuntimeError('no such thing')\n",
    )
    write(
        tmp_path,
        "bot.py",
        "import aiogram; print(hasattr(aiogram.Dispatcher.feed_update, '__wrapped__'))",
    )
    result = launch("python", "bot.py", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "plugins")})
    assert result.stdout == "True\n"
    assert result.stderr.count("otelbot: broken could not be set up (RuntimeError: no such thing)") == 1
    assert "Traceback" not in result.stderr


def test_python_children_are_instrumented_where_that_is_asked_for(project):
    program = "import subprocess, sys; subprocess.run([sys.executable, 'who.py'], check=True)"
    for options, instrumented in (((), False), (("--children",), True)):
        result = launch(*options, "python", "-c", program, cwd=project)
        assert json.loads(result.stdout)["instrumented"] is instrumented


def test_a_bot_does_not_pay_for_modules_that_nobody_uses(tmp_path):
    write(
        tmp_path,
        "bot.py",
        """
        import sys
        import aiogram
        print({"opentelemetry.sdk._configuration", "logging.config", "aiohttp.web", "sqlalchemy"} & {*sys.modules})
        """,
    )
    exported = {f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS", "LOGS")}
    env = exported | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTELBOT_FLUSH_TIMEOUT": "0.1"}
    assert launch("python", "bot.py", cwd=tmp_path, env=env).stdout == "set()\n"


def test_otel_sdk_disabled_switches_everything_off(tmp_path):
    write(
        tmp_path,
        "bot.py",
        "import aiogram, os, threading; print(hasattr(aiogram.Dispatcher.feed_update, '__wrapped__'),"
        " threading.active_count())",
    )
    assert launch("python", "bot.py", cwd=tmp_path, env={"OTEL_SDK_DISABLED": "true"}).stdout == "False 1\n"


def test_pythonpath_of_the_user_is_kept(project):
    result = launch("python", "-c", "import os; print(os.environ['PYTHONPATH'])", env={"PYTHONPATH": f"a{os.pathsep}b"})
    assert result.stdout.strip().split(os.pathsep)[1:] == ["a", "b"]
