"""Values as people read them, by the functions of Prometheus' templates, so that both editions say the same.

https://prometheus.io/docs/prometheus/latest/configuration/template_reference/#numbers
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.alerts.rule import Unit


def readable(value: float, unit: Unit) -> str:
    """Return a value in its unit, e.g. `572.2MiB`, `4m 0s`, `90%`, `12`, `14.4`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if unit == "bytes":
        return f"{_binary(value)}B"
    if unit == "seconds":
        return duration(value)
    if unit == "ratio":
        return f"{value * 100:.4g}%"
    return f"{value:.0f}" if unit == "count" else f"{value:.1f}"


def _binary(value: float) -> str:
    for prefix in ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi"):
        if abs(value) < 1024:
            return f"{value:.4g}{prefix}"
        value /= 1024
    return f"{value:.4g}Yi"


def duration(seconds: float) -> str:
    """Return seconds as `1h 2m 3s`."""
    if seconds and abs(seconds) < 1:
        # No rule knows anything smaller.
        return f"{seconds * 1000:.4g}ms"
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86_400
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {whole % 60}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {whole % 60}s"
    return f"{sign}{minutes}m {whole % 60}s" if minutes else f"{seconds:.4g}s"


def filled(text: str, labels: Mapping[str, str], value: str) -> str:
    """Put the value and labels in place of `{value}` and `{label}`; a label that is not there is empty."""
    return re.sub(r"\{(\w+)\}", lambda match: value if match[1] == "value" else labels.get(match[1], ""), text)
