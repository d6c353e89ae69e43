// My answers: what I did today and my pace, and a list to search and to revise from.

import { ask, passing } from "./api.js";
import { fill, h, svg, typing } from "./dom.js";
import { actionOf, keyHint, keysOn } from "./keys.js";
import { day, duration, number, plural, t, when } from "./words.js";

const PAGE = 50;
const WAIT_MS = 300; // after the last letter typed
const placeKey = (project) => `concord:mine:${project}`;
const base = (project) => `#/p/${encodeURIComponent(project)}/mine`;

/** The address of the list as it was when it was left: a revision leads back there. */
export const minePlace = (project) => sessionStorage.getItem(placeKey(project)) ?? base(project);

/** The page inside `root`; `query` is what the address says of search, filters and place. */
export function minePage(root, shell, project, query) {
  const wanted = Object.fromEntries(["q", "kind", "verdict", "flagged"].map((name) => [name, query.get(name) ?? ""]));
  let next = null; // where the next page begins
  let turn = 0; // a newer search makes an older one's answers void
  let timer = 0;
  let gone = false;

  const days = h("div", { class: "days" });
  const list = h("ul", { class: "judgments" });
  const found = h("p", { class: "hint found", role: "status" });
  const more = h("button", { type: "button", class: "quiet", hidden: true, on: { click: () => load(PAGE) } }, t("older"));
  const words = h("input", { type: "search", id: "mine-search", maxlength: 200, dir: "auto", autocomplete: "off", value: wanted.q });
  const pick = (id, options) => h("select", { id }, options.map(([value, label]) => h("option", { value }, label)));
  const kinds = shell.me.projects.find((p) => p.name === project).kinds;
  const kind = pick("mine-kind", [["", t("any_kind")], ...kinds.map((k) => [k, t(`kind_${k}`)])]);
  const verdict = pick("mine-verdict", [["", t("any_verdict")], ...["answered", "all_bad", "cannot_judge"].map((v) => [v, t(`verdict_${v}`)])]);
  const flagged = h("input", { type: "checkbox", checked: Boolean(wanted.flagged) });
  kind.value = wanted.kind;
  verdict.value = wanted.verdict;

  fill(
    root,
    h(
      "section",
      { class: "narrow" },
      h("h1", { tabindex: "-1" }, t("mine")),
      days,
      h(
        "form",
        { class: "search", role: "search", on: { submit: (e) => (e.preventDefault(), search()) } },
        h("div", { class: "search-words" }, h("label", { for: words.id }, t("search_mine"), keyHint("search")), words),
        kinds.length > 1 ? h("div", {}, h("label", { for: kind.id }, t("kind")), kind) : null,
        h("div", {}, h("label", { for: verdict.id }, t("verdict")), verdict),
        h("label", { class: "all-bad" }, flagged, t("flagged_only")),
      ),
      found,
      list,
      more,
    ),
  );
  root.querySelector("h1").focus({ preventScroll: true });

  words.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (!event.isComposing) timer = setTimeout(search, WAIT_MS);
  });
  words.addEventListener("compositionend", () => (clearTimeout(timer), (timer = setTimeout(search, WAIT_MS))));
  for (const one of [kind, verdict, flagged]) one.addEventListener("change", search);

  function search() {
    clearTimeout(timer);
    Object.assign(wanted, { q: words.value.trim(), kind: kind.value, verdict: verdict.value, flagged: flagged.checked ? "true" : "" });
    fill(list);
    next = null;
    load(PAGE);
    note();
  }

  const filtered = () => Object.values(wanted).some(Boolean);
  const rows = () => list.querySelectorAll("a");

  /** Show `count` more, or all there are; a search asks on until that many are found. */
  async function load(count) {
    const mine = ++turn;
    const until = rows().length + count;
    more.hidden = true;
    list.setAttribute("aria-busy", "true");
    try {
      do {
        const asked = new URLSearchParams({ limit: String(Math.min(200, until - rows().length)), ...(next === null ? {} : { before: next }) });
        for (const [name, value] of Object.entries(wanted)) if (value) asked.set(name, value);
        if (filtered()) fill(found, t("searching"));
        const held = await ask("GET", `projects/${encodeURIComponent(project)}/mine?${asked}`);
        if (gone || mine !== turn) return;
        list.append(...held.judgments.map((j) => entry(project, j)));
        next = held.next;
        more.hidden = !held.more;
      } while (!more.hidden && rows().length < until);
      list.removeAttribute("aria-busy");
      shell.clear();
      tell();
    } catch (failure) {
      if (gone || mine !== turn) return;
      shell.failed(failure);
      if (passing(failure)) timer = setTimeout(() => load(until - rows().length), 2500);
    }
  }

  function tell() {
    const n = rows().length;
    if (n) return fill(found, filtered() ? plural(more.hidden ? "found" : "found_so_far", n) : "");
    const all = () => {
      words.value = kind.value = verdict.value = "";
      flagged.checked = false;
      search();
      words.focus();
    };
    fill(found, t(filtered() ? "mine_no_match" : "mine_none"), filtered() && h("button", { type: "button", class: "quiet", on: { click: all } }, t("show_all_answers")));
  }

  /** Write into the address what is shown and how far one has scrolled: Back leads here again. */
  function note(at = null) {
    if (gone) return;
    const state = new URLSearchParams(Object.entries({ ...wanted, n: String(Math.max(rows().length, PAGE)), y: String(Math.round(scrollY)), at: at ?? "" }).filter(([, value]) => value));
    const place = `${base(project)}?${state}`;
    history.replaceState(null, "", place);
    sessionStorage.setItem(placeKey(project), place);
  }
  let noting = 0;
  const scrolled = () => (clearTimeout(noting), (noting = setTimeout(note, 200)));
  window.addEventListener("scroll", scrolled, { passive: true });
  list.addEventListener("click", (event) => note(event.target.closest("a")?.dataset.id));

  function onKey(event) {
    if (document.querySelector("dialog[open]") || event.isComposing) return;
    const links = [...rows()];
    const at = links.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && (at >= 0 || (step > 0 && document.activeElement === words))) {
      event.preventDefault();
      (links[at + step] ?? (at + step < 0 ? words : null))?.focus();
    } else if (actionOf(event) === "search" && keysOn() && !typing(event) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      words.focus();
    }
  }
  document.addEventListener("keydown", onKey);

  async function start() {
    const drawn = ask("GET", `projects/${encodeURIComponent(project)}/days`).then((held) => gone || fill(days, daysView(held)), shell.failed);
    await Promise.all([drawn, load(Math.min(2000, Number(query.get("n")) || PAGE))]);
    if (gone) return;
    const at = query.get("at");
    [...rows()].find((link) => link.dataset.id === at)?.focus({ preventScroll: true });
    if (query.get("y")) window.scrollTo(0, Number(query.get("y")) || 0);
  }
  start();
  return {
    retry: () => load(PAGE),
    close() {
      gone = true;
      clearTimeout(timer);
      clearTimeout(noting);
      window.removeEventListener("scroll", scrolled);
      document.removeEventListener("keydown", onKey);
    },
  };
}

function entry(project, j) {
  const about = [t(`kind_${j.kind}`), when(j.at), j.active_seconds === null ? null : duration(j.active_seconds), j.flagged ? t("flagged") : null, j.state === "surplus" ? t("state_surplus") : null];
  return h(
    "li",
    {},
    h(
      "a",
      { href: `#/p/${encodeURIComponent(project)}/revise/${j.id}`, "data-id": j.id },
      h("span", { class: "excerpt", dir: "auto" }, j.excerpt || t("empty_answer")),
      h("span", { class: "said" }, whatWasSaid(j)),
      h("span", { class: "hint" }, about.filter(Boolean).join(" · ")),
    ),
  );
}

/** An answer in a few signs: B > A = C > D; A is slightly better; A 4, 3 · B 1, 2. */
function whatWasSaid({ kind, verdict, said, criteria }) {
  if (verdict !== "answered") return t(`verdict_${verdict}`);
  if (kind === "ranking") return said.ranking.map((tier) => tier.join(" = ")).join(" > ");
  if (kind === "ab") return said.choice === "tie" ? t("said_tie") : said.strength ? t(`better_by_${said.strength}`, { letter: said.choice }) : t("better", { letter: said.choice });
  return Object.keys(said.ratings).sort().map((letter) => `${letter} ${criteria.map((key) => said.ratings[letter][key] ?? "–").join(", ")}`).join(" · ");
}

/** Today, the last fortnight as bars (and as a table), and the pace by kind. */
function daysView({ days, pace }) {
  const today = days[days.length - 1];
  const all = days.reduce((sum, one) => sum + one.judgments, 0);
  const paces = Object.entries(pace).map(([kind, one]) => t("pace_of", { kind: t(`kind_${kind}`), time: duration(one.seconds) }));
  return [
    h("p", { class: "today" }, plural("today_did", today.judgments), today.seconds ? ` · ${t("today_worked", { time: duration(today.seconds) })}` : ""),
    paces.length ? h("p", { class: "hint" }, t("pace", { paces: paces.join(" · ") })) : null,
    all ? h("figure", {}, plot(days, all), table(days)) : null,
  ];
}

const WIDE = 24; // of a day, with the gap after it
const TALL = 56;

function plot(days, all) {
  const most = Math.max(...days.map((one) => one.judgments));
  const best = days.find((one) => one.judgments === most);
  const label = t("days_plot", { all: plural("answers", all), most: number(most), day: day(best.date) });
  const bars = days.map((one, i) => {
    const high = one.judgments ? Math.max(2, Math.round((one.judgments / most) * TALL)) : 1;
    const kind = i === days.length - 1 ? "bar-today" : one.judgments ? "bar-day" : "bar-none";
    return svg("rect", { class: kind, x: i * WIDE + 3, y: TALL - high + 14, width: WIDE - 6, height: high, rx: 2 });
  });
  const marks = days.map((one, i) => (one.judgments ? svg("text", { x: i * WIDE + WIDE / 2, y: TALL - Math.max(2, Math.round((one.judgments / most) * TALL)) + 10 }, number(one.judgments)) : null)).filter(Boolean);
  const ends = [[0, "start"], [days.length - 1, "end"]].map(([i, anchor]) => svg("text", { x: i ? days.length * WIDE - 3 : 3, y: TALL + 30, class: `end-${anchor}` }, day(days[i].date)));
  return svg("svg", { role: "img", "aria-label": label, viewBox: `0 0 ${days.length * WIDE} ${TALL + 34}`, class: "plot" }, ...bars, ...marks, ...ends);
}

const table = (days) =>
  h(
    "details",
    {},
    h("summary", {}, t("days_table")),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, [t("day"), t("answers_column"), t("time_column")].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, days.toReversed().map((one) => h("tr", {}, h("th", { scope: "row" }, day(one.date)), h("td", {}, number(one.judgments)), h("td", {}, one.seconds ? duration(one.seconds) : "–")))),
    ),
  );
