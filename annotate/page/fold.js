// Long texts folded: an answer to a part of the window's height, the earlier turns of a dialogue to a count of them.

import { h } from "./dom.js";
import { measure } from "./diff.js";
import { number, t } from "./words.js";

const LIMIT = 0.58; // of the window's height
const SLACK = 1.15; // what is hardly longer than the limit is shown whole: a fold that hides two lines is no help
const LAST_TURNS = 3;
const EDGE = 4; // pixels

/** A length in the reader's words: words, or characters where there are no spaces between words. */
export function lengthOf(texts) {
  const { n, unspaced } = measure(texts.join("\n"));
  if (unspaced) return t("characters", { n: number(n) });
  return n === 1 ? t("one_word") : t("words", { n: number(n) });
}

/**
 * The button that folds and unfolds a text. Folded on a wide screen the text scrolls in its box, on a narrow one
 * it is cut: what the browser then finds in it, or moves the focus to, unfolds it.
 * `folds` remembers what is open while one is at the task, and whether all is always shown.
 */
export function foldButton(text, name, length, folds) {
  const button = h("button", { class: "quiet fold", type: "button", hidden: true });

  // Measured and drawn apart: with all texts measured before any is drawn, the page is laid out once.
  const read = () => ({ height: text.scrollHeight, top: text.scrollTop, limit: Math.round(window.innerHeight * LIMIT) });

  function write({ height, top, limit }) {
    const long = height > limit * SLACK && !folds.whole();
    const folded = long && !folds.open.has(name);
    text.classList.toggle("folded", folded);
    text.classList.toggle("at-end", !folded || top + limit >= height - EDGE);
    text.style.maxHeight = folded ? `${limit}px` : "";
    button.hidden = !long;
    button.setAttribute("aria-expanded", String(!folded));
    button.textContent = folded ? t("show_all", { length }) : t("fold");
  }

  const fit = () => text.isConnected && write(read());
  const atEnd = () => text.classList.toggle("at-end", text.scrollTop + text.clientHeight >= text.scrollHeight - EDGE);

  /** Fold or unfold so that one thing stays where it is on the screen, and with it the reader. */
  function turn(open, held) {
    const before = held.getBoundingClientRect().top;
    open ? folds.open.add(name) : folds.open.delete(name);
    fit();
    window.scrollBy({ top: held.getBoundingClientRect().top - before, behavior: "instant" });
  }

  const inside = () => text.firstElementChild ?? text; // moves with what is read in the box

  button.addEventListener("click", () => (folds.open.has(name) ? turn(false, button) : turn(true, inside())));
  text.addEventListener("scroll", () => {
    if (text.scrollTop && text.classList.contains("folded") && getComputedStyle(text).overflowY === "hidden") {
      turn(true, button === document.activeElement ? button : inside()); // somebody quick is past the text already
    }
    atEnd();
  });
  const watch = new ResizeObserver(fit); // fonts, formulas, the text's size, the window
  for (const box of [text, ...text.children]) watch.observe(box);
  folds.fits.push({ read, write });
  return button;
}

/** Fold or unfold all texts of a task as they should be now. */
export function fitAll({ fits }) {
  const measured = fits.map((one) => one.read());
  fits.forEach((one, i) => one.write(measured[i]));
}

/** A dialogue's turns: all, or the last ones below a button that shows the others. */
export function foldTurns(turns, folds) {
  const hidden = turns.length - LAST_TURNS;
  if (hidden < 2) return turns;
  const earlier = h("div", { class: "earlier", id: "earlier-turns" }, turns.slice(0, hidden));
  const button = h("button", { class: "quiet fold-turns", type: "button", "aria-controls": earlier.id });

  function fit() {
    const open = folds.whole() || folds.open.has(earlier.id);
    if (open) earlier.removeAttribute("hidden");
    else earlier.setAttribute("hidden", "until-found"); // the browser's own search still looks inside
    button.hidden = folds.whole();
    button.setAttribute("aria-expanded", String(open));
    button.textContent = t(open ? "turns_fold" : "turns_show", { n: number(hidden) });
  }

  function turn(open) {
    open ? folds.open.add(earlier.id) : folds.open.delete(earlier.id);
    fit();
  }

  button.addEventListener("click", () => turn(!folds.open.has(earlier.id)));
  earlier.addEventListener("beforematch", () => turn(true));
  folds.fits.push({ read: () => null, write: fit });
  fit();
  return [button, earlier, ...turns.slice(hidden)];
}
