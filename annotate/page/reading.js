// What helps to read, in one menu: the text's size, differences, scrolling in step, code, the prompt pinned, no folds.

import { comparison, unmark } from "./compare.js";
import { announce, h, stopItsClick } from "./dom.js";
import { fitAll } from "./fold.js";
import { keyHint } from "./keys.js";
import { lang, t } from "./words.js";

const KEPT = "concord:reading";
const SIZES = [85, 100, 115, 130, 150]; // hundredths
const CLASSES = { wrap: "wrap-code", pin: "pinned" }; // of the task's element: how it looks is the style sheet's
const NONE = { size: 100, step: false, wrap: false, pin: false, whole: false };

/** The settings of this browser; what is not a setting, or cannot be read, is as if it were not there. */
function settled() {
  try {
    const held = JSON.parse(localStorage.getItem(KEPT)) ?? {};
    const own = Object.fromEntries(Object.keys(NONE).map((key) => [key, typeof held[key] === typeof NONE[key] ? held[key] : NONE[key]]));
    return { ...own, size: SIZES.includes(own.size) ? own.size : NONE.size };
  } catch {
    return { ...NONE };
  }
}

/** The aids of one screen, from task to task. `note` shows and says a passing word. */
export function readingAids(note) {
  const settings = settled();
  const folds = { open: new Set(), fits: [], whole: () => settings.whole };
  let shown = null; // the token of the task whose folds these are
  let page = null; // the task's element
  let differing = null;
  let parts = null; // of the menu

  function keep() {
    try {
      localStorage.setItem(KEPT, JSON.stringify(settings));
    } catch {
      // a browser that keeps nothing: they hold until it is closed
    }
    apply();
  }

  function apply() {
    for (const [name, shown] of Object.entries(CLASSES)) page.classList.toggle(shown, settings[name]);
    page.style.setProperty("--size", String(settings.size / 100));
    parts.size.textContent = percent(settings.size);
    parts.smaller.setAttribute("aria-disabled", String(settings.size === SIZES[0]));
    parts.larger.setAttribute("aria-disabled", String(settings.size === SIZES.at(-1)));
    for (const [name, box] of Object.entries(parts.boxes)) box.checked = name === "differences" ? Boolean(differing?.isOn()) : settings[name];
    fitAll(folds);
  }

  function resize(by) {
    settings.size = SIZES[Math.min(SIZES.length - 1, Math.max(0, SIZES.indexOf(settings.size) + by))];
    keep();
    announce(t("text_at", { percent: percent(settings.size) }));
  }

  function set(name, on) {
    if (name === "differences") return differing.turn(on);
    settings[name] = on;
    keep();
    if (name === "pin") toLastTurn();
  }

  /** Pinned there is little room: a dialogue's last turn is the one that asks. */
  function toLastTurn() {
    const turns = page.querySelector(".turns");
    if (settings.pin && turns.querySelector(".role")) turns.scrollTop = turns.lastElementChild.offsetTop - turns.offsetTop;
  }

  function step() {
    set("step", !settings.step);
    note(t(!settings.step ? "step_off" : scrolls(page) ? "step_on" : "step_nothing"));
  }

  return {
    folds,
    /** A task is about to be drawn; what was unfolded stays so when it is the same one. */
    begin(task) {
      folds.fits.length = 0;
      if (shown !== task.token) folds.open.clear();
      shown = task.token;
    },
    step,
    compare: () => differing.turn(!differing.isOn()),
    open: () => toggle(parts),
    /** The button and what it opens. */
    menu() {
      parts = menuParts(resize, set);
      return [parts.button, parts.box];
    },
    /** The screen is left: nothing of it stays behind. */
    close() {
      unmark();
      const root = document.documentElement.style;
      root.scrollPadding = "";
      for (const name of ["--over", "--under"]) root.removeProperty(name);
    },
    /** Help with a task that has just been drawn: `chosen` gives the response at work, `rows` the ranking so far. */
    dress(element, task, chosen, rows) {
      unmark();
      page = element;
      differing = comparison(task.responses, chosen, rows, (on) => {
        parts.boxes.differences.checked = on;
        if (!on) note(t("compare_off"));
      });
      page.querySelector(".reading").append(differing.bar);
      inStep([...page.querySelectorAll(".text")], () => settings.step);
      keepClear(page, differing.bar);
      apply();
      toLastTurn();
    },
  };
}

const percent = (size) => new Intl.NumberFormat(lang, { style: "percent" }).format(size / 100);

function menuParts(resize, set) {
  const boxes = {};
  const line = (name, action) => {
    boxes[name] = h("input", { type: "checkbox", on: { change: (event) => set(name, event.target.checked) } });
    return h("label", { class: `aid aid-${name}` }, boxes[name], h("span", {}, t(`aid_${name}`)), action ? keyHint(action) : null);
  };
  const sizer = (by, word, mark) =>
    h("button", { type: "button", class: "quiet sizer", "aria-label": word, on: { click: (event) => event.currentTarget.getAttribute("aria-disabled") === "true" || resize(by) } }, mark);
  const smaller = sizer(-1, t("text_smaller"), "A−");
  const larger = sizer(1, t("text_larger"), "A+");
  const size = h("span", { class: "size" });
  const box = h(
    "div",
    { class: "aids", id: "reading-aids", popover: "auto", role: "group", "aria-label": t("reading") },
    h("div", { class: "aid", role: "group", "aria-label": t("text_size") }, h("span", {}, t("text_size")), smaller, size, larger),
    line("differences", "compare"),
    line("step", "step"),
    line("wrap"),
    line("pin"),
    line("whole"),
  );
  const button = h("button", { type: "button", class: "quiet open-aids", "aria-expanded": "false", "aria-controls": box.id, popovertarget: box.id }, t("reading"));
  box.addEventListener("beforetoggle", ({ newState }) => newState === "open" && place(box, button));
  box.addEventListener("toggle", ({ newState }) => button.setAttribute("aria-expanded", String(newState === "open")));
  /** A press beside the open menu closes it and does nothing else. */
  const beside = (event) => box.matches(":popover-open") && !box.contains(event.target) && !button.contains(event.target) && stopItsClick();
  // Before it opens, not after: word that it has opened is a task of its own, and a tap may come first.
  box.addEventListener("beforetoggle", ({ newState }) => document[newState === "open" ? "addEventListener" : "removeEventListener"]("pointerdown", beside, { capture: true }));
  return { button, box, boxes, smaller, larger, size };
}

/** Below its button; when that has been scrolled away, below the bar. On a phone the style sheet says where. */
function place(box, button) {
  const at = button.getBoundingClientRect();
  const top = Math.min(Math.max(at.bottom + 6, 64), window.innerHeight / 2);
  box.style.setProperty("--top", `${Math.round(top)}px`);
  box.style.setProperty("--right", `${Math.round(document.documentElement.clientWidth - at.right)}px`);
}

/** Open the menu with the focus in it, or close it. */
function toggle({ box }) {
  box.togglePopover();
  if (box.matches(":popover-open")) box.querySelector("button").focus({ preventScroll: true });
}

const room = (box) => box.scrollHeight - box.clientHeight;
const scrolls = (page) => [...page.querySelectorAll(".text")].some((box) => room(box) > 1 && getComputedStyle(box).overflowY !== "hidden");

/** Scroll the other boxes by the same share of their height. What we moved ourselves moves no other. */
function inStep(boxes, on) {
  const moved = new WeakMap(); // where we put a box: its own event then says nothing new
  for (const box of boxes) {
    box.addEventListener("scroll", () => {
      const ours = moved.get(box) === box.scrollTop;
      moved.delete(box);
      if (ours || !on() || getComputedStyle(box).overflowY === "hidden" || room(box) < 1) return;
      const share = box.scrollTop / room(box);
      for (const other of boxes) {
        if (other === box || room(other) < 1) continue;
        const before = other.scrollTop;
        other.scrollTop = share * room(other);
        if (other.scrollTop !== before) moved.set(other, other.scrollTop);
      }
    });
  }
}

/**
 * Keep what gets the focus clear of what stays in sight over the text: the bar above, the pinned prompt,
 * on a phone the panel below. Where they end depends on their words, so it is measured.
 */
function keepClear(page, bar) {
  const [prompt, panel] = [page.querySelector(".prompt"), page.querySelector(".panel")];
  const above = [...document.querySelectorAll(".concord .top, .concord .message")];
  const held = (box, position) => (getComputedStyle(box).position === position ? box.offsetHeight : 0);
  const measure = () => {
    if (!page.isConnected) return watch.disconnect();
    const root = document.documentElement.style;
    const over = above.reduce((sum, box) => sum + held(box, "sticky"), 0);
    const under = held(panel, "fixed");
    root.setProperty("--over", `${over}px`);
    root.setProperty("--under", `${under}px`);
    root.scrollPaddingTop = `${over + held(prompt, "sticky") + 8}px`;
    root.scrollPaddingBottom = `${under + (bar.hidden ? 0 : bar.offsetHeight + 8) + 8}px`;
  };
  const watch = new ResizeObserver(measure);
  for (const box of [...above, prompt, panel, bar, page]) watch.observe(box); // tells of each once, before it is painted
}
