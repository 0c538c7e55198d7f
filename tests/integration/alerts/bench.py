"""The alerts of a dashboard with a clock and metrics that a test sets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from otelbot.alerts.channels import settings
from otelbot.alerts.embedded_rules import RULES_OF_THE_EMBEDDED
from otelbot.alerts.evaluator import Alerts
from otelbot.alerts.promql import select

SHOP = {"service_name": "shop"}
START = 1_790_000_000.0  # a Monday, 14:13:20 UTC


@dataclass(frozen=True)
class Sample:
    labels: dict[str, str]
    value: float


class Bench:
    """Time passes in `pass_to` only; `values` are by rule and labels."""

    def __init__(self, folder, environ, rules=RULES_OF_THE_EMBEDDED):
        self.folder = folder
        self.environ = environ
        self.rules = rules
        self.now = START
        self.values = defaultdict(dict)
        self.broken = None
        self.seen = True
        self.begin()

    def begin(self):
        by_expr = {select(rule.expr): rule.uid for rule in self.rules}

        async def query(expr, at):
            if self.broken:
                raise self.broken
            return [Sample(dict(labels), value) for labels, value in self.values[by_expr[expr]].items()]

        async def seen():
            return self.seen

        self.alerts = Alerts(
            query,
            self.folder,
            settings.read(self.environ),
            page_url="http://127.0.0.1:8080/?token=hunter2",
            seen=seen,
            rules=self.rules,
            clock=lambda: self.now,
        )

    async def restart(self, after=0.0):
        await self.alerts.close()
        self.now += after
        self.begin()

    def set(self, rule, value, **labels):
        key = tuple((labels or SHOP).items())
        if value is None:
            self.values[rule.uid].pop(key, None)
        else:
            self.values[rule.uid][key] = value

    async def pass_to(self, seconds):
        """Let time pass until so many seconds after the start, with everything that happens meanwhile."""
        while self.now < START + seconds:
            self.now = min(self.now + 5, START + seconds)
            await self.alerts.evaluate()
            await self.alerts.notify()
            await self.alerts.settle()

    def states(self, rule):
        [found] = [each for each in self.alerts.overview()["alerts"] if each["uid"] == rule.uid]
        return [active["state"] for active in found["active"]]

    def history(self, *changes):
        """Return the entries, oldest first, of these changes."""
        return [each for each in reversed(self.alerts.history(100)["history"]) if each["change"] in changes]

    def notified(self, change):
        """Return what the newest entry of such a change says of each channel."""
        return {each["channel"]: each["status"] for each in self.history(change)[-1]["notified"]}
