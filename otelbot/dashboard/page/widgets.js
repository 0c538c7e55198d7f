/** Small parts that several pages use: badges, tables, dialogs, toasts, and what is said where nothing is. */

import { h, put, svg } from "./dom.js";
import { icon } from "./icons.js";
import { known, t } from "./texts.js";

/** A word in a coloured pill; `tone` is ok, warning, critical, info or quiet. */
export function badge(text, tone = "quiet") {
  return h("span", { class: `badge ${tone}` }, text);
}

const OUTCOMES = { handled: "ok", unhandled: "quiet", error: "critical", error_handled: "warning", cancelled: "quiet" };

/** How an update ended, or that its root has not come yet. */
export function outcome(trace) {
  if (trace.complete === false) return badge(t("outcome.incomplete"), "info");
  if (trace.outcome)
    return badge(
      known(`outcome.${trace.outcome}`) ? t(`outcome.${trace.outcome}`) : trace.outcome,
      OUTCOMES[trace.outcome] ?? "quiet",
    );
  return trace.errors ? badge(t("outcome.error"), "critical") : null;
}

/** Tone of an OpenTelemetry severity number. */
export function severityTone(severity) {
  return severity >= 17 ? "critical" : severity >= 13 ? "warning" : severity >= 9 ? "info" : "quiet";
}

/** A button with an icon; its words are read aloud and shown on hover. */
export function iconButton(name, label, props = {}) {
  return h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, ...props }, icon(name));
}

/**
 * A table that scrolls by itself on a narrow screen.
 * @param {{title: string, numeric?: boolean}[]} columns
 * @param {Array<Array<Node|string>>} rows
 */
export function table(columns, rows) {
  const side = (column) => (column.numeric ? "numeric" : null);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": columns[0]?.title ?? "" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) => h("th", { scope: "col", class: side(column) }, column.title)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((cell, index) => h("td", { class: side(columns[index]) }, cell)),
          ),
        ),
      ),
    ),
  );
}

/** A dotted name that may break after its dots. */
function breakable(name) {
  return name.split(/(?<=[._])/).map((part, index) => (index ? [h("wbr"), part] : part));
}

/** Names and values, as of attributes. */
export function pairs(values) {
  const names = Object.keys(values ?? {}).sort();
  if (!names.length) return h("p", { class: "nothing" }, t("attributes.none"));
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
  return h(
    "dl",
    { class: "pairs", dir: "ltr" },
    names.map((name) =>
      h(
        "div",
        {},
        h("dt", {}, breakable(name)),
        h("dd", { class: name.endsWith("stacktrace") ? "stack" : null }, text(values[name])),
      ),
    ),
  );
}

export function code(text) {
  return h("pre", { class: "code", dir: "ltr", tabindex: "0" }, text);
}

/** A command with a button that copies it. */
export function command(text) {
  return h("div", { class: "command", dir: "ltr" }, h("code", {}, text), copyButton(text));
}

export function copyButton(text, label = t("copy")) {
  return iconButton("copy", label, {
    onclick: async (event) => {
      event.stopPropagation();
      try {
        await navigator.clipboard.writeText(text);
        toast(t("copied"), "ok");
      } catch {
        toast(t("error.copy")); // the browser allows it only on https and localhost
      }
    },
  });
}

/** What to do where no bot has sent anything yet. */
export function onboarding() {
  return h(
    "section",
    { class: "onboarding" },
    icon("telegram"),
    h("h2", {}, t("onboarding.title")),
    h("p", {}, t("onboarding.text")),
    command("otelbot-instrument python bot.py"),
    h("p", {}, t("onboarding.doctor")),
    command("otelbot doctor"),
  );
}

export function nothing(text, ...more) {
  return h("div", { class: "nothing large" }, h("p", {}, text), more);
}

/** A line over the recent values, for a card. */
export function spark(points) {
  const known = points.filter(([, value]) => Number.isFinite(value));
  if (!known.length) return h("span", { class: "spark" });
  const width = 120;
  const height = 32;
  const [first, last] = [known[0][0], known.at(-1)[0]];
  const values = known.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  // A single value is a dot at the present end.
  const x = (at) => (first === last ? width - 5 : ((at - first) / (last - first)) * width);
  const y = (value) => (high === low ? height / 2 : height - 2 - ((value - low) / (high - low)) * (height - 4));
  const line = known.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return svg(
    "svg",
    { class: known.length < 2 ? "spark single" : "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("polygon", { points: `0,${height} ${line} ${width},${height}` }),
    svg("polyline", { points: known.length < 2 ? `${line} ${line}` : line }),
  );
}

const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** Say a sentence for some seconds. */
export function toast(sentence, tone = "critical") {
  if (!toasts.isConnected) document.body.append(toasts);
  for (const old of toasts.children) if (old.dataset.sentence === sentence) old.remove();
  const close = () => element.remove();
  const element = h(
    "div",
    { class: `toast ${tone}`, "data-sentence": sentence },
    h("span", {}, sentence),
    iconButton("close", t("close"), { onclick: close }),
  );
  toasts.append(element);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(close, tone === "critical" ? 8000 : 2500);
}

/** Open a dialog; Escape and a click beside it close it. Returns it. */
export function dialog(title, ...content) {
  const element = h(
    "dialog",
    {
      "aria-label": title,
      onclose: () => element.remove(),
      onclick: (event) => event.target === element && element.close(),
    },
    h(
      "div",
      { class: "sheet" },
      h("header", {}, h("h2", {}, title), iconButton("close", t("close"), { onclick: () => element.close() })),
      content,
    ),
  );
  document.body.append(element);
  element.showModal();
  return element;
}

/** Ask before something that can't be taken back; `act` runs on yes. */
export function confirmation(title, text, yes, act) {
  const element = dialog(
    title,
    h("p", {}, text),
    h(
      "footer",
      {},
      h("button", { type: "button", class: "button", onclick: () => element.close() }, t("cancel")),
      h(
        "button",
        {
          type: "button",
          class: "button danger",
          onclick: () => {
            element.close();
            act();
          },
        },
        yes,
      ),
    ),
  );
}

/** A labelled field of a filter bar. */
export function field(label, control) {
  return h("label", { class: "field" }, h("span", {}, label), control);
}

/** A select whose first choice is "all". */
export function choices(control, values, chosen) {
  const all = [...new Set([...values, ...(chosen ? [chosen] : [])])];
  put(
    control,
    h("option", { value: "" }, t("all")),
    all.map((value) => h("option", { value }, value)),
  );
  control.value = chosen ?? "";
  return control;
}
