/** The page's words in English and Persian. */

const LANGUAGES = ["en", "fa"];
let words = {};

/** "en" or "fa". */
export function language() {
  return document.documentElement.lang;
}

/** Load the words of the present language; to be awaited before anything is drawn. */
export async function loadTexts() {
  const answer = await fetch(`/static/texts/${language()}.json`);
  words = await answer.json();
}

export function otherLanguage() {
  return LANGUAGES.find((name) => name !== language());
}

/**
 * The text of `key`, with `{name}` replaced by `values.name`.
 * @param {string} key
 * @param {Record<string, string|number>} [values]
 */
export function t(key, values = {}) {
  const text = words[key] ?? key;
  const shown = (value) =>
    typeof value === "number" ? value.toLocaleString(language() === "fa" ? "fa-IR" : "en-GB") : String(value);
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? shown(values[name]) : whole));
}

/** Whether there is a text of that key. */
export function known(key) {
  return key in words;
}

/** The present language's side of a text that the server has in both. */
export function told(both) {
  if (both === null || both === undefined) return "";
  return typeof both === "string" ? both : both[language()] || both.en || "";
}
