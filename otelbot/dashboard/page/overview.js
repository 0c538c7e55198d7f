/** The first page: how the bot does now, by cards and a few charts. */

import { get } from "./api.js";
import { h, put, sync } from "./dom.js";
import { ago, inUnit, seconds } from "./format.js";
import { icon } from "./icons.js";
import { Panels, panelsOf } from "./panels.js";
import { address, query, range } from "./router.js";
import { t, told } from "./texts.js";
import { badge, onboarding, spark } from "./widgets.js";

/** Cards in the order of the page, each with the page that says more. */
const CARDS = [
  ["messages_processed", "/updates"],
  ["average_response_time", "/updates"],
  ["memory", "/runtime"],
  ["active_users", "/conversations"],
  ["error_rate", "/errors"],
  ["api_refusals", "/telegram"],
  ["polling", "/telegram"],
];

function value(name, card) {
  if (name !== "polling") return inUnit(card.value, card.unit);
  return t(`polling.${card.polling}`);
}

function note(name, card) {
  if (name === "messages_processed" && card.per_minute !== undefined) return inUnit(card.per_minute, "per_minute");
  if (name === "polling") return card.value === null ? "" : t("polling.age", { age: seconds(card.value) });
  return "";
}

function cardElement({ name, href, card }) {
  const tone = ["warning", "critical"].includes(card.status) ? card.status : "ok";
  return h(
    "a",
    { class: `card ${tone}`, href, "data-card": name },
    h("span", { class: "title" }, t(`card.${name}`), tone === "ok" ? null : badge(t(`status.${tone}`), tone)),
    h("span", { class: "value number", dir: name === "polling" ? null : "ltr" }, value(name, card)),
    h("span", { class: "note" }, name === "polling" ? note(name, card) : h("bdi", {}, note(name, card))),
    spark(card.spark ?? []),
  );
}

/** Whether the bot polls is a tone as well. */
function polling(card) {
  return { ...card, polling: card.status, status: card.status === "silent" ? "critical" : "ok" };
}

function banner(alert, active) {
  return h(
    "a",
    {
      class: `banner ${alert.severity === "critical" || alert.severity === "error" ? "critical" : "warning"}`,
      href: address("/alerts"),
    },
    icon("alerts"),
    h("strong", {}, told(alert.title)),
    h("span", {}, told(active.summary)),
    h("span", { class: "muted" }, ago(active.since)),
  );
}

export const overview = {
  signals: ["metrics", "alerts"],
  pause: 5000,
  open({ root, empty }) {
    const banners = h("div", { class: "banners", role: "status" });
    const cards = h("div", { class: "cards" });
    const panels = new Panels();
    return {
      async load() {
        const [numbers, charts, alerts] = await Promise.all([
          get("/api/metrics", { range: range(), service: query().get("service") }),
          panelsOf("overview"),
          get("/api/alerts"),
        ]);
        if (!numbers.services.length && (await empty())) {
          put(root, onboarding());
          return;
        }
        if (panels.element.parentNode !== root) put(root, banners, cards, panels.element);
        const firing = alerts.alerts.flatMap((alert) =>
          alert.active.filter((one) => one.state === "firing" && !one.silenced_until).map((one) => ({ alert, one })),
        );
        sync(
          banners,
          firing.slice(0, 5),
          ({ alert, one }) => alert.uid + JSON.stringify(one.labels),
          ({ alert, one }) => banner(alert, one),
        );
        const shown = CARDS.filter(([name]) => numbers.cards[name]).map(([name, path]) => {
          const card = numbers.cards[name];
          return { name, href: address(path), card: name === "polling" ? polling(card) : card };
        });
        sync(cards, shown, (one) => one.name, cardElement);
        await panels.show(charts);
      },
      redraw: () => panels.redraw(),
      close: () => panels.close(),
    };
  },
};
