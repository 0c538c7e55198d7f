"""The rules that the dashboard evaluates itself: those about bots, and whether telemetry comes at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otelbot.alerts import rules, stack_rules
from otelbot.alerts.rule import Text

if TYPE_CHECKING:
    from otelbot.alerts.rule import Rule

# Its description names what there is to look at: a page here, a dashboard in Grafana.
_ERROR_RATE = replace(
    rules.ERROR_RATE,
    description=Text(
        "The limit is 10 a minute. The page Errors shows which they are and where they come from.",
        "حد مجاز ۱۰ خطا در دقیقه است. صفحهٔ «خطاها» نوع و منشأ آن‌ها را نشان می‌دهد.",
    ),
)
_SLOW_UPDATES = replace(
    rules.SLOW_UPDATES,
    description=Text(
        rules.SLOW_UPDATES.description.en,
        "حد مجاز ۵ ثانیه است (صدک ۹۵ در ۵ دقیقه)."
        " صفحهٔ «آپدیت‌ها و هندلرها» نشان می‌دهد کدام هندلر کند است و ردهای آن علت را.",
    ),
)
_TELEMETRY_DROPPED = replace(
    rules.TELEMETRY_DROPPED,
    description=Text(
        "Within 5 minutes: the dashboard was away for longer than the bot's memory lasts, or refuses what comes.",
        "در ۵ دقیقه: داشبورد بیش از گنجایش حافظهٔ ربات در دسترس نبوده یا داده‌ها را نمی‌پذیرد.",
    ),
)
_TELEMETRY_MISSING = replace(
    stack_rules.TELEMETRY_MISSING,
    description=Text(
        "For more than 5 minutes. Do the bots run, and do they send to this dashboard (otelbot doctor)? Nothing else"
        " can alert about bots now.",
        "بیش از ۵ دقیقه است. آیا ربات‌ها اجرا می‌شوند و به این داشبورد می‌فرستند (otelbot doctor)؟"
        " اکنون هشدار دیگری دربارهٔ ربات‌ها کار نمی‌کند.",
    ),
)
_IN_OTHER_WORDS = {rule.uid: rule for rule in (_ERROR_RATE, _SLOW_UPDATES, _TELEMETRY_DROPPED)}
_OF_THE_STACK = {
    each.uid
    for each in (
        stack_rules.TELEMETRY_MISSING,
        stack_rules.COLLECTOR_QUEUE,
        stack_rules.COLLECTOR_DISK,
        stack_rules.PART_DOWN,
        stack_rules.COLLECTOR_LOSES,
    )
}

RULES_OF_THE_EMBEDDED: tuple[Rule, ...] = (
    *(_IN_OTHER_WORDS.get(rule.uid, rule) for rule in rules.RULES if rule.uid not in _OF_THE_STACK),
    _TELEMETRY_MISSING,
)
#: Makes sense only once there was a bot: before the first one it would greet everybody who tries the dashboard.
AFTER_THE_FIRST_BOT = frozenset({_TELEMETRY_MISSING.uid})
#: They speak of absence: after a start they wait until bots had the time to deliver what waited for the dashboard.
OF_ABSENCE = frozenset({_TELEMETRY_MISSING.uid, rules.BOT_SILENT.uid})

#: By the rule's uid, the page that shows what it looks at.
PAGES = {
    rules.MEMORY_HIGH.uid: "/runtime",
    rules.ERROR_RATE.uid: "/errors",
    rules.DATABASE_DOWN.uid: "/databases",
    rules.SLOW_UPDATES.uid: "/updates",
    rules.BOT_SILENT.uid: "/",
    rules.TOKEN_REVOKED.uid: "/telegram",
    rules.TWO_POLLERS.uid: "/telegram",
    rules.FLOOD_CONTROL.uid: "/telegram",
    rules.UPDATE_BACKLOG.uid: "/updates",
    rules.BLOCKED_JUMP.uid: "/telegram",
    rules.BUDGET_FAST.uid: "/updates",
    rules.BUDGET_SLOW.uid: "/updates",
    rules.LOOP_BLOCKED.uid: "/runtime",
    rules.POOL_EXHAUSTED.uid: "/databases",
    rules.REDIS_DOWN.uid: "/databases",
    rules.TELEMETRY_DROPPED.uid: "/runtime",
    _TELEMETRY_MISSING.uid: "/",
}
