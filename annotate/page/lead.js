// The project page of a lead: how far it is, who does what, how far they agree; files in, pairs out, pause.

import { ask } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { exportPart, filesPart } from "./lead_files.js";
import { judgesPart, measuredPart, standingsPart } from "./lead_measures.js";
import { addSheet, agreed, ago, asked, confirmSheet, counts, day, dayPlot, known, moment, part, percent, seconds, style, terms, watch } from "./lead_parts.js";
import { bar } from "./pages.js";
import { number, said, t } from "./words.js";

const COLUMNS = ["name", "role", "done", "today", "week", "seconds", "agreement", "seen", "state"];

/** The page of a project; `close` ends what it does by itself. */
export async function leadScreen(root, shell, name) {
  await style();
  const path = `lead/${encodeURIComponent(name)}`;
  const title = h("h1", { tabindex: "-1" }, shell.me.projects.find((p) => p.name === name).title);
  const badge = h("span", { class: "badge" });
  const age = h("p", { class: "hint age" });
  const pauseButton = h("button", { type: "button", class: "action", on: { click: pauseOrGoOn } });
  const parts = [progressPart(), daysPart(), peoplePart(name, add), agreementPart(), measuredPart(), standingsPart(), judgesPart(name)];
  const [progress, days, people, agreement, measured, standings, judges] = parts.map((one) => one.node);
  const files = filesPart(path, () => looking.again());
  const exported = exportPart(path);
  let data = null;

  fill(
    root,
    h(
      "section",
      { class: "lead-page", "aria-busy": "true" },
      h("div", { class: "lead-top" }, title, badge, age, pauseButton),
      h("div", { class: "lead-grid" }, progress, days, people, measured, standings, judges, h("div", { class: "stack" }, agreement, exported.node), files.node),
    ),
  );
  title.focus({ preventScroll: true });

  async function look() {
    const held = await asked(path, root, title, shell);
    if (!held) return 5000;
    data = held;
    draw();
    if (data.computing) return data.figures ? 5000 : 1200;
    return data.measured.current && data.measured.slow_current ? 0 : 10_000;
  }

  function draw() {
    badge.textContent = t(data.paused ? "lead_paused" : "lead_open");
    badge.classList.toggle("warn", data.paused);
    pauseButton.textContent = t(data.paused ? "lead_go_on" : "lead_pause");
    const figures = data.figures;
    age.textContent = !figures ? t("lead_computing") : data.computing ? t("lead_as_of", { ago: ago(figures.as_of, data.now) }) : "";
    for (const one of parts) one.update(data, figures);
    known(root);
    files.update(data.upload, data.layouts);
    exported.update(data.export);
  }

  function pauseOrGoOn() {
    if (!data) return;
    const paused = !data.paused;
    const act = async () => {
      await ask("POST", `${path}/paused`, { paused });
      await looking.again();
      announce(t(paused ? "lead_now_paused" : "lead_now_open"));
    };
    if (paused) confirmSheet(t("lead_pause_title"), t("lead_pause_text"), t("lead_pause"), act);
    else confirmSheet(t("lead_go_on_title"), t("lead_go_on_text"), t("lead_go_on"), act);
  }

  function add() {
    addSheet(
      (person) => ask("POST", `${path}/people`, person),
      () => looking.again(),
    );
  }

  const looking = watch(look);
  await looking.again();
  return {
    close() {
      looking.close();
      files.close();
      exported.close();
    },
    retry: () => looking.again(),
  };
}

function progressPart() {
  const line = h("p", { class: "big" });
  const strip = h("div");
  const list = h("div");
  return {
    node: part("progress", line, strip, list),
    update(data, figures) {
      line.textContent = t("lead_tasks_done", { done: number(data.tasks_done), tasks: number(data.tasks) });
      fill(strip, bar(data.tasks ? data.tasks_done / data.tasks : 0, t("project_bar")));
      const { done, held, open } = data.slots;
      const later = (make) => (figures ? make(figures) : "…"); // its place is kept: nothing below moves
      const rows = [
        [t("lead_slots"), t("lead_slots_are", { done: number(done), held: number(held), open: number(open) })],
        [t("lead_verdicts"), later(({ verdicts }) => counts(verdicts, (v) => t(`verdict_${v}`)))],
        [t("lead_skips"), later(({ skips }) => counts(skips, (reason) => t(`skip_${reason}`)))],
        [t("lead_stuck"), later(({ out_of_reach: n }) => (n ? h("strong", { class: "warn" }, t("lead_stuck_tasks", { n: number(n) })) : t("lead_none")))],
      ];
      fill(list, terms(rows));
    },
  };
}

function daysPart() {
  const plot = dayPlot();
  const line = h("p", { class: "pace" });
  return {
    node: part("days", plot.node, line, h("p", { class: "hint" }, t("lead_utc"))),
    update(data, figures) {
      plot.node.classList.toggle("later", !figures);
      if (!figures) return (line.textContent = t("lead_computing"));
      plot.update(figures.days);
      line.textContent = paceWords(figures.pace, data);
    },
  };
}

function paceWords(pace, data) {
  if (!pace.left) return t("lead_all_done");
  if (pace.per_day === null) return t("lead_no_pace");
  const values = { n: number(Math.round(pace.per_day * 10) / 10), left: number(pace.left) };
  if (data.paused || !pace.done_on) return t("lead_pace", values);
  return t("lead_pace_done", { ...values, day: day(pace.done_on) });
}

function agreementPart() {
  const list = h("div");
  return {
    node: part("agreement", list, h("p", { class: "hint" }, t("lead_agreement_hint"))),
    update(data, figures) {
      if (!figures) return fill(list, h("p", {}, t("lead_computing")));
      const rows = figures.agreement.flatMap((one) => [
        [t(`kind_${one.kind}`), one.n ? h("span", {}, h("strong", {}, percent(one.agreed / one.n)), ` ${t(`lead_compared_${one.kind}`, { n: number(one.n) })}`) : t("lead_not_enough")],
        ...one.criteria.map((c) => [h("span", { class: "sub" }, said(data.criteria[c.criterion]) || c.criterion), agreed(c)]),
      ]);
      fill(list, rows.length ? terms(rows) : h("p", {}, t("lead_not_enough")));
    },
  };
}

// ── people ──

function peoplePart(project, add) {
  let by = { column: "name", up: true };
  let shown = null;
  const rows = new Map();
  const body = h("tbody", { role: "rowgroup" });
  const heads = COLUMNS.map((column) => h("th", { scope: "col", role: "columnheader" }, h("button", { type: "button", "data-column": column, on: { click: () => sort(column) } }, t(`lead_column_${column}`))));
  const table = h("table", { class: "people", role: "table", "aria-labelledby": "lead-people" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body);

  function sort(column) {
    by = { column, up: by.column === column ? !by.up : ["name", "role", "state"].includes(column) };
    order();
    announce(t(by.up ? "lead_sorted_up" : "lead_sorted_down", { column: t(`lead_column_${column}`) }));
  }

  function order() {
    heads.forEach((head, place) => {
      if (COLUMNS[place] === by.column) head.setAttribute("aria-sort", by.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const focused = document.activeElement;
    const compare = new Intl.Collator().compare;
    const sorted = [...shown].sort((a, b) => {
      const [x, y] = [a.key[by.column], b.key[by.column]];
      return (typeof x === "string" ? compare(x, y) : x - y) * (by.up ? 1 : -1) || compare(a.key.name, b.key.name);
    });
    const wanted = sorted.map((one) => rows.get(one.id));
    if (wanted.some((row, place) => body.children[place] !== row) || body.children.length !== wanted.length) {
      fill(body, wanted);
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    }
  }

  return {
    node: part("people", h("div", { class: "part-action" }, h("button", { type: "button", class: "action", on: { click: add } }, t("lead_add"))), table),
    update(data, figures) {
      shown = data.people.map((one) => person(one, figures?.people[one.id], data));
      for (const one of shown) rows.set(one.id, drawn(rows.get(one.id), one, project));
      order();
    },
  };
}

/** A member with what is shown in each column, and what it is sorted by. */
function person(one, line, data) {
  const name = one.erased ? t("lead_erased") : one.name;
  const role = one.imported ? t("lead_imported") : t(`lead_role_${one.role}`);
  const state = one.active ? t(one.link_waits ? "lead_invited" : "lead_active") : t("lead_inactive");
  const share = line?.agreement ?? { agreed: 0, n: 0 };
  return {
    id: one.id,
    key: { name, role, done: one.done, today: line?.today ?? 0, week: line?.week ?? 0, seconds: line?.seconds ?? -1, agreement: share.n ? share.agreed / share.n : -1, seen: line?.seen ? Date.parse(line.seen) : 0, state },
    cells: {
      role,
      done: number(one.done),
      today: line ? number(line.today) : "…",
      week: line ? number(line.week) : "…",
      seconds: line ? seconds(line.seconds) : "…",
      agreement: line ? (share.n ? agreed(share) : "–") : "…",
      seen: line ? moment(line.seen, data.now) : "…",
      state,
    },
  };
}

/** The row of a person: the one there is, with new values in it, so that the focus on its link stays. */
function drawn(row, one, project) {
  if (!row) {
    const to = `#/p/${encodeURIComponent(project)}/lead/person/${encodeURIComponent(one.id)}`;
    const cells = COLUMNS.slice(1).map((column) => h("td", { role: "cell", "data-column": column, "data-label": t(`lead_column_${column}`) }));
    row = h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, h("a", { href: to, dir: "auto" })), cells);
  }
  row.querySelector("a").textContent = one.key.name;
  for (const cell of row.querySelectorAll("td")) fill(cell, one.cells[cell.dataset.column]);
  return row;
}
