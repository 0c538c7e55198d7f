/** Renders the panels of /api/panels/{page}: charts by plotly.js; tables and funnels as HTML. */

import { get } from "./api.js";
import { Chart } from "./charts.js";
import { h, marked, put } from "./dom.js";
import { inUnit, quantity } from "./format.js";
import { icon } from "./icons.js";
import { query, range } from "./router.js";
import { t, told } from "./texts.js";
import { onboarding, table } from "./widgets.js";

/** A chart shows no less than this, in ms. */
const YOUNGEST = 300000;

let helps = 0;

const isText = (column) => column.unit === "text";

function panelTable(panel) {
  const { columns, rows } = panel;
  // The first figures have bars: what is big is seen without reading.
  const barred = columns.findIndex((column) => !isText(column));
  const most = Math.max(...rows.map((row) => row[barred] ?? 0), 0);
  const cell = (value, index) => {
    if (isText(columns[index])) return h("bdi", { class: "name" }, value || "–");
    const shown = quantity(value, columns[index].unit);
    if (index !== barred || most <= 0) return shown;
    return h("span", { class: "barred", style: { "--share": String(Math.max(value ?? 0, 0) / most) } }, shown);
  };
  return table(
    columns.map((column) => ({ title: told(column.title), numeric: !isText(column) })),
    rows.map((row) => row.map(cell)),
  );
}

/** Ways from state to state, the most used first: the first figure as a bar, the others beside it. */
function funnel(panel) {
  const { columns, rows } = panel;
  const texts = columns.flatMap((column, index) => (isText(column) ? [index] : []));
  const [first, ...rest] = columns.flatMap((column, index) => (isText(column) ? [] : [index]));
  const most = Math.max(...rows.map((row) => row[first] ?? 0), 0) || 1;
  return h(
    "ol",
    { class: "funnel" },
    rows.map((row) =>
      h(
        "li",
        {},
        h(
          "span",
          { class: "way" },
          texts.map((index, nth) => [
            nth ? h("span", { class: "muted arrow" }, "→") : null,
            h("bdi", {}, row[index] || "–"),
          ]),
        ),
        h(
          "span",
          { class: "track" },
          h("span", { class: "fill", style: { "inline-size": `${(100 * (row[first] ?? 0)) / most}%` } }),
        ),
        quantity(row[first], columns[first].unit),
        rest.map((index) =>
          h(
            "span",
            { class: "muted number", dir: "ltr", title: told(columns[index].title) },
            inUnit(row[index], columns[index].unit),
          ),
        ),
      ),
    ),
  );
}

const drawn = (panel) => (panel.series ?? []).some((one) => one.points.some(([, value]) => value !== null));
const filled = (panel) => (panel.rows ? panel.rows.length > 0 : drawn(panel));

/** A card for one panel; `show` gives it new data. */
class Panel {
  constructor() {
    this.title = h("h2");
    const id = `help-${(helps += 1)}`;
    this.help = h("p", { class: "help", role: "tooltip", id });
    this.about = h(
      "button",
      {
        type: "button",
        class: "about",
        "aria-describedby": id,
        onkeydown: (event) => event.key === "Escape" && event.currentTarget.blur(),
      },
      icon("help"),
    );
    this.body = h("div", { class: "body" });
    this.rest = h("p", { class: "help rest", hidden: true });
    this.element = h("section", { class: "panel" }, h("header", {}, this.title, this.about, this.help), this.body, this.rest);
    this.chart = null;
  }

  show(panel, span) {
    put(this.title, told(panel.title));
    const help = told(panel.help);
    if (help !== this.helped) put(this.help, marked(help));
    this.helped = help;
    this.about.hidden = !help;
    this.about.setAttribute("aria-label", t("panel.about", { title: told(panel.title) }));
    this.element.dataset.panel = panel.id;
    this.element.dataset.kind = panel.kind;
    this.element.classList.toggle("empty", !filled(panel));
    this.rest.hidden = !panel.left_out;
    put(this.rest, panel.left_out ? t("panel.left_out", { count: panel.left_out }) : "");
    if (!filled(panel)) {
      this.drop();
      put(this.body, h("p", { class: "nothing" }, t("panel.empty")));
    } else if (panel.kind === "table" || panel.kind === "funnel") {
      const shown = JSON.stringify([panel.columns, panel.rows]);
      if (shown !== this.shown) put(this.body, panel.kind === "table" ? panelTable(panel) : funnel(panel));
      this.shown = shown;
      return null;
    } else {
      if (!this.chart) {
        this.chart = new Chart();
        put(this.body, this.chart.element);
      }
      return this.chart.show(panel, span);
    }
    this.shown = null;
    return null;
  }

  drop() {
    this.chart?.close();
    this.chart = null;
  }
}

/** The time that all charts of a page show: the range, or less where the first data is younger, so that it can be seen. */
function spanOf({ panels, start, end }) {
  const firsts = panels.flatMap((panel) =>
    (panel.series ?? []).map((one) => one.points.find(([, value]) => value !== null)?.[0] ?? end),
  );
  const first =
    firsts.reduce((least, at) => Math.min(least, at), end) - (panels.find((panel) => panel.width_ms)?.width_ms ?? 0);
  return [first === end ? start : Math.max(start, Math.min(first, end - YOUNGEST)), end];
}

/** The panels of one page in a grid. */
export class Panels {
  constructor() {
    this.element = h("div", { class: "panels" });
    this.cards = new Map();
  }

  async show(answer) {
    if (this.closed) return; // the answer came after its page was left
    const wanted = answer.panels.map((panel) => {
      if (!this.cards.has(panel.id)) this.cards.set(panel.id, new Panel());
      return this.cards.get(panel.id).element;
    });
    for (const [id, card] of this.cards) {
      if (answer.panels.some((panel) => panel.id === id)) continue;
      card.drop();
      this.cards.delete(id);
    }
    wanted.forEach((element, index) => {
      if (this.element.children[index] !== element)
        this.element.insertBefore(element, this.element.children[index] ?? null);
    });
    while (this.element.children.length > wanted.length) this.element.lastChild.remove();
    const span = spanOf(answer);
    const shown = answer.panels.map((panel) => this.cards.get(panel.id).show(panel, span));
    this.widen(answer.panels);
    await Promise.all(shown);
  }

  /** Two charts stand side by side; a table, and a chart that is left over, have the whole width. */
  widen(panels) {
    let alone = null;
    for (const panel of panels) {
      const { element } = this.cards.get(panel.id);
      const wide = panel.kind === "table" && filled(panel);
      element.classList.toggle("wide", wide);
      if (wide) {
        alone?.classList.add("wide");
        alone = null;
      } else alone = alone ? null : element;
    }
    alone?.classList.add("wide");
  }

  redraw() {
    for (const card of this.cards.values()) card.chart?.redraw();
  }

  close() {
    this.closed = true;
    for (const card of this.cards.values()) card.drop();
  }
}

/** Fetch what /api/panels/{page} says for the range and service in the URL. */
export function panelsOf(name) {
  return get(`/api/panels/${name}`, { range: range(), service: query().get("service") });
}

/** A page that has nothing but panels. */
export function panelPage(name) {
  return {
    signals: ["metrics"],
    pause: 5000,
    open({ root, empty }) {
      const panels = new Panels();
      return {
        async load() {
          const answer = await panelsOf(name);
          if (!answer.panels.some(filled) && (await empty())) put(root, onboarding());
          else {
            if (panels.element.parentNode !== root) put(root, panels.element);
            await panels.show(answer);
          }
        },
        redraw: () => panels.redraw(),
        close: () => panels.close(),
      };
    },
  };
}
