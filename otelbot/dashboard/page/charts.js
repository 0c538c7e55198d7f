/** Draws panels with plotly.js; the legend is ours, so that it reads well in both directions and by keyboard. */

import { h, put, sync } from "./dom.js";
import { count, figure, inUnit, latin } from "./format.js";
import { t } from "./texts.js";

const COLOURS = 10;
/** Numbers of the colours of what is good or bad by itself: the outcomes of an update. */
const MEANING = new Map([
  ["handled", 6],
  ["error", 7],
  ["error_handled", 3],
  ["unhandled", 10],
  ["cancelled", 9],
]);
const LEGEND = 40;
let library = null;

/** Load plotly.js once, when the first chart is drawn. */
function plotly() {
  library ??= new Promise((resolve, reject) => {
    const script = h("script", {
      src: "/static/plotly.min.js",
      onload: () => resolve(window.Plotly),
      onerror: () => reject(new Error(t("error.plotly"))),
    });
    document.head.append(script);
  });
  return library;
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** plotly.js reads a little markup in names; telemetry is shown as it is. */
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** plotly.js knows only UTC: move the time so that it prints the local one. */
const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 23);

/** About four round values from 0 (or below it) to `top`, in steps that suit the unit. */
export function ticks(low, top, unit) {
  const span = top - low || 1;
  const base = unit === "bytes" ? 2 : 10;
  let step;
  if (base === 2) step = 2 ** Math.ceil(Math.log2(span / 4));
  else {
    const size = 10 ** Math.floor(Math.log10(span / 4));
    step = size * [1, 2, 2.5, 5, 10].find((factor) => factor * size * 4 >= span * 0.999);
  }
  if (unit === "count") step = Math.max(step, 1);
  const first = Math.floor(low / step);
  const values = [];
  for (let index = first; values.length < 12; index += 1) {
    values.push(index * step);
    if (index * step >= top) break;
  }
  return values;
}

/** The lowest and highest value drawn; areas and bars are stacked. */
export function extent(panel, series) {
  let low = 0;
  let high = 0;
  const stacked = new Map();
  const stacks = panel.kind === "area" || panel.kind === "bar";
  for (const { points } of series) {
    for (const [at, value] of points) {
      if (!Number.isFinite(value)) continue;
      const sum = stacks ? (stacked.get(at) ?? 0) + value : value;
      if (stacks) stacked.set(at, sum);
      low = Math.min(low, sum);
      high = Math.max(high, sum);
    }
  }
  // Memory that moves between 120 and 125 MiB is no flat line at the top.
  if (panel.kind === "line" && panel.unit === "bytes" && series.length) {
    const values = series.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
    const least = Math.min(...values);
    if (least > high * 0.6) low = Math.max(0, least - Math.max(high - least, high * 0.2));
  }
  return [low, high || 1];
}

function trace(panel, one, number) {
  const colour = css(`--chart-${number}`);
  const common = {
    name: plain(one.name),
    x: one.points.map(([at]) => local(at)),
    y: one.points.map(([, value]) => value),
    customdata: one.points.map(([, value]) => inUnit(value, panel.unit)),
    hovertemplate: "%{customdata}",
  };
  // A bar stands for the time before its point.
  const middle = ([at]) => local(at - panel.width_ms / 2);
  if (panel.kind === "bar")
    return {
      ...common,
      x: one.points.map(middle),
      width: panel.width_ms * 0.85,
      type: "bar",
      marker: { color: colour },
    };
  const alone = one.points.filter(([, value]) => Number.isFinite(value)).length < 2;
  return {
    ...common,
    type: "scatter",
    mode: alone ? "lines+markers" : "lines",
    line: { color: colour, width: 1.6, shape: "linear" },
    marker: { color: colour, size: 5 },
    ...(panel.kind === "area" ? { stackgroup: "all", fillcolor: `${colour}40` } : {}),
  };
}

/** Buckets of a histogram over time; `le` is the upper end of each. */
function heat(panel, series) {
  const times = [...new Set(series.flatMap((one) => one.points.map(([at]) => at)))].sort((a, b) => a - b);
  const rows = series.map((one) => new Map(one.points));
  const names = series.map(({ labels, name }, index) => {
    const top = Number(labels.le);
    if (Number.isFinite(top)) return `≤ ${inUnit(top, panel.unit)}`;
    return labels.le === "+Inf" && index ? `> ${inUnit(Number(series[index - 1].labels.le), panel.unit)}` : plain(name);
  });
  return [
    {
      type: "heatmap",
      x: times.map((at) => local(at - panel.width_ms / 2)),
      y: names,
      z: rows.map((row) => times.map((at) => row.get(at) || null)),
      customdata: rows.map((row) => times.map((at) => count(row.get(at) ?? 0))),
      hovertemplate: "%{y}: %{customdata}<extra></extra>",
      colorscale: [
        [0, css("--heat-low")],
        [1, css("--heat-high")],
      ],
      showscale: false,
      hoverongaps: false,
      xgap: 1,
      ygap: 1,
    },
  ];
}

function layout(panel, series, span) {
  const muted = css("--muted");
  const font = { family: "system-ui, sans-serif", size: 11, color: muted };
  const heatmap = panel.kind === "heatmap";
  const [low, high] = heatmap ? [0, 1] : extent(panel, series);
  const values = heatmap ? [] : ticks(low, high, panel.unit);
  const hover = {
    bgcolor: css("--raised"),
    bordercolor: css("--border"),
    font: { ...font, size: 12, color: css("--text") },
    namelength: 40,
  };
  return {
    autosize: true,
    height: 190,
    margin: { l: 8, r: 10, t: 6, b: 22 },
    paper_bgcolor: css("--surface"),
    plot_bgcolor: css("--surface"),
    font,
    showlegend: false,
    hovermode: heatmap ? "closest" : "x unified",
    hoverlabel: hover,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    barmode: "stack",
    bargap: 0.15,
    uirevision: `${panel.id}${panel.span}`,
    xaxis: {
      type: "date",
      range: span.map(local),
      gridcolor: "transparent",
      linecolor: css("--border"),
      tickcolor: css("--border"),
      tickformat: "%H:%M",
      hoverformat: "%H:%M:%S",
      nticks: 6,
      zeroline: false,
      showspikes: !heatmap,
      spikemode: "across",
      spikethickness: 1,
      spikedash: "solid",
      spikecolor: muted,
    },
    yaxis: heatmap
      ? { type: "category", automargin: true, fixedrange: true, gridcolor: "transparent", ticks: "" }
      : {
          automargin: true,
          fixedrange: true,
          gridcolor: css("--grid"),
          zerolinecolor: css("--border"),
          // plotly.js leaves out a tick that is exactly at the end.
          range: [values[0], Math.max(high + (high - values[0]) * 0.04, values.at(-1) * 1.01)],
          tickvals: values,
          ticktext: values.map((value) => inUnit(value, panel.unit)),
        },
  };
}

/** One panel's chart with its legend; `show` draws new data without flicker. */
export class Chart {
  constructor() {
    this.plot = h("div", { class: "plot", dir: "ltr" });
    this.legend = h("ul", { class: "legend" });
    this.element = h("div", { class: "chart" }, this.plot, this.legend);
    this.hidden = new Set();
    this.colours = new Map();
    this.panel = null;
  }

  /** The number of a series' colour, which stays with its name while others come and go. */
  colour(name) {
    if (!this.colours.has(name)) {
      const taken = new Set(this.colours.values());
      const free = Array.from({ length: COLOURS }, (_, index) => index + 1).find((number) => !taken.has(number));
      this.colours.set(name, MEANING.get(name) ?? free ?? (this.colours.size % COLOURS) + 1);
    }
    return this.colours.get(name);
  }

  /**
   * @param {object} panel of /api/panels
   * @param {[number, number]} span first and last moment of the axis, ms since the epoch
   */
  async show(panel, span) {
    Object.assign(this, { panel, span });
    const series = panel.series.filter((one) => !this.hidden.has(one.name));
    const data = latin(() =>
      panel.kind === "heatmap" ? heat(panel, series) : series.map((one) => trace(panel, one, this.colour(one.name))),
    );
    const frame = latin(() => layout({ ...panel, span: span[1] - span[0] }, series, span));
    this.list();
    const library = await plotly();
    if (this.closed || this.panel !== panel) return;
    const options = { displayModeBar: false, responsive: true, displaylogo: false, doubleClick: "reset" };
    await library.react(this.plot, data, frame, options);
  }

  list() {
    if (this.panel.kind === "heatmap") return;
    const items = this.panel.series.slice(0, LEGEND).map((one, index) => ({
      name: one.name,
      index,
      colour: this.colour(one.name),
      last: inUnit(one.points.findLast(([, value]) => Number.isFinite(value))?.[1], this.panel.unit),
      on: !this.hidden.has(one.name),
    }));
    sync(
      this.legend,
      items,
      (item) => `${item.index} ${item.name}`,
      (item) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              "aria-pressed": String(item.on),
              title: t("chart.toggle"),
              onclick: () => this.toggle(item.name),
            },
            h("i", { class: "swatch", style: { background: `var(--chart-${item.colour})` } }),
            h("bdi", {}, item.name),
            figure(item.last),
          ),
        ),
    );
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.show(this.panel, this.span);
  }

  redraw() {
    if (this.panel) this.show(this.panel, this.span);
  }

  close() {
    this.closed = true;
    library?.then(
      (loaded) => loaded.purge(this.plot),
      () => {},
    );
    put(this.element);
  }
}
