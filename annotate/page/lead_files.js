// Files in and pairs out: a file is sent, looked through, then loaded; an export is made and downloaded.

import { address, ask, sendFile } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { counts, part, problem } from "./lead_parts.js";
import { bar } from "./pages.js";
import { number, t } from "./words.js";

const MAX_BYTES = 200_000_000; // as the server takes them; asked here so that nobody sends one for nothing
const KINDS = ["ranking", "ab", "rating"];
const PAIRS = ["all", "adjacent", "best-worst"];
const SOON = 600;

const busy = (upload) => ["receiving", "reading", "loading"].includes(upload?.state);
const name = (text) => h("bdi", { class: "file-name" }, text);

/** Files to load. `loaded` is called when a load has ended. */
export function filesPart(path, loaded) {
  const said = problem();
  const file = h("input", { type: "file", class: "unseen", id: "lead-file", accept: ".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.gz", on: { change: choose } });
  const chooser = h("div", { class: "chooser" }, h("label", { class: "drop", on: { dragover: (e) => e.preventDefault(), drop: dropped } }, h("span", { class: "action" }, t("lead_file")), file), h("p", { class: "hint" }, t("lead_file_hint")));
  const result = h("div", { class: "file-result" });
  const choices = choicesForm(lookAgain);
  const actions = h("div", { class: "file-actions" });
  let upload = null;
  let timer = 0;
  let asking = false; // whether choices changed while the file was being read

  const at = (rest = "") => `${path}/files/${upload.id}${rest}`;

  function dropped(event) {
    event.preventDefault();
    file.files = event.dataTransfer.files;
    choose();
  }

  async function choose() {
    const chosen = file.files[0];
    if (!chosen) return;
    said.say(null);
    if (chosen.size > MAX_BYTES) return said.say({ code: "too_large" });
    upload = { state: "receiving", name: chosen.name, share: 0 };
    choices.reset();
    draw();
    await doing(async () => {
      const sent = (share) => ((upload.share = share), draw());
      upload = await sendFile(`${path}/files?name=${encodeURIComponent(chosen.name.slice(-200))}`, chosen, sent);
    });
    file.value = "";
  }

  /** Do something with the file; what is refused is said, and the page goes back to choosing when it is gone. */
  async function doing(act) {
    said.say(null);
    try {
      await act();
    } catch (failure) {
      said.say(failure);
      if (upload?.state === "receiving" || failure.code === "not_there") upload = null;
    }
    draw();
    follow();
  }

  function follow() {
    clearTimeout(timer);
    if (busy(upload) && upload.id) timer = setTimeout(step, SOON);
  }

  async function step() {
    const before = upload.state;
    await doing(async () => (upload = await ask("GET", at())));
    if (!upload || upload.state === before) return;
    if (asking && !busy(upload)) return lookAgain();
    if (upload.state === "ready") announce(t("lead_can_load", { n: number(upload.preview.tasks) }));
    if (upload.state === "loaded") {
      announce(t("lead_loaded", { n: number(upload.tally.tasks) }));
      loaded();
    }
  }

  function lookAgain() {
    if (!upload?.id || !choices.valid()) return;
    asking = busy(upload);
    if (!asking) doing(async () => (upload = await ask("POST", at("/preview"), choices.value())));
  }

  const load = () => doing(async () => (upload = await ask("POST", at("/load"))));
  const drop = () =>
    doing(async () => {
      const old = at();
      upload = null;
      file.focus();
      await ask("DELETE", old);
    });

  function draw() {
    const state = upload?.state;
    chooser.hidden = Boolean(state);
    choices.node.hidden = !upload?.id || ["loading", "loaded"].includes(state);
    fill(result, upload ? RESULTS[state](upload, path) : null);
    const wanted = !upload ? [] : state === "ready" && upload.preview.tasks ? ["load", "drop"] : state === "loaded" ? ["another"] : upload.id && state !== "loading" ? ["drop"] : [];
    const word = { load: () => t("lead_load", { n: number(upload.preview.tasks) }), drop: () => t(state === "reading" ? "lead_stop" : "lead_other_file"), another: () => t("lead_other_file") };
    const acts = { load, drop, another: drop };
    // A button that stays is kept, so that it keeps the focus.
    const there = new Map([...actions.children].map((button) => [button.dataset.act, button]));
    const buttons = wanted.map((act) => there.get(act) ?? h("button", { type: "button", "data-act": act, class: act === "load" ? "submit" : "action", on: { click: acts[act] } }));
    for (const button of buttons) button.textContent = word[button.dataset.act]();
    if (buttons.length !== actions.children.length || buttons.some((button, place) => actions.children[place] !== button)) {
      const had = actions.contains(document.activeElement);
      fill(actions, buttons);
      if (had && !actions.contains(document.activeElement)) (buttons[0] ?? head).focus({ preventScroll: true });
    }
  }

  const node = part("files", chooser, said.node, result, choices.node, actions);
  const head = node.querySelector("h2");
  head.tabIndex = -1;
  draw();
  return {
    node,
    /** What the server knows of, when this page does not: after a reload, or when it was removed there. */
    update(known, layouts) {
      choices.layouts(layouts);
      if (upload?.state === "receiving" || (upload && known?.id === upload.id) || !known) return;
      upload = known;
      choices.set(known.choices);
      draw();
      follow();
    },
    close: () => clearTimeout(timer),
  };
}

const RESULTS = {
  receiving: (u) => [h("p", {}, t("lead_sending"), " ", name(u.name)), bar(u.share ?? 0, t("lead_sending"))],
  reading: (u) => h("p", {}, name(u.name), " ", t("lead_reading", { n: number(u.rows) })),
  failed: (u) => [h("p", {}, name(u.name)), h("p", { class: "problem" }, t("lead_unreadable"), " ", u.error)],
  ready: (u, path) => preview(u, path),
  loading: (u) => {
    const all = u.preview.tasks + u.preview.known + u.preview.rejected;
    return [h("p", {}, t("lead_loading", { n: number(u.rows), all: number(all) })), bar(all ? Math.min(1, u.rows / all) : 0, t("lead_loading_bar"))];
  },
  loaded: (u, path) => {
    const { tasks, known, judgments } = u.tally;
    const rest = [known && t("lead_known", { n: number(known) }), judgments && t("lead_came_judged", { n: number(judgments) })].filter(Boolean);
    return [h("p", { class: "big" }, t("lead_loaded", { n: number(tasks) })), rest.length ? h("p", { class: "hint" }, rest.join(" · ")) : null, rejects(u, path)];
  },
};

function preview(u, path) {
  const p = u.preview;
  const notes = [
    p.known && t("lead_known", { n: number(p.known) }),
    p.duplicates && t("lead_duplicates", { n: number(p.duplicates) }),
    p.judgments && t("lead_come_judged", { n: number(p.judgments) }),
    p.with_empty && t("lead_with_empty", { n: number(p.with_empty) }),
    p.with_identical && t("lead_with_identical", { n: number(p.with_identical) }),
  ].filter(Boolean);
  return [
    h("p", { class: "big" }, p.tasks ? t("lead_new_tasks", { n: number(p.tasks) }) : t("lead_nothing_new")),
    h("p", {}, name(u.name), " ", t("lead_layout_is", { layout: t(`lead_layout_${p.format}`) })),
    p.tasks ? h("p", {}, `${counts(p.kinds, (kind) => t(`kind_${kind}`))} · ${counts(p.languages, (code) => code || t("lead_no_language"))} · ${t("lead_needed", { n: number(p.needed) })}`) : null,
    notes.length ? h("ul", { class: "hint notes-list" }, notes.map((note) => h("li", {}, note))) : null,
    rejects(u, path),
    p.first.length ? h("details", { class: "first" }, h("summary", {}, t("lead_first", { n: p.first.length })), h("ol", {}, p.first.map((view) => h("li", {}, h("div", { class: "rendered answer", dir: "auto", html: view.html }), h("p", { class: "hint" }, t("lead_responses", { n: view.responses })))))) : null,
  ];
}

/** Lines that cannot be used: how many, the first with their reasons, all of them as a file. */
function rejects(u, path) {
  if (!u.rejected) return null;
  const reasons = u.preview?.reasons ?? [];
  return h(
    "details",
    { class: "rejects" },
    h("summary", {}, t("lead_rejected", { n: number(u.rejected) })),
    h("ul", {}, reasons.map((one) => h("li", {}, h("bdi", {}, one.where), " – ", h("bdi", { class: "reason" }, one.reason)))),
    h("p", {}, h("a", { href: address(`api/${path}/files/${u.id}/rejected.jsonl`), download: "rejected.jsonl" }, t("lead_rejected_file"))),
  );
}

/** How the file is to be read: its layout, kind, overlap and language, each left to the file at first. */
function choicesForm(changed) {
  const pick = (id, values, word) => h("select", { id: `choice-${id}`, on: { change: changed } }, h("option", { value: "" }, t("lead_as_file")), values.map((value) => h("option", { value }, word(value))));
  const layout = pick("format", [], String);
  const kind = pick("kind", KINDS, (k) => t(`kind_${k}`));
  const overlap = h("input", { type: "number", id: "choice-overlap", min: 1, max: 1000, inputmode: "numeric", placeholder: t("lead_as_file"), on: { change: changed } });
  const language = h("input", { type: "text", id: "choice-language", maxlength: 12, placeholder: t("lead_as_file"), autocomplete: "off", on: { change: changed } });
  const field = (input, label) => h("div", {}, h("label", { for: input.id }, label), input);
  const fields = { format: layout, kind, overlap, language };
  const set = (given) => Object.entries(fields).forEach(([key, input]) => (input.value = given[key] ?? ""));
  return {
    node: h("div", { class: "file-choices" }, field(kind, t("lead_choice_kind")), field(overlap, t("lead_choice_overlap")), field(language, t("lead_choice_language")), field(layout, t("lead_choice_layout"))),
    value: () => ({ format: layout.value || null, kind: kind.value || null, overlap: overlap.value ? Number(overlap.value) : null, language: language.value.trim() || null }),
    valid: () => overlap.reportValidity(),
    reset: () => set({}),
    set,
    layouts(names) {
      if (layout.options.length === 1) layout.append(...names.map((l) => h("option", { value: l }, t(`lead_layout_${l}`))));
    },
  };
}

/** The export: which pairs, how far, the file. */
export function exportPart(path) {
  const said = problem();
  const pairs = h("select", { id: "export-pairs" }, PAIRS.map((p) => h("option", { value: p }, t(`lead_pairs_${p.replace("-", "_")}`))));
  const button = h("button", { type: "button", class: "action", on: { click: start } }, t("lead_export"));
  const state = h("div", { class: "export-state" });
  let shown = null;
  let timer = 0;

  async function start() {
    said.say(null);
    try {
      draw(await ask("POST", `${path}/export`, { pairs: pairs.value }));
    } catch (failure) {
      said.say(failure);
    }
  }

  async function step() {
    try {
      draw((await ask("GET", `${path}/export`)).export);
    } catch {
      timer = setTimeout(step, 5000); // the page says what is wrong when it looks again itself
    }
  }

  function draw(held) {
    clearTimeout(timer);
    const words = JSON.stringify(held);
    if (held?.state === "running") timer = setTimeout(step, SOON);
    if (words === shown) return;
    const before = shown && JSON.parse(shown)?.state;
    shown = words;
    fill(state, held ? EXPORTS[held.state](held, path) : null);
    if (before === "running" && held) announce(state.firstChild.textContent);
  }

  return {
    node: part("export", h("p", { class: "hint" }, t("lead_export_hint")), h("label", { for: pairs.id }, t("lead_pairs")), h("div", { class: "export-row" }, pairs, button), said.node, state),
    update: (held) => (held || shown) && draw(held),
    close: () => clearTimeout(timer),
  };
}

const EXPORTS = {
  running: () => h("p", {}, t("lead_exporting")),
  failed: (e) => h("p", { class: "problem" }, t("lead_export_failed"), " ", e.error),
  done: ({ id, summary }, path) => {
    const values = Object.fromEntries(["pairs", "train", "validation", "test", "judgments"].map((key) => [key, number(summary[key] ?? 0)]));
    return [
      h("p", {}, t("lead_exported", values)),
      h("p", { class: "hint digest" }, t("lead_digest"), " ", h("code", {}, summary.digest.slice(0, 16))),
      h("p", {}, h("a", { class: "action", href: address(`api/${path}/export/${id}.zip`), download: "" }, t("lead_download"))),
    ];
  },
};
