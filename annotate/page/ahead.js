// The task after this one: fetched while one reads, shown at once, given back when it is not wanted.

import { ask } from "./api.js";

const none = Promise.resolve(null);
const SOON_S = 20;

/**
 * Looks one task ahead in a project. `shown` says which task the page shows now.
 * Tabs of one browser share what is fetched, so each notes which task it shows and which it gave back.
 */
export function lookAhead(person, project, shown) {
  const openKey = `concord:open:${person}`;
  const freedKey = `concord:freed:${person}`;
  let next = none;

  const fetchNext = () => (next = ask("POST", `projects/${encodeURIComponent(project)}/next?ahead=true`).then((held) => held.task, () => null)); // what goes wrong is said when the task is needed

  /** Give it back: now, or, when the page is left, soon; another tab that has it as well then keeps it. */
  async function release(soon) {
    const held = await next;
    next = none;
    if (!held || held.token === shown()?.token || held.token === localStorage.getItem(openKey)) return;
    localStorage.setItem(freedKey, held.token); // first: when the page is left nothing runs after a request
    await ask("POST", `leases/${held.token}/release?after_s=${soon ? SOON_S : 0}`, {}, { keepalive: true }).catch(() => {});
  }
  const leave = () => release(true);

  function freedElsewhere(event) {
    if (event.key !== freedKey || !event.newValue) return;
    setTimeout(async () => {
      const mine = [await next, shown()].some((one) => one?.token === event.newValue);
      if (mine) renew(event.newValue);
    }, SOON_S * 100); // not before the other tab's word has arrived
  }

  const renew = (token) => ask("POST", `leases/${token}/renew`).catch((failure) => failure.code === "lease_over" && (next = none));

  window.addEventListener("pagehide", leave);
  window.addEventListener("storage", freedElsewhere);

  return {
    /** A task is on the page now: fetch its successor, unless it is an old answer that is revised. */
    showing(view) {
      localStorage.setItem(openKey, view.token);
      if (!view.revises) fetchNext();
    },
    /** The successor, or null: it is the caller's now. */
    async take() {
      const held = await next;
      next = none;
      return held;
    },
    /** Keep the successor as long as the page is at work. */
    async renew() {
      const held = await next;
      if (held) renew(held.token);
    },
    release: () => release(false),
    close() {
      window.removeEventListener("pagehide", leave);
      window.removeEventListener("storage", freedElsewhere);
      leave();
    },
  };
}
