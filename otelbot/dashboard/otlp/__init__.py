"""OTLP as bytes: protobuf and OTLP/JSON requests, compressed or not, and the answers to them."""

from __future__ import annotations

from otelbot.dashboard.otlp.bodies import MalformedError, answered, decode, decompressed, problem
from otelbot.dashboard.otlp.json_form import from_otlp_json, to_otlp_json
from otelbot.dashboard.otlp.values import attributes, plain

__all__ = [
    "MalformedError",
    "answered",
    "attributes",
    "decode",
    "decompressed",
    "from_otlp_json",
    "plain",
    "problem",
    "to_otlp_json",
]
