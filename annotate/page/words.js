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

/** A text that comes by language, such as a criterion's name. */
export function said(byLanguage) {
  return byLanguage?.[lang] ?? byLanguage?.en ?? Object.values(byLanguage ?? {})[0] ?? "";
}

/** Whole numbers and times as the reader writes them. */
export const number = (n) => new Intl.NumberFormat(lang).format(n);
export const when = (iso) => new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
