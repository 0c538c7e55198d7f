/** Errors grouped by where they happen. */

import { get } from "./api.js";
import { h, put, sync } from "./dom.js";
import { ago, count, time } from "./format.js";
import { icon } from "./icons.js";
import { address, query, range, RANGES } from "./router.js";
import { t } from "./texts.js";
import { code, nothing, onboarding } from "./widgets.js";

/** The stack of a group: of its log record, or of an event or attribute in one of its traces. */
async function stackOf(group) {
  if (group.log_id !== null && group.log_id !== undefined && group.fingerprint) {
    // Records after the first of a minute are kept without their stack.
    const { logs } = await get("/api/logs", { fingerprint: group.fingerprint, limit: 100 });
    const stack = logs.map((log) => log.attributes["exception.stacktrace"]).find(Boolean);
    if (stack) return stack;
  }
  for (const id of group.trace_ids.slice(0, 2)) {
    const trace = await get(`/api/traces/${id}`).catch(() => null);
    const held = (trace?.spans ?? []).flatMap((span) => [
      ...span.events.map((event) => event.attributes),
      span.attributes,
    ]);
    const found = held.find(
      (one) => one["exception.stacktrace"] && (!group.type || one["exception.type"] === group.type),
    );
    if (found) return found["exception.stacktrace"];
  }
  return null;
}

function inside(group) {
  const stack = h("div", {}, h("p", { class: "muted" }, t("loading")));
  stackOf(group).then(
    (text) => put(stack, text ? code(text) : h("p", { class: "nothing" }, t("errors.no_stack"))),
    (error) => put(stack, h("p", { class: "nothing" }, error.message)),
  );
  return h(
    "div",
    { class: "error-details" },
    h(
      "p",
      { class: "buttons" },
      group.trace_ids.map((id, index) =>
        h(
          "a",
          { class: "button", href: address(`/traces/${id}`) },
          icon("traces"),
          t("errors.trace", { number: index + 1 }),
        ),
      ),
      group.fingerprint && group.log_id
        ? h(
            "a",
            { class: "button", href: address("/logs", { fingerprint: group.fingerprint }) },
            icon("logs"),
            t("nav.logs"),
          )
        : null,
    ),
    stack,
    h("p", { class: "ids mono muted", dir: "ltr" }, group.fingerprint),
  );
}

export const errors = {
  signals: ["logs", "traces"],
  pause: 5000,
  open({ root, empty }) {
    const open = new Set();
    const key = (group) => group.fingerprint || `${group.type}\n${group.message}`;

    function build(group, old) {
      const body = h("div", { hidden: !open.has(key(group)) });
      // A refresh that only counts on does not load the stack again.
      const known = old?.querySelector(".error-details");
      if (!body.hidden) put(body, known ?? inside(group));
      const toggle = () => {
        if (!open.delete(key(group))) open.add(key(group));
        body.hidden = !open.has(key(group));
        button.setAttribute("aria-expanded", String(!body.hidden));
        if (!body.hidden && !body.firstChild) put(body, inside(group));
      };
      const button = h(
        "button",
        {
          type: "button",
          class: "error-line",
          "data-row": true,
          "aria-expanded": String(!body.hidden),
          onclick: toggle,
        },
        icon("chevron"),
        h(
          "span",
          { class: "what" },
          h("strong", { dir: "ltr" }, group.type),
          h("bdi", { class: "message" }, group.message),
          h("span", { class: "muted mono", dir: "ltr" }, group.where ?? ""),
        ),
        h(
          "span",
          { class: "when muted" },
          h("bdi", { class: "services" }, group.services.join(", ")),
          h("span", {}, t("errors.first"), " ", time(group.first, ago)),
          h("span", {}, t("errors.last"), " ", time(group.last, ago)),
        ),
        h("span", { class: "badge critical number" }, `${count(group.count)}×`),
      );
      return h("li", { class: "panel" }, button, body);
    }

    const list = h("ul", { class: "errors" });
    return {
      async load() {
        const answer = await get("/api/errors", {
          range: range(),
          service: query().get("service"),
          since: Date.now() - RANGES[range()] * 1000,
        });
        if (answer.errors.length) {
          if (list.parentNode !== root) put(root, list);
          sync(list, answer.errors, key, build);
        } else put(root, (await empty()) ? onboarding() : nothing(t("errors.none")));
      },
    };
  },
};
