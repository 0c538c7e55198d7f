"""Checks of the standard `OTEL_*` variables before OpenTelemetry reads them.

The specification asks that a value that can't be used is warned about and then treated as unset; the SDK raises for
some, logs a traceback for others. So what it could not use is reported here, in one sentence, and taken out.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from urllib.parse import unquote, urlsplit

from otelbot.privacy import scrub
from otelbot.settings import Problem

_BLANK = re.compile(r"[\s\x00-\x1f]")
#: https://www.rfc-editor.org/rfc/rfc9110#name-fields; values as http.client can encode them.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_|~0-9A-Za-z`-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_METRIC_INTERVAL_MILLIS = 15_000

_SIGNALS = ("TRACES", "METRICS", "LOGS")
_PROTOCOLS = ("http/protobuf", "grpc")

_Check = Callable[[str], None]


def valid_endpoint(value: str) -> None:
    """Raise ValueError with the reason where `value` is not an http(s) URL with a host."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not _BLANK.search(value)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is not a URL that starts with http:// or https://")


def _number(low: float, high: float, kind: str) -> _Check:
    def check(value: str) -> None:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"is not {kind}")

    return check


def _whole(value: str) -> None:
    try:
        usable = 0 < int(value) < 2**31
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is not a positive whole number below 2147483648")


def _limit(value: str) -> None:
    try:
        usable = int(value) >= 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is not a whole number")


def _one_of(*allowed: str) -> _Check:
    def check(value: str) -> None:
        if value.strip().lower() not in allowed:
            raise ValueError(f"is none of {', '.join(allowed)}")

    return check


def names(value: str) -> list[str]:
    """Return the names in a comma-separated list, each once; those that otelbot or the SDK brings in lower case."""
    parts = (part.strip() for part in value.split(","))
    return list(dict.fromkeys(known_name(part) for part in parts if part))


def known_name(name: str) -> str:
    """Return `name` in lower case where that is a name of the specification: values are case-insensitive there."""
    return name.lower() if name.lower() in {*BUILTIN_SAMPLERS, *_BUILTIN_EXPORTERS, *_BUILTIN_PROPAGATORS} else name


def _registered(group: str, mend: str, *, builtin: tuple[str, ...] = (), several: bool = False) -> _Check:
    """The value, or each name of a comma-separated list, must be built in or an installed entry point of `group`."""

    def check(value: str) -> None:
        from importlib.metadata import entry_points

        found = names(value) if several else [known_name(value.strip())]
        if not found:
            raise ValueError("names nothing")
        for name in found:
            if name not in builtin and not entry_points(group=group, name=name):
                raise ValueError(f"names {name!r}, which is not installed ({mend})")

    return check


def _pairs(value: str) -> None:
    for pair in filter(None, (part.strip() for part in value.split(","))):
        key, equals, _ = pair.partition("=")
        if not equals or not key.strip() or "\n" in unquote(pair):
            raise ValueError("is not a list of key=value pairs")


def _http_headers(value: str) -> None:
    _pairs(value)
    for pair in filter(None, (part.strip() for part in value.split(","))):
        key, _, text = (unquote(part.strip()) for part in pair.partition("="))
        if not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(text):
            raise ValueError("holds what can't be an HTTP header")


def _readable_file(value: str) -> None:
    try:
        with open(value, "rb"):  # noqa: PTH123 - one call, no pathlib in the bot's start-up
            pass
    except OSError:
        raise ValueError("is not a file that can be read") from None


BUILTIN_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_EXPORTER_PACKAGES = "install the package that brings it, e.g. opentelemetry-exporter-prometheus"
_BUILTIN_EXPORTERS = ("otlp", "none", "console")
_BUILTIN_PROPAGATORS = ("tracecontext", "baggage", "none")

#: name → (check, what is used instead)
_CHECKS: dict[str, tuple[_Check, str]] = {
    "OTEL_SDK_DISABLED": (_one_of("true", "false"), "false"),
    "OTEL_TRACES_SAMPLER": (
        _registered(
            "opentelemetry_traces_sampler",
            "known: always_on, always_off, traceidratio and their parentbased_ forms",
            builtin=BUILTIN_SAMPLERS,
        ),
        "parentbased_always_on",
    ),
    "OTEL_PROPAGATORS": (
        _registered(
            "opentelemetry_propagator", "known: tracecontext, baggage, none", builtin=_BUILTIN_PROPAGATORS, several=True
        ),
        "tracecontext,baggage",
    ),
    **{
        f"OTEL_PYTHON_{kind.upper()}": (_registered(f"opentelemetry_{kind}", "leave it unset"), "OpenTelemetry's own")
        for kind in ("tracer_provider", "meter_provider", "logger_provider", "context")
    },
    **{
        f"OTEL_PYTHON_{kind.upper()}": (_registered(f"opentelemetry_{kind}", "leave it unset"), "otelbot")
        for kind in ("distro", "configurator")
    },
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": (
        _registered(
            "opentelemetry_resource_detector", "known: otel, process, os, host", builtin=("*", "otel"), several=True
        ),
        "otel",
    ),
    "OTEL_PYTHON_LOG_HANDLER_LEVEL": (
        _one_of("notset", "debug", "info", "warn", "warning", "error"),
        "notset (every record)",
    ),
    "OTEL_PYTHON_ID_GENERATOR": (_registered("opentelemetry_id_generator", "known: random"), "random"),
    "OTEL_RESOURCE_ATTRIBUTES": (_pairs, "no extra attributes"),
    "OTEL_METRICS_EXEMPLAR_FILTER": (_one_of("always_on", "always_off", "trace_based"), "trace_based"),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": (_one_of("cumulative", "delta", "lowmemory"), "cumulative"),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
        _one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        "explicit_bucket_histogram",
    ),
    "OTEL_METRIC_EXPORT_INTERVAL": (_whole, f"{DEFAULT_METRIC_INTERVAL_MILLIS} (milliseconds)"),
    "OTEL_EXPORTER_PROMETHEUS_PORT": (_whole, "9464"),
    "OTEL_METRIC_EXPORT_TIMEOUT": (_whole, "30000 (milliseconds)"),
    **{
        f"OTEL_{processor}_{name}": (_whole, default)
        for processor, delay in (("BSP", "5000 (milliseconds)"), ("BLRP", "1000 (milliseconds)"))
        for name, default in (
            ("SCHEDULE_DELAY", delay),
            ("EXPORT_TIMEOUT", "30000 (milliseconds)"),
            ("MAX_QUEUE_SIZE", "OTELBOT_EXPORT_QUEUE_BYTES alone"),
            ("MAX_EXPORT_BATCH_SIZE", "the default"),
        )
    },
    **{
        f"OTEL_{name}_LIMIT": (_limit, "the SDK's default")
        for name in (
            "ATTRIBUTE_COUNT",
            "ATTRIBUTE_VALUE_LENGTH",
            "SPAN_ATTRIBUTE_COUNT",
            "SPAN_ATTRIBUTE_VALUE_LENGTH",
            "SPAN_EVENT_COUNT",
            "SPAN_LINK_COUNT",
            "EVENT_ATTRIBUTE_COUNT",
            "LINK_ATTRIBUTE_COUNT",
            "LOGRECORD_ATTRIBUTE_COUNT",
            "LOGRECORD_ATTRIBUTE_VALUE_LENGTH",
        )
    },
    **{
        f"OTEL_{signal}_EXPORTER": (
            _registered(
                f"opentelemetry_{signal.lower()}_exporter",
                _EXPORTER_PACKAGES,
                builtin=_BUILTIN_EXPORTERS,
                several=True,
            ),
            "otlp",
        )
        for signal in _SIGNALS
    },
}
_OTLP_CHECKS: dict[str, tuple[_Check, str]] = {
    "ENDPOINT": (valid_endpoint, f"{DEFAULT_ENDPOINT}"),
    "PROTOCOL": (_one_of(*_PROTOCOLS), "http/protobuf"),
    "TIMEOUT": (_number(0.001, 1e9, "a positive number"), "10 (seconds)"),
    "COMPRESSION": (_one_of("none", "gzip", "deflate"), "none"),
    "HEADERS": (_http_headers, "no extra headers"),
    "CERTIFICATE": (_readable_file, "the system's certificates"),
    "CLIENT_KEY": (_readable_file, "no client certificate"),
    "CLIENT_CERTIFICATE": (_readable_file, "no client certificate"),
}
_SECRET = ("HEADERS", "ENDPOINT", "RESOURCE_ATTRIBUTES")


def otlp_value(environ: Mapping[str, str], signal: str, name: str) -> str | None:
    """Return `OTEL_EXPORTER_OTLP_{signal}_{name}`, else `OTEL_EXPORTER_OTLP_{name}`, else None. Empty is unset."""
    return (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "").strip()
        or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()
        or None
    )


def _checks() -> Iterator[tuple[str, _Check, str]]:
    for name, (check, used) in _CHECKS.items():
        yield name, check, used
    for prefix in ("", *(f"{signal}_" for signal in _SIGNALS)):
        for suffix, (check, used) in _OTLP_CHECKS.items():
            yield f"OTEL_EXPORTER_OTLP_{prefix}{suffix}", check, used


def _shown(name: str, value: str) -> str:
    """Headers and URLs with credentials hold secrets: name the variable only, or the value without them."""
    if name.endswith("ENDPOINT") and "@" not in value and "?" not in value:
        return f"{name}={scrub(value)[:80]!r}"
    return name if name.endswith(_SECRET) else f"{name}={scrub(value)[:80]!r}"


def problems(environ: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong with the standard variables in `environ`. Reads files and entry points, sends nothing."""
    found: list[Problem] = []
    for name, check, used in _checks():
        value = environ.get(name, "").strip()
        if not value:
            continue
        if name.endswith("ENDPOINT") and _by_grpc(environ, name.removeprefix("OTEL_EXPORTER_OTLP_").split("_")[0]):
            continue  # gRPC takes host:port
        try:
            check(value)
        except ValueError as error:
            found.append(Problem(_shown(name, value), str(error), used))
    found.extend(_sampler_argument(environ))
    found.extend(_batches_beyond_queue(environ))
    found.extend(_missing_grpc(environ))
    if environ.get("OTEL_CONFIG_FILE"):
        found.append(
            Problem("OTEL_CONFIG_FILE", "is not supported: it would send telemetry past the scrubber", "the variables")
        )
    return found


def _sampler_argument(environ: Mapping[str, str]) -> Iterator[Problem]:
    if "traceidratio" not in environ.get("OTEL_TRACES_SAMPLER", "").lower():
        return
    value = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    try:
        _number(0, 1, "a ratio from 0 to 1")(value or "1")
    except ValueError as error:
        yield Problem(f"OTEL_TRACES_SAMPLER_ARG={scrub(value)[:80]!r}", str(error), "1.0 (everything)")


def _batches_beyond_queue(environ: Mapping[str, str]) -> Iterator[Problem]:
    for processor, signal in (("BSP", "TRACES"), ("BLRP", "LOGS")):
        name = f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE"
        by_sdk = _queued_by_sdk(environ, signal)
        try:
            batch = int(environ.get(name, "").strip() or (512 if by_sdk else 1))  # ours fits what is set
            queue = float(environ.get(f"OTEL_{processor}_MAX_QUEUE_SIZE", "").strip() or (2048 if by_sdk else math.inf))
        except ValueError:
            continue  # reported on its own
        if batch > queue > 0:
            given = name if environ.get(name, "").strip() else f"OTEL_{processor}_MAX_QUEUE_SIZE"
            why = f"makes a batch of {batch} larger than the queue of {queue:.0f}"
            used = ("512", "of 2048") if by_sdk else ("2048", "bounded by its bytes")
            yield Problem(f"{given}={environ[given]!r}", why, "a batch of {} and a queue {}".format(*used))


def _queued_by_sdk(environ: Mapping[str, str], signal: str) -> bool:
    """Whether an exporter of another package gets this signal: through the SDK's queue, which has a size of its own."""
    exporters = names(environ.get(f"OTEL_{signal}_EXPORTER", "")) or ["otlp"]
    return not {*exporters} <= {"otlp", "none"} or ("otlp" in exporters and _by_grpc(environ, signal))


def _by_grpc(environ: Mapping[str, str], signal: str) -> bool:
    return (otlp_value(environ, signal, "PROTOCOL") or "").lower() == "grpc" and _grpc_installed()


def _grpc_installed() -> bool:
    from importlib.metadata import entry_points

    return bool(entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_grpc"))


def _missing_grpc(environ: Mapping[str, str]) -> Iterator[Problem]:
    for prefix in ("", *(f"{signal}_" for signal in _SIGNALS)):
        name = f"OTEL_EXPORTER_OTLP_{prefix}PROTOCOL"
        if environ.get(name, "").strip().lower() == "grpc" and not _grpc_installed():
            why = "needs `pip install opentelemetry-exporter-otlp-proto-grpc`"
            yield Problem(f"{name}={environ[name]!r}", why, "http/protobuf")


def discard_unusable(environ: MutableMapping[str, str]) -> list[Problem]:
    """Take the variables that `problems` names out of `environ`, so that the SDK sees them as unset; return them."""
    found = problems(environ)
    for problem in found:
        name = problem.variable.partition("=")[0]
        environ.pop(name, None)
        if name == "OTEL_TRACES_SAMPLER_ARG":
            environ[name] = "1.0"  # unset, the SDK would warn once more
        if name.endswith(("_MAX_EXPORT_BATCH_SIZE", "_MAX_QUEUE_SIZE")):
            for size in ("MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE"):  # one may not fit the default of the other
                environ.pop(f"OTEL_{name.split('_')[1]}_{size}", None)
    for name in (f"OTEL_EXPORTER_OTLP_{prefix}PROTOCOL" for prefix in ("", *(f"{signal}_" for signal in _SIGNALS))):
        if name in environ:
            environ[name] = environ[name].strip().lower()
    for name in ("OTEL_TRACES_SAMPLER", *(f"OTEL_{signal}_EXPORTER" for signal in _SIGNALS), "OTEL_PROPAGATORS"):
        if (value := ",".join(names(environ.get(name, "")))) != environ.get(name, "").replace(" ", ""):
            environ[name] = value
    return found
