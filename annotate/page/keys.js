// The single keys: which key does what, as each person likes it in this browser (WCAG 2.1.4).
// Letters A to I and digits name responses and ranks; they, the arrows and what goes with Ctrl stay as they are.

import { h } from "./dom.js";

/** Every action a single key has, with its first key. A new action is a line here, and a line where it is done. */
export const ACTIONS = {
  tie: "=",
  out: "0",
  bad: "x",
  skip: "s",
  undo: "u",
  source: "v",
  notes: "n",
  comment: "m",
  reading: "r",
  compare: "w",
  step: "y",
  search: "/",
  help: "?",
};
const NAMES = /^[a-i0-9]$/; // of responses and ranks
const STORED = "concord:keymap";
const SWITCH = "concord:keys";
// What a Chinese keyboard writes in place of these keys, beside the full-width forms.
const TWINS = { "。": ".", "、": "/", "“": '"', "”": '"', "‘": "'", "’": "'", "【": "[", "】": "]", "《": "<", "》": ">", "￥": "$", "·": "`" };

/** The key of an event as one half-width character in lower case; "" for a key without a character. */
export function pressed(event) {
  const key = event.key ?? "";
  if ([...key].length !== 1) return "";
  const half = /[！-～]/.test(key) ? String.fromCharCode(key.charCodeAt(0) - 0xfee0) : (TWINS[key] ?? key);
  return half.toLowerCase();
}

let mine = null; // action → key, only where it is not the first one

function chosen() {
  if (mine) return mine;
  mine = {};
  try {
    for (const [action, key] of Object.entries(JSON.parse(localStorage.getItem(STORED) ?? "{}"))) {
      if (action in ACTIONS && typeof key === "string" && !refused(key, action) && !Object.values(mine).includes(key)) mine[action] = key;
    }
  } catch {
    // not ours, or forbidden: the first keys remain
  }
  return mine;
}

/** The key of an action; "" when another action was given its first key and it has no own. */
export function keyOf(action) {
  const own = chosen();
  if (action in own) return own[action];
  return Object.values(own).includes(ACTIONS[action]) ? "" : ACTIONS[action];
}

/** A key as it is printed on a keyboard; "–" for none. */
export const shownKey = (action) => keyOf(action).toUpperCase() || "–";

/** The action a key press stands for, or null. */
export function actionOf(event) {
  const key = pressed(event);
  return (key && Object.keys(ACTIONS).find((action) => keyOf(action) === key)) || null;
}

/** Why a key cannot be given to an action: "names" (of responses and ranks), "unusable", or null. */
function refused(key, action) {
  if (key.length !== 1 || /\s/.test(key)) return "unusable";
  return NAMES.test(key) && key !== ACTIONS[action] ? "names" : null;
}

/** What would come of it: {refused} says why not, {taken} names the action that has the key, {} is free. */
export function tryKey(action, key) {
  const why = refused(key, action);
  if (why) return { refused: why };
  const taken = Object.keys(ACTIONS).find((other) => other !== action && keyOf(other) === key);
  if (!taken) return {};
  return refused(keyOf(action), taken) ? { refused: "held", taken } : { taken }; // 0 can be given to nobody in exchange
}

function keep(map) {
  mine = Object.fromEntries(Object.entries(map).filter(([action, key]) => key !== ACTIONS[action]));
  try {
    localStorage.setItem(STORED, JSON.stringify(mine));
  } catch {
    // a full or forbidden storage: they hold until the page is left
  }
  document.dispatchEvent(new Event("concord:keys")); // controls that show keys show the new ones
}

/** Give a key to an action; when another has it the two swap. A key that is refused changes nothing. */
export function setKey(action, key) {
  const { taken, refused: why } = tryKey(action, key);
  if (why) return;
  keep({ ...chosen(), [action]: key, ...(taken ? { [taken]: keyOf(action) } : {}) });
}

/** Back to the first key; who has it now takes this action's. */
export const resetKey = (action) => setKey(action, ACTIONS[action]);
export const resetKeys = () => keep({});
export const isChanged = (action) => keyOf(action) !== ACTIONS[action];

/** Single keys can be switched off altogether; the controls then show none. */
export const keysOn = () => localStorage.getItem(SWITCH) !== "off";
export function switchKeys(on) {
  localStorage.setItem(SWITCH, on ? "on" : "off");
  document.dispatchEvent(new Event("concord:keys"));
}

/** The key of an action, on its control. */
export const keyHint = (action) => h("kbd", { "aria-hidden": "true", "data-key": action }, shownKey(action));

function show() {
  document.body.classList.toggle("keys-off", !keysOn());
  for (const hint of document.querySelectorAll("kbd[data-key]")) hint.textContent = shownKey(hint.dataset.key);
}
show();
document.addEventListener("concord:keys", show);

// Another tab of this browser has changed them.
window.addEventListener("storage", (event) => {
  if (![STORED, SWITCH, null].includes(event.key)) return;
  mine = null;
  document.dispatchEvent(new Event("concord:keys"));
});
