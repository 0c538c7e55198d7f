"""What the bot asks of Telegram, and what Telegram says."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts import rules
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import logs, traceql, traces
from otelbot.stack.dashboards.panels import Panel, Query, shown

CALLS = series(signals.API_DURATION, part="_count")
_FAILED = series(signals.API_DURATION, 'error_type!=""', part="_count")
_METHOD = label(signals.METHOD)
_STATUS = label(signals.HTTP_STATUS)
_ALL = traces('span.telegram.method != ""', "Calls")
_FAILING = traces('span.telegram.method != "" && span.error.type != ""', "Failed calls")
_OF_METHOD = traces('span.telegram.method = "${__field.labels.telegram_method}"', "Calls of this method")

DASHBOARD = Dashboard(
    "otelbot-telegram",
    "Telegram API",
    "Calls of the Bot API, refusals, flood control and polling.",
    (
        Row(
            "Calls",
            (
                Panel(
                    "Calls by method",
                    "Attempts of Bot API calls a minute; of getUpdates only those that failed.",
                    (Query(f"60 * sum by ({_METHOD}) (rate({CALLS}[$interval]))", "{{telegram_method}}"),),
                    "opm",
                    link=_ALL,
                    drill=_OF_METHOD,
                    stacked=True,
                ),
                Panel(
                    "Slowest methods",
                    "95th percentile of an attempt, of the ten slowest methods; the dots lead to traces.",
                    (
                        Query(
                            f"topk(10, {quantile(0.95, signals.API_DURATION, '$interval', by=_METHOD)})",
                            "{{telegram_method}}",
                            exemplars=True,
                        ),
                    ),
                    "s",
                    link=_ALL,
                    drill=_OF_METHOD,
                ),
                Panel(
                    "Failed calls",
                    "Attempts that failed, by status (none: the network) and class of the exception.",
                    (
                        Query(
                            f"sum by ({_STATUS}, error_type) ({grown(_FAILED, '$interval')})",
                            "{{http_response_status_code}} {{error_type}}",
                        ),
                    ),
                    kind="bars",
                    link=_FAILING,
                ),
                Panel(
                    "Waiting for an answer",
                    "Calls that wait for Telegram right now.",
                    (Query(f"sum by (service_name) ({series(signals.API_ACTIVE)})", "{{service_name}}"),),
                    link=_ALL,
                ),
            ),
        ),
        Row(
            "Refusals",
            (
                Panel(
                    "Why Telegram refused",
                    "Refused calls by reason. A user who blocked the bot is no error of it.",
                    (Query(f"sum by (reason) ({grown(series(signals.API_REJECTIONS), '$interval')})", "{{reason}}"),),
                    kind="bars",
                    link=_FAILING,
                ),
                Panel(
                    "Flood control (429)",
                    "Time that Telegram asked the bot to wait, in all, within 5 minutes.",
                    **shown(rules.FLOOD_CONTROL, "{{service_name}} {{telegram_bot_id}}"),
                    link=traces("span.telegram.retry_after > 0", "Calls with 429"),
                ),
                Panel(
                    "Blocked chats against usual",
                    "Refusals because a user blocked the bot: the last hour against an average hour of the day before.",
                    **shown(rules.BLOCKED_JUMP, "{{service_name}}"),
                    link=traces('span.error.type = "TelegramForbiddenError"', "Blocked calls"),
                ),
                Panel(
                    "Time to answer a button",
                    "95th percentile of the time until a callback query was answered; the button shows a clock"
                    " meanwhile.",
                    (
                        Query(
                            quantile(0.95, signals.CALLBACK_ANSWER_DELAY, "$interval"),
                            "{{service_name}}",
                            exemplars=True,
                        ),
                    ),
                    "s",
                    link=traces('name =~ "callback_query.*" && kind = consumer', "Callback queries"),
                ),
            ),
        ),
        Row(
            "Polling",
            (
                Panel(
                    "Since the last successful getUpdates",
                    "With the default timeout it stays below 10 s when all is well.",
                    (
                        Query(
                            f"max by (service_name, telegram_bot_id) ({series(signals.POLLING_AGE)})",
                            "{{service_name}} {{telegram_bot_id}}",
                        ),
                    ),
                    "s",
                    link=logs('|~ "(?i)fetch updates|polling|try again|connection established"', "Log of polling"),
                ),
                Panel(
                    "Updates in an answer",
                    "95th percentile of the updates in an answer to getUpdates; at 100 more are waiting.",
                    (Query(quantile(0.95, signals.POLLING_BATCH, "$interval"), "{{service_name}}"),),
                    link=traces("kind = consumer"),
                ),
                Panel(
                    "Token refused (401)",
                    "Calls that Telegram refused because of the token, within 2 minutes.",
                    **shown(rules.TOKEN_REVOKED, "{{service_name}} {{telegram_bot_id}}"),
                    link=logs('|= "nauthorized"'),
                ),
                Panel(
                    "Two pollers (409)",
                    "Attempts of getUpdates, within 2 minutes, that met another poller or a webhook.",
                    **shown(rules.TWO_POLLERS, "{{service_name}} {{telegram_bot_id}}"),
                    link=logs('|= "Conflict"'),
                ),
            ),
        ),
        Row(
            "Traces",
            (
                Panel(
                    "Failed calls, each",
                    "The latest Bot API calls that failed; a click on one opens its trace.",
                    (Query(traceql('span.telegram.method != "" && span.error.type != ""')),),
                    kind="traces",
                    link=_FAILING,
                    width=24,
                ),
            ),
        ),
    ),
)
