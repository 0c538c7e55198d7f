/** Log records: filter, follow, look inside, and jump to the trace. */

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { clock } from "./format.js";
import { icon } from "./icons.js";
import { LiveList } from "./lists.js";
import { address, note, query, range, RANGES } from "./router.js";
import { t } from "./texts.js";
import { badge, choices, field, nothing, onboarding, pairs, severityTone } from "./widgets.js";

const LIMIT = 200;
/** Characters of a record that its line has room for. */
const LINE = 500;
/** Least severity numbers of OpenTelemetry's levels. */
const LEVELS = { DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17, FATAL: 21 };
const FILTERS = ["text", "severity", "event", "trace_id", "fingerprint"];
const EVENTS = [
  "exception",
  "performance.metrics",
  "system.event",
  "telegram.bot.shutdown",
  "telegram.bot.startup",
  "telegram.callback.received",
  "telegram.command.executed",
  "telegram.message.received",
  "telegram.session.ended",
  "telegram.session.started",
  "telegram.user.activity",
];

function wanted() {
  const here = query();
  const params = Object.fromEntries(FILTERS.map((name) => [name, here.get(name)]));
  // A trace or an error is looked for wherever it is.
  const since = here.get("trace_id") ? null : Date.now() - RANGES[range()] * 1000;
  return { ...params, service: here.get("service"), since, limit: LIMIT };
}

const page = ({ logs, next }) => ({ items: logs, next });

function expanded(log) {
  return h(
    "div",
    { class: "log-details" },
    log.body.length > LINE || log.body.includes("\n") ? h("p", { class: "log-body", dir: "auto" }, log.body) : null,
    h(
      "p",
      { class: "buttons" },
      log.trace_id
        ? h(
            "a",
            { class: "button", href: address(`/traces/${log.trace_id}`, { span: log.span_id }) },
            icon("traces"),
            t("logs.to_trace"),
          )
        : null,
      log.fingerprint
        ? h(
            "a",
            { class: "button", href: address("/logs", { fingerprint: log.fingerprint }) },
            icon("errors"),
            t("logs.same"),
          )
        : null,
      log.event ? badge(log.event) : null,
      log.occurrences > 1 ? badge(t("logs.times", { count: log.occurrences }), "warning") : null,
    ),
    pairs({
      ...log.attributes,
      "otel.scope.name": log.scope,
      "service.name": log.service,
      ...(log.trace_id ? { trace_id: log.trace_id, span_id: log.span_id } : {}),
    }),
  );
}

export const logs = {
  signals: ["logs"],
  pause: 2000,
  open({ root, empty, failed, reload }) {
    let follows = query().get("follow") !== "0";
    const open = new Set();
    const controls = {
      text: h("input", {
        type: "search",
        "data-search": true,
        placeholder: t("logs.text"),
        autocomplete: "off",
        spellcheck: "false",
        value: query().get("text") ?? "",
      }),
      severity: h(
        "select",
        {},
        h("option", { value: "" }, t("all")),
        Object.entries(LEVELS).map(([name, value]) => h("option", { value }, t("logs.at_least", { level: name }))),
      ),
      event: choices(h("select"), EVENTS, query().get("event")),
    };
    controls.severity.value = query().get("severity") ?? "";
    for (const [name, control] of Object.entries(controls)) {
      let timer = null;
      control.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(
          () => {
            note({ [name]: control.value.trim() });
            reload();
          },
          control.tagName === "SELECT" ? 0 : 300,
        );
      });
    }
    const follow = h(
      "button",
      {
        type: "button",
        class: "button follow",
        "aria-pressed": String(follows),
        onclick: () => {
          follows = !follows;
          follow.setAttribute("aria-pressed", String(follows));
          note({ follow: follows ? null : "0" });
          if (follows) reload();
        },
      },
      t("logs.follow"),
    );
    const narrowed = ["trace_id", "fingerprint"].filter((name) => query().get(name));
    const filters = h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "field wide" }, controls.text),
      field(t("logs.severity"), controls.severity),
      field(t("logs.event"), controls.event),
      narrowed.map((name) =>
        h(
          "a",
          { class: "button chip", href: address("/logs"), title: t("logs.widen") },
          h("span", {}, t(`logs.${name}`)),
          h("code", { dir: "ltr" }, query().get(name).slice(0, 12)),
          icon("close"),
        ),
      ),
      follow,
    );

    function row(log) {
      const inside = h("div", { hidden: !open.has(log.id) });
      const toggle = () => {
        if (!open.delete(log.id)) open.add(log.id);
        inside.hidden = !open.has(log.id);
        button.setAttribute("aria-expanded", String(!inside.hidden));
        if (!inside.hidden) put(inside, expanded(log));
      };
      const button = h(
        "button",
        {
          type: "button",
          class: "log-line",
          "data-row": true,
          "aria-expanded": String(!inside.hidden),
          onclick: toggle,
        },
        h("bdi", {}, (log.body || log.event || "").slice(0, LINE)),
      );
      if (!inside.hidden) put(inside, expanded(log));
      return h(
        "tr",
        { class: `log ${severityTone(log.severity)}` },
        h(
          "td",
          { class: "time" },
          h("time", { datetime: new Date(log.time).toISOString(), dir: "ltr" }, clock(log.time)),
        ),
        h("td", { class: "severity" }, badge(log.severity_text || "–", severityTone(log.severity))),
        h("td", { class: "body" }, button, inside),
        h("td", { class: "service muted" }, h("bdi", {}, log.service)),
        h(
          "td",
          { class: "jump" },
          log.trace_id
            ? h(
                "a",
                {
                  href: address(`/traces/${log.trace_id}`, { span: log.span_id }),
                  title: t("logs.to_trace"),
                  "aria-label": t("logs.to_trace"),
                },
                icon("traces"),
              )
            : null,
        ),
      );
    }

    const list = new LiveList({
      name: "logs",
      idOf: (log) => log.id,
      build: row,
      older: async (before) => page(await get("/api/logs", { ...wanted(), before })),
      failed,
      columns: [
        { title: t("column.time") },
        { title: t("logs.severity") },
        { title: t("logs.body") },
        { title: t("column.service") },
        { title: "" },
      ],
    });
    const found = h("div");

    return {
      async load(refresh) {
        if (refresh && !follows && list.length) return;
        const answer = await get("/api/logs", wanted());
        const filtered = FILTERS.some((name) => query().get(name));
        if (!answer.logs.length && !filtered && !(refresh && list.length) && (await empty())) {
          put(root, onboarding());
          return;
        }
        if (filters.parentNode !== root) put(root, filters, found);
        if (!answer.logs.length) {
          list.show({ items: [], next: null }, false);
          put(found, nothing(t(filtered ? "logs.none_found" : "logs.none")));
          return;
        }
        if (list.element.parentNode !== found) put(found, list.element);
        list.show(page(answer), refresh);
      },
    };
  },
};
