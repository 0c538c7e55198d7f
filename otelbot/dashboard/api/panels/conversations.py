"""What people do with the bot, and where conversations go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot import signals
from otelbot.alerts.promql import label, series
from otelbot.alerts.rule import Text
from otelbot.dashboard.api.panels.model import Column, Panel, Query, per_minute, total

if TYPE_CHECKING:
    from otelbot.dashboard.api.evaluation import Resolution

_FROM, _TO = signals.FSM_FROM, signals.FSM_TO
_COMMAND = label(signals.COMMAND)
_TIMES = Text("Times", "دفعات")


def panels(at: Resolution) -> tuple[Panel, ...]:
    transitions = series(signals.FSM_TRANSITIONS)
    moved = total(transitions, at.range)
    failed = series(signals.COMMANDS, f'{label(signals.UPDATE_OUTCOME)}!="handled"')
    return (
        Panel(
            "funnel",
            Text("Funnel", "قیف گفتگوها"),
            Text(
                "Changes of state within the range, and the share of those who left a state that went this way;"
                " `none` is no conversation.",
                "تغییرهای وضعیت در این بازه، و سهم این مسیر از همهٔ کسانی که از آن وضعیت بیرون رفتند. `none` یعنی"
                " بیرون از گفتگو.",
            ),
            "count",
            "funnel",
            rows=((_FROM, Text("From", "از")), (_TO, Text("To", "به"))),
            columns=(
                Column("count", _TIMES, f"sum by ({_FROM}, {_TO}) ({moved}) > 0"),
                Column(
                    "share",
                    Text("Share", "سهم"),
                    f"sum by ({_FROM}, {_TO}) ({moved}) / on ({_FROM}) group_left () (sum by ({_FROM}) ({moved}) > 0)",
                    "ratio",
                ),
            ),
        ),
        Panel(
            "transitions",
            Text("Entered states", "ورود به وضعیت‌ها"),
            Text("How often a state was entered, a minute.", "شمار ورود به هر وضعیت در دقیقه."),
            "per_minute",
            "area",
            (Query(per_minute(_TO, transitions, at.window, at.window_seconds), f"{{{_TO}}}"),),
        ),
        Panel(
            "actions",
            Text("What users do", "کارهای کاربران"),
            Text("Actions a minute, by kind.", "شمار کارهای کاربران در دقیقه، بر حسب نوع."),
            "per_minute",
            "area",
            (
                Query(
                    per_minute(signals.ACTION, series(signals.USER_ACTIONS), at.window, at.window_seconds),
                    f"{{{signals.ACTION}}}",
                ),
            ),
        ),
        Panel(
            "commands",
            Text("Commands", "دستورها"),
            Text(
                "Commands within the range, and those whose outcome was not `handled`; one that no handler is"
                " registered for is `other`.",
                "دستورها در این بازه، و آن‌هایی که نتیجه‌شان `handled` نبود. دستوری که handler‌ای برای آن ثبت نشده"
                " `other` است.",
            ),
            "count",
            "table",
            rows=((_COMMAND, Text("Command", "دستور")),),
            columns=(
                Column("count", _TIMES, f"sum by ({_COMMAND}) ({total(series(signals.COMMANDS), at.range)})"),
                Column("failed", Text("Not handled", "رسیدگی‌نشده"), f"sum by ({_COMMAND}) ({total(failed, at.range)})"),
            ),
        ),
    )
