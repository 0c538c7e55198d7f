"""`otelbot-instrument [OPTIONS] COMMAND …`: becomes COMMAND, with otelbot loaded before its first line.

It puts `_bootstrap/` on PYTHONPATH and executes the command in its own place, so that process id, signals, standard
streams and exit code are the program's own.
"""

from __future__ import annotations

import argparse
import os
import signal
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
    parser.add_argument("--endpoint", metavar="URL", help="where OTLP goes (OTEL_EXPORTER_OTLP_ENDPOINT)")
    parser.add_argument(
        "--children", action="store_true", help=f"instrument Python children too ({_INSTRUMENT_CHILDREN})"
    )
    parser.add_argument("--version", action="version", version=f"otelbot {__version__}")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND …", help="the program and its arguments")
    return parser


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
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = options.endpoint
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
