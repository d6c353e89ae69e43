// Ranking: responses into rows, best first; two in a row are a tie; none is placed until somebody places it.

import { announce, fill, h, stopItsClick } from "./dom.js";
import { actionOf, pressed, shownKey } from "./keys.js";
import { t } from "./words.js";

/** Tiers (as the server keeps them) from rows, and back. */
export function tiersOf(rows, letters) {
  const used = [...new Set(letters.map((l) => rows[l]).filter(Boolean))].sort((a, b) => a - b);
  return used.map((row) => letters.filter((l) => rows[l] === row));
}

export function rowsOf(tiers) {
  const rows = {};
  (tiers ?? []).forEach((tier, i) => tier.forEach((letter) => (rows[letter] = i + 1)));
  return rows;
}

export function ranking(view, answer, changed) {
  const letters = view.responses.map((r) => r.letter);
  const count = letters.length;
  let selected = null;
  let last = null; // the response placed last: the key for a tie ties the next one with it
  let tieNext = false;

  const board = h("div", { class: "rows" });
  const keys = h("p", { class: "hint keys" });
  const tools = Object.fromEntries(letters.map((l) => [l, h("div", { class: "places", role: "group", "aria-label": t("place_of", { letter: l }) })]));

  const placed = () => letters.filter((l) => answer.rows[l]);
  const rowName = (row) => (row === 1 ? t("row_best", { row }) : row === count ? t("row_worst", { row }) : t("row", { row }));

  function place(letter, row, focus = null) {
    if (row === (answer.rows[letter] ?? 0)) return;
    row ? (answer.rows[letter] = row) : delete answer.rows[letter];
    if (row) last = letter;
    selected = letter;
    changed();
    refresh();
    const tied = letters.filter((l) => l !== letter && row && answer.rows[l] === row);
    announce(row ? (tied.length ? t("now_tied", { letter, row, others: tied.join(", ") }) : t("now_at", { letter, row })) : t("now_out", { letter }));
    if (focus) board.querySelector(`[data-chip="${letter}"] [data-do="${focus}"]`)?.focus({ preventScroll: true });
  }

  /** Below the last row in use; when that is the lowest, the first empty one. */
  function nextRow() {
    const used = new Set(placed().map((l) => answer.rows[l]));
    const below = Math.max(0, ...used) + 1;
    return below <= count ? below : Array.from({ length: count }, (_, i) => i + 1).find((row) => !used.has(row));
  }

  /** The next response in one's order: below the last one, or beside it after the key for a tie. */
  function placeNext(letter) {
    if (tieNext && last && answer.rows[last]) {
      tieNext = false;
      return place(letter, answer.rows[last]);
    }
    place(letter, nextRow());
  }

  function chip(letter) {
    const row = answer.rows[letter] ?? 0;
    const act = (what, label, mark, to) =>
      h("button", { type: "button", class: "quiet", "data-do": what, "aria-label": label, disabled: to === null, on: { click: () => place(letter, to, what) } }, mark);
    const name = row ? t("chip_at", { letter, row }) : t("chip_out", { letter });
    return h(
      "li",
      { class: `chip${selected === letter ? " selected" : ""}`, "data-chip": letter },
      h("button", { type: "button", class: "handle", "data-do": "pick", "aria-pressed": String(selected === letter), "aria-label": name, on: { click: () => pick(letter, true) } }, letter),
      row ? act("up", t("move_up", { letter }), "▲", row > 1 ? row - 1 : null) : act("place", t("place_next", { letter }), "+", nextRow()),
      row ? act("down", t("move_down", { letter }), "▼", row < count ? row + 1 : null) : null,
      row ? act("out", t("take_out", { letter }), "×", 0) : null,
    );
  }

  function line(row, label) {
    const inside = letters.filter((l) => (answer.rows[l] ?? 0) === row);
    const id = `row-${row}`;
    return h(
      "div",
      { class: `row${row ? "" : " unplaced"}`, "data-row": row },
      h("p", { class: "row-name", id }, label),
      h("ul", { "aria-labelledby": id }, inside.map(chip)),
    );
  }

  /** Choose a response; a click on the chosen one lets it go, its key never does (a digit may follow). */
  function pick(letter, letGo) {
    selected = letGo && selected === letter ? null : letter;
    refresh();
    board.querySelector(`[data-chip="${letter}"] [data-do="pick"]`)?.focus({ preventScroll: true });
    if (selected) document.getElementById(`response-${letter}`)?.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  function refresh() {
    fill(keys, t("keys_ranking", { tie: shownKey("tie"), out: shownKey("out") }));
    const rows = [...Array(count).keys()].map((i) => line(i + 1, rowName(i + 1)));
    fill(board, line(0, t("unplaced")), rows); // stays when it is empty: nothing jumps, and one can drag back to it
    for (const letter of letters) {
      document.getElementById(`response-${letter}`)?.classList.toggle("selected", selected === letter);
      fill(
        tools[letter],
        [...Array(count).keys()].map((i) => {
          const on = answer.rows[letter] === i + 1;
          const label = t(on ? "placed_at" : "place_at", { letter, row: i + 1 });
          return h("button", { type: "button", class: "place", "data-end": i ? (i + 1 === count ? t("end_worst") : null) : t("end_best"), "aria-pressed": String(on), "aria-label": label, on: { click: () => (place(letter, on ? 0 : i + 1), tools[letter].children[i].focus({ preventScroll: true })) } }, String(i + 1));
        }),
      );
    }
  }

  // Dragging: by pointer, because HTML's own drag and drop does nothing on a touch screen.
  board.addEventListener("pointerdown", (down) => {
    const handle = down.target.closest(".handle");
    if (!handle || down.button) return;
    const letter = handle.closest(".chip").dataset.chip;
    let ghost = null;
    const over = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-row]");
    const move = (event) => {
      if (!ghost && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 6) return;
      if (!ghost) {
        ghost = h("div", { class: "ghost", "aria-hidden": "true" }, letter);
        document.querySelector(".concord").append(ghost);
        document.body.classList.add("dragging");
      }
      ghost.style.transform = `translate(${event.clientX - 18}px, ${event.clientY - 18}px)`;
      for (const row of board.querySelectorAll(".row")) row.classList.toggle("over", row === over(event));
    };
    const end = (event) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
      document.body.classList.remove("dragging");
      if (!ghost) return;
      ghost.remove();
      const row = event.type === "pointerup" ? over(event) : null;
      for (const one of board.querySelectorAll(".row")) one.classList.remove("over");
      if (row) place(letter, Number(row.dataset.row), "pick");
      stopItsClick(); // a mouse's drag ends in one unless what it began on was drawn anew; a finger's in none
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  });

  function key(event) {
    const char = pressed(event);
    const letter = char.toUpperCase();
    const action = actionOf(event);
    if (letters.includes(letter)) {
      answer.rows[letter] && !tieNext ? pick(letter, false) : placeNext(letter);
      return true;
    }
    if (action === "tie") {
      tieNext = Boolean(last);
      announce(tieNext ? t("tie_next", { letter: last }) : "");
      return true;
    }
    if (!selected) return false;
    const row = answer.rows[selected] ?? 0;
    const within = board.contains(document.activeElement); // elsewhere arrows scroll what one reads
    if (/^[1-9]$/.test(char) && Number(char) <= count) place(selected, Number(char), "pick");
    else if (action === "out") place(selected, 0, "pick");
    else if (event.key === "ArrowUp" && within && row > 1) place(selected, row - 1, "pick");
    else if (event.key === "ArrowDown" && within && row && row < count) place(selected, row + 1, "pick");
    else return false;
    return true;
  }

  refresh();
  return {
    panel: h("section", { class: "kind", "aria-label": t("your_ranking") }, h("h2", {}, t("your_ranking")), board, keys),
    tools: (letter) => tools[letter],
    refresh,
    key,
    missing() {
      const left = letters.filter((l) => !answer.rows[l]);
      if (!left.length || (view.allow_unplaced && placed().length >= 2)) return null;
      return t("missing_places", { letters: left.join(", ") });
    },
    selected: () => selected,
    short: () => tiersOf(answer.rows, letters).map((tier) => tier.join(" = ")).join("  ›  "),
  };
}
