"""`otelbot doctor`: what will be instrumented and why something is not, and whether telemetry can get out."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from otelbot import __version__, environment
from otelbot.export.target import SIGNALS, Target
from otelbot.interpreter import CommandError, require_otelbot, resolve
from otelbot.privacy import scrub
from otelbot.settings import TUNE, TUNE_PARTS, VARIABLES, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Status = Literal["ok", "info", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One finding. Only `failed` makes the doctor's exit code 1."""

    area: str
    name: str
    status: Status
    detail: str


def examine(environ: Mapping[str, str], command: Sequence[str] = ()) -> list[Check]:
    """Look at this interpreter and `environ`, and send one request per signal to the endpoint.

    Takes the `OTEL_*` variables out of this process's own environment: its parts are tried whatever they say.
    """
    usable = dict(environ)
    variables = [*_variables(environ)]
    environment.discard_unusable(usable)
    # OpenTelemetry reads this process's variables when it is imported; the examination is of those that were given.
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    return [
        *_interpreter(),
        *_command(command),
        *_packages(),
        *_instrumentation(usable),
        *_tuning(usable),
        *_conflicts(usable),
        *variables,
        *_endpoints(usable),
        *_self_test(),
    ]


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    return {"ok": healthy(checks), "otelbot": __version__, "checks": [asdict(check) for check in checks]}


def healthy(checks: Sequence[Check]) -> bool:
    return all(check.status != "failed" for check in checks)


def show(checks: Sequence[Check], ready: str) -> None:
    """Print a table of the checks, and below it how many are to be mended or, where none is, how to go on."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "info": ("·", "dim"), "warning": ("!", "yellow"), "failed": ("✗", "bold red")}
    console = Console()
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    area = ""
    for check in checks:
        if check.area != area:
            area = check.area
            table.add_row("", Text(area.capitalize(), style="bold"), "")
        mark, style = marks[check.status]
        table.add_row(Text(mark, style=style), check.name, Text(check.detail, style="" if style == "green" else style))
    console.print(table)
    failed = sum(check.status == "failed" for check in checks)
    if failed:
        console.print(Text(f"{failed} thing{'s' if failed > 1 else ''} to mend", style="bold red"))
    else:
        console.print(Text(f"ready: {ready}", style="bold green"))


def _interpreter() -> Iterator[Check]:
    supported = sys.version_info >= (3, 10)
    yield Check(
        "interpreter",
        "python",
        "ok" if supported else "failed",
        f"{sys.executable} ({platform.python_implementation()} {platform.python_version()})"
        + ("" if supported else "; otelbot needs Python 3.10 or newer"),
    )


def _command(command: Sequence[str]) -> Iterator[Check]:
    if not command:
        return
    try:
        resolved = resolve(command)
        require_otelbot(resolved)
    except CommandError as error:
        yield Check("interpreter", "command", "failed", str(error))
        return
    under = resolved.interpreter
    detail = f"{resolved.program} runs under {under}" if under else f"{resolved.program}: not a Python script"
    yield Check("interpreter", "command", "ok" if under else "warning", detail)


def _packages() -> Iterator[Check]:
    yield Check("packages", "otelbot", "ok", __version__)
    train: set[str] = set()
    for requirement in _requirements(distribution("otelbot")):
        name = requirement.name
        if name != "aiogram" and not name.startswith("opentelemetry-"):
            continue
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check("packages", name, "failed", f"not installed; pip install '{requirement}'")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            detail = f"{found} does not work with this otelbot; pip install '{requirement}'"
            yield Check("packages", name, "failed", detail)
        elif name == "aiogram":
            yield Check("packages", name, "ok", found)
        else:
            train.add(found)
    yield Check("packages", "opentelemetry", "ok", " and ".join(sorted(train, reverse=True)))


def _requirements(package: Distribution) -> Iterator[Any]:
    from packaging.requirements import Requirement

    for text in package.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _instrumentation(environ: Mapping[str, str]) -> Iterator[Check]:
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

    from otelbot.distro import LIBRARIES, OWN, PATIENT, REPLACED

    if _switched_off(environ):
        yield Check("instrumentation", "everything", "warning", "off: OTEL_SDK_DISABLED=true")
        return
    disabled = {
        name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",") if name.strip()
    }
    known = {entry_point.name for entry_point in entry_points(group="opentelemetry_instrumentor")}
    known |= {"logging", "*", *OWN}
    for name in sorted(disabled - known):
        detail = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names it, but there is nothing of that name to switch off"
        yield Check("instrumentation", name, "warning", detail)
    found = sorted(entry_points(group="opentelemetry_instrumentor"), key=lambda each: each.name)
    libraries = {name: library for name, (library, _) in LIBRARIES.items()} | PATIENT
    candidates: list[tuple[str, str, Any]] = [(each.name, libraries.get(each.name, ""), each) for each in found]
    candidates += [(name, library.partition(".")[0], None) for name, (library, _) in OWN.items()]
    for name, library, entry_point in candidates:
        if name in disabled or "*" in disabled:
            yield Check("instrumentation", name, "warning", "off: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names it")
        elif name in REPLACED:
            yield Check("instrumentation", name, "info", "left out: otelbot sends log records itself")
        elif library and importlib.util.find_spec(library) is None:
            yield Check("instrumentation", name, "info", f"{library} is not installed, so there is nothing to see")
        elif library and entry_point and (conflict := get_dist_dependency_conflicts(entry_point.dist)):
            yield Check("instrumentation", name, "failed", str(conflict))
        else:
            yield Check("instrumentation", name, "ok", f"when {library} is imported" if library else "at start")
    if not disabled & {"logging", "*"}:
        yield Check("instrumentation", "logging", "ok", "every record, with the trace it belongs to")


def _tuning(environ: Mapping[str, str]) -> Iterator[Check]:
    if _switched_off(environ):
        yield Check("tuning", "everything", "info", "off: OTEL_SDK_DISABLED=true")
        return
    wanted = Settings.from_environ(environ).tune
    for part, what in TUNE_PARTS.items():
        off = f"off: {TUNE.name} does not name it"
        yield Check("tuning", part, "ok", what) if part in wanted else Check("tuning", part, "info", off)


def _switched_off(environ: Mapping[str, str]) -> bool:
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _conflicts(environ: Mapping[str, str]) -> Iterator[Check]:
    for kind in ("distro", "configurator"):
        variable = f"OTEL_PYTHON_{kind.upper()}"
        chosen = environ.get(variable, "").strip() or "otelbot"
        if chosen != "otelbot":
            yield Check("conflicts", variable, "failed", f"is {chosen!r}, so otelbot is not used; unset it")
        for entry_point in entry_points(group=f"opentelemetry_{kind}"):
            if entry_point.name != "otelbot":
                yield Check("conflicts", kind, "info", f"{entry_point.value} is installed too; otelbot is used instead")
    for path in environ.get("PYTHONPATH", "").split(os.pathsep):
        if path.rstrip("/").endswith("opentelemetry/instrumentation/auto_instrumentation"):
            yield Check("conflicts", "opentelemetry-instrument", "warning", "is in use as well; otelbot leaves it out")
    spec = importlib.util.find_spec("sitecustomize")
    if spec is not None and spec.origin:
        yield Check("conflicts", "sitecustomize", "info", f"{spec.origin} runs too, before the program")


def _variables(environ: Mapping[str, str]) -> Iterator[Check]:
    found = [*Settings.from_environ(environ).problems, *environment.problems(environ)]
    for problem in found:
        yield Check("variables", problem.variable.partition("=")[0], "failed", scrub(str(problem)))
    for variable in VARIABLES:
        if environ.get(variable.name) and not any(problem.variable.startswith(variable.name) for problem in found):
            value = "(set)" if variable.secret else environ[variable.name]
            yield Check("variables", variable.name, "ok", scrub(value))
    if not found:
        yield Check("variables", "all", "ok", "every variable that is set can be used")


def _endpoints(environ: Mapping[str, str]) -> Iterator[Check]:
    if _switched_off(environ):
        return
    for signal in SIGNALS:
        exporters = environment.names(environ.get(f"OTEL_{signal.upper()}_EXPORTER", "")) or ["otlp"]
        if "otlp" not in exporters:
            yield Check("endpoint", signal, "info", f"goes to {', '.join(exporters)}")
        elif environment.otlp_value(environ, signal, "PROTOCOL") == "grpc":
            yield Check("endpoint", signal, "info", "goes by gRPC, which the doctor does not try")
        else:
            yield _try_endpoint(Target.from_environ(signal, environ))


def _try_endpoint(target: Target) -> Check:
    from otelbot.export.connection import Connection

    verdict = Connection(target).post(_request(), min(target.timeout, 5.0))
    if verdict.accepted:
        return Check("endpoint", target.signal, "ok", f"{target.origin} accepts {target.signal}")
    mend = (
        "start the Collector there, or set OTEL_EXPORTER_OTLP_ENDPOINT"
        if verdict.retry
        else "check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS"
    )
    return Check(
        "endpoint", target.signal, "failed", f"{target.origin} does not take {target.signal} ({verdict.why}); {mend}"
    )


def _request() -> bytes:
    """Return a real export request, of any signal: a resource and a scope, but nothing that would be stored."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otelbot.export.encoding import export_request

    resource = Resource({"service.name": Path(sys.argv[0]).name or "otelbot"})
    return export_request(resource, [(InstrumentationScope("otelbot doctor"), ())])


def _self_test() -> Iterator[Check]:
    from otelbot import selftest

    try:
        problems = selftest.run()
    except Exception as error:
        yield Check("privacy", "self-test", "failed", f"could not be run ({type(error).__name__}: {scrub(str(error))})")
        return
    for signal in SIGNALS:
        detail = problems.get(signal, "a token in every field of it did not get out")
        yield Check("privacy", signal, "failed" if signal in problems else "ok", detail)
