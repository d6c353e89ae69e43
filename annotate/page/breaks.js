// A word about a break, for who asked for it: after so many minutes at work, over tasks and reloads.

import { announce, h } from "./dom.js";
import { activeClock } from "./draft.js";
import { plural, t } from "./words.js";

export const EVERY = [25, 50, 90]; // minutes at work one can choose
const LATER_MIN = 10;
const PAUSE_MS = 10 * 60_000; // a pause this long is a break: counting starts again
const STEP_MS = 5_000;
const QUIET_MS = 4_000; // never while somebody types
const STORED = "concord:breaks";

/** What is kept in this browser: `every` minutes (0 never), `worked` ms up to `at`, and when it is `due`. */
function kept() {
  let found = {};
  try {
    found = JSON.parse(localStorage.getItem(STORED) ?? "{}") ?? {};
  } catch {
    // not ours: start again
  }
  const whole = (value, other) => (Number.isFinite(value) && value >= 0 ? value : other);
  const every = EVERY.includes(found.every) ? found.every : 0;
  return { every, worked: whole(found.worked, 0), at: whole(found.at, Date.now()), due: whole(found.due, every * 60_000) };
}

function keep(state) {
  try {
    localStorage.setItem(STORED, JSON.stringify(state));
  } catch {
    // a full or forbidden storage: no reminder
  }
}

export const breakEvery = () => kept().every;

/** Choose how often, from now on; 0 for never. */
export function remindEvery(every) {
  const state = kept();
  keep({ ...state, every, due: state.worked + every * 60_000 });
}

/** Start counting; the word is shown inside `root`, beside everything else, and takes no focus. */
export function breakReminder(root) {
  const clock = activeClock();
  let counted = 0;
  let typed = 0; // when a key was pressed last
  let note = null;
  let from = null; // where the focus was before it went into the note
  window.addEventListener("keydown", () => (typed = Date.now()), { capture: true, passive: true });

  function hide() {
    const inside = note?.contains(document.activeElement);
    note?.remove();
    note = null;
    if (inside) (from?.isConnected ? from : root.querySelector("h1"))?.focus({ preventScroll: true });
  }

  function later(minutes) {
    const state = kept();
    keep({ ...state, due: state.worked + minutes * 60_000 });
    hide();
  }

  function show(state) {
    const words = plural("break_worked", Math.round(state.worked / 60_000));
    note = h(
      "aside",
      { class: "break", "aria-label": t("breaks") },
      h("p", {}, words),
      h("div", { class: "break-ways" }, h("button", { type: "button", class: "quiet", on: { click: () => later(LATER_MIN) } }, plural("break_later", LATER_MIN)), h("button", { type: "button", class: "quiet", on: { click: () => later(kept().every) } }, t("close"))),
    );
    note.addEventListener("focusin", (event) => !note?.contains(event.relatedTarget) && (from = event.relatedTarget));
    root.append(note);
    announce(words);
  }

  function step() {
    const ms = clock.ms();
    const worked = ms - counted;
    counted = ms;
    const state = kept();
    const now = Date.now();
    const since = Math.max(0, now - state.at);
    if (since >= PAUSE_MS) Object.assign(state, { worked: 0, at: now, due: state.every * 60_000 });
    else if (worked > 0) Object.assign(state, { worked: state.worked + Math.min(worked, since), at: now }); // two tabs count once
    keep(state);
    if (!state.every || state.worked < state.due) return note && hide();
    if (!note && now - typed > QUIET_MS && !document.hidden && !document.querySelector("dialog[open]")) show(state);
  }

  step();
  setInterval(step, STEP_MS);
}
