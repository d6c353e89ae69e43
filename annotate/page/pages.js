// The quieter pages: which project, what I did, the guidelines, the keys.

import { ask } from "./api.js";
import { dialog, fill, h } from "./dom.js";
import { lang, number, t, when } from "./words.js";

const SKIP_REASONS = ["too_long", "not_my_language", "not_my_field", "upsetting", "broken", "other"];
const WARNED = "warned"; // kept in place of a version by a project that warns and has no guidelines

export function projectsPage(root, me) {
  const cards = me.projects.map((p) =>
    h(
      "li",
      {},
      h(
        "a",
        { class: "project", href: `#/p/${encodeURIComponent(p.name)}` },
        h("h2", {}, p.title),
        h("p", { class: "hint" }, p.kinds.map((k) => t(`kind_${k}`)).join(" · ")),
        h("p", {}, t("project_progress", { done: number(p.tasks_done), tasks: number(p.tasks), mine: number(p.mine_done) })),
        bar(p.tasks ? p.tasks_done / p.tasks : 0, t("project_bar")),
        p.paused ? h("p", { class: "banner" }, t("paused_title")) : null,
        p.content_warning ? h("p", { class: "hint" }, t("content_warning")) : null,
      ),
      p.role === "admin" ? h("a", { class: "to-lead", href: `#/p/${encodeURIComponent(p.name)}/lead`, "aria-label": t("lead_project_of", { title: p.title }) }, t("lead_project")) : null,
    ),
  );
  fill(
    root,
    h(
      "section",
      { class: "narrow" },
      h("h1", { tabindex: "-1" }, t("hello", { name: me.person.name })),
      cards.length ? h("p", { class: "lead" }, t("choose_project")) : h("p", { class: "lead" }, t("no_project")),
      h("ul", { class: "projects" }, cards),
    ),
  );
  root.querySelector("h1").focus({ preventScroll: true });
}

export function bar(share, label) {
  const percent = Math.round(share * 100);
  return h("div", { class: "bar", role: "progressbar", "aria-valuenow": String(percent), "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": label }, h("span", { style: `width:${percent}%` }));
}

export async function minePage(root, shell, project) {
  let before = null;
  const list = h("ul", { class: "judgments" });
  const more = h("button", { type: "button", class: "quiet", hidden: true, on: { click: load } }, t("older"));
  fill(root, h("section", { class: "narrow" }, h("h1", { tabindex: "-1" }, t("mine")), list, more));
  root.querySelector("h1").focus({ preventScroll: true });

  async function load() {
    try {
      const held = await ask("GET", `projects/${encodeURIComponent(project)}/mine?limit=50${before === null ? "" : `&before=${before}`}`);
      for (const j of held.judgments) {
        before = j.n;
        list.append(
          h(
            "li",
            {},
            h("a", { href: `#/p/${encodeURIComponent(project)}/revise/${j.id}` }, h("span", { class: "excerpt", dir: "auto" }, j.excerpt || t("empty_answer")), h("span", { class: "hint" }, `${t(`kind_${j.kind}`)} · ${when(j.at)} · ${t(`verdict_${j.verdict}`)}${j.state === "surplus" ? ` · ${t("state_surplus")}` : ""}`)),
          ),
        );
      }
      if (!list.childElementCount) fill(list, h("li", { class: "hint" }, t("mine_none")));
      more.hidden = !held.more;
    } catch (failure) {
      shell.failed(failure);
    }
  }
  await load();
}

/** The guidelines in a sheet; `first` asks for a nod before the first task. */
export async function showGuidelines(shell, project, first = false) {
  const held = await ask("GET", `projects/${encodeURIComponent(project)}/guidelines`);
  const text = held.texts[lang] ?? held.texts.en ?? Object.values(held.texts)[0];
  const warned = shell.me.projects.find((p) => p.name === project)?.content_warning;
  if (!text && !(first && warned)) {
    if (!first) dialog(t("guidelines"), t("close"), h("p", {}, t("no_guidelines")));
    return;
  }
  const left = await new Promise((resolve) => {
    const box = dialog(t("guidelines"), t("close"), warned && h("p", { class: "banner" }, t("content_warning")), text && h("div", { class: "guidelines answer", dir: "auto", html: text }), h("button", { type: "button", class: "submit", autofocus: true, on: { click: () => box.close() } }, t(first ? "guidelines_start" : "close")));
    box.addEventListener("close", () => resolve(box.returnValue === "left")); // by the back button: not read
  });
  if (!left) localStorage.setItem(`concord:read:${shell.person.id}:${project}`, held.version ?? WARNED);
}

/** Whether this person has seen the guidelines as they are now, and the warning of a project that has one. */
export function guidelinesRead(person, project) {
  const now = project.guideline_version ?? (project.content_warning ? WARNED : null);
  return !now || localStorage.getItem(`concord:read:${person}:${project.name}`) === now;
}

export function showKeys(keysOn, setKeys) {
  const rows = ["letter", "digit", "equals", "arrows", "zero", "x", "strength", "submit", "undo", "source", "notes", "comment", "skip", "reading", "compare", "step", "help"];
  const box = h("input", { type: "checkbox", checked: keysOn, on: { change: (e) => setKeys(e.target.checked) } });
  dialog(
    t("keys"),
    t("close"),
    h("table", { class: "keytable" }, h("tbody", {}, rows.map((r) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, t(`key_${r}`))), h("td", {}, t(`does_${r}`)))))),
    h("label", { class: "all-bad" }, box, t("keys_switch")),
  );
}

/** Asks why a task is skipped; `send(reason, comment)` hands it back. When that fails the sheet stays. */
export function skipSheet(send, failed) {
  const reason = h("select", { id: "skip-reason", autofocus: true }, SKIP_REASONS.map((r) => h("option", { value: r }, t(`skip_${r}`))));
  const comment = h("textarea", { id: "skip-comment", rows: 2, maxlength: 2000 });
  const go = () => send(reason.value, comment.value).then(() => box.close(), failed);
  const box = dialog(
    t("skip_title"),
    t("close"),
    h("p", {}, t("skip_lead")),
    h("label", { for: reason.id }, t("reason")),
    reason,
    h("label", { for: comment.id }, t("comment")),
    comment,
    h("button", { type: "button", class: "submit", on: { click: go } }, t("skip")),
  );
}
