/** Starts the page: words, frame, and for each address the page that it names. */

import { alerts } from "./alerts.js";
import { compare } from "./compare.js";
import { h, put } from "./dom.js";
import { errors } from "./errors.js";
import { listenToKeys } from "./keys.js";
import { connect, Refresher } from "./live.js";
import { logs } from "./logs.js";
import { overview } from "./overview.js";
import { panelPage } from "./panels.js";
import { address, follow } from "./router.js";
import { Shell } from "./shell.js";
import { loadTexts, otherLanguage, t } from "./texts.js";
import { trace } from "./trace.js";
import { traces } from "./traces.js";
import { nothing, toast } from "./widgets.js";

const PAGES = { overview, traces, logs, errors, alerts, compare, trace };
for (const name of ["updates", "telegram", "conversations", "databases", "runtime"]) PAGES[name] = panelPage(name);

let shell = null;
let current = null;

function remember(name, value) {
  try {
    localStorage.setItem(`otelbot.${name}`, value);
  } catch {
    // Storage is switched off: it holds until the page is loaded again.
  }
}

function toggleTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  remember("theme", root.dataset.theme);
  put(shell.toolbar, shell.tools());
  current?.view.redraw?.();
}

function toggleLanguage() {
  remember("language", otherLanguage());
  location.reload();
}

function failed(error) {
  if (error.name !== "AbortError") toast(error.message);
}

/** Which page an address names: [name, id], or null. */
function named(path) {
  const [first, second, ...rest] = path.split("/").filter(Boolean);
  if (!first) return ["overview"];
  if (first === "traces" && second) return rest.length ? null : ["trace", second];
  return !second && first !== "trace" && first in PAGES ? [first] : null;
}

function open() {
  current?.refresher.close();
  current?.view.close?.();
  current = null;
  const [name, id] = named(location.pathname) ?? [];
  shell.opened(name ?? "unknown");
  const root = h("div", { class: `page page-${name}` });
  put(shell.main, root);
  scrollTo({ top: 0 });
  if (!name) {
    put(root, nothing(t("unknown"), h("a", { class: "button", href: address("/") }, t("nav.overview"))));
    return;
  }
  put(root, h("p", { class: "nothing loading" }, t("loading")));
  const page = PAGES[name];
  const view = page.open({ root, id, failed, empty: () => shell.empty(), reload: () => refresher.run() });
  const trouble = (error, refresh) => {
    // A refresh that fails leaves what is shown; the mark of the connection tells of it already.
    if (!refresh || error.status) failed(error);
    const loading = root.querySelector(".loading");
    if (loading)
      put(root, nothing(error.message, h("button", { type: "button", class: "button", onclick: open }, t("retry"))));
  };
  const refresher = new Refresher(page.signals, page.pause, (refresh) => view.load(refresh), trouble);
  current = { view, refresher };
  refresher.run();
}

await loadTexts();
shell = new Shell({ theme: toggleTheme, language: toggleLanguage, cleared: open });
shell.draw();
listenToKeys({ theme: toggleTheme, own: () => current?.view.keys ?? {} });
connect();
follow(open);
