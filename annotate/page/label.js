// The labelling screen: one task after another, kept until it is handed in.

import { ab } from "./ab.js";
import { lookAhead } from "./ahead.js";
import { ask, passing, workIn } from "./api.js";
import { promptCard, responseCard } from "./cards.js";
import { announce, fill, h, typing } from "./dom.js";
import { activeClock, draftKeeper } from "./draft.js";
import { minePlace } from "./history.js";
import { actionOf, keysOn } from "./keys.js";
import { nothingLeft } from "./nothing.js";
import { skipSheet } from "./pages.js";
import { panelOf } from "./panel.js";
import { ranking, rowsOf, tiersOf } from "./ranking.js";
import { rating } from "./rating.js";
import { readingAids } from "./reading.js";
import { t } from "./words.js";

const KINDS = { ranking, ab, rating };
const RENEW_MS = 4 * 60_000;

const empty = () => ({ verdict: "answered", rows: {}, choice: null, strength: null, ratings: {}, flags: {}, critiques: {}, edited: {}, comment: "" });

/** The answer as the server takes it. */
export function toWire(kind, answer, letters) {
  const wire = { verdict: answer.verdict, flags: answer.flags, critiques: answer.critiques, edited: answer.edited, comment: answer.comment };
  if (kind === "ranking") wire.ranking = tiersOf(answer.rows, letters);
  if (kind === "ab") Object.assign(wire, { choice: answer.choice, strength: answer.strength });
  if (kind === "rating") wire.ratings = answer.ratings;
  return wire;
}

function fromWire(wire) {
  const answer = { ...empty(), ...structuredClone(wire) };
  answer.rows = rowsOf(wire.ranking);
  delete answer.ranking;
  return answer;
}

/** The screen for a project: `shell` shows progress and messages, `open` starts at one judgment to revise. */
export function labelScreen(root, shell, project, reviseId = null) {
  workIn(project);
  let task = null;
  let answer = empty();
  let kind = null;
  let keeper = null;
  let clock = null;
  let undone = [];
  let busy = false; // from handing in until the next task is drawn
  let gone = false; // left for another screen: what still arrives is no longer shown
  let recent = null;
  let shownAt = 0;
  let touched = false; // something was said about this task since it is shown
  const ahead = lookAhead(shell.person.id, project, () => task);
  const aids = readingAids(shell.note);
  let nothing = null; // what is shown while there is no task

  const letters = () => task.responses.map((r) => r.letter);
  const wire = () => toWire(task.kind, answer, letters());

  /** Ask for a task and show it; `instead` of one that was shown, only while nothing has been said about that. */
  async function load(reviseThis = null, instead = null) {
    shell.busy(true);
    try {
      const held = reviseThis ? await ask("POST", `judgments/${reviseThis}/revise`) : await ask("POST", `projects/${encodeURIComponent(project)}/next`);
      if (gone || (instead && (task !== instead || touched))) return;
      if (instead) shell.note(t("went_meanwhile"), true);
      if (held.progress) shell.progress(held.progress);
      held.task ? show(held.task) : showNothing(held);
      shell.clear();
    } catch (failure) {
      if (gone) return;
      shell.failed(failure);
      if (passing(failure)) setTimeout(() => gone || load(reviseThis), 2500);
    } finally {
      if (!gone) shell.busy(false);
    }
  }

  function show(view) {
    done();
    nothing = nothing?.close() ?? null;
    task = view;
    answer = view.revises ? fromWire(view.revises.answer) : empty();
    shell.saving("none");
    keeper = draftKeeper(shell.person.id, view.token, view.draft, (state, what) => (state === "ended" || state === "changed" ? elsewhere(what) : shell.saving(state, what)));
    if (keeper.found) answer = fromWire(keeper.found.answer);
    clock = activeClock(keeper.found?.active_ms ?? 0);
    shownAt = performance.now() - (keeper.found?.shown_ms ?? 0);
    undone = [];
    touched = false;
    draw();
    root.querySelector("#prompt-title").focus({ preventScroll: true });
    window.scrollTo(0, 0);
    ahead.showing(view);
    announce(t("new_task", { kind: t(`do_${view.kind}`), n: view.responses.length }));
  }

  const spent = () => ({ active_ms: clock.ms(), shown_ms: Math.round(performance.now() - shownAt) });

  /** On from a task that was handed in or skipped: its successor is here already, unless the project was paused. */
  async function onward(paused) {
    if (paused) await ahead.release();
    const next = await ahead.take();
    if (!next || gone) return load();
    show(next);
    try {
      await ask("POST", `leases/${next.token}/renew`); // its time counts from now
    } catch (failure) {
      if (failure.code !== "lease_over" || task !== next) return;
      if (touched) return shell.failed(failure); // it still counts if it is free
      load(null, next);
    }
  }

  /** Another tab of this browser has gone on with the same task, or is done with it: so does this one. */
  function elsewhere(draft) {
    if (!draft) return shell.note(t("ended_elsewhere")), load();
    if (busy) return; // this one is on its way already
    answer = fromWire(draft.answer);
    draw();
  }

  function changed() {
    touched = true;
    keeper.change(wire(), spent());
    refreshState();
  }

  /** A change of the kind's own part: kept for undo. The snapshot is of what was there before it. */
  let before = null;
  function kindChanged() {
    if (before) undone.push(before);
    if (undone.length > 100) undone.shift();
    before = snapshot();
    changed();
  }
  const snapshot = () => JSON.stringify({ verdict: answer.verdict, rows: answer.rows, choice: answer.choice, strength: answer.strength, ratings: answer.ratings });

  function undo() {
    const last = undone.pop();
    if (!last) return announce(t("nothing_to_undo"));
    Object.assign(answer, JSON.parse(last));
    before = snapshot();
    kind.refresh();
    changed();
    announce(t("undone"));
  }

  let panel = null;

  function draw() {
    kind = KINDS[task.kind](task, answer, kindChanged);
    before = snapshot();
    aids.begin(task);
    const cards = task.responses.map((r) => responseCard(r, answer, kind.tools(r.letter), aids, changed));
    const back = recent && (() => load(recent));
    panel = panelOf(task, answer, kind, { submit, undo, allBad, changed, skip, back, leave: leaveRevision, cannotJudge: () => handIn("cannot_judge") });
    fill(
      root,
      h(
        "div",
        { class: `task kind-${task.kind} of-${task.responses.length}` },
        h("div", { class: "reading" }, task.revises ? h("p", { class: "banner" }, t("revising")) : null, promptCard(task, aids), h("div", { class: "responses" }, cards)),
        panel.element,
      ),
    );
    kind.refresh();
    aids.dress(root.querySelector(".task"), task, kind.selected, () => answer.rows);
    refreshState();
  }

  function allBad(on) {
    answer.verdict = on ? "all_bad" : "answered";
    kindChanged();
  }

  function missing() {
    return answer.verdict === "all_bad" ? null : kind.missing();
  }

  const refreshState = () => panel.refresh(missing(), busy, undone.length > 0);

  function submit() {
    const what = missing();
    if (what) return announce(what);
    handIn(answer.verdict);
  }

  /**
   * Send the answer until the server has it; the same token never counts twice. Until then the task rests:
   * a change made after a try that did arrive would be shown here and kept nowhere.
   */
  async function handIn(verdict) {
    if (busy) return;
    rest(true);
    const body = { answer: { ...wire(), verdict }, ...spent() };
    await send(task, body);
  }

  function rest(on) {
    busy = on;
    shell.busy(on);
    root.querySelector(".task").inert = on;
    refreshState();
  }

  async function send(mine, body) {
    try {
      const held = await ask("POST", `leases/${mine.token}/submit`, body);
      keeper.close(true);
      shell.clear(); // what stood in the way is over
      recent = held.judgment;
      shell.progress(held.progress);
      shell.note(t(`submitted_${held.state}`), held.state === "surplus");
      if (mine.revises && reviseId) return void (location.hash = minePlace(project));
      await (mine.revises ? load() : onward(held.paused));
    } catch (failure) {
      if (gone || task !== mine) return;
      shell.failed(failure, passing(failure) ? t("will_send") : null);
      if (passing(failure)) return void setTimeout(() => gone || task !== mine || send(mine, body), 2500);
      rest(false);
      panel.toSubmit();
    }
  }

  const skip = () =>
    skipSheet(async (reason, comment) => {
      const held = await ask("POST", `leases/${task.token}/skip`, { reason, comment });
      keeper.close(true);
      shell.clear();
      shell.progress(held.progress);
      onward(held.paused);
    }, shell.failed);

  async function leaveRevision() {
    answer = fromWire(task.revises.answer); // what was changed is dropped: opened again, it starts from what is kept
    keeper.change(wire(), spent());
    await keeper.send();
    keeper?.close(true);
    if (reviseId) location.hash = minePlace(project);
    else load();
  }

  function showNothing(held) {
    done();
    nothing ? nothing.update(held) : (nothing = nothingLeft(root, held, `#/p/${encodeURIComponent(project)}/mine`, () => load()));
  }

  function done() {
    keeper?.send();
    keeper?.close(false);
    clock?.stop();
    keeper = clock = null;
    task = null;
    busy = false;
    shell.busy(false);
  }

  // What single keys do here beside the kind's own, by the names of actions in keys.js. One line each.
  const own = {
    skip: () => !task.revises && skip(),
    undo: () => undo(),
    source: () => source(),
    notes: () => notes(),
    bad: () => task.kind !== "ab" && allBad(answer.verdict !== "all_bad"),
    comment: () => root.querySelector("#comment").focus(),
    reading: () => aids.open(),
    compare: () => aids.compare(),
    step: () => aids.step(),
  };

  function onKey(event) {
    if (!task || busy || document.querySelector("dialog[open]")) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      return submit();
    }
    if (typing(event)) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      return undo();
    }
    if (event.altKey || event.ctrlKey || event.metaKey || !keysOn()) return;
    const does = own[actionOf(event)];
    if (answer.verdict === "all_bad" && task.kind !== "ab" ? false : kind.key(event)) event.preventDefault();
    else if (does) {
      event.preventDefault();
      does();
    }
  }

  function source() {
    const letter = kind.selected();
    const at = letter ? root.querySelector(`#response-${letter}`) : root.querySelector(".prompt");
    at?.querySelector("[data-source]")?.click();
  }

  /** Open or close the notes of the chosen response; opened, the first flag has the focus. */
  function notes() {
    const card = root.querySelector(`#response-${kind.selected()}`);
    card?.querySelector("[aria-controls]").click();
    card?.querySelector(".notes:not([hidden]) input")?.focus();
  }

  const onKeys = () => task && kind.refresh(); // they were changed: the controls show the new ones
  document.addEventListener("keydown", onKey);
  document.addEventListener("concord:keys", onKeys);
  const renewing = setInterval(() => {
    if (!task || task.revises || !clock?.isActive(RENEW_MS)) return;
    ask("POST", `leases/${task.token}/renew`).catch((failure) => !passing(failure) && shell.failed(failure));
    ahead.renew();
  }, RENEW_MS);

  load(reviseId);
  return {
    /** Signed in again, or the way is free again: send what waits. */
    retry: () => (task && !busy ? keeper.send() : load(reviseId)),
    /** The kind of the task at hand, for the list of keys. */
    kind: () => task?.kind,
    /** Leave the project: what one holds goes to others. */
    async giveBack() {
      if (!task || task.revises) return;
      await ask("POST", `leases/${task.token}/skip`, { reason: "upsetting", comment: "" });
      keeper.close(true);
    },
    close() {
      gone = true;
      clearInterval(renewing);
      ahead.close();
      document.removeEventListener("keydown", onKey);
      aids.close();
      document.removeEventListener("concord:keys", onKeys);
      nothing?.close();
      done();
    },
  };
}
