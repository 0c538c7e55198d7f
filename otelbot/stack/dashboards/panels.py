"""What a panel of ours is made of, and how it becomes one of Grafana's by its foundation SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    logs,
    loki,
    nodegraph,
    prometheus,
    stat,
    table,
    tempo,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import text as text_models

from otelbot.alerts.promql import select
from otelbot.stack.dashboards.links import SELECT, Link

if TYPE_CHECKING:
    from otelbot.alerts.rule import Rule

Kind = Literal["lines", "bars", "stat", "table", "ranking", "heatmap", "logs", "traces", "map", "alerts", "text"]

#: Grafana's units for those of the rules.
UNITS = {"bytes": "bytes", "seconds": "s", "ratio": "percentunit", "count": "short", "times": "none"}
_SOURCES = {"logs": "loki", "traces": "tempo", "map": "tempo"}


@dataclass(frozen=True)
class Query:
    """One query; `$select` of PromQL becomes the dashboard's variables."""

    expr: str
    legend: str = "__auto"
    exemplars: bool = False  #: dots that lead from a histogram to traces


@dataclass(frozen=True)
class Panel:
    """One panel.

    :param unit: one of Grafana's, e.g. `s`, `opm` (a minute), `percentunit`, `bytes`, `short`.
    :param link: where its traces or logs are.
    :param rule: the alert rule that watches what it shows; its threshold is a line in it.
    :param width: of 24; a phone shows every panel in its full width.
    :param drill: where a click on a series leads to, with `${__field.labels.…}`.
    :param limits: a stat's colours: green, then amber and red from these values on, or below where they go down.
    """

    title: str
    description: str
    queries: tuple[Query, ...] = ()
    unit: str = "short"
    kind: Kind = "lines"
    link: Link | None = None
    rule: Rule | None = None
    width: int = 12
    height: int = 8
    drill: Link | None = None
    limits: tuple[float, float] | None = None
    stacked: bool = False
    column: str = "Value"  #: of a table, what its value is called
    body: str = ""  #: of a text, in Markdown

    @property
    def source(self) -> str:
        return _SOURCES.get(self.kind, "prometheus")


def shown(rule: Rule, legend: str, **options: Any) -> dict[str, Any]:
    """Return what a panel of a rule is given: its query, unit and threshold."""
    return {"queries": (Query(rule.expr, legend),), "unit": UNITS[rule.unit], "rule": rule, **options}


def build(panel: Panel, number: int, position: models.GridPos) -> dict[str, Any]:
    """Return the panel as Grafana's JSON, with `number` as its id."""
    import json

    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    builder = _BUILDERS[panel.kind](panel)
    builder.id(number).title(panel.title).description(panel.description).grid_pos(position)
    if panel.kind not in {"alerts", "text"}:
        builder.datasource(_datasource(panel.source)).unit(panel.unit)
        for place, query in enumerate(panel.queries):
            builder.with_target(_target(panel, query, chr(ord("A") + place)))
    if panel.link:
        builder.links([_link(panel.link)])
    if panel.drill:
        builder.data_links([_link(panel.drill)])
    built: dict[str, Any] = json.loads(JSONEncoder().encode(builder.build()))
    if panel.kind == "alerts":
        built["options"] = _ALERTS
    if panel.kind == "traces":
        built["transformations"] = []
    return built


def _datasource(source: str) -> models.DataSourceRef:
    return models.DataSourceRef(type_val=source, uid=f"${{{source}}}")


def _link(link: Link) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(link.title).type(models.DashboardLinkType.LINK).url(link.url).target_blank(True)


def _target(panel: Panel, query: Query, ref: str) -> Any:
    if panel.source == "loki":
        return loki.Dataquery().expr(query.expr).ref_id(ref).query_type("range").max_lines(200)
    if panel.kind == "map":
        return tempo.TempoQuery().query_type("serviceMap").ref_id(ref)
    if panel.source == "tempo":
        return tempo.TempoQuery().query_type("traceql").query(query.expr).limit(20).ref_id(ref)
    target = prometheus.Dataquery().expr(select(query.expr, SELECT)).legend_format(query.legend).ref_id(ref)
    if panel.kind in {"stat", "table", "ranking"}:
        target.instant()
        if panel.kind == "table":
            from grafana_foundation_sdk.models.prometheus import PromQueryFormat

            target.format(PromQueryFormat.TABLE)
    else:
        target.range().exemplar(query.exemplars)
    if panel.kind in {"bars", "heatmap"}:
        target.interval("$interval")  # each event is in one bar, and not in every step of its window
    if panel.kind == "heatmap":
        from grafana_foundation_sdk.models.prometheus import PromQueryFormat

        target.format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    return target


def _lines(panel: Panel) -> timeseries.Panel:
    builder = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(60 if panel.kind == "bars" else 30 if panel.stacked else 8)
        .show_points(common_models.VisibilityMode.NEVER if panel.kind == "bars" else common_models.VisibilityMode.AUTO)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if panel.kind == "bars":
        builder.draw_style(common_models.GraphDrawStyle.BARS)
    if panel.stacked or panel.kind == "bars":
        builder.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if panel.rule:
        builder.thresholds(_thresholds(panel.rule)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        )
        # The line is in sight before it is reached.
        builder.axis_soft_max(panel.rule.threshold * (1.1 if panel.rule.above else 3) or 1)
    return builder


def _thresholds(rule: Rule) -> dashboard.ThresholdsConfig:
    # A line has the colour of its step, whichever side of it is bad.
    steps = [models.Threshold(value=None, color="transparent"), models.Threshold(value=rule.threshold, color="red")]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _stat(panel: Panel) -> stat.Panel:
    builder = (
        stat.Panel()
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("-")
    )
    green = models.Threshold(value=None, color="green")
    steps = [green]
    if panel.limits:
        first, second = panel.limits
        if first < second:
            steps = [green, models.Threshold(value=first, color="orange"), models.Threshold(value=second, color="red")]
        else:
            steps = [
                models.Threshold(value=None, color="red"),
                models.Threshold(value=second, color="orange"),
                models.Threshold(value=first, color="green"),
            ]
    return builder.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))


def _table(_panel: Panel) -> table.Panel:
    return table.Panel()


def _prometheus_table(panel: Panel) -> table.Panel:
    return _table(panel).with_transformation(
        models.DataTransformerConfig(
            id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": {"Value": panel.column}}
        )
    )


def _ranking(_panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
        .thresholds(
            dashboard.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps([models.Threshold(value=None, color="blue")])
        )
    )


def _heatmap(panel: Panel) -> heatmap.Panel:
    from grafana_foundation_sdk.builders.heatmap import YAxisConfig

    return heatmap.Panel().calculate(False).y_axis(YAxisConfig().unit(panel.unit))


def _logs(_panel: Panel) -> logs.Panel:
    return logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)


def _map(_panel: Panel) -> nodegraph.Panel:
    return nodegraph.Panel()


def _text(panel: Panel) -> text.Panel:
    return text.Panel().mode(text_models.TextMode.MARKDOWN).content(panel.body)


def _alerts(_panel: Panel) -> dashboard.Panel:
    return dashboard.Panel().type("alertlist")


_ALERTS = {
    "viewMode": "list",
    "groupMode": "default",
    "groupBy": [],
    "maxItems": 20,
    "sortOrder": 3,
    "dashboardAlerts": False,
    "alertName": "",
    "alertInstanceLabelFilter": "",
    "stateFilter": {"firing": True, "pending": True, "noData": False, "normal": False, "error": True},
}
_BUILDERS: dict[str, Any] = {
    "lines": _lines,
    "bars": _lines,
    "stat": _stat,
    "table": _prometheus_table,
    "ranking": _ranking,
    "heatmap": _heatmap,
    "logs": _logs,
    "traces": _table,
    "map": _map,
    "alerts": _alerts,
    "text": _text,
}
