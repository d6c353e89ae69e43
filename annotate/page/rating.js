// Rating: one scale per criterion per response, its points named.

import { announce, fill, h } from "./dom.js";
import { pressed } from "./keys.js";
import { said, t } from "./words.js";

// Arrows scroll the page, until a letter or a digit says that the keys are at work on the scales.
let byKeys = false;
for (const event of ["wheel", "pointerdown"]) window.addEventListener(event, () => (byKeys = false), { passive: true });

export function rating(view, answer, changed) {
  const letters = view.responses.map((r) => r.letter);
  const criteria = view.criteria;
  const tools = Object.fromEntries(letters.map((l) => [l, h("div", { class: "scales" })]));
  const table = h("div", { class: "overview" });
  let at = { letter: letters[0], index: 0 };
  byKeys = false;

  const value = (letter, key) => answer.ratings[letter]?.[key] ?? null;
  const points = (c) => Array.from({ length: c.high - c.low + 1 }, (_, i) => c.low + i);
  const anchor = (c, n) => said(c.anchors?.[String(n)]);

  function rate(letter, key, n) {
    (answer.ratings[letter] ??= {})[key] = n;
    changed();
    refresh();
    const c = criteria.find((one) => one.key === key);
    announce(t("rated", { letter, criterion: said(c.name), n, meaning: anchor(c, n) }));
  }

  function scale(letter, c, index) {
    const now = value(letter, c.key);
    const name = `scale-${letter}-${c.key}`;
    const here = at.letter === letter && at.index === index;
    const meaning = h("span", { class: "meaning" }, now === null ? "" : anchor(c, now));
    return h(
      "fieldset",
      { class: `scale${here ? " here" : ""}`, title: said(c.description) || null },
      h("legend", {}, said(c.name), " ", meaning),
      h(
        "div",
        { class: "points" },
        points(c).map((n) => {
          const box = h("input", { type: "radio", name, id: `${name}-${n}`, value: String(n), checked: now === n });
          box.addEventListener("change", () => {
            at = { letter, index };
            rate(letter, c.key, n);
            document.getElementById(`${name}-${n}`)?.focus({ preventScroll: true });
          });
          return h("label", { title: anchor(c, n) || null }, box, h("span", { "aria-hidden": "true" }, String(n)), h("span", { class: "unseen" }, `${n} ${anchor(c, n)}`));
        }),
      ),
      h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, anchor(c, c.low)), h("span", {}, anchor(c, c.high))),
    );
  }

  function refresh() {
    for (const letter of letters) {
      fill(tools[letter], criteria.map((c, i) => scale(letter, c, i)));
      document.getElementById(`response-${letter}`)?.classList.toggle("selected", at.letter === letter);
    }
    fill(
      table,
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("td", {}), letters.map((l) => h("th", { scope: "col" }, l)))),
        h("tbody", {}, criteria.map((c) => h("tr", {}, h("th", { scope: "row" }, said(c.name)), letters.map((l) => h("td", {}, value(l, c.key) ?? "·"))))),
      ),
    );
  }

  /** On to the next scale without a value, in reading order from here. */
  function onward() {
    const all = letters.flatMap((letter) => criteria.map((_, index) => ({ letter, index })));
    const from = all.findIndex((one) => one.letter === at.letter && one.index === at.index);
    const next = [...all.slice(from + 1), ...all.slice(0, from)].find((one) => value(one.letter, criteria[one.index].key) === null);
    if (next) go(next);
  }

  function go(to) {
    const moved = to.letter !== at.letter;
    at = to;
    refresh();
    const seen = moved ? document.getElementById(`response-${at.letter}`) : tools[at.letter].children[at.index];
    seen?.scrollIntoView({ block: "nearest", behavior: "instant" });
    announce(t("at_scale", { letter: at.letter, criterion: said(criteria[at.index].name) }));
  }

  function key(event) {
    const char = pressed(event);
    const letter = char.toUpperCase();
    const c = criteria[at.index];
    const arrows = byKeys && event.target.type !== "radio";
    if (letters.includes(letter)) go({ letter, index: 0 });
    else if (/^[0-9]$/.test(char) && Number(char) >= c.low && Number(char) <= c.high) {
      rate(at.letter, c.key, Number(char));
      onward();
    } else if (event.key === "ArrowDown" && arrows) go({ ...at, index: Math.min(criteria.length - 1, at.index + 1) });
    else if (event.key === "ArrowUp" && arrows) go({ ...at, index: Math.max(0, at.index - 1) });
    else return false;
    byKeys = true;
    return true;
  }

  refresh();
  return {
    panel: h("section", { class: "kind", "aria-label": t("your_ratings") }, h("h2", {}, t("your_ratings")), table, h("p", { class: "hint keys" }, t("keys_rating"))),
    tools: (letter) => tools[letter],
    refresh,
    key,
    missing() {
      const left = letters.filter((l) => criteria.some((c) => value(l, c.key) === null));
      return left.length ? t("missing_ratings", { letters: left.join(", ") }) : null;
    },
    selected: () => at.letter,
    short: () => "",
  };
}
