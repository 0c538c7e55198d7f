/** A list of rows, newest first, that grows at the top while it is live and at the bottom on request. */

import { h, put, sync } from "./dom.js";
import { t } from "./texts.js";

/** More rows than this are no list for people: the oldest go. */
const MOST = 1000;

export class LiveList {
  /**
   * @param {(item: any) => number} idOf grows with time
   * @param {(item: any, old: Element|null) => Element} build
   * @param {(before: number) => Promise<{items: any[], next: number|null}>} older
   * @param {(error: Error) => void} failed
   */
  constructor({ idOf, build, older, failed, columns, name }) {
    Object.assign(this, { idOf, build, older, failed });
    this.items = new Map();
    this.next = null;
    this.body = h("tbody");
    this.fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: () => this.toTop() });
    this.more = h(
      "button",
      { type: "button", class: "button", hidden: true, onclick: () => this.grow() },
      t("list.older"),
    );
    this.end = h("p", { class: "nothing", hidden: true }, t("list.most", { most: MOST }));
    this.table = h(
      "table",
      { class: `list ${name}` },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) => h("th", { scope: "col", class: column.class ?? null }, column.title ?? "")),
        ),
      ),
      this.body,
    );
    this.element = h(
      "div",
      { class: "live-list" },
      this.fresh,
      this.table,
      h("div", { class: "more" }, this.more, this.end),
    );
  }

  get length() {
    return this.items.size;
  }

  /** Show the newest page. On a refresh, rows that are there stay, and who reads further down is not moved. */
  show({ items, next }, refresh) {
    const newest = Math.max(...this.items.keys(), -Infinity);
    const added = items.filter((item) => this.idOf(item) > newest).length;
    if (refresh && this.items.size && scrollY > 150 && added) {
      this.waiting = { items, next };
      put(this.fresh, t("list.new", { count: added >= items.length ? `${added}+` : added }));
      this.fresh.hidden = false;
      return;
    }
    this.take({ items, next }, refresh);
  }

  take({ items, next }, refresh) {
    this.waiting = null;
    this.fresh.hidden = true;
    const joined = items.some((item) => this.items.has(this.idOf(item)));
    if (!refresh || !joined) {
      this.items = new Map();
      this.next = next;
    }
    for (const item of items) this.items.set(this.idOf(item), item);
    this.draw();
  }

  toTop() {
    if (this.waiting) this.take(this.waiting, true);
    scrollTo({ top: 0 });
  }

  async grow() {
    this.more.disabled = true;
    try {
      const { items, next } = await this.older(this.next);
      for (const item of items) this.items.set(this.idOf(item), item);
      this.next = next;
      this.draw();
    } catch (error) {
      this.failed(error);
    } finally {
      this.more.disabled = false;
    }
  }

  draw() {
    const sorted = [...this.items.values()].sort((a, b) => this.idOf(b) - this.idOf(a));
    if (sorted.length > MOST) {
      sorted.length = MOST;
      this.items = new Map(sorted.map((item) => [this.idOf(item), item]));
      this.next = null;
    }
    this.end.hidden = sorted.length < MOST;
    this.more.hidden = this.next === null || this.next === undefined;
    sync(this.body, sorted, this.idOf, this.build);
  }
}

/** Move the focus among the rows of `root` that have the attribute data-row. */
export function step(root, by) {
  const rows = [...root.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}
