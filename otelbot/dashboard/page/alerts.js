/** Alerts: what fires, the rules, silences, and what was told to whom. */

import { get, send } from "./api.js";
import { h, put, sync } from "./dom.js";
import { ago, figure, inUnit, seconds, time, when } from "./format.js";
import { icon } from "./icons.js";
import { known, t, told } from "./texts.js";
import { badge, code, dialog, nothing, toast } from "./widgets.js";

const SILENCES = [1, 8, 24]; // hours
const HISTORY = 100;
const TONES = { critical: "critical", error: "critical", warning: "warning", info: "info" };
const STATES = { firing: "critical", pending: "warning", inactive: "ok" };
const SENT = { sent: "ok", waiting: "info", failed: "critical", unknown: "warning" };
const RANK = { firing: 0, pending: 1, inactive: 2 };

const word = (key, fallback) => (known(key) ? t(key) : fallback);
const labelsText = (labels) =>
  Object.entries(labels ?? {})
    .filter(([name]) => name !== "__name__")
    .map(([name, value]) => `${name}=${value}`);

function labels(values) {
  return labelsText(values).map((text) => h("code", { class: "label", dir: "ltr" }, text));
}

export const alerts = {
  signals: ["alerts"],
  pause: 2000,
  open({ root, failed, reload }) {
    const problems = h("ul", { class: "problems" });
    const active = h("ul", { class: "active-alerts" });
    const rules = h("ul", { class: "rules" });
    const channels = h("p", { class: "channels" });
    const history = h("ol", { class: "history" });
    const quiet = h("p", { class: "nothing" }, t("alerts.quiet"));
    const fresh = h("p", { class: "nothing" }, t("alerts.no_history"));

    async function change(method, body, said) {
      try {
        await send(method, "/api/alerts/silence", body);
        toast(said, "ok");
        reload();
      } catch (error) {
        failed(error);
      }
    }

    function silencing(alert, labels, until) {
      if (until && until > Date.now()) {
        return h(
          "span",
          { class: "silencing" },
          badge(t("alerts.silenced", { until: when(until) })),
          h(
            "button",
            {
              type: "button",
              class: "button",
              onclick: () => change("DELETE", { uid: alert.uid, labels }, t("alerts.unsilenced")),
            },
            t("alerts.unsilence"),
          ),
        );
      }
      return h(
        "span",
        { class: "silencing", role: "group", "aria-label": t("alerts.silence") },
        icon("silence"),
        SILENCES.map((length) =>
          h(
            "button",
            {
              type: "button",
              class: "button",
              title: t("alerts.silence"),
              onclick: () =>
                change("POST", { uid: alert.uid, labels, seconds: length * 3600 }, t("alerts.silenced_now")),
            },
            t("alerts.hours", { count: length }),
          ),
        ),
      );
    }

    function activeRow({ alert, one }) {
      return h(
        "li",
        { class: `panel alert ${one.silenced_until ? "quiet" : (TONES[alert.severity] ?? "info")}` },
        h(
          "header",
          {},
          badge(t(`alerts.${one.state}`), STATES[one.state]),
          h("h3", {}, told(alert.title)),
          badge(word(`severity.${alert.severity}`, alert.severity), TONES[alert.severity]),
        ),
        h("p", {}, told(one.summary)),
        told(one.description) ? h("p", { class: "muted" }, told(one.description)) : null,
        h(
          "p",
          { class: "labels" },
          figure(inUnit(one.value, alert.unit), "strong"),
          h("span", { class: "muted" }, t("alerts.since"), " ", time(one.since, ago)),
          labels(one.labels),
        ),
        h("footer", {}, silencing(alert, one.labels, one.silenced_until), runbook(alert)),
      );
    }

    async function showRunbook(alert) {
      try {
        const { title, text } = await get(`/api/runbooks/${encodeURIComponent(alert.uid)}`);
        dialog(told(title), h("pre", { class: "runbook", dir: "ltr", tabindex: "0" }, text));
      } catch (error) {
        failed(error);
      }
    }

    const runbook = (alert) =>
      h("button", { type: "button", class: "button", onclick: () => showRunbook(alert) }, t("alerts.runbook"));

    function rule(alert) {
      return h(
        "li",
        {},
        h(
          "details",
          {},
          h(
            "summary",
            { "data-row": true },
            badge(t(`alerts.${alert.state}`), STATES[alert.state]),
            h("span", { class: "name" }, told(alert.title)),
            h("span", { class: "muted" }, word(`severity.${alert.severity}`, alert.severity)),
          ),
          h(
            "div",
            { class: "rule" },
            code(alert.expr ?? ""),
            h(
              "p",
              { class: "muted" },
              t("alerts.terms", {
                threshold: inUnit(alert.threshold, alert.unit),
                wait: seconds(alert.wait),
                cooldown: alert.cooldown,
              }),
            ),
            h("footer", {}, silencing(alert, null, alert.silenced_until), runbook(alert)),
          ),
        ),
      );
    }

    function past(one) {
      return h(
        "li",
        {},
        time(one.time, when),
        badge(
          word(`change.${one.change}`, one.change),
          one.change === "resolved" ? "ok" : (STATES[one.change] ?? "quiet"),
        ),
        h(
          "span",
          { class: "what" },
          h("strong", {}, told(one.title)),
          h("span", { class: "muted" }, told(one.summary)),
          h("span", { class: "labels" }, labels(one.labels)),
        ),
        h(
          "span",
          { class: "told" },
          (one.notified ?? []).map((sent) =>
            h(
              "span",
              { title: sent.detail ?? "" },
              badge(`${sent.channel}: ${word(`sent.${sent.status}`, sent.status)}`, SENT[sent.status]),
            ),
          ),
        ),
      );
    }

    return {
      async load() {
        const [state, past_] = await Promise.all([get("/api/alerts"), get("/api/alerts/history", { limit: HISTORY })]);
        if (rules.parentNode === null) {
          put(
            root,
            problems,
            h("section", {}, h("h2", {}, t("alerts.active")), active, quiet),
            h(
              "div",
              { class: "two" },
              h("section", {}, h("h2", {}, t("alerts.rules")), rules),
              h("section", {}, h("h2", {}, t("alerts.history")), channels, history, fresh),
            ),
          );
        }
        const now = state.alerts.flatMap((alert) =>
          alert.active.filter((one) => one.state !== "inactive").map((one) => ({ alert, one })),
        );
        now.sort((a, b) => RANK[a.one.state] - RANK[b.one.state]);
        sync(
          problems,
          state.problems,
          (problem) => problem,
          (problem) => h("li", { class: "banner warning" }, icon("errors"), h("span", { dir: "auto" }, problem)),
        );
        sync(active, now, ({ alert, one }) => alert.uid + JSON.stringify(one.labels), activeRow);
        quiet.hidden = now.length > 0;
        const sorted = [...state.alerts].sort((a, b) => RANK[a.state] - RANK[b.state]);
        sync(
          rules,
          sorted,
          (alert) => alert.uid,
          (alert, old) => {
            const built = rule(alert);
            built.firstChild.open = old?.firstChild.open ?? false;
            return built;
          },
        );
        put(
          channels,
          state.channels.length
            ? [t("alerts.channels"), " ", state.channels.map((name) => badge(name, "info"))]
            : t("alerts.no_channels"),
        );
        sync(history, past_.history, (one) => `${one.time}${one.uid}${one.change}${JSON.stringify(one.labels)}`, past);
        fresh.hidden = past_.history.length > 0;
        if (!state.alerts.length) put(rules, nothing(t("alerts.none")));
      },
    };
  },
};
