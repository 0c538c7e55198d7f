"""Checks of the stack's files, each by the strictest judge that is at hand: its own program, or a schema."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

from otelbot.doctor import Check
from otelbot.privacy import scrub
from otelbot.stack import env, formats, machine
from otelbot.stack.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COLLECTOR = ("otelcol-contrib", "otelcol", "otelcol-otelbot")
_VARIABLE = re.compile(r"\$\{env:([A-Z_]+)")
#: What each profile's Collector reads, and what the first one may.
_PROFILES = ("postgres", "redis", "host")


def examine(folder: Path, values: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Check]:
    """Check the files in the stack's folder.

    :param values: the variables with which Compose starts the stack.
    :param environ: of the programs that are asked.
    """
    yield from _compose(folder)
    yield from _compose_config(folder, environ)
    yield from _collector(folder, values, environ)
    yield from _prometheus(folder, environ)
    yield from _provisioning(folder)
    yield from _dashboards(folder)


def before_start(folder: Path, values: Mapping[str, str]) -> Iterator[Check]:
    """Check of the files what needs no other program, and would keep a service from starting."""
    yield from _compose(folder)
    yield from _chosen(folder, values)
    yield from _scrapes(folder)
    yield from _provisioning(folder)


def compose_schema() -> Any:
    """Return the Compose specification's schema."""
    return json.loads((resources.files("otelbot.stack") / "schemas" / "compose-spec.json").read_text(encoding="utf-8"))


def first_fault(content: Any, schema: Any) -> str:
    """Return what is most wrong with `content` and where, or nothing."""
    validator = jsonschema.validators.validator_for(schema)(schema)
    fault = jsonschema.exceptions.best_match(validator.iter_errors(content))
    if fault is None:
        return ""
    # The message repeats the value, which may be a secret of the user's; the place and the rule do not.
    where = ".".join(str(part) for part in fault.absolute_path) or "the file"
    wanted: Any = fault.validator_value
    if fault.validator == "required":
        said = f"lacks {', '.join(name for name in wanted if name not in fault.instance)}"
    elif fault.validator in {"additionalProperties", "unevaluatedProperties"}:
        unknown = ", ".join(re.findall("'([^']*)'", fault.message))
        said = f"has {unknown}, which is not one of its keys"
    elif fault.validator == "type":
        said = f"is not of the type {wanted}"
    elif fault.validator == "enum":
        said = f"is not one of {', '.join(map(str, wanted))}"
    elif fault.validator == "pattern":
        said = f"does not have the form {wanted}"
    else:
        said = f"breaks the rule {fault.validator}"
    return f"{where} {said}"


def _load(folder: Path, path: str) -> tuple[Any, str]:
    """Return the content of a YAML file of the stack, or a sentence about why not."""
    try:
        return yaml.safe_load((folder / path).read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return None, f"missing: otelbot stack init {shown(folder)} writes it"
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        return None, f"line {line} is not YAML ({error.problem}): mend it"
    except (OSError, ValueError, yaml.YAMLError):
        return None, "can't be read as YAML in UTF-8: mend it"


def _compose(folder: Path) -> Iterator[Check]:
    for name in ("compose.yaml", "compose.yml"):
        if (folder / name).exists():
            detail = "Docker Compose reads it instead of docker-compose.yml: move it elsewhere"
            yield Check("compose", name, "failed", detail)
    content, problem = _load(folder, "docker-compose.yml")
    if problem:
        yield Check("compose", "docker-compose.yml", "failed", problem)
        return
    fault = first_fault(content, compose_schema())
    if fault:
        yield Check("compose", "docker-compose.yml", "failed", f"{fault}; the Compose specification decides: mend it")
        return
    yield Check("compose", "docker-compose.yml", "ok", "fits the Compose specification")


def _compose_config(folder: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    if shutil.which("docker", path=environ.get("PATH")):
        status, said = machine.run(["docker", "compose", "config", "--quiet"], folder, environ)
        if status == 0:
            yield Check("compose", "docker compose config", "ok", "Docker Compose reads it")
        elif "is not a docker command" not in said and "unknown command" not in said and "unknown flag" not in said:
            yield Check("compose", "docker compose config", "failed", f"Docker Compose does not read it: {_last(said)}")


def _collector(folder: Path, values: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Check]:
    if unusable := list(_chosen(folder, values)):
        yield from unusable
        return
    program = machine.tool(environ, *_COLLECTOR)
    image = "" if program else values.get("COLLECTOR_IMAGE") or _image(folder, "otel-collector")
    # What is not here is not fetched: that takes minutes, and a check changes nothing.
    if not program and (not image or machine.run(["docker", "image", "inspect", image], folder, environ, 30)[0]):
        detail = "not checked: neither otelcol-contrib nor the Collector's image is here; otelbot stack up fetches that"
        yield Check("collector", "configuration", "info", detail)
        return
    for name, files in _sets(values).items():
        yield _validated(folder / "collector-config", name, files, program or image, values, environ)


def _overlays(values: Mapping[str, str]) -> list[str]:
    return [Path(path).name for path in re.findall(r"--config[= ](\S+)", values.get("COLLECTOR_OVERLAYS", ""))]


def _sets(values: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what each Collector reads: the first one, and that of each profile."""
    return {"base": ["base.yaml", *_overlays(values), "extras.yaml"]} | {
        profile: ["receiver.yaml", f"{profile}.yaml"] for profile in _PROFILES
    }


def _chosen(folder: Path, values: Mapping[str, str]) -> Iterator[Check]:
    """Yield what is wrong with COLLECTOR_OVERLAYS and with the files that are read."""
    if words := re.sub(r"--config[= ]\S+", "", values.get("COLLECTOR_OVERLAYS", "")).split():
        detail = f"COLLECTOR_OVERLAYS has {words[0]!r}, which is not --config=/etc/otelcol/NAME.yaml"
        yield Check("collector", "overlays", "failed", detail)
        return
    for name in sorted({name for files in _sets(values).values() for name in files}):
        _, problem = _load(folder, f"collector-config/{name}")
        if problem.startswith("missing") and name in _overlays(values):
            problem = "missing in collector-config: mend COLLECTOR_OVERLAYS"
        if problem:
            yield Check("collector", name, "failed", problem)


def _validated(
    config: Path, name: str, files: list[str], judge: str, values: Mapping[str, str], environ: Mapping[str, str]
) -> Check:
    # Only what the files ask for: the other variables' secrets are not the Collector's business.
    asked = {each for file in files for each in _VARIABLE.findall(env.read(config / file))}
    settings = {"REMOTE_OTLP_ENDPOINT": "http://127.0.0.1:4318", "POSTGRES_MONITOR_PASSWORD": "-", "HOST_ROOT": "/"}
    settings = {key: value for key, value in {**settings, **values}.items() if value and key in asked}
    if Path(judge).is_absolute():
        command = [judge, "validate", *(f"--config={config / file}" for file in files)]
    else:
        mount = f"{config.resolve()}:/etc/otelcol:ro"
        passed = [word for key in sorted(settings) for word in ("--env", key)]  # by name: a command line can be read
        command = ["docker", "run", "--rm", "--pull=never", "--network=none", *passed, "--volume", mount, judge]
        command += ["validate", *(f"--config=/etc/otelcol/{file}" for file in files)]
    status, said = machine.run(command, config, dict(environ) | settings, 300)
    together = " + ".join(files)
    if status == 0:
        return Check("collector", name, "ok", f"{together} is valid")
    if "unknown type" in said or "is not a known" in said:
        return Check("collector", name, "info", f"{together} not checked: this Collector lacks a component of it")
    return Check("collector", name, "failed", f"{together} is refused: {_last(said)}")


def _image(folder: Path, service: str) -> str:
    content, _ = _load(folder, "docker-compose.yml")
    try:
        return re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", str(content["services"][service]["image"]))
    except (TypeError, KeyError, IndexError):
        return ""


def _scrapes(folder: Path) -> Iterator[Check]:
    """Yield what is wrong with Prometheus' own file at first sight."""
    content, problem = _load(folder, "prometheus/prometheus.yaml")
    if not problem and not isinstance(content, dict):
        problem = f"is not a mapping: otelbot stack init {shown(folder)} --force writes it anew"
    if problem:
        yield Check("prometheus", "prometheus.yaml", "failed", problem)


def _prometheus(folder: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    if unusable := list(_scrapes(folder)):
        yield from unusable
        return
    promtool = machine.tool(environ, "promtool")
    if not promtool:
        yield Check("prometheus", "configuration", "info", "not checked: promtool is not here")
        return
    file = folder / "prometheus" / "prometheus.yaml"
    rules = [str(path) for path in sorted((folder / "prometheus" / "rules").glob("*.yaml"))]
    for name, command in (
        ("prometheus.yaml", [promtool, "check", "config", str(file)]),
        ("rules", [promtool, "check", "rules", *rules]),
    ):
        if name == "rules" and not rules:
            continue
        status, said = machine.run(command, folder, environ)
        detail = "valid" if status == 0 else f"promtool refuses it: {_last(said)}"
        yield Check("prometheus", name, "ok" if status == 0 else "failed", detail)


def _provisioning(folder: Path) -> Iterator[Check]:
    for path, schema in formats.FILES.items():
        content, problem = _load(folder, f"grafana/provisioning/{path}")
        fault = problem or first_fault(content, schema)
        if fault:
            mend = "" if problem else "; Grafana may not start with it: mend it"
            yield Check("grafana", path, "failed", fault + mend)
        else:
            yield Check("grafana", path, "ok", "has Grafana's format")


def _dashboards(folder: Path) -> Iterator[Check]:
    files = sorted((folder / "grafana" / "dashboards").rglob("*.json"))
    uids: dict[str, str] = {}
    for file in files:
        try:
            content: Any = json.loads(file.read_text(encoding="utf-8"))
            uid, _ = str(content["uid"]), content["panels"]
        except (OSError, ValueError, KeyError, TypeError):
            yield Check(
                "grafana", file.name, "failed", "is not a dashboard's JSON with uid and panels: mend or remove it"
            )
            continue
        if uid in uids:
            yield Check("grafana", file.name, "failed", f"has the uid of {uids[uid]}: give it another")
        uids[uid] = file.name
    if not files:
        detail = f"none in grafana/dashboards: otelbot stack init {shown(folder)} writes them"
        yield Check("grafana", "dashboards", "warning", detail)
    elif len(uids) == len(files):
        yield Check("grafana", "dashboards", "ok", f"{len(files)} dashboards can be read")


def _last(said: str) -> str:
    """Return the last line of a program's output that says something, which is where they put the reason."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return scrub(lines[-1])[:300] if lines else "it says nothing"
