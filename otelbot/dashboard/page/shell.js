/** What is around every page: navigation, the choice of range and service, the state of the connection, dialogs. */

import { get, send } from "./api.js";
import { help, showHealth, TONES } from "./dialogs.js";
import { h, put } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { live, listen, togglePause } from "./live.js";
import { PAGES } from "./navigation.js";
import { address, choose, query, range, RANGES } from "./router.js";
import { t } from "./texts.js";
import { choices, confirmation, dialog, iconButton, toast } from "./widgets.js";

/** So many fit beside each other on a phone. */
const ON_PHONES = 4;

export class Shell {
  /** @param {{theme: () => void, language: () => void, cleared: () => void}} actions */
  constructor(actions) {
    this.actions = actions;
    this.health = null;
    this.main = h("main", { id: "main", tabindex: "-1" });
    this.title = h("h1", { class: "page-title" });
    this.troubles = h("div", { class: "banners troubles", role: "alert" });
    this.status = h("button", {
      type: "button",
      class: "status",
      onclick: () => this.health && showHealth(this.health),
    });
    this.pause = iconButton("pause", t("pause"), { onclick: togglePause, "data-action": "pause" });
    this.service = h("select", {
      "aria-label": t("column.service"),
      onchange: () => choose({ service: this.service.value }),
    });
    this.range = h(
      "select",
      {
        "aria-label": t("range"),
        onchange: () => choose({ range: this.range.value === "1h" ? "" : this.range.value }),
      },
      Object.keys(RANGES).map((name) => h("option", { value: name }, t(`range.${name}`))),
    );
    this.links = new Map(PAGES.map(([name]) => [name, [this.link(name), this.link(name)]]));
    this.menu = null;
  }

  link(name) {
    return h(
      "a",
      { href: PAGES.find(([one]) => one === name)[1], "data-page": name },
      icon(name),
      h("span", {}, t(`nav.${name}`)),
      h("span", { class: "count", hidden: true }),
    );
  }

  tools() {
    const dark = document.documentElement.dataset.theme === "dark";
    return [
      iconButton(dark ? "sun" : "moon", t("theme"), { onclick: this.actions.theme, "data-action": "theme" }),
      iconButton("language", t("language"), { onclick: this.actions.language, "data-action": "language" }),
      iconButton("help", t("help"), { onclick: () => help(), "data-action": "help" }),
      iconButton("clear", t("clear"), { onclick: () => this.clear(), "data-action": "clear" }),
    ];
  }

  draw() {
    this.menuButton = h(
      "button",
      { type: "button", class: "more", onclick: () => this.showMenu(), "aria-haspopup": "dialog" },
      icon("more"),
      h("span", {}, t("nav.more")),
    );
    this.toolbar = h("div", { class: "tools" }, this.tools());
    put(
      document.body,
      h(
        "a",
        {
          class: "skip",
          href: "#main",
          onclick: (event) => {
            event.preventDefault();
            this.main.focus();
          },
        },
        t("skip"),
      ),
      h(
        "header",
        { class: "side" },
        h(
          "a",
          { class: "brand", href: "/" },
          h("img", { src: "/static/icon.svg", alt: "", width: 24, height: 24 }),
          "otelbot",
        ),
        h(
          "nav",
          { "aria-label": t("nav") },
          [...this.links.values()].map(([link]) => link),
        ),
      ),
      h(
        "div",
        { class: "top" },
        this.title,
        h(
          "div",
          { class: "controls" },
          this.service,
          this.range,
          h("div", { class: "flow" }, this.status, this.pause),
          this.toolbar,
        ),
      ),
      h("div", { class: "content" }, this.troubles, this.main),
      h(
        "nav",
        { class: "bottom", "aria-label": t("nav") },
        PAGES.slice(0, ON_PHONES).map(([name]) => this.links.get(name)[1]),
        this.menuButton,
      ),
    );
    listen(() => this.told());
    this.told();
  }

  /** A page was opened. */
  opened(name) {
    this.menu?.close();
    put(this.title, t(`nav.${name}`));
    document.title = `${t(`nav.${name}`)} · otelbot`;
    this.range.value = range();
    this.service.value = query().get("service") ?? "";
    for (const [page, path] of PAGES) {
      for (const link of this.links.get(page)) {
        link.setAttribute("href", address(path));
        if (page === name || (page === "traces" && ["trace", "compare"].includes(name)))
          link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    }
    this.menuButton.toggleAttribute("data-here", PAGES.findIndex(([page]) => page === name) >= ON_PHONES);
  }

  /** The connection, and a mark where a bot or the dashboard is not well. */
  drawStatus() {
    const { status } = live;
    const all = [this.health?.status, this.health?.dashboard.status];
    const ill = ["unhealthy", "degraded"].find((one) => all.includes(one));
    this.status.dataset.status = status;
    put(
      this.status,
      h("i"),
      h("span", {}, t(`live.${status}`)),
      ill ? h("span", { class: `ill ${TONES[ill]}`, title: t(`health.${ill}`) }, icon("errors")) : null,
    );
  }

  told() {
    const { status, state } = live;
    this.drawStatus();
    const label = t(status === "paused" ? "resume" : "pause");
    put(this.pause, icon(status === "paused" ? "play" : "pause"));
    for (const name of ["title", "aria-label"]) this.pause.setAttribute(name, label);
    for (const link of this.links.get("alerts")) {
      const mark = link.querySelector(".count");
      mark.hidden = !state?.firing;
      put(mark, state?.firing ? count(state.firing) : "");
    }
    const due =
      Date.now() - (this.asked ?? 0) > 10000 ||
      (state?.troubles ?? 0) !== (this.health?.dashboard.troubles.length ?? 0);
    if (state && due && live.flows) this.fetchHealth();
  }

  /** Ask how everything is; who asks meanwhile waits for the same answer. */
  fetchHealth() {
    this.fetching ??= this.askHealth().finally(() => {
      this.fetching = null;
    });
    return this.fetching;
  }

  async askHealth() {
    this.asked = Date.now();
    try {
      this.health = await get("/api/health?ok=200");
      const names = [...new Set(this.health.services.map((one) => one.service))].sort();
      if (document.activeElement !== this.service)
        choices(this.service, names, query().get("service")).options[0].text = t("service.all");
      this.drawStatus();
      put(
        this.troubles,
        this.health.dashboard.troubles.map(({ what, mend }) =>
          h(
            "div",
            { class: "banner critical" },
            icon("errors"),
            h("strong", { dir: "auto" }, what),
            h("span", { dir: "auto" }, mend),
          ),
        ),
      );
    } catch {
      this.health = null; // the connection's own mark says that nothing answers
    }
  }

  /** Whether no bot has sent anything yet. */
  async empty() {
    await this.fetchHealth();
    return this.health !== null && !this.health.services.length;
  }

  showMenu() {
    this.menu = dialog(
      t("nav.more"),
      h(
        "nav",
        { class: "menu" },
        PAGES.slice(ON_PHONES).map(([name, path]) =>
          h("a", { href: address(path), onclick: () => this.menu.close() }, icon(name), t(`nav.${name}`)),
        ),
      ),
      h("div", { class: "tools" }, this.tools()),
    );
  }

  clear() {
    confirmation(t("clear.title"), t("clear.text"), t("clear"), async () => {
      try {
        await send("POST", "/api/clear", {});
        toast(t("clear.done"), "ok");
        this.actions.cleared();
      } catch (error) {
        toast(error.message);
      }
    });
  }
}
