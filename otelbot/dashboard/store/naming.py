"""What Prometheus' OTLP receiver calls a metric and its attributes, with the settings of prometheus/prometheus.yaml.

`translation_strategy: UnderscoreEscapingWithSuffixes`, for any program's metrics. An alert rule or a dashboard's query
therefore finds here what it finds in the stack.
https://prometheus.io/docs/guides/opentelemetry/
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Resource attributes that become labels: `promote_resource_attributes` of prometheus/prometheus.yaml.
PROMOTED = (
    "service.name",
    "service.namespace",
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
    "host.name",
    "telegram.bot.id",
)
_MOVED = {"total", "ratio"}  # to the end of the name

_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}

_between_words = re.compile(r"[^a-zA-Z0-9:]+")
_no_label = re.compile(r"[^a-zA-Z0-9_]")


@lru_cache(maxsize=4096)
def family(name: str, unit: str, kind: str, monotonic: bool) -> str:
    """Return the name of a metric without `_bucket`, `_count` or `_sum`; "" for one that Prometheus refuses.

    :param kind: `gauge`, `sum` or `histogram`.
    """
    words = [word for word in _between_words.split(name) if word]
    words += [word for word in _unit_words(unit) if word not in words]
    if kind == "sum" and monotonic:
        words = [*(word for word in words if word != "total"), "total"]
    if kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    joined = "_".join(words)
    return f"_{joined}" if joined[:1].isdigit() else joined


def _unit_words(unit: str) -> list[str]:
    main, _, per = (part.strip() for part in unit.partition("/"))
    words = [_UNITS.get(main, main), f"per_{_PER.get(per, per)}" if per else ""]
    main, per = ("" if "{" in word or "}" in word else _between_words.sub("_", word).lstrip("_") for word in words)
    per = "" if per == "per_" else per.rstrip("_")
    return [word for word in (main.rstrip("_") if per else main, per) if word]


@lru_cache(maxsize=4096)
def stem(name: str) -> str:
    """Return what a metric's name and its name in Prometheus both begin with."""
    return "_".join(word for word in _between_words.split(name) if word and word not in _MOVED)


@lru_cache(maxsize=4096)
def label(attribute: str) -> str:
    """Return the label that an attribute becomes; "" where Prometheus refuses it, and with it the whole series."""
    cleaned = _no_label.sub("_", attribute)
    if cleaned[:1].isdigit():
        return f"key_{cleaned}"
    if cleaned.startswith("_") and not cleaned.startswith("__"):
        return f"key{cleaned}"
    return cleaned if cleaned.strip("_") else ""


def labels(attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the labels of a series but its name; None for one that Prometheus refuses.

    :param attributes: of the data point.
    :param resource: the resource's attributes.
    """
    found: dict[str, str] = {}
    for key in sorted(attributes):
        if key == "__name__":
            continue
        name, value = label(key), text(attributes[key])
        if not name:
            return None
        found[name] = f"{found[name]};{value}" if found.get(name) else value
    for key in PROMOTED:
        name = label(key)
        if key in resource and not found.get(name):
            found[name] = text(resource[key])
    if service := _job(resource):
        found["job"] = service
    if instance := text(resource.get("service.instance.id")):
        found["instance"] = instance
    return {name: value for name, value in found.items() if value}


def _job(resource: Mapping[str, Any]) -> str:
    if "service.name" not in resource:
        return ""
    name = text(resource["service.name"])
    return f"{text(resource['service.namespace'])}/{name}" if "service.namespace" in resource else name


def text(value: Any) -> str:
    """Return an attribute's value as a label has it: JSON, but a text as it is.

    Of a text in a list or a map some versions of Prometheus escape `<`, `>` and `&`; here they stay.
    """
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}:{_json(value[key])}" for key in sorted(value))
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """As JavaScript writes it."""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-6 <= abs(value) < 1e21:
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return fixed(value)


def fixed(value: float) -> str:
    """Return a number without an exponent, in as few digits as tell it from any other: the label `le`."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    digits = format(Decimal(repr(value)), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
