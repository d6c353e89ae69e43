// Copying what was written, exactly, even where the browser keeps its clipboard to itself.

import { announce, h } from "./dom.js";
import { t } from "./words.js";

const SHOWN_MS = 2000;

/** The exact text of some turns; of several, each under its role. */
function sourceOf(turns) {
  if (turns.length === 1) return turns[0].source;
  return turns.map((view) => `${t(`role_${view.role}`)}:\n${view.source}`).join("\n\n");
}

/** A button that copies the turns of a card: `card` gives its element once it is there. */
export function copyButton(name, turns, card) {
  const button = h("button", { class: "quiet copy", type: "button", "aria-label": name, title: name });
  let timer = 0;
  button.addEventListener("click", async () => {
    const text = sourceOf(turns);
    if (!(await written(text)) && !copiedByEvent(text)) {
      selectSource(card());
      return announce(t("copy_refused"));
    }
    button.classList.add("done");
    clearTimeout(timer);
    timer = setTimeout(() => button.classList.remove("done"), SHOWN_MS);
    announce(t("copied"));
  });
  return button;
}

/** By the clipboard's own door, which is shut on a plain http address and where a person said no. */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** By the older door: the browser's own copy command, handed our text instead of the selection. */
function copiedByEvent(text) {
  let taken = false;
  const give = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    event.clipboardData.setData("text/plain", text);
    taken = true;
  };
  document.addEventListener("copy", give, { capture: true });
  const done = document.execCommand("copy");
  document.removeEventListener("copy", give, { capture: true });
  return done && taken;
}

/** Show a card's exact text and select it, so that the person can copy it. */
function selectSource(card) {
  const source = card.querySelector("[data-source]");
  if (source.getAttribute("aria-pressed") !== "true") source.click();
  const exact = card.querySelectorAll(".exact");
  const selection = getSelection();
  selection.removeAllRanges();
  selection.setBaseAndExtent(exact[0], 0, exact[exact.length - 1], exact[exact.length - 1].childNodes.length);
  exact[0].scrollIntoView({ block: "nearest", behavior: "instant" });
}
