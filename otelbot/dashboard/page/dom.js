/** Builds elements. What comes from telemetry is untrusted: it is only ever set as text, nothing here parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * @param {string} tag
 * @param {object} [props] attributes; `on…` functions listen, `style` is an object of CSS properties, false and null are left out
 * @param {...(Node|string|number|null|false|Array)} children
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, css] of Object.entries(value)) element.style.setProperty(key, css);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Replace what `parent` holds. */
export function put(parent, ...children) {
  parent.replaceChildren(...flat(children));
  return parent;
}

/** Our own texts with `code` in them, as nodes. */
export function marked(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", { dir: "ltr" }, part) : part));
}

const rows = new WeakMap();

/**
 * Show `items` as children of `parent`, keeping the elements of those that have not changed: focus, selection and what
 * is expanded outlive a refresh.
 * @param {(item: any) => string|number} keyOf
 * @param {(item: any, old: Element|null) => Element} build
 */
export function sync(parent, items, keyOf, build) {
  const old = rows.get(parent) ?? new Map();
  const next = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const text = JSON.stringify(item);
    const known = old.get(key);
    next.set(key, known?.text === text ? known : { text, element: build(item, known?.element ?? null) });
  }
  rows.set(parent, next);
  const wanted = [...next.values()].map((row) => row.element);
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}
