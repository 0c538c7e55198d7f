"""The `otelbot dashboard` commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from otelbot.dashboard.instance import Running
    from otelbot.dashboard.settings import Settings

app = typer.Typer(
    name="dashboard",
    help="A live page with the traces, metrics, logs and alerts of this machine's bots, in one process without Docker.",
    add_completion=False,
)

T = TypeVar("T")
_WHAT = {"traces": "spans", "metrics": "data points", "logs": "records"}
Kept = Annotated[
    Path | None,
    typer.Option("--folder", file_okay=False, help="Where everything is kept. [OTELBOT_DASHBOARD_FOLDER]"),
]


@app.callback(invoke_without_command=True)
def dashboard(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address of the page. [OTELBOT_DASHBOARD_HOST, 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the page; 0 takes a free one. [OTELBOT_DASHBOARD_PORT, 8080]")
    ] = None,
    otlp_host: Annotated[
        str | None, typer.Option(help="Address of the receiver. [OTELBOT_DASHBOARD_OTLP_HOST, 127.0.0.1]")
    ] = None,
    otlp_port: Annotated[
        int | None, typer.Option(help="Port of the receiver, OTLP/HTTP. [OTELBOT_DASHBOARD_OTLP_PORT, 4318]")
    ] = None,
    folder: Kept = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="What the page asks for where other machines reach it. Better set as OTELBOT_DASHBOARD_TOKEN."
        ),
    ] = None,
) -> None:
    """Receive telemetry, show it and alert, until Ctrl-C. docs/dashboard.md explains."""
    options = {
        "HOST": host,
        "PORT": port,
        "OTLP_HOST": otlp_host,
        "OTLP_PORT": otlp_port,
        "FOLDER": folder,
        "TOKEN": token,
    }
    given = {f"OTELBOT_DASHBOARD_{name}": str(value) for name, value in options.items() if value is not None}
    context.obj = {**os.environ, **given}
    if context.invoked_subcommand is None:
        settings = _settings(context)
        raise typer.Exit(_or_say(lambda: _run(settings)))


@app.command("export")
def export_to(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where traces.jsonl, metrics.jsonl and logs.jsonl are written.")
    ],
    folder: Kept = None,
) -> None:
    """Write what is kept as OTLP/JSON, a request a line. The dashboard may run meanwhile."""
    from otelbot.dashboard import transfer

    settings = _settings(context, folder)
    for signal, count in _or_say(lambda: transfer.export(settings, target)).items():
        typer.echo(f"{target / signal}.jsonl: {count} {_WHAT[signal]}")


@app.command("import")
def import_from(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="OTLP/JSON, a request a line; or the folder of an export.")
    ],
    folder: Kept = None,
) -> None:
    """Add what files hold, such as those of `export` and of a Collector's file exporter; to the dashboard that runs."""
    from otelbot.dashboard import transfer

    settings = _settings(context, folder)
    for file in files:
        count = _or_say(lambda file=file: transfer.import_from(settings, file))  # type: ignore[misc]
        typer.echo(f"{file}: {count} requests")


def _settings(context: typer.Context, folder: Path | None = None) -> Settings:
    from otelbot.dashboard.serve import require_extra
    from otelbot.dashboard.settings import FOLDER, Settings

    environ = dict(context.obj)
    if folder is not None:
        environ[FOLDER.name] = str(folder)

    def read() -> Settings:
        require_extra()
        return Settings.from_environ(environ)

    return _or_say(read)


def _run(settings: Settings) -> int:
    """Serve until a signal, and return the exit code: that of shells for Ctrl-C, 0 for a request to end."""
    import asyncio
    import signal

    from otelbot.dashboard.serve import log_to_stderr, serve

    log_to_stderr()
    status = 0

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        ending = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which nohup sets
            ending.append(signal.SIGHUP)

        def end(number: signal.Signals) -> None:
            nonlocal status
            status = 130 if number == signal.SIGINT else 0
            stop.set()
            for each in ending:
                loop.remove_signal_handler(each)  # a second one ends at once

        for number in ending:
            loop.add_signal_handler(number, end, number)
        await serve(settings, stop=stop, on_ready=_say)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return 130
    return status


def _say(running: Running) -> None:
    variables = ""
    if running.otlp_token:
        variables = f"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{running.otlp_token} "
    where = "" if running.otlp == "http://127.0.0.1:4318" else f"--endpoint {running.otlp} "
    typer.echo(f"Dashboard:  {running.page}")
    typer.echo(f"OTLP/HTTP:  {running.otlp}")
    typer.echo(f"Run a bot:  {variables}otelbot-instrument {where}python bot.py")


def _or_say(action: Callable[[], T]) -> T:
    """Return what an action returns, or end with the sentence of what it raises."""
    from otelbot.dashboard.instance import ServeError
    from otelbot.dashboard.settings import SettingsError

    try:
        return action()
    except (ServeError, SettingsError) as error:
        _fail(str(error))


def _fail(sentence: str) -> NoReturn:
    typer.secho(f"✗ {sentence}", fg="red", err=True)
    raise typer.Exit(1)
