// What the lead's pages share: words for what was refused, plots, one-time links, asking twice, looking again.

import { address, ask } from "./api.js";
import { announce, dialog, fill, h } from "./dom.js";
import { lang, number, t, when } from "./words.js";

const OURS = ["not_a_lead", "too_large", "loading", "not_ready", "busy", "exporting", "already_there", "deactivated", "no_account", "other_projects", "last_lead", "yourself", "cut_off"];
const COMMON = ["offline", "store_down", "signed_out", "other_person", "csrf", "not_there"];
export const ROLES = ["annotator", "reviewer", "admin"];

/** What was refused, and what to do, in the reader's words. */
export function refusal(failure) {
  if (OURS.includes(failure.code)) return t(`lead_error_${failure.code}`);
  if (COMMON.includes(failure.code)) return t(`error_${failure.code}`);
  return `${t("lead_error_other")} ${failure.message}`;
}

/** A place for what was refused, beside what was asked; `say(failure)` fills it, `say(null)` empties it. */
export function problem() {
  const node = h("p", { class: "problem", role: "alert", hidden: true });
  const say = (failure) => {
    node.hidden = !failure;
    node.textContent = failure ? refusal(failure) : "";
  };
  return { node, say };
}

/** The style of these pages, loaded with them. */
export async function style() {
  const href = new URL("lead.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  const link = h("link", { rel: "stylesheet", href });
  const there = new Promise((done) => ["load", "error"].forEach((event) => link.addEventListener(event, done)));
  document.head.append(link);
  await there;
}

// ── parts of a page ──

/** A part of the page with its heading. */
export function part(id, ...children) {
  return h("section", { class: `part part-${id}`, "aria-labelledby": `lead-${id}` }, h("h2", { id: `lead-${id}` }, t(`lead_part_${id}`)), ...children);
}

let failing = false;

/** What the server says for this page; null when it does not, which is said, or when the page was left. */
export async function asked(path, root, title, shell) {
  try {
    const held = await ask("GET", path);
    if (failing) shell.clear();
    failing = false;
    return root.contains(title) ? held : null;
  } catch (failure) {
    if (!root.contains(title)) return null;
    failing = true;
    if (failure.code === "not_a_lead") fill(root, h("section", { class: "narrow" }, h("h1", { tabindex: "-1" }, t("lead_project")), h("p", {}, refusal(failure)), h("p", {}, h("a", { href: "#/" }, t("choose_project")))));
    else shell.failed(failure);
    return null;
  }
}

/** The first figures are here: what waited for them without a word of its own may be seen. */
export const known = (root) => root.querySelector(".lead-page").removeAttribute("aria-busy");

// ── how numbers read ──

export const percent = (share) => new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 1 }).format(share);
export const day = (iso) => new Intl.DateTimeFormat(lang, { day: "numeric", month: "short", timeZone: "UTC" }).format(new Date(iso));
export const agreed = (share) => (share.n ? t("lead_agreed", { percent: percent(share.agreed / share.n), n: number(share.n) }) : t("lead_not_enough"));

export function seconds(s) {
  if (s === null) return "–";
  return s < 120 ? t("lead_seconds", { n: number(s < 10 ? Math.round(s * 10) / 10 : Math.round(s)) }) : t("lead_minutes", { n: number(Math.round(s / 6) / 10) });
}

/** How long ago, counted to the server's own clock. */
export function ago(iso, now) {
  const passed = (new Date(now) - new Date(iso)) / 1000;
  const [unit, size] = passed < 3600 ? ["minute", 60] : passed < 86400 ? ["hour", 3600] : ["day", 86400];
  return new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(-Math.floor(passed / size), unit);
}

/** A moment, short; the whole of it for those who point at it. */
export const moment = (iso, now) => (iso ? h("time", { datetime: iso, title: when(iso) }, ago(iso, now)) : h("span", {}, "–"));

/** Words for numbers as a list of terms; nothing for those that are 0. */
export const terms = (pairs) => h("dl", { class: "terms" }, pairs.map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));

/** Numbers by name, the most frequent first, in one line. */
export const counts = (byName, word) =>
  Object.entries(byName)
    .sort((a, b) => b[1] - a[1])
    .map(([key, n]) => `${word(key)} ${number(n)}`)
    .join(" · ") || t("lead_none");

// ── the plot ──

const SVG = "http://www.w3.org/2000/svg";

function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Answers per day: bars, the same in words for those who do not see them, and a table behind a disclosure. */
export function dayPlot() {
  const picture = h("div", { class: "plot", role: "img" });
  const rows = h("tbody");
  const table = h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("lead_day")), h("th", { scope: "col" }, t("lead_answers")))), rows);
  const node = h("div", {}, picture, h("details", {}, h("summary", {}, t("lead_as_table")), h("div", { class: "day-table", tabindex: "0", role: "group", "aria-label": t("lead_as_table") }, table)));
  return {
    node,
    update(days) {
      const most = Math.max(1, ...days.map((d) => d.n));
      const best = days.find((d) => d.n === Math.max(...days.map((one) => one.n)));
      const total = days.reduce((sum, d) => sum + d.n, 0);
      const bars = days.map((d, place) => {
        const tall = (d.n / most) * 100;
        return shape("rect", { x: place * 10 + 1.5, y: 100 - tall, width: 7, height: tall, class: place === days.length - 1 ? "today" : "past" });
      });
      picture.setAttribute("aria-label", total ? t("lead_plot_text", { total: number(total), days: days.length, most: number(best.n), day: day(best.day) }) : t("lead_plot_empty", { days: days.length }));
      fill(
        picture,
        h("span", { class: "most" }, number(most)),
        shape("svg", { viewBox: `0 0 ${days.length * 10} 100`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars),
        h("span", { class: "from" }, day(days[0].day)),
        h("span", { class: "to" }, day(days[days.length - 1].day)),
      );
      fill(rows, [...days].reverse().map((d) => h("tr", {}, h("th", { scope: "row" }, day(d.day)), h("td", {}, number(d.n)))));
    },
  };
}

// ── sheets ──

/** Ask once more before something is done; `act` may be refused, and then the sheet stays and says why. */
export function confirmSheet(title, text, word, act) {
  const said = problem();
  const go = () => {
    said.say(null);
    act().then(() => box.close(), said.say);
  };
  const box = dialog(title, t("close"), h("p", {}, text), said.node, h("button", { type: "button", class: "submit", autofocus: true, on: { click: go } }, word));
}

/** A one-time link, shown this once. */
export function linkSheet(name, join) {
  const link = new URL(address(join), location.origin).href;
  const field = h("input", { type: "text", class: "join-link", id: "join-link", readonly: true, value: link, on: { focus: () => field.select() } });
  const copy = async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(link);
    } catch {
      document.execCommand("copy"); // a page without https has no clipboard of its own
    }
    copied.textContent = t("lead_copied");
  };
  const copied = h("span", { class: "hint", role: "status" });
  dialog(
    t("lead_link_title", { name }),
    t("close"),
    h("p", {}, t("lead_link_text")),
    h("label", { for: field.id }, t("lead_link")),
    field,
    h("button", { type: "button", class: "submit", autofocus: true, on: { click: copy } }, t("lead_copy")),
    copied,
  );
}

/** Asks for a new person, and shows their link. `send(person)` is what the server answers. */
export function addSheet(send, added) {
  const said = problem();
  const name = h("input", { type: "text", id: "new-name", maxlength: 80, required: true, autocomplete: "off", autofocus: true });
  const languages = h("input", { type: "text", id: "new-languages", maxlength: 100, required: true, autocomplete: "off", value: lang, "aria-describedby": "new-languages-hint" });
  const role = h("select", { id: "new-role" }, ROLES.map((r) => h("option", { value: r }, t(`lead_role_${r}`))));
  const go = async (event) => {
    event.preventDefault();
    said.say(null);
    try {
      const made = await send({ name: name.value, languages: languages.value, role: role.value });
      box.close();
      made.join ? linkSheet(made.name, made.join) : announce(t("lead_added", { name: made.name }));
      added(made);
    } catch (failure) {
      said.say(failure);
    }
  };
  const box = dialog(
    t("lead_add"),
    t("close"),
    h(
      "form",
      { class: "lead-form", on: { submit: go } },
      h("label", { for: name.id }, t("lead_name")),
      name,
      h("label", { for: languages.id }, t("lead_languages")),
      languages,
      h("p", { class: "hint", id: "new-languages-hint" }, t("lead_languages_hint")),
      h("label", { for: role.id }, t("lead_role")),
      role,
      said.node,
      h("button", { type: "submit", class: "submit" }, t("lead_add")),
    ),
  );
}

// ── looking again ──

/** Calls `look` every half minute while the page is seen, sooner when it says so; nothing once closed. */
export function watch(look, pause = 30_000) {
  let timer = 0;
  let closed = false;
  const again = async () => {
    clearTimeout(timer);
    const soon = document.hidden ? 0 : await look();
    if (!closed) timer = setTimeout(again, soon || pause);
  };
  const seen = () => document.hidden || again();
  document.addEventListener("visibilitychange", seen);
  return {
    again,
    close() {
      closed = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}
