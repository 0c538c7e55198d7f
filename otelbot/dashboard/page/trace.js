/** One trace: head, waterfall with the logs inside, and the details of a span. */

import { ApiError, get } from "./api.js";
import { details } from "./details.js";
import { h, put } from "./dom.js";
import { figure, milliseconds, when } from "./format.js";
import { icon } from "./icons.js";
import { address, note, query } from "./router.js";
import { t } from "./texts.js";
import { badge, copyButton, nothing, outcome } from "./widgets.js";
import { Waterfall } from "./waterfall.js";

function neighbour(id, name, glyph) {
  if (!id) return h("span", { class: "button disabled", "aria-disabled": "true" }, icon(glyph), t(name));
  return h("a", { class: "button", href: address(`/traces/${id}`), "data-neighbour": glyph }, icon(glyph), t(name));
}

function fact(name, ...value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function head({ trace, spans, logs, previous, next }) {
  return h(
    "header",
    { class: "trace-head" },
    h("div", { class: "title" }, h("h1", {}, h("bdi", {}, trace.name)), outcome(trace)),
    h(
      "nav",
      { class: "buttons", "aria-label": t("trace.conversation") },
      neighbour(previous, "trace.previous", "left"),
      neighbour(next, "trace.next", "right"),
      previous
        ? h(
            "a",
            { class: "button", href: address("/compare", { a: previous, b: trace.trace_id }) },
            icon("compare"),
            t("trace.compare"),
          )
        : null,
      h("a", { class: "button", href: address("/logs", { trace_id: trace.trace_id }) }, icon("logs"), t("nav.logs")),
    ),
    h(
      "dl",
      { class: "facts" },
      fact(t("column.duration"), figure(milliseconds(trace.duration_ms))),
      fact(t("trace.start"), h("span", { class: "number" }, when(trace.start))),
      fact(t("column.service"), h("bdi", {}, trace.service)),
      trace.handler ? fact(t("column.handler"), h("bdi", {}, trace.handler)) : null,
      trace.state ? fact(t("trace.state"), h("bdi", {}, trace.state)) : null,
      trace.user_hash
        ? fact(
            t("traces.user"),
            h("a", { href: address("/traces", { user: trace.user_hash }), dir: "ltr", class: "mono" }, trace.user_hash),
          )
        : null,
      trace.error_type ? fact(t("trace.error"), badge(trace.error_type, "critical")) : null,
      fact(t("trace.content"), t("trace.counts", { spans: spans.length, logs: logs.length })),
      fact(t("trace.id"), h("code", { dir: "ltr" }, trace.trace_id), copyButton(trace.trace_id, t("trace.copy"))),
    ),
  );
}

export const trace = {
  signals: ["traces", "logs"],
  pause: 2000,
  open({ root, id }) {
    let shown = "";
    const above = h("div");
    const side = h("aside", { class: "details", "aria-label": t("trace.details") });
    const waterfall = new Waterfall((chosen) => {
      note({ span: chosen?.span_id });
      put(
        side,
        chosen
          ? details(chosen, waterfall.data, () => waterfall.select(null))
          : h("p", { class: "nothing" }, t("trace.choose")),
      );
      side.classList.toggle("open", Boolean(chosen));
    });
    return {
      async load() {
        let data;
        try {
          data = await get(`/api/traces/${id}`);
        } catch (error) {
          if (!(error instanceof ApiError) || ![400, 404].includes(error.status)) throw error;
          put(root, nothing(t("trace.gone"), h("a", { class: "button", href: address("/traces") }, t("nav.traces"))));
          return;
        }
        const text = JSON.stringify(data);
        if (text === shown) return;
        const first = shown === "";
        shown = text;
        waterfall.show(data);
        put(above, head(data));
        if (above.parentNode !== root) put(root, above, h("div", { class: "trace-body" }, waterfall.element, side));
        if (first) waterfall.select(query().get("span") ?? null);
      },
      keys: {
        ArrowLeft: () => waterfall.fold(document.documentElement.dir === "rtl" ? false : true),
        ArrowRight: () => waterfall.fold(document.documentElement.dir === "rtl" ? true : false),
        Escape: () => waterfall.select(null),
      },
    };
  },
};
