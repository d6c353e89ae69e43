// The page's words, in the reader's language. Keys are the same in every file of words/.

let table = {};
export let lang = "en";

/** Load the words: the cookie decides, then the browser. */
export async function loadWords() {
  const cookie = document.cookie.match(/(?:^|; )lang=([a-z]+)/)?.[1];
  lang = (cookie || (/^zh/i.test(navigator.language) ? "zh" : "en")) === "zh" ? "zh" : "en";
  const answer = await fetch(new URL(`words/${lang}.json`, import.meta.url));
  table = await answer.json();
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
}

/** The words for a key, with {name}s filled in. A key that is missing shows itself, and fails a test. */
export function t(key, values = {}) {
  return (table[key] ?? `⟦${key}⟧`).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The words for a number of things: a key ending in _one, _few, … as the language asks, else in _other. */
export function plural(key, n, values = {}) {
  const form = `${key}_${new Intl.PluralRules(lang).select(n)}`;
  const known = form in table ? form : `${key}_other`;
  return t(known, { n: number(n), ...values });
}

/** A text that comes by language, such as a criterion's name. */
export function said(byLanguage) {
  return byLanguage?.[lang] ?? byLanguage?.en ?? Object.values(byLanguage ?? {})[0] ?? "";
}

/** A time spent, as short as it can be said: seconds, minutes, or hours. */
export function duration(seconds) {
  const [n, unit] = seconds < 90 ? [Math.round(seconds), "second"] : seconds < 5400 ? [Math.round(seconds / 60), "minute"] : [seconds / 3600, "hour"];
  return new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 }).format(n);
}

/** Whole numbers and times as the reader writes them. */
export const number = (n) => new Intl.NumberFormat(lang).format(n);
export const list = (parts) => new Intl.ListFormat(lang).format(parts);
export const language = (code) => new Intl.DisplayNames(lang, { type: "language" }).of(code);
export const day = (iso) => new Intl.DateTimeFormat(lang, { month: "short", day: "numeric", timeZone: "UTC" }).format(new Date(iso));
export const when = (iso) => new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
