"""A dashboard: rows of panels, the variables and annotations that all of ours have, and its place in Grafana."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from otelbot import signals
from otelbot.alerts.promql import name, select, series
from otelbot.alerts.render import Place
from otelbot.stack.dashboards.links import SELECT
from otelbot.stack.dashboards.panels import Panel, build

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG = "otelbot"
_WIDTH = 24
_SOURCES = ("prometheus", "tempo", "loki")


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `uid` never changes, because links and alert rules name it.

    :param variables: whether it has the variables service, bot, instance and interval.
    """

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: bool = True

    def panels(self) -> Iterator[tuple[int, Panel, models.GridPos]]:
        """Yield each panel with its id, counted from 1 without the rows, and its place."""
        number = 0
        for _, panels, positions in self._laid_out():
            for panel, position in zip(panels, positions, strict=True):
                number += 1
                yield number, panel, position

    def _laid_out(self) -> Iterator[tuple[models.GridPos, tuple[Panel, ...], list[models.GridPos]]]:
        y = 0
        for row in self.rows:
            head = models.GridPos(h=1, w=_WIDTH, x=0, y=y)
            y += 1
            x, height, positions = 0, 0, []
            for panel in row.panels:
                if x + panel.width > _WIDTH:
                    x, y, height = 0, y + height, 0
                positions.append(models.GridPos(h=panel.height, w=panel.width, x=x, y=y))
                x, height = x + panel.width, max(height, panel.height)
            y += height
            yield head, row.panels, positions

    def places(self) -> dict[str, Place]:
        """Return, by the uid of its rule, the panel that shows what a rule looks at."""
        return {panel.rule.uid: Place(self.uid, number) for number, panel, _ in self.panels() if panel.rule}

    def as_json(self) -> dict[str, Any]:
        """Return the dashboard in Grafana's classic JSON model."""
        builder = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .timezone("browser")
            .time("now-1h", "now")
            .refresh("30s")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(
                dashboard.DashboardLink("otelbot")
                .type(models.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .keep_time(True)
                .include_vars(True)
            )
        )
        if self.variables:
            for variable in _variables():
                builder.with_variable(variable)
        made: dict[str, Any] = json.loads(JSONEncoder().encode(builder.build()))
        made["annotations"] = {"list": [_DEPLOYS] if self.variables else []}
        made["panels"] = self._panels_json()
        # Its newest migration changes nothing that is used here, and older versions of Grafana know this one.
        made["schemaVersion"] = 39
        return made

    def _panels_json(self) -> list[dict[str, Any]]:
        built: list[dict[str, Any]] = []
        number = 0
        rows = len(list(self.panels()))
        for row, (head, panels, positions) in zip(self.rows, self._laid_out(), strict=True):
            if row.title:
                rows += 1  # rows are numbered after the panels, whose numbers are in links
                built.append(
                    {
                        "id": rows,
                        "type": "row",
                        "title": row.title,
                        "collapsed": False,
                        "gridPos": {"h": head.h, "w": head.w, "x": head.x, "y": head.y},
                        "panels": [],
                    }
                )
            for panel, position in zip(panels, positions, strict=True):
                number += 1
                built.append(build(panel, number, position))
        return built


def _variables() -> Iterator[Any]:
    for source in _SOURCES:
        yield (
            dashboard.DatasourceVariable(source)
            .label(source.capitalize())
            .type(source)
            .hide(models.VariableHide.HIDE_VARIABLE)
            .current(models.VariableOption(text=source.capitalize(), value=source))
        )
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    uptime = name(signals.PROCESS_UPTIME)
    above = ""
    for variable, label in (
        ("service", "service_name"),
        ("bot", "telegram_bot_id"),
        ("instance", "service_instance_id"),
    ):
        yield (
            dashboard.QueryVariable(variable)
            .label(variable.capitalize())
            .datasource(models.DataSourceRef(type_val="prometheus", uid="${prometheus}"))
            .query(
                {
                    "query": f"label_values({uptime}{{{above}}}, {label})".replace("{}", ""),
                    "refId": f"variable-{variable}",
                }
            )
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            # Loki wants something to look for; a bot's id or an instance may be missing.
            .all_value(".+" if variable == "service" else ".*")
            .current(everything)
        )
        above = f'{above}{"," if above else ""}{label}=~"${variable}"'
    yield (
        dashboard.IntervalVariable("interval")
        .label("Interval")
        .values("2m,5m,15m,1h,6h,1d")
        .auto(True)
        .min_interval("2m")  # holds two points of a bot that exports once a minute
        .step_count(60)
        .current(models.VariableOption(text="auto", value="$__auto_interval_interval"))
    )


#: Each start of a process, with its version: what was deployed when.
_DEPLOYS: dict[str, Any] = {
    "name": "Starts and deploys",
    "datasource": {"type": "prometheus", "uid": "${prometheus}"},
    "enable": True,
    "hide": False,
    "iconColor": "blue",
    "expr": select(f"min by (service_name, service_version) ({series(signals.PROCESS_UPTIME)}) < 90", SELECT),
    "step": "60s",
    "titleFormat": "{{service_name}} {{service_version}} started",
    "tagKeys": "service_name,service_version",
}
