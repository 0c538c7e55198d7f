/** Search of traces: one row an update. */

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { figure, milliseconds, time } from "./format.js";
import { LiveList } from "./lists.js";
import { address, go, note, query, range, RANGES } from "./router.js";
import { known, t } from "./texts.js";
import { choices, field, nothing, onboarding, outcome } from "./widgets.js";

const LIMIT = 100;
const FILTERS = ["text", "handler", "outcome", "min_ms", "max_ms", "user", "errors"];

/** What the URL asks for, as parameters of /api/traces. */
function wanted() {
  const here = query();
  const params = Object.fromEntries(FILTERS.map((name) => [name, here.get(name)]));
  return { ...params, service: here.get("service"), since: Date.now() - RANGES[range()] * 1000, limit: LIMIT };
}

const page = ({ traces, next }) => ({ items: traces, next });

export const traces = {
  signals: ["traces"],
  pause: 2000,
  open({ root, empty, failed, reload }) {
    const chosen = new Set();
    let slowest = 0;
    const controls = {
      text: h("input", {
        type: "search",
        "data-search": true,
        placeholder: t("traces.text"),
        autocomplete: "off",
        spellcheck: "false",
      }),
      handler: h("select"),
      outcome: h("select"),
      min_ms: h("input", { type: "number", min: "0", inputmode: "numeric", placeholder: "0" }),
      max_ms: h("input", { type: "number", min: "0", inputmode: "numeric", placeholder: "∞" }),
      user: h("input", { type: "text", autocomplete: "off", spellcheck: "false", dir: "ltr" }),
      errors: h("input", { type: "checkbox" }),
    };
    for (const [name, control] of Object.entries(controls)) {
      if (control.type === "checkbox") control.checked = query().get(name) === "1";
      else control.value = query().get(name) ?? "";
      let timer = null;
      control.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(
          () => {
            note({ [name]: control.type === "checkbox" ? (control.checked ? "1" : "") : control.value.trim() });
            reload();
          },
          control.tagName === "SELECT" || control.type === "checkbox" ? 0 : 300,
        );
      });
    }
    const compare = h("button", {
      type: "button",
      class: "button primary",
      hidden: true,
      onclick: () => {
        const [a, b] = [...chosen];
        go(address("/compare", { a, b }));
      },
    });
    const filters = h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "field wide" }, controls.text),
      field(t("column.handler"), controls.handler),
      field(t("column.outcome"), controls.outcome),
      field(t("traces.min"), controls.min_ms),
      field(t("traces.max"), controls.max_ms),
      field(t("traces.user"), controls.user),
      h("label", { class: "check" }, controls.errors, t("traces.errors")),
      compare,
    );

    function choose(id, box) {
      if (box.checked) chosen.add(id);
      else chosen.delete(id);
      if (chosen.size > 2) {
        const first = chosen.values().next().value;
        chosen.delete(first);
        for (const other of list.body.querySelectorAll("input:checked"))
          if (other.value === first) other.checked = false;
      }
      compare.hidden = chosen.size === 0;
      compare.disabled = chosen.size !== 2;
      put(compare, chosen.size === 2 ? t("traces.compare") : t("traces.one_more"));
    }

    function row(trace) {
      const href = address(`/traces/${trace.trace_id}`);
      const box = h("input", {
        type: "checkbox",
        value: trace.trace_id,
        "aria-label": t("traces.select"),
        onchange: () => choose(trace.trace_id, box),
      });
      box.checked = chosen.has(trace.trace_id);
      return h(
        "tr",
        {
          // The name is a link; beside it a click does the same, but not one that ends a selection of text.
          onclick: (event) => {
            if (event.target.closest("a, input, label") || !getSelection().isCollapsed) return;
            if (event.ctrlKey || event.metaKey) window.open(href, "_blank");
            else go(href);
          },
          onauxclick: (event) => {
            if (event.button === 1 && !event.target.closest("a, input, label")) window.open(href, "_blank");
          },
        },
        h("td", { class: "select" }, h("label", {}, box)),
        h("td", { class: "time" }, time(trace.start)),
        h("td", { class: "name" }, h("a", { href, "data-row": true }, h("bdi", {}, trace.name || trace.trace_id))),
        h(
          "td",
          { class: "outcome" },
          outcome(trace),
          trace.error_type ? h("bdi", { class: "error-type" }, trace.error_type) : null,
        ),
        h("td", { class: "service muted" }, h("bdi", {}, trace.service)),
        h("td", { class: "spans muted numeric" }, t("traces.spans", { count: trace.spans })),
        h(
          "td",
          { class: "duration" },
          h(
            "span",
            {
              class: `barred ${trace.errors || trace.error_type ? "bad" : ""}`,
              style: { "--ms": String(trace.duration_ms) },
            },
            figure(milliseconds(trace.duration_ms)),
          ),
        ),
      );
    }

    const list = new LiveList({
      name: "traces",
      idOf: (trace) => trace.seq,
      build: row,
      older: async (before) => page(await get("/api/traces", { ...wanted(), before })),
      failed,
      columns: [
        { title: "", class: "select" },
        { title: t("column.time") },
        { title: t("column.name") },
        { title: t("column.outcome") },
        { title: t("column.service") },
        { title: t("column.spans"), class: "numeric" },
        { title: t("column.duration") },
      ],
    });
    const found = h("div");
    let asked = 0;

    async function facets() {
      if (Date.now() - asked < 30000) return;
      asked = Date.now();
      const { handlers, outcomes } = await get("/api/facets", { range: range() });
      for (const [name, values] of [
        ["handler", handlers],
        ["outcome", outcomes],
      ]) {
        if (document.activeElement === controls[name]) continue;
        choices(controls[name], values, query().get(name));
        if (name === "outcome")
          for (const option of controls[name].options)
            if (known(`outcome.${option.value}`)) option.text = t(`outcome.${option.value}`);
      }
    }

    return {
      async load(refresh) {
        const [answer] = await Promise.all([get("/api/traces", wanted()), facets()]);
        const filtered = FILTERS.some((name) => query().get(name));
        if (!answer.traces.length && !filtered && !(refresh && list.length) && (await empty())) {
          put(root, onboarding());
          return;
        }
        if (filters.parentNode !== root) put(root, filters, found);
        if (!answer.traces.length) {
          list.show({ items: [], next: null }, false);
          put(found, nothing(t(filtered ? "traces.none_found" : "traces.none")));
          return;
        }
        const most = Math.max(...answer.traces.map((trace) => trace.duration_ms));
        if (!refresh || most > slowest) slowest = most;
        list.element.style.setProperty("--slowest", String(slowest || 1));
        if (list.element.parentNode !== found) put(found, list.element);
        list.show(page(answer), refresh);
      },
    };
  },
};
