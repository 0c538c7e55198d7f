"""What people do with the bot."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts.promql import grown, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import traces
from otelbot.stack.dashboards.panels import Panel, Query

_ACTIONS = series(signals.USER_ACTIONS)
_COMMANDS = series(signals.COMMANDS)
_TRANSITIONS = series(signals.FSM_TRANSITIONS)
_ACTIVE = series(signals.USERS_ACTIVE)
_ALL = traces("kind = consumer")
_IN_STATE = traces('span.aiogram.fsm.state != ""', "Updates in a conversation")
_UNWELL = 'span.telegram.command != "" && span.telegram.update.outcome != "handled"'
_COMMAND_TRACES = traces('span.telegram.command != ""', "Commands")

DASHBOARD = Dashboard(
    "otelbot-users",
    "Users & conversations",
    "How many people there are, what they do and where conversations go.",
    (
        Row(
            "Users",
            (
                Panel(
                    "Active users",
                    "Different users within the last 5 minutes, hour and day, estimated within 3 %. Each replica"
                    " counts its own,"
                    " unless OTELBOT_ACTIVE_USERS_REDIS_URL lets them count together.",
                    (
                        Query(
                            f"sum by (window) (max by (service_name, telegram_bot_id, window) ({_ACTIVE}))",
                            "{{window}}",
                        ),
                    ),
                    link=_ALL,
                ),
                Panel(
                    "What users do",
                    "Actions a minute.",
                    (Query(f"60 * sum by (action) (rate({_ACTIONS}[$interval]))", "{{action}}"),),
                    "opm",
                    link=_ALL,
                    stacked=True,
                ),
                Panel(
                    "Commands",
                    "Commands in the dashboard's time; those that no handler is registered for are `other`.",
                    (
                        Query(
                            f"sort_desc(sum by (telegram_command) (increase({_COMMANDS}[$__range])))",
                            "{{telegram_command}}",
                        ),
                    ),
                    kind="ranking",
                    link=_COMMAND_TRACES,
                ),
                Panel(
                    "Commands that failed",
                    "Commands whose outcome was not `handled`.",
                    (
                        Query(
                            "sum by (telegram_command, telegram_update_outcome) ("
                            + grown(series(signals.COMMANDS, 'telegram_update_outcome!="handled"'), "$interval")
                            + ")",
                            "{{telegram_command}} {{telegram_update_outcome}}",
                        ),
                    ),
                    kind="bars",
                    link=traces(_UNWELL, "These commands"),
                    drill=traces(
                        _UNWELL + ' && span.telegram.command = "${__field.labels.telegram_command}"', "This command"
                    ),
                ),
            ),
        ),
        Row(
            "Conversations",
            (
                Panel(
                    "Funnel",
                    "Changes of state in the dashboard's time, from each state to the next; `none` is no conversation.",
                    (Query(f"sort_desc(sum by (from, to) (increase({_TRANSITIONS}[$__range])))", "{{from}} → {{to}}"),),
                    kind="ranking",
                    link=_IN_STATE,
                    height=10,
                ),
                Panel(
                    "Entered states",
                    "How often a state was entered, a minute.",
                    (Query(f"60 * sum by (to) (rate({_TRANSITIONS}[$interval]))", "{{to}}"),),
                    "opm",
                    link=_IN_STATE,
                    height=10,
                ),
            ),
        ),
    ),
)
