// Building the page: elements from plain values, and what a screen reader is told.

/** An element. Text goes in as text, never as HTML; `on` holds listeners; a null child is left out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (key === "class") node.className = value;
    else if (key === "html") node.innerHTML = value; // only what the server has sanitised
    else if (key === "checked" || key === "value" || key === "disabled") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(3)) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/** An element of a drawing. */
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Replace what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

let live = null;

/** Say something to a screen reader, politely. */
export function announce(text) {
  if (!live || !live.isConnected) {
    live = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    document.querySelector(".concord")?.append(live);
  }
  live.textContent = text;
}

/** A dialog over the page; closes on Escape, a click beside it, or its ×. Returns the element. */
export function dialog(title, closeWord, ...children) {
  const box = h(
    "dialog",
    { class: "sheet", "aria-label": title, on: { close: () => box.remove(), click: (e) => e.target === box && box.close() } },
    h(
      "div",
      { class: "sheet-inner" },
      h("div", { class: "sheet-top" }, h("h2", {}, title), h("button", { class: "quiet close", type: "button", "aria-label": closeWord, on: { click: () => box.close() } }, "×")),
      ...children,
    ),
  );
  document.querySelector(".concord").append(box);
  box.showModal();
  return box;
}

/** Whether a key press belongs to what has the focus: typing, or composing Chinese. */
export function typing(event) {
  const at = event.target;
  return event.isComposing || event.keyCode === 229 || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName) && at.type !== "radio" && at.type !== "checkbox" || at.isContentEditable;
}

/** Stop the click that the press going on ends in, if it ends in one; a next press, a key's or a program's click is heard. */
export function stopItsClick() {
  const ended = new AbortController();
  const on = (kind, act) => window.addEventListener(kind, act, { capture: true, signal: ended.signal });
  on("click", (click) => {
    if (!click.detail) return; // not a press: a key, or what reads the page aloud
    click.preventDefault();
    click.stopPropagation();
    ended.abort();
  });
  on("pointerdown", () => ended.abort());
  on("pointercancel", () => ended.abort());
}
