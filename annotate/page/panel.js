// The panel beside the answers: the kind's own controls, a comment, what is missing, and the buttons that end the task.

import { h } from "./dom.js";
import { keyHint } from "./keys.js";
import { t } from "./words.js";

const quiet = (words, act, hint = null) => h("button", { type: "button", class: "quiet", on: { click: act } }, words, hint);

/**
 * Build the panel of a task. `acts` says what its buttons do: submit, undo, allBad(on), cannotJudge, skip, leave
 * (a revision), back (to the last answer; null where there is none) and changed.
 * Returns the element and `refresh(missing, busy, undoable)`, called after every change.
 */
export function panelOf(task, answer, kind, acts) {
  const comment = h("textarea", { id: "comment", rows: 2, maxlength: 20000, dir: "auto", value: answer.comment });
  comment.addEventListener("input", () => {
    answer.comment = comment.value;
    acts.changed();
  });
  const submit = h("button", { type: "button", class: "submit", "aria-describedby": "state", on: { click: acts.submit } }, h("span", {}, t(task.revises ? "submit_revised" : "submit")), h("kbd", { "aria-hidden": "true" }, "Ctrl ↵"));
  const state = h("p", { class: "state", id: "state" });
  const short = h("p", { class: "short" });
  const undo = quiet(t("undo"), acts.undo, keyHint("undo"));
  const bad = task.kind === "ab" ? null : h("input", { type: "checkbox", on: { change: () => acts.allBad(bad.checked) } });
  const expand = h("button", { type: "button", class: "expand quiet", "aria-expanded": "false", on: { click: () => unfold(!element.classList.contains("open")) } }, t("controls"));
  const unfold = (on) => {
    element.classList.toggle("open", on);
    expand.setAttribute("aria-expanded", String(on));
    expand.textContent = t(on ? "controls_less" : "controls");
  };
  const last = task.revises ? quiet(t("leave_as_it_was"), acts.leave) : acts.back && quiet(t("back_to_last"), acts.back);
  const element = h(
    "section",
    { class: "panel", "aria-label": t("your_answer") },
    h(
      "div",
      { class: "panel-body" },
      kind.panel,
      bad && h("label", { class: "all-bad" }, bad, t("all_bad"), keyHint("bad")),
      h("div", { class: "comment" }, h("label", { for: comment.id }, t("comment")), comment),
    ),
    h(
      "div",
      { class: "panel-foot" },
      h("div", { class: "compact" }, short, expand),
      state,
      submit,
      h("div", { class: "small-actions" }, undo, quiet(t("cannot_judge"), acts.cannotJudge), task.revises ? null : quiet(t("skip"), acts.skip, keyHint("skip")), last),
    ),
  );

  function refresh(missing, busy, undoable) {
    submit.setAttribute("aria-disabled", String(Boolean(missing) || busy));
    state.textContent = missing ?? t("ready");
    state.classList.toggle("complete", !missing);
    short.textContent = answer.verdict === "all_bad" ? t("all_bad") : [kind.short(), missing].filter(Boolean).join(" · ") || t("ready");
    undo.disabled = !undoable;
    if (!bad) return;
    bad.checked = answer.verdict === "all_bad";
    // With all bad there is no order and no rating: their controls rest until it is taken back.
    for (const part of [kind.panel, ...task.responses.map((r) => kind.tools(r.letter))]) part.inert = bad.checked;
  }

  return { element, refresh, toSubmit: () => submit.focus({ preventScroll: true }) };
}
