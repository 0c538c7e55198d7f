"""docs/reference.md says what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from otelbot import signals
from otelbot.signals import ATTRIBUTES, INSTRUMENTS, Instrument

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.TARGET.read_text(encoding="utf-8") == reference.render(), "run: make generate"


def test_every_instrument_is_listed_once():
    declared = [value for value in vars(signals).values() if isinstance(value, Instrument)]
    assert sorted(each.name for each in declared) == sorted(each.name for each in INSTRUMENTS)


def test_every_attribute_of_our_own_is_described():
    names = {name for instrument in INSTRUMENTS for name in instrument.attributes}
    conventional = ("db.", "http.", "server.", "network.", "url.", "cpython.", "type", "generation")
    assert {name for name in names if not name.startswith(conventional)} <= set(ATTRIBUTES)
