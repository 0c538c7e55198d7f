"""A fault keeps its fingerprint wherever its lines move, is reported once, and at most once a minute."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import pickle
import sys
import threading
import weakref

import pytest

from otelbot import settings
from otelbot.logs import exceptions
from otelbot.logs.exceptions import Reporter, fingerprint
from tests.support import TOKEN

ORDERS = """
def pay(order):
    return int(order)

def deep(times):
    return deep(times - 1) if times else 1 / 0

def recurse(value):
    return recurse(value)

def caused(order):
    try:
        pay(order)
    except ValueError as error:
        raise LookupError(order) from error

def library(order):
    import json
    return json.loads(order)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module of a source, in a folder of its own; as a program it is `__main__`."""

    def make(source, name="shop.orders", folder="a"):
        path = tmp_path.joinpath(folder, *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    return make


def raised(function, *args):
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("name", ["pay", "caused", "library"])
def test_it_stays_the_same_where_lines_move_and_values_differ(module, name):
    before, after = module(ORDERS, folder="a"), module("import os\n\n\n" + ORDERS + "\nrate = 7\n", folder="b")
    first, second = fingerprint(raised(getattr(before, name), "x")), fingerprint(raised(getattr(after, name), "y"))
    assert first == second
    assert len(first) == 16
    assert int(first, 16)


def test_it_differs_where_the_fault_is_another(module):
    orders = module(ORDERS)
    moved = module(ORDERS, name="shop.refunds")
    changed = module(ORDERS.replace("return int(order)", "return int(order.total)"), folder="c")
    errors = [
        raised(orders.pay, "x"),
        raised(moved.pay, "x"),
        raised(changed.pay, "x"),
        raised(orders.caused, "x"),
        raised(orders.pay, None),  # another class
        raised(orders.library, "x"),
        ValueError("x"),
    ]
    assert len({fingerprint(error) for error in errors}) == len(errors)


def test_recursion_has_one_fingerprint_however_deep_it_goes(module):
    orders = module(ORDERS)
    assert fingerprint(raised(orders.deep, 3)) == fingerprint(raised(orders.deep, 30))


def test_what_libraries_do_in_between_does_not_count(module):
    through = "def call(function, *args):\n    return function(*args)\n"
    orders = module(ORDERS)
    library = module(through, name="site-packages.lib")
    other = module(through.replace("call", "run"), name="site-packages.other")
    first = fingerprint(raised(library.call, orders.pay, "x"))
    assert first == fingerprint(raised(other.run, orders.pay, "x"))
    assert first != fingerprint(raised(library.call, orders.pay, None))
    assert fingerprint(raised(library.call, None)) != fingerprint(raised(other.run, None)), "the last one counts"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no groups")
def test_a_group_is_what_is_in_it_in_any_order(module):
    orders = module(ORDERS)
    group = ExceptionGroup  # noqa: F821
    one, other = raised(orders.pay, "x"), raised(orders.pay, None)
    assert fingerprint(group("2", [one, other])) == fingerprint(group("two", [other, one]))
    assert fingerprint(group("2", [one, other])) != fingerprint(group("1", [one]))
    assert fingerprint(group("1", [group("1", [one])])) != fingerprint(group("1", [one]))


def test_a_circle_of_causes_ends():
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert fingerprint(first)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def emitted(monkeypatch):
    """What is emitted: bodies and attributes."""
    found = []
    monkeypatch.setattr(exceptions, "_emit", lambda body, attributes, span: found.append((body, attributes)))
    return found


def counts(emitted):
    return [attributes["exception.count"] for _, attributes in emitted]


def fault():
    return raised(int, "tea")


def test_it_says_what_there_is_to_say_without_secrets(emitted, clock):
    Reporter(clock).report(raised(lambda: exec(f"raise LookupError('no {TOKEN}')")))
    ((body, attributes),) = emitted
    assert body == "LookupError: no ***"
    assert attributes["exception.type"] == "LookupError"
    assert attributes["exception.message"] == "no ***"
    assert attributes["exception.stacktrace"].startswith("Traceback")
    assert len(attributes["exception.fingerprint"]) == 16
    assert TOKEN not in str(attributes)


class Slotted(Exception):
    __slots__ = ("order",)


@dataclasses.dataclass
class Unhashable(Exception):
    order: int = 0


class Odd(Exception):
    def __setattr__(self, name, value):
        raise TypeError(name)

    def __eq__(self, other):
        raise TypeError("not to be compared")

    __hash__ = None

    def __str__(self):
        raise TypeError("not to be shown")


@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError, Slotted, Unhashable, Odd, KeyboardInterrupt])
def test_the_same_exception_is_reported_once(emitted, clock, kind):
    reporter = Reporter(clock)
    error = kind()
    for _ in range(3):
        reporter.report(error)
        clock.now += 100
    assert counts(emitted) == [1]
    reporter.report(kind())
    assert counts(emitted) == [1, 1], "another one"


def test_its_fingerprint_stays_the_first_while_it_goes_on(clock):
    reporter, seen = Reporter(clock), []

    def inner():
        try:
            int("tea")
        except ValueError as error:
            seen.append(reporter.fingerprint(error))
            raise

    error = raised(inner)
    assert reporter.fingerprint(error) == seen[0] != fingerprint(error)


def test_no_exception_is_kept_alive(emitted, clock):
    class Tea(Exception):
        pass

    reporter = Reporter(clock)
    error = Tea()
    gone = weakref.ref(error)
    reporter.report(error)
    del error
    gc.collect()
    assert gone() is None
    assert not reporter._marks._known


def test_an_exception_that_was_reported_can_be_pickled(emitted, clock):
    error = ValueError("tea")
    Reporter(clock).report(error)
    assert pickle.loads(pickle.dumps(error)).args == ("tea",)


def test_the_same_fault_is_told_once_a_minute_with_its_number(emitted, clock):
    reporter = Reporter(clock)
    for _ in range(5):
        reporter.report(fault())
    assert counts(emitted) == [1]
    clock.now += 59
    reporter.report(fault())
    assert counts(emitted) == [1]
    clock.now += 1
    reporter.report(fault())
    assert counts(emitted) == [1, 6]
    reporter.report(fault())
    reporter.report(fault())
    reporter.tell_rest()
    reporter.tell_rest()
    assert counts(emitted) == [1, 6, 2]
    assert emitted[-1][0] == emitted[0][0]
    assert emitted[-1][1]["exception.fingerprint"] == emitted[0][1]["exception.fingerprint"]


def test_different_faults_are_told_at_once(emitted, clock):
    reporter = Reporter(clock)
    reporter.report(fault())
    reporter.report(raised(lambda: 1 / 0))
    assert counts(emitted) == [1, 1]


def test_memory_is_bounded_and_nothing_is_lost_that_was_counted(emitted, clock):
    reporter = Reporter(clock)
    kinds = [type(f"Fault{number}", (Exception,), {}) for number in range(600)]
    for kind in kinds:
        reporter.report(kind())
        reporter.report(kind())
    assert len(reporter._windows) == 500
    assert counts(emitted).count(1) == 600 + 100, "what was pushed out is told"
    reporter.tell_rest()
    assert sum(counts(emitted)) == 1200


def test_the_least_recently_seen_is_the_first_out(emitted, clock):
    reporter = Reporter(clock)
    kinds = [type(f"Fault{number}", (Exception,), {}) for number in range(500)]
    for kind in [*kinds, kinds[0], type("Last", (Exception,), {}), kinds[0]]:
        reporter.report(kind())
    assert len(emitted) == 501, "the first one is still known"


def test_threads_lose_nothing(emitted, clock):
    reporter = Reporter(clock)
    errors = [fault() for _ in range(400)]
    threads = [
        threading.Thread(target=lambda part=part: [*map(reporter.report, part)]) for part in (errors[::2], errors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reporter.tell_rest()
    assert sum(counts(emitted)) == 400


def test_it_is_off_where_errors_are_no_wanted_events(emitted, clock, monkeypatch):
    off = dataclasses.replace(settings.current(), events=frozenset({"updates"}))
    monkeypatch.setattr(settings, "current", lambda: off)
    Reporter(clock).report(fault())
    assert emitted == []


def test_it_never_raises(clock, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError("no")

    monkeypatch.setattr(exceptions, "_emit", refuse)
    reporter = Reporter(clock)
    reporter.report(fault())
    reporter.report(fault())
    reporter.tell_rest()


def test_a_forked_child_counts_for_itself(emitted, clock):
    reporter = Reporter(clock)
    reporter.report(fault())
    reporter.report(fault())
    reporter.start()
    reporter.tell_rest()
    assert counts(emitted) == [1]
