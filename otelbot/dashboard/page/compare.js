/** Two traces side by side: which span took longer, and which is in one of them only. */

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { figure, milliseconds, ratio, when } from "./format.js";
import { address, query } from "./router.js";
import { align, kindOf } from "./spans.js";
import { t } from "./texts.js";
import { nothing, outcome } from "./widgets.js";

function side(name, { trace }) {
  return h(
    "article",
    { class: `panel side-${name.toLowerCase()}` },
    h(
      "header",
      {},
      h(
        "h2",
        {},
        h("span", { class: "letter" }, name),
        h("a", { href: address(`/traces/${trace.trace_id}`) }, h("bdi", {}, trace.name)),
      ),
      outcome(trace),
    ),
    h("p", { class: "big number", dir: "ltr" }, milliseconds(trace.duration_ms)),
    h("p", { class: "muted" }, when(trace.start), " · ", h("bdi", {}, trace.service)),
    h("p", { class: "muted mono", dir: "ltr" }, trace.trace_id),
  );
}

function row({ level, a, b }, most) {
  const names = [...new Set([a?.name, b?.name].filter(Boolean))].join(" / ");
  const duration = (span, letter) =>
    span
      ? h(
          "span",
          {
            class: `barred kind-${kindOf(span)}${span.status === "ERROR" ? " bad" : ""}`,
            style: { "--share": String(most ? span.duration_ms / most : 0) },
          },
          figure(milliseconds(span.duration_ms)),
        )
      : h("span", { class: "muted" }, t("compare.missing", { letter }));
  const difference = a && b ? b.duration_ms - a.duration_ms : null;
  const tone =
    difference === null || Math.abs(difference) < 0.05 * Math.max(a.duration_ms, b.duration_ms)
      ? "muted"
      : difference > 0
        ? "slower"
        : "faster";
  const text = difference === null ? "" : `${difference >= 0 ? "+" : "−"}${milliseconds(Math.abs(difference))}`;
  const relative =
    difference === null || !a.duration_ms
      ? ""
      : ` (${difference >= 0 ? "+" : "−"}${ratio(Math.abs(difference / a.duration_ms))})`;
  return h(
    "tr",
    { class: a && b ? null : "only" },
    h(
      "td",
      { class: "name" },
      h(
        "span",
        { class: "indented", style: { "--level": String(Math.min(level, 14)) } },
        h("i", { class: `swatch kind-${kindOf(a ?? b)}` }),
        h("bdi", {}, names),
      ),
    ),
    h("td", { class: "duration" }, duration(a, "A")),
    h("td", { class: "duration" }, duration(b, "B")),
    h("td", { class: `numeric ${tone}` }, figure(text + relative)),
  );
}

export const compare = {
  signals: [],
  pause: 2000,
  open({ root }) {
    return {
      async load() {
        const [a, b] = [query().get("a"), query().get("b")];
        if (!a || !b) {
          put(root, nothing(t("compare.how"), h("a", { class: "button", href: address("/traces") }, t("nav.traces"))));
          return;
        }
        const [left, right] = await Promise.all([a, b].map((id) => get(`/api/traces/${encodeURIComponent(id)}`)));
        const rows = align(left.spans, right.spans).slice(0, 2000);
        const most = rows.reduce(
          (longest, one) => Math.max(longest, one.a?.duration_ms ?? 0, one.b?.duration_ms ?? 0),
          0,
        );
        put(
          root,
          h("div", { class: "compare-heads" }, side("A", left), side("B", right)),
          h("p", {}, h("a", { class: "button", href: address("/compare", { a: b, b: a }) }, t("compare.swap"))),
          h(
            "div",
            { class: "scroll", tabindex: "0", role: "region", "aria-label": t("nav.compare") },
            h(
              "table",
              { class: "compare" },
              h(
                "thead",
                {},
                h(
                  "tr",
                  {},
                  [t("column.name"), "A", "B", t("compare.difference")].map((title, index) =>
                    h("th", { scope: "col", class: index === 3 ? "numeric" : null }, title),
                  ),
                ),
              ),
              h(
                "tbody",
                {},
                rows.map((one) => row(one, most)),
              ),
            ),
          ),
        );
      },
    };
  },
};
