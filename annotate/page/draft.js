// What is not submitted yet: in this browser at once, on the server within a second, and the time spent.

import { ask, passing } from "./api.js";

const WAIT_MS = 600; // after the last change
const IDLE_MS = 60_000; // no input for this long is no work

/** Counts the time a person is at work: the tab in sight, and something touched in the last minute. */
export function activeClock(start = 0) {
  let total = start;
  let last = performance.now();
  let touched = performance.now();
  const tick = () => {
    const now = performance.now();
    const until = Math.min(now, touched + IDLE_MS);
    if (!document.hidden && until > last) total += until - last;
    last = now;
  };
  const touch = () => {
    tick();
    touched = performance.now();
  };
  const hide = () => {
    if (document.hidden) {
      const now = performance.now(); // what was seen up to this moment counts
      total += Math.max(0, Math.min(now, touched + IDLE_MS) - last);
      last = now;
    } else {
      last = performance.now();
    }
  };
  const events = ["pointerdown", "keydown", "wheel", "scroll", "pointermove", "touchstart"];
  for (const name of events) window.addEventListener(name, touch, { passive: true, capture: true });
  document.addEventListener("visibilitychange", hide);
  return {
    ms() {
      tick();
      return Math.round(total);
    },
    /** Whether somebody was at work within the last `ms`. */
    isActive: (ms = IDLE_MS) => !document.hidden && performance.now() - touched < ms,
    stop() {
      for (const name of events) window.removeEventListener(name, touch, { capture: true });
      document.removeEventListener("visibilitychange", hide);
    },
  };
}

/**
 * Keeps one task's draft. `say` is told "saving", "saved", a failure's code with the failure; and of another
 * tab on the same task, "changed" with its draft, or "ended" when it has handed the task in or skipped it.
 * Of the server's and this browser's draft the newer counts, by its seq.
 */
export function draftKeeper(person, token, fromServer, say) {
  const key = `concord:draft:${person}:${token}`;
  let seq = 0;
  let sent = 0;
  let timer = 0;
  let latest = null;
  let closed = false;

  const kept = (() => {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "null");
    } catch {
      return null;
    }
  })();
  const newest = kept && kept.seq > (fromServer?.seq ?? -1) ? kept : fromServer;
  seq = newest?.seq ?? 0;
  sent = fromServer?.seq ?? 0;

  async function send() {
    clearTimeout(timer);
    if (closed || !latest || latest.seq <= sent) return;
    const mine = latest;
    say("saving");
    try {
      await ask("PUT", `leases/${token}/draft`, mine);
      sent = Math.max(sent, mine.seq);
      if (!closed) latest.seq > sent ? plan() : say("saved");
    } catch (failure) {
      if (closed) return;
      say(failure.code, failure);
      if (passing(failure)) timer = setTimeout(send, 2500);
    }
  }
  const plan = () => {
    clearTimeout(timer);
    timer = setTimeout(send, WAIT_MS);
  };
  const leave = () => {
    if (!closed && latest && latest.seq > sent) ask("PUT", `leases/${token}/draft`, latest, { keepalive: true }).catch(() => {});
  };
  const other = (event) => {
    if (closed || event.key !== key) return;
    if (event.newValue === null) return say("ended", null);
    const theirs = JSON.parse(event.newValue);
    if (theirs.seq <= seq) return;
    seq = theirs.seq;
    latest = null; // that tab sends it
    say("changed", theirs);
  };
  window.addEventListener("storage", other);
  window.addEventListener("pagehide", leave);
  const hidden = () => document.hidden && leave();
  document.addEventListener("visibilitychange", hidden);

  return {
    /** The draft to start from, or null. */
    found: newest ?? null,
    /** A change: into this browser now, to the server soon. */
    change(answer, spent) {
      latest = { seq: ++seq, answer, ...spent };
      try {
        localStorage.setItem(key, JSON.stringify(latest));
      } catch {
        // a full or forbidden storage: the server's copy remains
      }
      plan();
    },
    send,
    /** Done with it: submitted or skipped. */
    close(forget) {
      closed = true;
      clearTimeout(timer);
      window.removeEventListener("storage", other);
      window.removeEventListener("pagehide", leave);
      document.removeEventListener("visibilitychange", hidden);
      if (forget) localStorage.removeItem(key);
    },
  };
}
