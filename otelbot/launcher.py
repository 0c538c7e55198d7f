"""`otelbot-instrument [OPTIONS] COMMAND …`: becomes COMMAND, with otelbot loaded before its first line.

It puts `_bootstrap/` on PYTHONPATH and executes the command in its own place, so that process id, signals, standard
streams and exit code are the program's own.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from otelbot import __version__
from otelbot.interpreter import Command, CommandError, require_otelbot, resolve

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

# As in settings.py, whose import would take a quarter of the launcher's time.
_LAUNCHED, _INSTRUMENT_CHILDREN = "OTELBOT_LAUNCHED", "OTELBOT_INSTRUMENT_CHILDREN"
_BOOTSTRAP = str(Path(__file__).resolve().parent / "_bootstrap")
_ENDPOINT, _HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
# Not by -m, which would import from the working folder. The bot's own process never imports the dashboard.
_BESIDE = "import sys; sys.path[:1] = []; from otelbot.dashboard.beside import main; main()"
_PATIENCE = 20.0  # seconds


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command of `argv` instrumented; does not return."""
    options = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        _refuse("no command; e.g. otelbot-instrument python bot.py", 2)
    try:
        command = resolve(words)
        require_otelbot(command)
    except CommandError as error:
        _refuse(str(error), error.status)
    if options.dashboard:
        _find_dashboard(os.environ, options)
    prepare(os.environ, options)
    _become(command, words[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otelbot-instrument",
        usage="otelbot-instrument [OPTIONS] COMMAND …",
        description="Run a Telegram bot, or any Python program, with traces, metrics and logs.",
        epilog="Everything else is set by OpenTelemetry's OTEL_* variables and otelbot's own OTELBOT_* variables;"
        " `otelbot doctor` shows what they do to a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--service-name", metavar="NAME", help="name of the service (OTEL_SERVICE_NAME)")
    parser.add_argument("--endpoint", metavar="URL", help=f"where OTLP goes ({_ENDPOINT})")
    parser.add_argument(
        "--children", action="store_true", help=f"instrument Python children too ({_INSTRUMENT_CHILDREN})"
    )
    parser.add_argument(
        "--dashboard", action="store_true", help="start `otelbot dashboard` beside the program, unless one runs already"
    )
    parser.add_argument("--version", action="version", version=f"otelbot {__version__}")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND …", help="the program and its arguments")
    return parser


def _find_dashboard(environ: MutableMapping[str, str], options: argparse.Namespace) -> None:
    """Have a dashboard live beside the program, and let `environ` lead there. The program starts in any case."""
    found = _ask_beside(environ)
    if problem := found.get("problem"):
        print(f"otelbot-instrument: no dashboard: {problem}; the program goes on", file=sys.stderr)
        return
    page, otlp = found["page"], found["otlp"]
    endpoint = options.endpoint or environ.get(_ENDPOINT, "").strip()
    elsewhere = ""
    if not endpoint:
        environ[_ENDPOINT] = otlp
        if found.get("otlp_token") and not environ.get(_HEADERS, "").strip():
            environ[_HEADERS] = f"authorization=Bearer%20{found['otlp_token']}"
    elif endpoint.rstrip("/").replace("//localhost:", "//127.0.0.1:") != otlp:
        elsewhere = f", which gets OTLP at {otlp}; this program sends to {endpoint}"
    print(f"otelbot-instrument: dashboard: {page}{elsewhere}", file=sys.stderr)


def _ask_beside(environ: MutableMapping[str, str]) -> dict[str, str]:
    path = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part not in {"", _BOOTSTRAP}]
    # Into a session of its own, so that Ctrl-C reaches the program alone.
    try:
        with subprocess.Popen(  # noqa: S603 - this Python
            [sys.executable, "-c", _BESIDE, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, "PYTHONPATH": os.pathsep.join(path)},
            start_new_session=True,
        ) as beside:
            try:
                said, _ = beside.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                beside.kill()
                return {"problem": f"it did not come up within {_PATIENCE:g} s"}
        found: dict[str, str] = json.loads(said)
    except (OSError, ValueError) as error:
        return {"problem": f"it could not be started ({type(error).__name__})"}
    return found


def prepare(environ: MutableMapping[str, str], options: argparse.Namespace) -> None:
    """Set in `environ` what the program needs to find otelbot, and what the options say."""
    current = environ.get("PYTHONPATH", "")
    # An empty part of a longer path is the working folder, so it stays.
    path = [part for part in current.split(os.pathsep) if part != _BOOTSTRAP] if current else []
    environ["PYTHONPATH"] = os.pathsep.join([_BOOTSTRAP, *path])
    environ[_LAUNCHED] = "pending"
    if options.service_name:
        environ["OTEL_SERVICE_NAME"] = options.service_name
    if options.endpoint:
        environ[_ENDPOINT] = options.endpoint
    if options.children:
        environ[_INSTRUMENT_CHILDREN] = "true"


def _become(command: Command, name: str) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the caller may have closed it
            stream.flush()
    # Python ignores these, and what ignores a signal passes that on to the program that it becomes.
    for ignored in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, ignored):
            signal.signal(getattr(signal, ignored), signal.SIG_DFL)
    try:
        # argv[0] stays as typed: virtual environments are found by it.
        os.execv(command.program, [name, *command.arguments])  # noqa: S606 - running it is the point
    except OSError as error:
        _refuse(f"{name} can't be executed ({error.strerror})", 126)


def _refuse(sentence: str, status: int) -> NoReturn:
    print(f"otelbot-instrument: {sentence}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
