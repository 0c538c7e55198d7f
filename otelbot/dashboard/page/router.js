/** The URL is the state: path and query say what is shown, so that it can be shared. */

let arrived = () => {};

/** Parameters that stay while one goes from page to page. */
const LASTING = ["range", "service"];

export const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400 };

export function query() {
  return new URLSearchParams(location.search);
}

/** The chosen range, "1h" unless the URL says another. */
export function range() {
  const wanted = query().get("range");
  return wanted in RANGES ? wanted : "1h";
}

/**
 * The address of a page with `params`, and with the range and service chosen now.
 * @param {string} path
 * @param {Record<string, string|number|null|undefined|false>} [params] empty ones are left out
 */
export function address(path, params = {}) {
  const here = query();
  const next = new URLSearchParams();
  for (const name of LASTING) if (here.get(name) && !(name in params)) next.set(name, here.get(name));
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== false && value !== "") next.set(name, String(value));
  }
  const text = next.toString();
  return text ? `${path}?${text}` : path;
}

/** Go to an address of this page. */
export function go(href) {
  if (href === location.pathname + location.search) return;
  history.pushState(null, "", href);
  arrived();
}

/** Write filters into the URL of the present page without opening it anew. */
export function note(params) {
  const next = query();
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined || value === false || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  const text = next.toString();
  history.replaceState(null, "", text ? `${location.pathname}?${text}` : location.pathname);
}

/** Open the present page anew with other parameters. */
export function choose(params) {
  const before = location.search;
  note(params);
  if (location.search !== before) arrived();
}

/** Call `open` now and whenever the address changes; plain clicks on links of this page do not load it again. */
export function follow(open) {
  arrived = open;
  addEventListener("popstate", () => arrived());
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (
      !link ||
      event.defaultPrevented ||
      event.button ||
      event.ctrlKey ||
      event.metaKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    if (link.origin !== location.origin || link.target || /^\/(api|static|metrics)\b/.test(link.pathname)) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
  open();
}
