/** The spans of a trace over time, with its log records where they happened. */

import { h, put } from "./dom.js";
import { milliseconds } from "./format.js";
import { icon } from "./icons.js";
import { step } from "./lists.js";
import { kindOf, KINDS, walk } from "./spans.js";
import { t } from "./texts.js";
import { severityTone } from "./widgets.js";

/** Rows beyond this are left out, and that is said. */
const MOST = 2000;
const DEEPEST = 14;

/** Where a bar's duration has room: after it, before it, or inside. All in percent of the lane. */
function beside(left, width) {
  if (left + width <= 75) return { class: "number", style: { left: `${left + width}%` } };
  if (left >= 25) return { class: "number", style: { right: `${100 - left}%` } };
  return { class: "number inside", style: { left: `${left}%` } };
}

export class Waterfall {
  /** @param {(span: object|null) => void} chosen told when a span is selected */
  constructor(chosen) {
    this.chosen = chosen;
    this.folded = new Set();
    this.logs = true;
    this.selected = null;
    this.rows = h("div", { class: "rows", role: "tree", "aria-label": t("trace.waterfall") });
    this.element = h("section", { class: "waterfall" });
  }

  show(data) {
    this.data = data;
    this.tree = walk(data.spans);
    const times = [
      ...data.spans.flatMap((span) => [span.start, span.start + span.duration_ms]),
      data.trace.start,
    ].filter(Number.isFinite);
    this.start = times.reduce((a, b) => Math.min(a, b));
    this.length = Math.max(times.reduce((a, b) => Math.max(a, b)) - this.start, 0.001);
    put(this.element, this.legend(), this.ruler(), this.rows);
    this.draw();
  }

  legend() {
    const present = new Set(this.data.spans.map(kindOf));
    const box = h("input", {
      type: "checkbox",
      onchange: () => {
        this.logs = box.checked;
        this.draw();
      },
    });
    box.checked = this.logs;
    return h(
      "div",
      { class: "kinds" },
      h(
        "ul",
        {},
        KINDS.filter((kind) => present.has(kind)).map((kind) =>
          h("li", {}, h("i", { class: `swatch kind-${kind}` }), t(`kind.${kind}`)),
        ),
      ),
      this.data.logs.length ? h("label", { class: "check" }, box, t("trace.logs")) : null,
    );
  }

  ruler() {
    const parts = [0, 0.25, 0.5, 0.75, 1];
    return h(
      "div",
      { class: "row ruler", "aria-hidden": "true" },
      h("span", { class: "label" }),
      h(
        "span",
        { class: "lane", dir: "ltr" },
        parts.map((part) =>
          h("span", { class: "tick", style: { left: `${part * 100}%` } }, milliseconds(part * this.length)),
        ),
      ),
    );
  }

  draw() {
    const focused = this.rows.contains(document.activeElement) ? document.activeElement.dataset.span : null;
    const logs = new Map();
    const strays = [];
    const known = new Set(this.data.spans.map((span) => span.span_id));
    if (this.logs) {
      for (const log of [...this.data.logs].sort((a, b) => a.time - b.time)) {
        if (!known.has(log.span_id)) strays.push(log);
        else if (logs.has(log.span_id)) logs.get(log.span_id).push(log);
        else logs.set(log.span_id, [log]);
      }
    }
    const visible = [];
    for (const row of this.tree) {
      if (row.path.some((id) => this.folded.has(id))) continue;
      visible.push(this.spanRow(row));
      if (!this.folded.has(row.span.span_id))
        for (const log of logs.get(row.span.span_id) ?? []) visible.push(this.logRow(log, row.level + 1));
    }
    visible.push(...strays.map((log) => this.logRow(log, 0)));
    const left = visible.length - MOST;
    put(
      this.rows,
      visible.slice(0, MOST),
      left > 0 ? h("p", { class: "nothing" }, t("trace.most", { count: left })) : null,
    );
    if (focused) this.rowOf(focused)?.focus({ preventScroll: true });
  }

  share(at) {
    return Math.min(Math.max((at - this.start) / this.length, 0), 1) * 100;
  }

  spanRow({ span, level, children, orphan }) {
    const kind = kindOf(span);
    const folded = this.folded.has(span.span_id);
    const left = this.share(span.start);
    const width = Math.max(this.share(span.start + span.duration_ms) - left, 0);
    const failed = span.status === "ERROR";
    return h(
      "div",
      {
        class: `row span kind-${kind}${failed ? " failed" : ""}${this.selected === span.span_id ? " selected" : ""}`,
        role: "treeitem",
        tabindex: "0",
        "data-row": true,
        "data-span": span.span_id,
        "aria-level": level + 1,
        "aria-expanded": children ? String(!folded) : null,
        "aria-selected": String(this.selected === span.span_id),
        title: orphan ? t("trace.orphan") : null,
        onclick: () => this.select(span.span_id),
        onkeydown: (event) => this.pressed(event, span.span_id),
      },
      h(
        "span",
        { class: "label", style: { "--level": String(Math.min(level, DEEPEST)) } },
        children
          ? h(
              "button",
              {
                type: "button",
                class: "fold",
                tabindex: "-1",
                "aria-label": t(folded ? "trace.unfold" : "trace.fold"),
                onclick: (event) => {
                  event.stopPropagation();
                  this.toggle(span.span_id);
                },
              },
              icon("chevron"),
            )
          : h("span", { class: "fold" }),
        h("i", { class: `swatch kind-${kind}` }),
        h("bdi", { class: "name" }, span.name),
        folded ? h("span", { class: "muted" }, `+${children}`) : null,
      ),
      h(
        "span",
        { class: "lane", dir: "ltr" },
        h("span", { class: "bar", style: { left: `${left}%`, width: `${width}%` } }),
        h("span", beside(left, width), milliseconds(span.duration_ms)),
        span.events.slice(0, 50).map((event) =>
          h("i", {
            class: event.name === "exception" ? "event bad" : "event",
            title: event.name,
            style: { left: `${this.share(event.time)}%` },
          }),
        ),
      ),
    );
  }

  logRow(log, level) {
    const tone = severityTone(log.severity);
    return h(
      "div",
      {
        class: `row log ${tone}`,
        role: "treeitem",
        "aria-level": level + 1,
        title: (log.body ?? "").slice(0, 500),
        onclick: () => log.span_id && this.select(log.span_id),
      },
      h(
        "span",
        { class: "label", style: { "--level": String(Math.min(level, DEEPEST)) } },
        h("span", { class: "fold" }),
        h("i", { class: `dot ${tone}` }),
        h("bdi", { class: "name" }, (log.body || log.event || "").slice(0, 500)),
      ),
      h(
        "span",
        { class: "lane", dir: "ltr" },
        h("i", { class: `event ${tone}`, style: { left: `${this.share(log.time)}%` } }),
      ),
    );
  }

  pressed(event, id) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    if (by) step(this.rows, by);
    else if (event.key === "Enter" || event.key === " ") this.select(id);
    else return;
    event.preventDefault();
  }

  rowOf(id) {
    return [...this.rows.querySelectorAll("[data-span]")].find((row) => row.dataset.span === id);
  }

  toggle(id) {
    if (!this.folded.delete(id)) this.folded.add(id);
    this.draw();
  }

  /** Fold or unfold the row that has the focus. */
  fold(folded) {
    const id = document.activeElement?.dataset?.span;
    if (!id || this.folded.has(id) === folded) return;
    this.toggle(id);
  }

  select(id) {
    const span = this.data?.spans.find((one) => one.span_id === id) ?? null;
    this.selected = span?.span_id ?? null;
    for (const row of this.rows.querySelectorAll("[data-span]")) {
      row.classList.toggle("selected", row.dataset.span === this.selected);
      row.setAttribute("aria-selected", String(row.dataset.span === this.selected));
    }
    this.chosen(span);
  }
}
