/** Dialogs that every page has: how everything is, and the keys. */

import { h } from "./dom.js";
import { ago, bytes, count } from "./format.js";
import { PAGES } from "./navigation.js";
import { known, t } from "./texts.js";
import { badge, command, dialog } from "./widgets.js";

/** Tones of what /api/health says. */
export const TONES = { healthy: "ok", degraded: "warning", unhealthy: "critical", unknown: "quiet" };

/** How each bot and the dashboard are, by what /api/health answered. */
export function showHealth(health) {
  const { dashboard } = health;
  const share = dashboard.max_bytes ? dashboard.database_bytes / dashboard.max_bytes : 0;
  dialog(
    t("health"),
    health.services.map((one) =>
      h(
        "article",
        { class: "health" },
        h("h3", {}, h("bdi", {}, one.service), badge(t(`health.${one.status}`), TONES[one.status])),
        h(
          "p",
          { class: "muted" },
          one.instance ? h("code", { dir: "ltr" }, one.instance) : null,
          one.last_seen ? ` ${t("health.seen", { ago: ago(one.last_seen) })}` : "",
        ),
        h(
          "p",
          { class: "labels" },
          Object.entries(one.checks ?? {}).map(([name, check]) =>
            badge(
              `${name}: ${known(`health.${check.status}`) ? t(`health.${check.status}`) : check.status}`,
              TONES[check.status] ?? "quiet",
            ),
          ),
        ),
      ),
    ),
    health.services.length ? null : h("p", {}, t("onboarding.title")),
    h(
      "article",
      { class: "health" },
      h("h3", {}, t("health.dashboard"), badge(t(`health.${dashboard.status}`), TONES[dashboard.status] ?? "quiet")),
      h("p", {}, t("health.database", { used: bytes(dashboard.database_bytes), most: bytes(dashboard.max_bytes) })),
      h(
        "span",
        { class: "track" },
        h("span", { class: "fill", style: { "inline-size": `${Math.min(share, 1) * 100}%` } }),
      ),
      h(
        "p",
        { class: "muted" },
        Object.entries(dashboard.received ?? {})
          .filter(([, value]) => typeof value === "number")
          .map(([name, value]) => `${t(`signal.${name}`)}: ${count(value)}`)
          .join(" · "),
      ),
      h("p", { class: "muted", dir: "ltr" }, `otelbot ${dashboard.version ?? ""}`),
    ),
  );
}

/** The keys of the page. */
export function help() {
  if (document.querySelector("dialog[open]")) return;
  const keys = [
    ["/", "search"],
    ["j k", "rows"],
    ["Enter", "open"],
    ["← →", "fold"],
    ["p", "pause"],
    ["t", "theme"],
    ["Esc", "close"],
    ["?", "help"],
  ];
  dialog(
    t("help"),
    h(
      "dl",
      { class: "keys" },
      keys.map(([key, name]) =>
        h("div", {}, h("dt", {}, h("kbd", { dir: "ltr" }, key)), h("dd", {}, t(`key.${name}`))),
      ),
    ),
    h("h3", {}, t("key.go")),
    h(
      "dl",
      { class: "keys" },
      PAGES.map(([name, , letter]) =>
        h(
          "div",
          {},
          h("dt", {}, h("kbd", { dir: "ltr" }, "g"), " ", h("kbd", { dir: "ltr" }, letter)),
          h("dd", {}, t(`nav.${name}`)),
        ),
      ),
    ),
    h("h3", {}, t("help.begin")),
    command("otelbot-instrument python bot.py"),
  );
}
