/** Numbers, units and times as people read them, in the digits of the language. */

import { h } from "./dom.js";
import { language, t } from "./texts.js";

let latinDigits = false;
const locale = () => (language() === "fa" ? (latinDigits ? "fa-IR-u-nu-latn" : "fa-IR") : "en-GB");
const cache = new Map();

function number(value, options) {
  const key = locale() + JSON.stringify(options);
  if (!cache.has(key)) cache.set(key, new Intl.NumberFormat(locale(), options));
  return cache.get(key).format(value);
}

function date(value, options) {
  const key = `d${locale()}${JSON.stringify(options)}`;
  if (!cache.has(key)) cache.set(key, new Intl.DateTimeFormat(locale(), options));
  return cache.get(key).format(value);
}

const digits = (value) => {
  const size = Math.abs(value);
  return { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 || size === 0 ? 2 : 3 };
};

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Call `make` with Latin digits in both languages: those of plotly.js's time axis, so that a chart has one kind. */
export function latin(make) {
  latinDigits = true;
  try {
    return make();
  } finally {
    latinDigits = false;
  }
}

/** A plain number: 12.3, or 48.2K from ten thousand on. */
export function count(value) {
  if (!known(value)) return "–";
  if (Math.abs(value) >= 10000) return number(value, { notation: "compact", maximumFractionDigits: 1 });
  return number(value, digits(value));
}

/** A duration in seconds: 830 µs, 12.3 ms, 1.2 s, 3 min 20 s, 5 h 2 min. */
export function seconds(value) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return `${number(0, {})} s`;
  if (size < 0.001) return `${number(value * 1e6, digits(value * 1e6))} µs`;
  if (size < 1) return `${number(value * 1e3, digits(value * 1e3))} ms`;
  if (size < 60) return `${number(value, digits(value))} s`;
  const whole = Math.round(size);
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  const shown = parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  return (value < 0 ? "−" : "") + shown.map(([amount, unit]) => `${number(amount, {})} ${unit}`).join(" ");
}

export const milliseconds = (value) => seconds(known(value) ? value / 1000 : value);

export function bytes(value) {
  if (!known(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  let rest = value;
  while (Math.abs(rest) >= 1024 && index < units.length - 1) {
    rest /= 1024;
    index += 1;
  }
  return `${number(rest, digits(rest))} ${units[index]}`;
}

export function ratio(value) {
  if (!known(value)) return "–";
  return number(value, { style: "percent", maximumFractionDigits: Math.abs(value) < 0.1 ? 2 : 1 });
}

const followed = (mark) => (value) => (known(value) ? count(value) + mark() : count(value));

const UNITS = { seconds, bytes, ratio, per_minute: followed(() => t("unit.per_minute")), times: followed(() => "×") };

/** `value` in `unit`: seconds, bytes, ratio, per_minute or times; with any other it is a plain number. */
export function inUnit(value, unit) {
  return (UNITS[unit] ?? count)(value);
}

/** A figure as an element that keeps its own direction: "۱۲ ms" reads left to right in Persian too. */
export function figure(text, name = "") {
  return h("span", { class: `number ${name}`, dir: "ltr" }, text);
}

/** `value` in `unit` as such an element. */
export function quantity(value, unit, name = "") {
  return figure(inUnit(value, unit), name);
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

/** Time of day of `ms` since the epoch, with milliseconds. */
export function clock(ms) {
  return date(ms, { ...CLOCK, fractionalSecondDigits: 3 });
}

export function shortClock(ms) {
  return date(ms, CLOCK);
}

/** Day and time. */
export function when(ms) {
  return date(ms, { ...CLOCK, year: "numeric", month: "short", day: "numeric" });
}

/** "3 minutes ago". */
export function ago(ms) {
  const past = (Date.now() - ms) / 1000;
  const [amount, unit] =
    past < 60
      ? [past, "second"]
      : past < 3600
        ? [past / 60, "minute"]
        : past < 86400
          ? [past / 3600, "hour"]
          : [past / 86400, "day"];
  const words = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });
  return words.format(-Math.max(Math.round(amount), 0), unit);
}

/** An element that shows a time and says the whole of it on hover. */
export function time(ms, form = shortClock) {
  return h(
    "time",
    { datetime: new Date(ms).toISOString(), title: when(ms), dir: form === shortClock ? "ltr" : null },
    form(ms),
  );
}
