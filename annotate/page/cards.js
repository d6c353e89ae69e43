// The prompt and the responses as cards: rendered text, its exact source, notes and flags on each.

import { copyButton } from "./copy.js";
import { fill, h } from "./dom.js";
import { foldButton, foldTurns, lengthOf } from "./fold.js";
import { drawMath } from "./math.js";
import { t } from "./words.js";

const FLAGS = ["harmful", "factually_wrong", "private_data", "refusal", "broken"];

/** One message: rendered, or as the exact source. */
function turn(view, showRole) {
  const blank = !view.source.trim();
  const text = blank ? h("p", { class: "empty" }, t("empty_answer")) : h("div", { class: "rendered answer", dir: "auto", html: view.html });
  for (const box of text.querySelectorAll?.("[data-scroll]") ?? []) box.setAttribute("aria-label", t(`scroll_${box.dataset.scroll}`));
  const notes = [view.cut && t("was_cut"), view.plain && t("was_plain")].filter(Boolean);
  return h(
    "div",
    { class: `turn turn-${view.role}` },
    showRole ? h("p", { class: "role" }, t(`role_${view.role}`)) : null,
    text,
    h("pre", { class: "exact", dir: "auto", hidden: true }, view.source),
    notes.map((note) => h("p", { class: "hint" }, note)),
  );
}

/** Show the exact source of a card, or the rendered text again. */
function sourceSwitch(card) {
  const button = h("button", { class: "quiet", type: "button", "aria-pressed": "false", "data-source": true }, t("source"));
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    for (const exact of card().querySelectorAll(".exact")) exact.hidden = !on;
    for (const shown of card().querySelectorAll(".rendered")) shown.hidden = on;
  });
  return button;
}

/** The prompt: its turns with their roles when there are several. `aids` are what helps to read (reading.js). */
export function promptCard(view, aids) {
  const several = view.prompt.length > 1 || view.prompt[0].role !== "user";
  const card = h(
    "section",
    { class: "prompt", "aria-labelledby": "prompt-title" },
    h("div", { class: "card-top" }, h("h1", { id: "prompt-title", tabindex: "-1" }, t(`do_${view.kind}`)), aids.menu(), copyButton(t("copy_prompt"), view.prompt, () => card), sourceSwitch(() => card)),
    h("div", { class: "turns", tabindex: "0", role: "group", "aria-label": t("prompt") }, foldTurns(view.prompt.map((m) => turn(m, several)), aids.folds)),
  );
  drawMath(card);
  return card;
}

/**
 * A response with what can be said about it alone. `tools` are the kind's own controls for it, `aids` what helps
 * to read it, `answer` the answer being written, `changed` is called after each change here.
 */
export function responseCard(response, answer, tools, aids, changed) {
  const { letter, turns } = response;
  const several = turns.length > 1;
  const length = lengthOf(turns.map((one) => one.source));
  const name = t("response", { letter });
  const notes = h("div", { class: "notes", id: `notes-${letter}`, hidden: true });
  const more = h("button", { class: "quiet", type: "button", "aria-expanded": "false", "aria-controls": notes.id }, t("notes"), h("span", { class: "count" }));
  const text = h("div", { class: "text", id: `text-${letter}`, tabindex: "0", role: "group", "aria-label": name }, turns.map((m) => turn(m, several)));
  const card = h(
    "article",
    { class: "response", id: `response-${letter}`, "data-letter": letter, "aria-labelledby": `title-${letter}` },
    h(
      "div",
      { class: "card-top" },
      h("h2", { id: `title-${letter}` }, h("span", { class: "letter", "aria-hidden": "true" }, letter), h("span", { class: "unseen" }, name)),
      h("span", { class: "length" }, length),
      copyButton(t("copy_response", { letter }), turns, () => card),
      sourceSwitch(() => card),
      more,
    ),
    tools,
    text,
    foldButton(text, letter, length, aids.folds),
    notes,
  );
  const count = () => {
    const said = (answer.flags[letter]?.length ?? 0) + (answer.critiques[letter] ? 1 : 0) + (letter in answer.edited ? 1 : 0);
    fill(more.querySelector(".count"), said ? ` ${said}` : "");
  };
  const open = (on) => {
    more.setAttribute("aria-expanded", String(on));
    notes.hidden = !on;
    if (on && !notes.childElementCount) fillNotes(notes, response, answer, () => (count(), changed()));
  };
  more.addEventListener("click", () => {
    open(more.getAttribute("aria-expanded") !== "true");
    if (!notes.hidden) notes.scrollIntoView({ block: "nearest", behavior: "instant" });
  });
  card.refresh = () => {
    count();
    notes.replaceChildren();
    open(more.getAttribute("aria-expanded") === "true" || notedBefore(answer, letter));
  };
  card.refresh();
  drawMath(card);
  return card;
}

const notedBefore = (answer, letter) => Boolean(answer.flags[letter]?.length || answer.critiques[letter] || letter in answer.edited);

function fillNotes(notes, response, answer, changed) {
  const { letter } = response;
  const original = response.turns[response.turns.length - 1].source;
  const flags = h("fieldset", { class: "flags" }, h("legend", {}, t("flags")));
  for (const flag of FLAGS) {
    const box = h("input", { type: "checkbox", checked: answer.flags[letter]?.includes(flag) ?? false });
    box.addEventListener("change", () => {
      const set = new Set(answer.flags[letter] ?? []);
      box.checked ? set.add(flag) : set.delete(flag);
      set.size ? (answer.flags[letter] = [...set]) : delete answer.flags[letter];
      changed();
    });
    flags.append(h("label", {}, box, t(`flag_${flag}`)));
  }
  const critique = h("textarea", { id: `critique-${letter}`, rows: 2, maxlength: 20000, dir: "auto", value: answer.critiques[letter] ?? "" });
  critique.addEventListener("input", () => {
    critique.value ? (answer.critiques[letter] = critique.value) : delete answer.critiques[letter];
    changed();
  });
  const edited = h("div", { class: "edited" });
  const drawEdited = () => {
    if (!(letter in answer.edited)) {
      const start = () => {
        answer.edited[letter] = original;
        drawEdited();
        edited.querySelector("textarea").focus();
        changed();
      };
      return fill(edited, h("button", { class: "quiet", type: "button", on: { click: start } }, t("edit")));
    }
    const box = h("textarea", { id: `edited-${letter}`, rows: 8, dir: "auto", value: answer.edited[letter] });
    box.addEventListener("input", () => {
      answer.edited[letter] = box.value;
      changed();
    });
    const drop = () => {
      delete answer.edited[letter];
      drawEdited();
      changed();
    };
    return fill(edited, h("label", { for: box.id }, t("edited")), box, h("button", { class: "quiet", type: "button", on: { click: drop } }, t("edit_drop")));
  };
  drawEdited();
  fill(notes, flags, h("label", { for: critique.id }, t("critique")), critique, edited);
}
