// The quieter pages: which project, the guidelines with their warning, and why a task is skipped.

import { ask } from "./api.js";
import { announce, dialog, fill, h, typing } from "./dom.js";
import { keysOn, pressed } from "./keys.js";
import { lang, number, t } from "./words.js";

const SKIP_REASONS = ["too_long", "not_my_language", "not_my_field", "upsetting", "broken", "other"];
const SHORTEST = 8; // characters of a password, as the server has it
const WARNED = "warned"; // kept in place of a version by a project that warns and has no guidelines

/** The list of projects. A digit or the arrows choose one, Enter opens it. */
export function projectsPage(root, me) {
  const leftCard = (p) =>
    h(
      "div",
      { class: "project left" },
      h("h2", {}, p.title),
      h("p", { class: "hint" }, t("you_left")),
      h("div", {}, h("button", { type: "button", class: "outlined", on: { click: () => (remember(me.person.id, p.name, false), (location.hash = `#/p/${encodeURIComponent(p.name)}`)) } }, t("come_back"))),
    );
  const cards = me.projects.map((p, i) => h("li", {}, hasLeft(me.person.id, p.name) ? leftCard(p) : card(p, i), p.role === "admin" ? toLead(p) : null));
  fill(
    root,
    h(
      "section",
      { class: "narrow" },
      h("h1", { tabindex: "-1" }, t("hello", { name: me.person.name })),
      cards.length ? h("p", { class: "lead" }, t("choose_project")) : [h("p", { class: "lead" }, t("no_project")), h("p", { class: "hint" }, t("no_project_lead"))],
      h("ul", { class: "projects" }, cards),
    ),
  );
  root.querySelector("h1").focus({ preventScroll: true });

  function onKey(event) {
    if (typing(event) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const links = [...root.querySelectorAll("a.project")];
    const at = links.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const digit = keysOn() ? root.querySelector(`a.project[data-number="${pressed(event)}"]`) : null;
    // Elsewhere than on the title and the list, arrows scroll.
    const next = digit ?? (step && (at >= 0 || document.activeElement === root.querySelector("h1")) ? links[at < 0 ? (step > 0 ? 0 : -1) : at + step] : null);
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
  document.addEventListener("keydown", onKey);
  return { close: () => document.removeEventListener("keydown", onKey) };
}

const toLead = (p) => h("a", { class: "to-lead", href: `#/p/${encodeURIComponent(p.name)}/lead`, "aria-label": t("lead_project_of", { title: p.title }) }, t("lead_project"));

/** A project as a link to its tasks. */
const card = (p, i) =>
  h(
    "a",
    { class: "project", href: `#/p/${encodeURIComponent(p.name)}`, "data-number": i < 9 ? String(i + 1) : null },
    h("h2", {}, p.title, i < 9 ? h("kbd", { "aria-hidden": "true", class: "digit" }, String(i + 1)) : null),
    h("p", { class: "hint" }, p.kinds.map((k) => t(`kind_${k}`)).join(" · ")),
    h("p", {}, t("project_progress", { done: number(p.tasks_done), tasks: number(p.tasks), mine: number(p.mine_done) })),
    bar(p.tasks ? p.tasks_done / p.tasks : 0, t("project_bar")),
    p.paused ? h("p", { class: "banner" }, t("paused_title")) : null,
    p.content_warning ? h("p", { class: "hint" }, t("content_warning")) : null,
  );

const leftKey = (person, project) => `concord:left:${person}:${project}`;

/** Whether this person said in this browser that they would rather not see what a project shows. */
export const hasLeft = (person, project) => localStorage.getItem(leftKey(person, project)) !== null;
const remember = (person, project, left) => (left ? localStorage.setItem(leftKey(person, project), "yes") : localStorage.removeItem(leftKey(person, project)));

export function bar(share, label) {
  const percent = Math.round(share * 100);
  return h("div", { class: "bar", role: "progressbar", "aria-valuenow": String(percent), "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": label }, h("span", { style: `width:${percent}%` }));
}

/** The guidelines in a sheet; `first` asks for a nod before the first task. */
export async function showGuidelines(shell, project, first = false) {
  const held = await ask("GET", `projects/${encodeURIComponent(project)}/guidelines`);
  const text = held.texts[lang] ?? held.texts.en ?? Object.values(held.texts)[0];
  const warned = shell.me.projects.find((p) => p.name === project)?.content_warning;
  if (!text && !warned) {
    if (!first) dialog(t("guidelines"), t("close"), h("p", {}, t("no_guidelines")));
    return;
  }
  const left = await new Promise((resolve) => {
    const start = h("button", { type: "button", class: "submit", autofocus: true, on: { click: () => box.close() } }, t(first ? "guidelines_start" : "close"));
    const leave = h("button", { type: "button", class: "quiet", on: { click: () => (box.close("left"), optOut(shell, project)) } }, t("rather_not"));
    const box = dialog(
      t("guidelines"),
      t("close"),
      warned && h("p", { class: "banner" }, t("content_warning")),
      text && h("div", { class: "guidelines answer", dir: "auto", html: text }),
      h("div", { class: "sheet-foot" }, start, warned && leave),
    );
    box.addEventListener("close", () => resolve(box.returnValue === "left")); // by the back button: not read
  });
  if (!left) localStorage.setItem(`concord:read:${shell.person.id}:${project}`, held.version ?? WARNED);
}

/** Leave a project whose texts one would rather not see: what is held goes to others, and no more is handed out. */
async function optOut(shell, project) {
  remember(shell.person.id, project, true);
  await shell.screen?.giveBack?.().catch(() => {}); // unreachable: what is held goes to others when its time is over
  location.hash = "#/";
}

/** Whether this person has seen the guidelines as they are now, and the warning of a project that has one. */
export function guidelinesRead(person, project) {
  const now = project.guideline_version ?? (project.content_warning ? WARNED : null);
  return !now || localStorage.getItem(`concord:read:${person}:${project.name}`) === now;
}

/** Asks why a task is skipped; `send(reason, comment)` hands it back. When that fails the sheet stays. */
export function skipSheet(send, failed) {
  const reason = h("select", { id: "skip-reason", autofocus: true }, h("option", { value: "" }, t("skip_choose")), SKIP_REASONS.map((r) => h("option", { value: r }, t(`skip_${r}`))));
  const comment = h("textarea", { id: "skip-comment", rows: 2, maxlength: 2000 });
  const go = () => {
    if (reason.value) return send(reason.value, comment.value).then(() => box.close(), failed);
    announce(t("skip_choose"));
    reason.focus();
  };
  const box = dialog(
    t("skip_title"),
    t("close"),
    h("p", {}, t("skip_lead")),
    h("label", { for: reason.id }, t("reason")),
    reason,
    h("label", { for: comment.id }, t("comment")),
    comment,
    h("button", { type: "button", class: "submit", on: { click: go } }, t("skip"), h("kbd", { "aria-hidden": "true" }, "Ctrl ↵")),
  );
  box.addEventListener("keydown", (event) => {
    const sends = event.key === "Enter" && (event.ctrlKey || event.metaKey || event.target === reason);
    if (sends && !event.isComposing && !event.repeat) event.preventDefault(), go();
  });
}

/** Before somebody without a password signs out: their link is used up, so a password first, or else a new link. */
export function signOutSheet(name, leave, kept, failed) {
  const box = h("input", { type: "password", id: "new-password", minlength: 8, maxlength: 1000, autocomplete: "new-password", autofocus: true });
  const said = h("p", { class: "hint", role: "status" });
  const set = async (event) => {
    event.preventDefault();
    if (box.value.length < SHORTEST) return void (said.textContent = t("password_short", { n: SHORTEST }));
    try {
      await ask("POST", "password", { password: box.value });
      kept();
      fill(form, h("p", {}, t("password_kept", { name })), h("button", { type: "button", class: "submit", autofocus: true, on: { click: leave } }, t("sign_out")));
      form.querySelector("button").focus();
    } catch (failure) {
      failed(failure);
    }
  };
  const form = h(
    "form",
    { class: "sheet-form", novalidate: true, on: { submit: set } },
    h("p", {}, t("sign_out_lead")),
    h("input", { type: "text", value: name, autocomplete: "username", hidden: true, readonly: true }),
    h("label", { for: box.id }, t("password_new")),
    box,
    said,
    h("button", { type: "submit", class: "submit" }, t("password_set")),
    h("button", { type: "button", class: "quiet", on: { click: leave } }, t("sign_out_anyway")),
  );
  dialog(t("sign_out"), t("close"), form);
}
