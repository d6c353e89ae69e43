// The sheet of keys: what each does, those of the kind at hand first, and how to change one.

import { dialog, fill, h } from "./dom.js";
import { ACTIONS, isChanged, keysOn, pressed, resetKey, resetKeys, setKey, shownKey, switchKeys, tryKey } from "./keys.js";
import { t } from "./words.js";

// By place, in the order one needs them. What is no action of keys.js stays as it is.
const PLACES = {
  ranking: ["letter", "tie", "digit", "out", "arrows", "bad"],
  ab: ["side", "strength", "tie", "bad"],
  rating: ["letter", "digit", "arrows", "bad"],
  task: ["submit", "undo", "back", "source", "notes", "comment", "skip", "reading", "compare", "step", "help"],
  lists: ["choose", "walk", "search"],
};

/** Open the sheet; `kind` is the kind of the task at hand, if there is one. */
export function showKeys(kind = null) {
  let waiting = null; // the action whose new key is being asked for
  let offer = null; // {action, key} while a swap is offered
  const tables = h("div", { class: "keytables" });
  const said = h("p", { class: "key-said", role: "status" }, t("keys_lead"));
  const answer = h("div", { class: "key-answer" });
  const toggle = h("input", { type: "checkbox", checked: keysOn(), on: { change: (e) => switchKeys(e.target.checked) } });
  const all = h("button", { type: "button", class: "quiet", on: { click: () => (resetKeys(), ask(null), say(t("keys_all_reset"))) } }, t("keys_reset_all"));

  const order = [kind, "task", ...Object.keys(PLACES).filter((place) => ![kind, "task"].includes(place))].filter(Boolean);
  const name = (action, place) => t(`does_${place}_${action}`);
  const placeOf = (action) => order.find((place) => PLACES[place].includes(action));

  function row(place, what) {
    const key = what in ACTIONS ? keyButton(place, what) : h("kbd", {}, t(`key_${what}`));
    const back = what in ACTIONS && isChanged(what) && h("button", { type: "button", class: "quiet reset", on: { click: () => (resetKey(what), ask(null), focusOn(place, what), say(t("keys_now", { does: name(what, place), key: shownKey(what) }))) } }, t("keys_reset", { key: ACTIONS[what].toUpperCase() }));
    return h("tr", {}, h("th", { scope: "row" }, name(what, place)), h("td", {}, key), h("td", {}, back));
  }

  function keyButton(place, action) {
    const on = waiting?.action === action && waiting.place === place;
    const label = t(on ? "keys_press" : "keys_change", { does: name(action, place), key: shownKey(action) });
    return h("button", { type: "button", class: "keycap", "data-at": `${place} ${action}`, "aria-label": label, "aria-pressed": String(on), on: { click: () => ask({ place, action }) } }, h("kbd", { "aria-hidden": "true" }, on ? "…" : shownKey(action)));
  }

  function draw() {
    const section = (place) => [h("h3", {}, t(`keys_of_${place}`)), h("table", { class: "keytable" }, h("tbody", {}, PLACES[place].map((what) => row(place, what))))];
    fill(tables, order.map(section));
    all.hidden = !Object.keys(ACTIONS).some(isChanged);
    fill(answer, offer && [h("button", { type: "button", class: "quiet swap", on: { click: swap } }, t("keys_swap")), h("button", { type: "button", class: "quiet", on: { click: () => stop(t("keys_kept")) } }, t("keys_keep"))]);
  }

  const say = (text) => fill(said, text);
  const focusOn = (place, action) => tables.querySelector(`[data-at="${place} ${action}"]`)?.focus();

  /** Wait for the next key to be this action's; null waits no more. */
  function ask(next) {
    waiting = next;
    offer = null;
    draw();
    if (next) {
      say(t("keys_press", { does: name(next.action, next.place), key: shownKey(next.action) }));
      focusOn(next.place, next.action);
    }
  }

  function stop(words) {
    const { place, action } = waiting;
    ask(null);
    say(words);
    focusOn(place, action);
  }

  function give(action, key) {
    setKey(action, key);
    stop(t("keys_now", { does: name(action, waiting.place), key: shownKey(action) }));
  }

  function swap() {
    give(offer.action, offer.key);
  }

  function take(event) {
    if (!waiting || event.isComposing || event.keyCode === 229 || event.repeat) return;
    if (offer && event.key !== "Escape") return; // the buttons of the offer have the keyboard
    if (/^(Shift|Control|Alt|Meta|CapsLock|AltGraph)$/.test(event.key)) return;
    if (event.key === "Tab") return ask(null); // on to the next control: nothing is kept waiting
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") return stop(t("keys_kept"));
    const { place, action } = waiting;
    const key = event.ctrlKey || event.metaKey || event.altKey ? "" : pressed(event);
    const { refused, taken } = tryKey(action, key);
    const values = { key: key.toUpperCase(), does: taken ? name(taken, placeOf(taken)) : "" };
    if (refused) return say(t(`keys_refused_${refused}`, values));
    if (!taken) return give(action, key);
    offer = { place, action, key };
    draw();
    say(t("keys_taken", values));
    answer.querySelector("button").focus();
  }

  draw();
  const foot = h("div", { class: "key-foot" }, said, answer, all);
  const box = dialog(t("keys"), t("close"), h("label", { class: "all-bad" }, toggle, t("keys_switch")), tables, foot);
  box.addEventListener("keydown", take, { capture: true });
}
