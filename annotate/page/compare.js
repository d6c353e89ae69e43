// The differences between two responses, marked in their text without touching it, and said in words.

import { differences, isSpace, isWord, measure, tokens } from "./diff.js";
import { fill, h } from "./dom.js";
import { texOf } from "./math.js";
import { number, t } from "./words.js";

const MOST = 80_000; // words and signs of one response; beyond that a comparison would keep the page too long
const SLICE_MS = 10;
const FORMULA = "\ufffc"; // stands for a formula in the text: one thing, equal to another of the same TeX
const BLOCKS = new Set(["P", "DIV", "LI", "UL", "OL", "PRE", "TABLE", "TR", "TD", "TH", "BLOCKQUOTE", "HR", "BR", "H2", "H3", "H4", "H5", "H6"]);
const SIDES = ["first", "second"];

const pause = () => new Promise((go) => setTimeout(go));

/** What is shown of a response as tokens: `values` to compare, `spots` where each stands, `parts` the text's nodes. */
function read(card) {
  const parts = [];
  const formulas = new Map();
  let text = "";
  function walk(node) {
    if (node.nodeType === Node.TEXT_NODE) {
      parts.push({ node, at: text.length });
      text += node.data;
    } else if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches(".math")) {
        formulas.set(text.length, node);
        text += FORMULA;
        return;
      }
      const edge = BLOCKS.has(node.tagName) ? "\n" : "";
      text += edge;
      for (const child of node.childNodes) walk(child);
      text += edge;
    }
  }
  for (const box of card.querySelectorAll(".rendered:not([hidden]), .exact:not([hidden])")) walk(box);

  const values = [];
  const spots = [];
  let at = 0;
  for (const token of tokens(text)) {
    if (!isSpace(token)) {
      const formula = formulas.get(at);
      values.push(formula ? FORMULA + texOf(formula) : token);
      spots.push({ from: at, to: at + token.length, formula });
    }
    at += token.length;
  }
  return { text, parts, values, spots };
}

/** The marked tokens as pieces of text nodes, neighbours in one piece; and the marked formulas. */
function marked({ text, parts, spots }, only) {
  const pieces = [];
  const formulas = [];
  let part = 0;
  for (let i = 0; i < spots.length; i++) {
    if (!only[i]) continue;
    if (spots[i].formula) {
      formulas.push(spots[i].formula);
      continue;
    }
    const { from } = spots[i];
    while (i + 1 < spots.length && only[i + 1] && !spots[i + 1].formula) i++;
    const { to } = spots[i];
    while (part + 1 < parts.length && parts[part + 1].at <= from) part++;
    for (let p = part; p < parts.length && parts[p].at < to; p++) {
      const { node, at } = parts[p];
      const [start, end] = [Math.max(from - at, 0), Math.min(to - at, node.length)];
      if (start < end && !isSpace(text.slice(at + start, at + end))) pieces.push({ node, start, end });
    }
  }
  return { pieces, formulas };
}

/** Marks by the browser's highlights, which leave the page as it is; where there are none, by elements, undone exactly. */
const painter = {
  undo: [],
  paint(side, { pieces, formulas }) {
    for (const formula of formulas) formula.classList.add("only", side);
    painter.undo.push(() => formulas.forEach((formula) => formula.classList.remove("only", side)));
    if (globalThis.Highlight && CSS.highlights) {
      const highlight = new Highlight();
      for (const { node, start, end } of pieces) highlight.add(new StaticRange({ startContainer: node, startOffset: start, endContainer: node, endOffset: end }));
      CSS.highlights.set(`only-${side}`, highlight);
      painter.undo.push(() => CSS.highlights.delete(`only-${side}`));
    } else painter.wrap(side, pieces);
  },
  wrap(side, pieces) {
    for (let i = 0; i < pieces.length; ) {
      const { node } = pieces[i];
      const stand = [];
      let done = 0;
      for (; i < pieces.length && pieces[i].node === node; i++) {
        const { start, end } = pieces[i];
        if (start > done) stand.push(new Text(node.data.slice(done, start)));
        stand.push(h("mark", { class: `only ${side}` }, node.data.slice(start, end)));
        done = end;
      }
      if (done < node.length) stand.push(new Text(node.data.slice(done)));
      node.replaceWith(...stand);
      painter.undo.push(() => {
        stand[0].before(node); // the very node that was there
        for (const one of stand) one.remove();
      });
    }
  },
  clear() {
    for (const back of painter.undo.splice(0).reverse()) back();
  },
};

/** The response beside this one in the ranking: tied with it, else directly above, else below; unranked, the next. */
export function neighbour(letter, letters, rows) {
  const others = letters.filter((one) => one !== letter);
  const row = rows[letter];
  const ranked = row ? others.filter((one) => rows[one]) : [];
  const distance = (one) => (rows[one] <= row ? row - rows[one] : 100 + rows[one] - row); // above before below
  if (ranked.length) return ranked.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  return letters[letters.indexOf(letter) + 1] ?? others[others.length - 1];
}

/** How far two responses differ, in words, with what to mark in each; null when `alive` says that nobody asks any more. */
async function compared(cards, sources, names, alive) {
  const [a, b] = names;
  if (sources[0] === sources[1]) return { said: [t("same_exactly", { a, b })] };
  const first = read(cards[0]);
  await pause();
  const second = read(cards[1]);
  if (Math.max(first.values.length, second.values.length) > MOST) return { said: [t("compare_long", { a, b })] };
  const work = differences(first.values, second.values);
  let step = work.next();
  for (let until = performance.now() + SLICE_MS; !step.done; step = work.next()) {
    if (performance.now() < until) continue;
    await pause();
    if (!alive()) return null;
    until = performance.now() + SLICE_MS;
  }
  const only = [step.value.a, step.value.b];
  const sides = [first, second];
  const marks = sides.map((side, i) => marked(side, only[i]));
  const words = sides.map((side, i) => side.values.reduce((sum, value, j) => sum + (only[i][j] && isWord(value) ? 1 : 0), 0));
  if (!only.some((list) => list.includes(1))) return { said: [t("same_words", { a, b })], marks };
  if (!words[0] && !words[1]) return { said: [t("same_but_signs", { a, b })], marks };
  const { unspaced } = measure(first.text + second.text);
  const count = (n, letter) => t(unspaced ? "letters_only_in" : "words_only_in", { letter, n: number(n) });
  return { said: words.map((n, i) => h("span", { class: `only ${SIDES[i]}` }, count(n, names[i]))), marks };
}

/**
 * The bar that compares two responses of a task. `responses` as the task has them, `chosen` the response at work,
 * `rows` the ranking so far, `switched` is told when it goes on or off.
 */
export function comparison(responses, chosen, rows, switched) {
  const letters = responses.map((r) => r.letter);
  const source = Object.fromEntries(responses.map((r) => [r.letter, JSON.stringify(r.turns.map((turn) => turn.source))]));
  const status = h("p", { class: "differ-said", role: "status" });
  const pick = (label) => h("select", { "aria-label": label, on: { change: (event) => picked(event.target) } }, letters.map((l) => h("option", { value: l }, l)));
  const [one, other] = [pick(t("compare_first")), pick(t("compare_second"))];
  const bar = h(
    "div",
    { class: "differ", role: "group", "aria-label": t("differences"), hidden: true },
    letters.length > 2 ? h("div", { class: "differ-pick" }, one, h("span", { "aria-hidden": "true" }, t("compare_with")), other) : null,
    status,
    h("button", { type: "button", class: "quiet close", "aria-label": t("compare_stop"), on: { click: () => turn(false) } }, "×"),
  );
  const card = (letter) => document.getElementById(`response-${letter}`);
  const watch = new MutationObserver((changes) => {
    const now = chosen();
    const moved = now && now !== followed && letters.length > 2;
    if (moved) follow(now);
    if (moved || changes.some(({ target }) => target.matches(".rendered, .exact"))) again();
  });
  let followed = null; // the chosen response when it was last looked at
  let wanted = null; // what the person picked to compare with
  let run = 0;

  function follow(letter) {
    followed = letter;
    one.value = letter;
    other.value = wanted && wanted !== letter ? wanted : neighbour(letter, letters, rows());
  }

  function picked(select) {
    if (select === other) wanted = other.value;
    const twin = select === one ? other : one;
    if (twin.value === select.value) twin.value = neighbour(select.value, letters, rows());
    again();
  }

  async function again() {
    const mine = ++run;
    bar.ariaBusy = "true"; // what it says is still of the pair before
    const names = letters.length > 2 ? [one.value, other.value] : letters;
    const alive = () => mine === run && bar.isConnected;
    const slow = setTimeout(() => alive() && fill(status, t("compare_working")), 250);
    await pause(); // what is said into a bar that is already there is read out
    painter.clear();
    const result = alive() ? await compared(names.map(card), names.map((l) => source[l]), names, alive) : null;
    clearTimeout(slow);
    if (!result || !alive()) return;
    if (result.marks) SIDES.forEach((side, i) => painter.paint(side, result.marks[i]));
    fill(status, result.said.map((part, i) => [i ? " " : null, part]));
    bar.ariaBusy = "false";
  }

  function turn(on) {
    if (on === !bar.hidden) return;
    const focused = bar.contains(document.activeElement);
    bar.hidden = !on;
    run += 1;
    painter.clear();
    watch.disconnect();
    fill(status);
    if (on) {
      follow(chosen() ?? letters[0]);
      watch.observe(document.querySelector(".responses"), { attributes: true, attributeFilter: ["class", "hidden"], subtree: true });
      again();
    } else if (focused) document.getElementById("prompt-title")?.focus({ preventScroll: true });
    switched(on);
  }

  return { bar, turn, isOn: () => !bar.hidden };
}

/** Take all marks away, as when a task is drawn anew. */
export const unmark = () => painter.clear();
