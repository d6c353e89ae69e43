// No task for this person now: why, what may come, and looking again by itself.

import { announce, fill, h } from "./dom.js";
import { language, list, number, plural, t } from "./words.js";

const AGAIN_MS = 30_000;
const COUNTED = 1000; // the server counts open tasks in other languages up to here

/** The page of it inside `root`, with the way to `mine`, what one said; `look` asks the server again, and `update` is told the answer. */
export function nothingLeft(root, held, mine, look) {
  let timer = 0;
  let asked = false;
  const title = h("h1", { tabindex: "-1" });
  const lines = h("div", { class: "why" });
  const did = h("p", { class: "hint" });
  const now = () => {
    asked = true;
    look();
  };
  fill(root, h("section", { class: "nothing" }, title, lines, did, h("button", { type: "button", class: "submit", on: { click: now } }, t("look_again")), h("p", {}, h("a", { href: mine }, t("look_back"))), h("p", { class: "hint" }, t("looks_by_itself"))));

  const again = () => (document.hidden ? null : look()); // hidden: when it is seen again, see below
  const seen = () => document.hidden || (clearTimeout(timer), look());
  document.addEventListener("visibilitychange", seen);

  function update(answer) {
    clearTimeout(timer);
    timer = setTimeout(again, AGAIN_MS);
    const before = lines.textContent;
    fill(title, t(answer.reason === "paused" ? "paused_title" : "none_title"));
    fill(lines, why(answer).map((line) => h("p", {}, line)));
    fill(did, plural("you_did", answer.progress.mine));
    if (before && (asked || before !== lines.textContent)) announce(`${title.textContent}. ${lines.textContent}`);
    asked = false;
  }

  update(held);
  title.focus({ preventScroll: true });
  return {
    update,
    close() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}

/** Every reason there is, a line each. */
function why(held) {
  if (held.reason === "paused") return [t("paused_lead")];
  const others = Object.entries(held.other_languages);
  const open = others.reduce((sum, [, tasks]) => sum + tasks, 0);
  const names = list(others.map(([code, tasks]) => t("language_count", { language: language(code), n: number(tasks) })));
  const minutes = plural("minutes", Math.max(1, Math.ceil(held.back_in_s / 60)));
  const found = [
    held.with_others ? plural("none_with_others", held.with_others, { minutes }) : null,
    open >= COUNTED ? t("none_many_in_languages", { n: number(COUNTED), names }) : open ? plural("none_in_languages", open, { names }) : null,
    open ? t("none_languages_lead") : null,
  ].filter(Boolean);
  return found.length ? found : [t("none_left")];
}
