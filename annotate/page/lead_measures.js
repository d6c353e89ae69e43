// What `python -m curate.live` found, as a lead sees it: agreement beyond chance, people, models, each with its interval.

import { fill, h, svg } from "./dom.js";
import { ago, part, percent } from "./lead_parts.js";
import { lang, language, number, said, t } from "./words.js";

const digits = (n) => new Intl.NumberFormat(lang, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(n);
const round = (n) => new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 0 }).format(n);
const signed = (n) => new Intl.NumberFormat(lang, { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" }).format(n);
const named = (code) => {
  try {
    return language(code);
  } catch {
    return code; // what a file says is a language need be none
  }
};

/** A value with its interval on a scale from `from` to `to`, `mark` the place to hold it against. Words beside it say the same. */
function interval(found, { from, to, mark = null }) {
  const at = (x) => `${Math.min(100, Math.max(0, ((x - from) / (to - from)) * 100)).toFixed(2)}%`;
  const drawn = [svg("line", { class: "track", x1: 0, x2: "100%", y1: "50%", y2: "50%" })];
  if (mark !== null) drawn.push(svg("line", { class: "mark", x1: at(mark), x2: at(mark), y1: 1, y2: 19 }));
  if (found.low !== null && found.high !== null) drawn.push(svg("line", { class: "range", x1: at(found.low), x2: at(found.high), y1: "50%", y2: "50%" }));
  drawn.push(svg("circle", { cx: at(found.value), cy: "50%", r: 5 }));
  return svg("svg", { class: "interval", "aria-hidden": "true" }, ...drawn);
}

/** A value and its interval in words. */
function figure(found, write) {
  const ends = found.low === null || found.high === null ? null : h("span", { class: "within" }, t("lead_from_to", { low: write(found.low), high: write(found.high) }));
  return h("span", { class: "figure" }, h("strong", {}, write(found.value)), ends && " ", ends);
}

/** When the figures are from, or that there are none and how to get them. */
function age(at, current, measured, data) {
  const fresh = current || Date.parse(data.now) - Date.parse(at) < 60_000;
  if (at && fresh) return [];
  if (at && measured.kept) return [h("p", { class: "hint" }, t("lead_as_of", { ago: ago(at, data.now) }))];
  if (at) return [h("p", { class: "hint" }, t("lead_measured_old", { ago: ago(at, data.now) }), " ", h("code", {}, measured.command))];
  if (measured.kept) return [h("p", {}, t("lead_computing"))];
  return [h("p", {}, t("lead_measured_none")), h("p", {}, h("code", { class: "command" }, measured.command))];
}

// ── agreement ──

export function measuredPart() {
  const body = h("div", { class: "measured" });
  return {
    node: part("measured", body),
    update(data) {
      const { measured } = data;
      const found = measured.agreement;
      const from = Math.min(0, ...found.filter((one) => one.value !== null).map((one) => one.low ?? one.value));
      const goal = found[0]?.threshold ?? 0.8;
      const rows = found.map((one) => agreementRow(one, data, { from, to: 1, mark: goal }));
      const words = rows.length ? [h("ul", { class: "intervals" }, rows), h("p", { class: "hint" }, t("lead_measured_hint", { goal: digits(goal) }))] : measured.as_of ? [h("p", {}, t("lead_not_enough"))] : [];
      fill(body, words, age(measured.as_of, measured.current, measured, data));
    },
  };
}

function agreementRow(one, data, scale) {
  const criterion = one.criterion.replace(/^rating:/, "");
  const about = { choice: t("kind_ab"), ranking: t("kind_ranking") }[one.criterion] ?? (said(data.criteria[criterion]) || criterion);
  const name = h("span", { class: "of", dir: "auto" }, one.language ? named(one.language) : about);
  const class_ = one.language ? "part-of" : null;
  if (one.value === null) return h("li", { class: class_ }, name, h("span", { class: "figure hint" }, t(`lead_why_${one.why}`)));
  return h("li", { class: class_ }, name, interval(one, scale), figure(one, digits), h("span", { class: `verdict ${one.verdict}` }, verdict(one)));
}

function verdict(one) {
  if (one.verdict === "open" && one.needed) return t(`lead_needed_${one.resampled}`, { n: number(one.needed) });
  return t(`lead_verdict_${one.verdict}`);
}

// ── people ──

const OF_PEOPLE = [
  ["reliability", 0.5],
  ["others", null],
  ["position", 0.5],
];

export function judgesPart(project) {
  const body = h("div", { class: "measured" });
  const node = part("judges", body);
  let shown = "";
  return {
    node,
    update(data) {
      const { measured } = data;
      node.hidden = !measured.slow_as_of; // the part on agreement says why
      const people = data.people.filter((one) => measured.people[one.id]).map((one) => ({ ...one, ...measured.people[one.id] }));
      people.sort((a, b) => (a.reliability?.value ?? 2) - (b.reliability?.value ?? 2));
      const now = JSON.stringify([people, measured.as_of, measured.slow_as_of, measured.current, measured.kept]);
      if (now === shown) return; // the focus on a link stays
      shown = now;
      const all = measured.position && h("p", {}, t("lead_position_all", { percent: percent(measured.position.value), low: percent(measured.position.low), high: percent(measured.position.high), n: number(measured.position.n) }));
      const words = people.length ? [judgesTable(people, project), all, h("p", { class: "hint" }, t("lead_judges_hint"))] : measured.as_of ? [h("p", {}, t("lead_not_enough"))] : [];
      fill(body, words, age(measured.slow_as_of, measured.slow_current, measured, data));
    },
  };
}

function judgesTable(people, project) {
  const scales = Object.fromEntries(
    OF_PEOPLE.map(([what, mark]) => {
      const ends = people.flatMap((one) => (one[what] ? [one[what].low ?? one[what].value] : []));
      return [what, { from: what === "position" ? 0 : Math.floor(Math.min(0.5, ...ends) * 10) / 10, to: 1, mark }];
    }),
  );
  const head = h("tr", { role: "row" }, h("th", { scope: "col", role: "columnheader" }, t("lead_column_name")), OF_PEOPLE.map(([what]) => h("th", { scope: "col", role: "columnheader" }, t(`lead_${what}`))));
  const row = (one) => {
    const to = `#/p/${encodeURIComponent(project)}/lead/person/${encodeURIComponent(one.id)}`;
    const cells = OF_PEOPLE.map(([what]) => h("td", { role: "cell", "data-label": t(`lead_${what}`) }, one[what] ? [interval(one[what], scales[what]), figure(one[what], round)] : h("span", { class: "hint" }, "–")));
    return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, h("a", { href: to, dir: "auto" }, one.erased ? t("lead_erased") : one.name)), cells);
  };
  return h("table", { class: "judges", role: "table", "aria-labelledby": "lead-judges" }, h("thead", { role: "rowgroup" }, head), h("tbody", { role: "rowgroup" }, people.map(row)));
}

/** The same of one person, as rows for a list of terms. */
export function personMeasures(measured) {
  return OF_PEOPLE.filter(([what]) => measured[what]).map(([what, mark]) => [t(`lead_${what}`), h("span", { class: "one-interval" }, interval(measured[what], { from: 0, to: 1, mark }), figure(measured[what], round), h("span", { class: "hint" }, t("lead_of_answers", { n: number(Math.round(measured[what].n)) })))]);
}

// ── models ──

export function standingsPart() {
  const body = h("div", { class: "measured" });
  const node = part("standings", body);
  return {
    node,
    update(data) {
      const { measured } = data;
      node.hidden = !measured.slow_as_of;
      const models = measured.standings;
      const from = Math.min(0, ...models.map((one) => one.low ?? one.value));
      const to = Math.max(0, ...models.map((one) => one.high ?? one.value));
      const apart = new Set(models.map((one) => one.part)).size > 1;
      const rows = models.map((one) => h("li", {}, h("span", { class: "of", dir: "auto" }, one.model), interval(one, { from: from - 0.1, to: to + 0.1, mark: 0 }), figure(one, signed), h("span", { class: "hint" }, t("lead_comparisons", { n: number(Math.round(one.comparisons)) }))));
      const words = rows.length ? [h("ol", { class: "intervals" }, rows), apart && h("p", { class: "problem" }, t("lead_standings_apart")), h("p", { class: "hint" }, t("lead_standings_hint"))] : measured.slow_as_of ? [h("p", {}, t("lead_not_enough"))] : [];
      fill(body, words, age(measured.slow_as_of, measured.slow_current, measured, data));
    },
  };
}
