/** Everything that is known of one span. */

import { h } from "./dom.js";
import { clock, figure, inUnit, milliseconds } from "./format.js";
import { address } from "./router.js";
import { kindOf } from "./spans.js";
import { t } from "./texts.js";
import { badge, code, iconButton, pairs, severityTone } from "./widgets.js";

function part(title, count, open, ...content) {
  return h(
    "details",
    { open },
    h("summary", {}, title, count === null ? null : h("span", { class: "count" }, inUnit(count, "count"))),
    content,
  );
}

function exception({ attributes }) {
  const { "exception.type": type, "exception.message": message, "exception.stacktrace": stack, ...rest } = attributes;
  return [
    h("p", { class: "exception", dir: "ltr" }, h("strong", {}, type ?? ""), message ? `: ${message}` : ""),
    stack ? code(stack) : null,
    Object.keys(rest).length ? pairs(rest) : null,
  ];
}

/**
 * @param {object} span
 * @param {{trace: object, logs: object[]}} data of the trace
 * @param {() => void} close
 */
export function details(span, data, close) {
  const { events, links } = span;
  const logs = data.logs.filter((log) => log.span_id === span.span_id);
  return [
    h("header", {}, h("h2", {}, h("bdi", {}, span.name)), iconButton("close", t("close"), { onclick: close })),
    h(
      "p",
      { class: "tags" },
      badge(t(`kind.${kindOf(span)}`)),
      badge(span.kind.toLowerCase()),
      span.status === "ERROR" ? badge(t("trace.failed"), "critical") : null,
      figure(milliseconds(span.duration_ms)),
      figure(`+${milliseconds(span.start - data.trace.start)}`, "muted"),
    ),
    span.status_message ? h("p", { class: "exception", dir: "auto" }, span.status_message) : null,
    part(t("trace.attributes"), Object.keys(span.attributes).length, true, pairs(span.attributes)),
    events.length
      ? part(
          t("trace.events"),
          events.length,
          true,
          events.map((event) =>
            h(
              "article",
              { class: "event" },
              h("h3", {}, h("bdi", {}, event.name), figure(`+${milliseconds(event.time - span.start)}`, "muted")),
              event.name === "exception" ? exception(event) : pairs(event.attributes),
            ),
          ),
        )
      : null,
    logs.length
      ? part(
          t("nav.logs"),
          logs.length,
          true,
          logs.map((log) =>
            h(
              "article",
              { class: "event" },
              h(
                "h3",
                {},
                badge(log.severity_text || "–", severityTone(log.severity)),
                figure(clock(log.time), "muted"),
              ),
              h("p", { dir: "auto", class: "log-body" }, log.body || log.event),
              Object.keys(log.attributes).length
                ? part(t("trace.attributes"), Object.keys(log.attributes).length, false, pairs(log.attributes))
                : null,
            ),
          ),
        )
      : null,
    links.length
      ? part(
          t("trace.links"),
          links.length,
          true,
          links.map((link) =>
            h(
              "article",
              { class: "event" },
              h(
                "a",
                { href: address(`/traces/${link.trace_id}`, { span: link.span_id }), class: "mono", dir: "ltr" },
                link.trace_id,
              ),
              pairs(link.attributes),
            ),
          ),
        )
      : null,
    part(
      t("trace.resource"),
      Object.keys(span.resource).length,
      false,
      pairs({ ...span.resource, "otel.scope.name": span.scope }),
    ),
    h("p", { class: "ids mono muted", dir: "ltr" }, `span ${span.span_id}`),
  ];
}
