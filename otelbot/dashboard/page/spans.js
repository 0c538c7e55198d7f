/** What a trace's spans mean: their kind, their tree, and the order in which they are shown. */

/** The kinds that have a colour, in the order of the legend. */
export const KINDS = ["update", "handler", "api", "db", "redis", "http", "other"];

export function kindOf({ attributes }) {
  const system = attributes["db.system.name"] ?? attributes["db.system"];
  if (system === "redis") return "redis";
  if (system) return "db";
  if (attributes["telegram.method"]) return "api";
  if (attributes["telegram.update.type"] || attributes["messaging.system"] === "telegram") return "update";
  if (attributes["aiogram.handler.name"] || attributes["code.function.name"]) return "handler";
  if (attributes["http.request.method"] || attributes["url.full"]) return "http";
  return "other";
}

/**
 * Arrange spans as a tree. One whose parent is not there is a root of its own, and so is one in a circle: what came
 * from outside need not make sense.
 * @returns {{span: object, level: number, children: number, orphan: boolean, path: string[]}[]} in the order of a walk,
 *   each with the ids of those above it
 */
export function walk(spans) {
  const byId = new Map(spans.map((span) => [span.span_id, span]));
  const children = new Map();
  const roots = [];
  for (const span of spans) {
    const parent = span.parent_id && span.parent_id !== span.span_id ? byId.get(span.parent_id) : null;
    if (!parent) roots.push(span);
    else if (children.has(parent.span_id)) children.get(parent.span_id).push(span);
    else children.set(parent.span_id, [span]);
  }
  const byStart = (a, b) => a.start - b.start;
  const rows = [];
  const seen = new Set();
  const visit = (root) => {
    const stack = [{ span: root, level: 0, path: [] }];
    while (stack.length) {
      const { span, level, path } = stack.pop();
      if (seen.has(span.span_id)) continue;
      seen.add(span.span_id);
      const below = (children.get(span.span_id) ?? []).sort(byStart);
      rows.push({ span, level, path, children: below.length, orphan: level === 0 && Boolean(span.parent_id) });
      // Deeper than this no path is kept: a chain of thousands would need millions of ids.
      const under = level < 200 ? [...path, span.span_id] : path;
      for (const child of below.toReversed()) stack.push({ span: child, level: level + 1, path: under });
    }
  };
  roots.sort(byStart).forEach(visit);
  for (const span of spans) if (!seen.has(span.span_id)) visit(span);
  return rows;
}

/**
 * Put two traces beside each other: spans of the same name at the same place belong together, and so do the updates
 * themselves and their handlers, whatever their names.
 * @returns {{level: number, a: object|null, b: object|null}[]}
 */
export function align(a, b) {
  const keyed = (spans) => {
    const counts = new Map();
    const keys = new Map();
    return walk(spans).map(({ span, level, path }) => {
      const parent = keys.get(path.at(-1)) ?? "";
      const what = level === 0 ? "" : kindOf(span) === "handler" ? "handler" : `=${span.name}`;
      const base = `${parent}\n${what}`;
      const nth = counts.get(base) ?? 0;
      counts.set(base, nth + 1);
      const key = `${base}#${nth}`;
      keys.set(span.span_id, key);
      return { key, parent, span, level };
    });
  };
  const left = keyed(a);
  const right = keyed(b);
  const inLeft = new Map(left.map((row) => [row.key, row]));
  const inRight = new Map(right.map((row) => [row.key, row]));
  const rows = left.map((row) => ({
    key: row.key,
    level: row.level,
    a: row.span,
    b: inRight.get(row.key)?.span ?? null,
  }));
  // What only the other has comes after what stands before it there.
  let before = null;
  for (const row of right) {
    if (!inLeft.has(row.key)) {
      const at = rows.findIndex((one) => one.key === before);
      rows.splice(at + 1, 0, { key: row.key, level: row.level, a: null, b: row.span });
    }
    before = row.key;
  }
  return rows;
}
