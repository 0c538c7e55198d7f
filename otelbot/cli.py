"""The `otelbot` command. Its libraries are imported here and in what it calls, never in a bot's process."""

from __future__ import annotations

import json
import os
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from otelbot import __version__
from otelbot.alerts.cli import app as alerts
from otelbot.dashboard.cli import app as dashboard
from otelbot.logs.cli import app as logs
from otelbot.stack.cli import app as stack

app = typer.Typer(
    name="otelbot",
    help="OpenTelemetry for Telegram bots written with aiogram 3. A bot is run with: otelbot-instrument python bot.py",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dashboard)
app.add_typer(alerts)
app.add_typer(stack)
app.add_typer(logs)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"otelbot {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Exist for --version."""


@app.command()
def doctor(
    command: Annotated[list[str] | None, typer.Argument(help="The command that you run, after --")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    moved: Annotated[bool, typer.Option("--moved", hidden=True)] = False,
) -> None:
    """Say what will be instrumented, what is wrong, and whether the endpoint takes telemetry. Exit code 0 or 1."""
    from otelbot import doctor as examination

    words = command or []
    if not moved:
        _move_to_interpreter_of(words, as_json=as_json)
    checks = examination.examine(dict(os.environ), words)
    if as_json:
        print(json.dumps(examination.as_json(checks), indent=2))
    else:
        examination.show(checks, ready="otelbot-instrument python bot.py")
    raise typer.Exit(0 if examination.healthy(checks) else 1)


def _move_to_interpreter_of(command: list[str], *, as_json: bool) -> None:
    """Run the doctor under the interpreter that the command runs under, where that is another one with otelbot."""
    from otelbot.interpreter import CommandError, require_otelbot, resolve, same_environment

    if not command:
        return
    try:
        resolved = resolve(command)
        require_otelbot(resolved)
    except CommandError:
        return  # the examination says it
    if resolved.interpreter and not same_environment(resolved.interpreter):
        # Not by -m, which would import from the working folder; and only once: a shim is never where it leads to.
        start = "import sys; sys.path[:1] = []; from otelbot.cli import main; main()"
        words = ["-c", start, "doctor", "--moved", *(["--json"] if as_json else []), "--", *command]
        os.execv(resolved.interpreter, [resolved.interpreter, *words])  # noqa: S606


@app.command()
def health(
    url: Annotated[
        str | None, typer.Argument(help="Where OTELBOT_HEALTH_PORT is served; by default as the variables say.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 12.0,
) -> None:
    """Ask a bot for its health, a line for each check. Exit code 0 unless it is unhealthy or can't be asked."""
    from otelbot.health.command import ask

    raise typer.Exit(ask(url, timeout))


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after so many seconds.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder for traces.jsonl, metrics.jsonl and logs.jsonl (OTLP/JSON)."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send everything to this OTLP/HTTP receiver too, e.g. http://localhost:4318."),
    ] = None,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Show it in the terminal only.")] = False,
) -> None:
    """Run a shop bot with PostgreSQL, Redis and users, and show it live: here, and on a dashboard. Ctrl-C ends it."""
    from otelbot.demo.services import ServiceError, require_extra

    try:
        require_extra()  # before what is imported from it
    except ServiceError as error:
        typer.echo(f"otelbot demo: {error}", err=True)
        raise typer.Exit(1) from None

    from otelbot.demo.run import main as run_demo

    raise typer.Exit(run_demo(seconds, out, endpoint, with_dashboard=not no_dashboard))


def main() -> None:
    """Entry point of the `otelbot` command."""
    app()


if __name__ == "__main__":
    main()
