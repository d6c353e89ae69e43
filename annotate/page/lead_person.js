// One person's work as their lead sees it, and what a lead may change about them.

import { ask } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { personMeasures } from "./lead_measures.js";
import { ROLES, agreed, ago, asked, confirmSheet, counts, dayPlot, known, linkSheet, moment, part, percent, problem, seconds, style, terms, watch } from "./lead_parts.js";
import { number, t, when } from "./words.js";

/** The page of a person in a project; `close` ends what it does by itself. */
export async function personScreen(root, shell, name, id) {
  await style();
  const path = `lead/${encodeURIComponent(name)}/people/${encodeURIComponent(id)}`;
  const title = h("h1", { tabindex: "-1", dir: "auto" }, "…");
  const badge = h("span", { class: "badge" });
  const age = h("p", { class: "hint age" });
  const work = [sumsPart(), plotPart(), withEachPart(), accessPart(path, () => looking.again()), latestPart()];
  const back = h("a", { href: `#/p/${encodeURIComponent(name)}/lead`, class: "back" }, t("lead_back"));
  fill(
    root,
    h("section", { class: "lead-page", "aria-busy": "true" }, h("p", {}, back), h("div", { class: "lead-top" }, title, badge, age), h("div", { class: "lead-grid" }, work.map((one) => one.node))),
  );

  async function look() {
    const data = await asked(path, root, title, shell);
    if (!data) return 5000;
    title.textContent = data.erased ? t("lead_erased") : data.name;
    badge.textContent = data.imported ? t("lead_imported") : t(data.active ? `lead_role_${data.role}` : "lead_inactive");
    badge.classList.toggle("warn", !data.active && !data.imported);
    const { figures } = data;
    age.textContent = !figures ? t("lead_computing") : data.computing ? t("lead_as_of", { ago: ago(figures.as_of, data.now) }) : "";
    for (const one of work) one.update(data, figures);
    known(root);
    return data.computing ? (figures ? 5000 : 1200) : 0;
  }

  const looking = watch(look);
  await looking.again();
  title.focus({ preventScroll: true });
  return { close: looking.close, retry: () => looking.again() };
}

function sumsPart() {
  const list = h("div");
  return {
    node: part("work", list),
    update(data, figures) {
      if (!figures) return fill(list, h("p", {}, t("lead_computing")));
      const { first, second, tie } = figures.position;
      const chosen = first + second;
      const rows = [
        [t("lead_column_done"), number(data.done)],
        [t("lead_column_today"), number(figures.today)],
        [t("lead_column_week"), number(figures.week)],
        [t("lead_verdicts"), counts(figures.verdicts, (v) => t(`verdict_${v}`))],
        [t("lead_skips"), counts(figures.skips, (reason) => t(`skip_${reason}`))],
        [t("lead_column_seconds"), figures.quartiles ? t("lead_quartiles", { low: seconds(figures.quartiles[0]), middle: seconds(figures.quartiles[1]), high: seconds(figures.quartiles[2]), n: number(figures.judgments_timed) }) : t("lead_not_enough")],
        [t("lead_column_agreement"), agreed(figures.agreement)],
        [t("lead_column_seen"), moment(figures.seen, data.now)],
      ];
      if (chosen + tie && !data.measured.position) rows.splice(6, 0, [t("lead_position"), chosen ? t("lead_position_is", { percent: percent(first / chosen), n: number(chosen), ties: number(tie) }) : t("lead_not_enough")]);
      fill(list, terms([...rows, ...personMeasures(data.measured)]));
    },
  };
}

function plotPart() {
  const plot = dayPlot();
  return {
    node: part("days", plot.node, h("p", { class: "hint" }, t("lead_utc"))),
    update(data, figures) {
      plot.node.classList.toggle("later", !figures);
      if (figures) plot.update(figures.days);
    },
  };
}

function withEachPart() {
  const list = h("div");
  return {
    node: part("with_each", list, h("p", { class: "hint" }, t("lead_agreement_hint"))),
    update(data, figures) {
      const rows = Object.entries(figures?.with_each ?? {}).sort((a, b) => b[1].n - a[1].n);
      fill(list, rows.length ? terms(rows.map(([other, share]) => [h("bdi", {}, data.names[other] || t("lead_erased")), agreed(share)])) : h("p", {}, t(figures ? "lead_not_enough" : "lead_computing")));
    },
  };
}

function latestPart() {
  const list = h("ol", { class: "latest" });
  return {
    node: part("latest", list),
    update(data) {
      const line = (j) => [t(`kind_${j.kind}`), when(j.at), t(`verdict_${j.verdict}`), j.state === "surplus" ? t("state_surplus") : null].filter(Boolean).join(" · ");
      fill(list, data.latest.map((j) => h("li", {}, h("span", { class: "excerpt", dir: "auto" }, j.excerpt || t("empty_answer")), h("span", { class: "hint" }, line(j)))));
      if (!data.latest.length) fill(list, h("li", { class: "hint" }, t("lead_latest_none")));
    },
  };
}

/** Role, link, deactivate: each with what it means before it is done. */
function accessPart(path, changed) {
  const said = problem();
  const role = h("select", { id: "person-role", on: { change: changeRole } }, ROLES.map((r) => h("option", { value: r }, t(`lead_role_${r}`))));
  const link = h("button", { type: "button", class: "action", on: { click: newLink } });
  const stop = h("button", { type: "button", class: "action", on: { click: deactivate } }, t("lead_deactivate"));
  const body = h("div", { class: "access" }, h("div", {}, h("label", { for: role.id }, t("lead_role")), role), link, stop);
  const why = h("p", { class: "hint" });
  let data = null;

  async function changeRole() {
    said.say(null);
    try {
      await ask("POST", `${path}/role`, { role: role.value });
      announce(t("lead_role_now", { role: t(`lead_role_${role.value}`) }));
      changed();
    } catch (failure) {
      said.say(failure);
      role.value = data.role;
    }
  }

  function newLink() {
    const act = async () => {
      const made = await ask("POST", `${path}/link`);
      changed();
      setTimeout(() => linkSheet(data.name, made.join));
    };
    confirmSheet(t("lead_new_link"), t(data.active ? "lead_new_link_text" : "lead_let_in_text", { name: data.name }), t("lead_new_link"), act);
  }

  function deactivate() {
    const act = async () => {
      await ask("POST", `${path}/deactivate`);
      await changed();
    };
    confirmSheet(t("lead_deactivate"), t("lead_deactivate_text", { name: data.name }), t("lead_deactivate"), act);
  }

  return {
    node: part("access", body, why, said.node),
    update(held) {
      data = held;
      const none = held.imported || held.erased;
      const own = held.id === held.me;
      body.hidden = none;
      why.hidden = !(none || own);
      why.textContent = none ? t("lead_error_no_account") : t("lead_error_yourself");
      link.textContent = t(held.active ? "lead_new_link" : "lead_let_in");
      link.hidden = own;
      stop.hidden = own || !held.active;
      role.disabled = own;
      if (document.activeElement !== role) role.value = held.role;
    },
  };
}
