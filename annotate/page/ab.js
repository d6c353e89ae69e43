// A/B: which is better, by how much; or a tie; or both bad.

import { announce, fill, h } from "./dom.js";
import { actionOf, pressed, shownKey } from "./keys.js";
import { t } from "./words.js";

const CHOICES = ["A", "tie", "B"];

export function ab(view, answer, changed) {
  const choices = h("div", { class: "choices", role: "radiogroup", "aria-label": t("which_better") });
  const strengths = h("div", { class: "strengths", role: "radiogroup", "aria-label": t("how_much") });
  const keys = h("p", { class: "hint keys" });
  const tools = { A: h("div", { class: "places" }), B: h("div", { class: "places" }) };

  function choose(choice) {
    answer.verdict = choice === "all_bad" ? "all_bad" : "answered";
    answer.choice = choice === "all_bad" ? null : choice;
    if (choice === "tie" || choice === "all_bad") answer.strength = null;
    changed();
    refresh();
    announce(t(`said_${choice}`));
  }

  function strong(value) {
    answer.strength = answer.strength === value ? null : value;
    changed();
    refresh();
    announce(answer.strength ? t(`strength_${value}`) : t("strength_none"));
  }

  /** A row of buttons that behaves as one radio group: arrows move, one stop for Tab. */
  function radios(group, options, current, pick) {
    const focused = group.contains(document.activeElement);
    fill(
      group,
      options.map(([value, label, hint], i) => {
        const on = value === current;
        const stop = on || (current === null && i === 0);
        return h("button", { type: "button", role: "radio", "aria-checked": String(on), tabindex: stop ? "0" : "-1", "data-value": value, on: { click: () => pick(value) } }, label, hint ? h("kbd", { "aria-hidden": "true" }, hint) : null);
      }),
    );
    if (focused) group.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }
  for (const group of [choices, strengths]) {
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const all = [...group.children].filter((b) => !b.disabled);
      const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
      next?.focus();
      next?.click();
    });
  }

  const current = () => (answer.verdict === "all_bad" ? "all_bad" : answer.choice);

  function refresh() {
    fill(keys, t("keys_ab", { tie: shownKey("tie"), bad: shownKey("bad") }));
    radios(choices, [["A", t("better", { letter: "A" }), "A"], ["tie", t("tie"), shownKey("tie")], ["B", t("better", { letter: "B" }), "B"], ["all_bad", t("both_bad"), shownKey("bad")]], current(), choose);
    const sided = answer.choice === "A" || answer.choice === "B";
    strengths.classList.toggle("resting", !sided); // not taken away: the choices would move under a finger
    strengths.inert = !sided;
    radios(strengths, [1, 2, 3].map((n) => [n, t(`strength_${n}`), String(n)]), answer.strength, strong);
    for (const letter of ["A", "B"]) {
      const on = answer.verdict === "answered" && answer.choice === letter;
      document.getElementById(`response-${letter}`)?.classList.toggle("selected", on);
      fill(tools[letter], h("button", { type: "button", class: "place wide", "aria-pressed": String(on), on: { click: () => choose(letter) } }, t("better", { letter })));
    }
  }

  function key(event) {
    const char = pressed(event);
    const action = actionOf(event);
    if (char === "a" || char === "b") choose(char.toUpperCase());
    else if (action === "tie") choose("tie");
    else if (action === "bad") choose("all_bad");
    else if (/^[123]$/.test(char) && CHOICES.includes(answer.choice) && answer.choice !== "tie") strong(Number(char));
    else return false;
    return true;
  }

  refresh();
  return {
    panel: h("section", { class: "kind", "aria-label": t("your_choice") }, h("h2", {}, t("your_choice")), choices, strengths, keys),
    tools: (letter) => tools[letter],
    refresh,
    key,
    missing: () => (current() ? null : t("missing_choice")),
    selected: () => (answer.choice === "tie" ? null : answer.choice),
    short: () => (current() ? t(`said_${current()}`) : ""),
  };
}
