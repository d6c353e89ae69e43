// Starts the page: who is signed in, which screen the address names, and the bar above it.

import { address, ask, connect, drawnFor, passing } from "./api.js";
import { breakReminder } from "./breaks.js";
import { fill, h, typing } from "./dom.js";
import { minePage } from "./history.js";
import { actionOf, keysOn } from "./keys.js";
import { showKeys } from "./keysheet.js";
import { labelScreen } from "./label.js";
import { mathFrom } from "./math.js";
import { bar, guidelinesRead, hasLeft, projectsPage, showGuidelines, signOutSheet } from "./pages.js";
import { showSettings } from "./settings.js";
import { lang, loadWords, number, t } from "./words.js";

const YEAR = 365 * 24 * 3600;
let mounted = null;

/** Build the page inside the element Gradio gives us; called again, it does nothing. */
export async function mount(root) {
  if (mounted === root) return;
  mounted = root;
  connect(root.dataset.base);
  mathFrom(root.dataset.katex, root.dataset.katexCss);
  await loadWords();
  document.title = "Concord";
  document.body.classList.add("concord-page");
  const shell = makeShell(root);
  await start(shell);
}

async function start(shell) {
  try {
    shell.me = await ask("GET", "me");
    shell.person = shell.me.person;
    drawnFor(shell.person.id);
    shell.clear();
  } catch (failure) {
    shell.failed(failure);
    if (passing(failure)) setTimeout(() => start(shell), 2500);
    return;
  }
  window.addEventListener("hashchange", () => route(shell));
  for (const event of ["focus", "visibilitychange"]) window.addEventListener(event, shell.comeBack);
  document.addEventListener("keydown", (event) => {
    if (actionOf(event) !== "help" || !keysOn() || event.ctrlKey || event.metaKey || event.altKey || typing(event) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    shell.showKeys();
  });
  breakReminder(shell.root);
  await route(shell);
}

/** A part of the address; one that was cut in the middle of a character stands for itself. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** #/ the projects · #/p/NAME the tasks · #/p/NAME/mine?SEARCH · #/p/NAME/revise/ID · #/p/NAME/lead · #/p/NAME/lead/person/ID */
async function route(shell) {
  shell.screen?.close?.();
  shell.screen = null;
  shell.busy(false);
  const turn = (shell.turn = (shell.turn ?? 0) + 1);
  document.querySelectorAll("dialog[open]").forEach((box) => box.close("left"));
  const [path, query = ""] = location.hash.split("?");
  const [, , name, what, id, person] = path.split("/").map(decoded);
  const left = (project) => hasLeft(shell.person.id, project) && what !== "lead"; // who leads a project still does
  const project = shell.me.projects.find((p) => p.name === name && !left(name));
  if (!name && shell.me.projects.length === 1 && !shell.visited && !left(shell.me.projects[0].name)) {
    shell.visited = true;
    location.hash = `#/p/${encodeURIComponent(shell.me.projects[0].name)}`;
    return;
  }
  shell.visited = true;
  shell.at(project ?? null, what);
  if (!project) return void (shell.screen = projectsPage(shell.body, shell.me));
  if (what === "mine") return void (shell.screen = minePage(shell.body, shell, name, new URLSearchParams(query)));
  if (what === "lead") return leadPages(shell, name, turn, id === "person" && person);
  try {
    if (!guidelinesRead(shell.person.id, project)) await showGuidelines(shell, name, true);
  } catch (failure) {
    shell.failed(failure);
  }
  if (turn !== shell.turn || hasLeft(shell.person.id, name)) return; // the address changed while they were open
  shell.screen = labelScreen(shell.body, shell, name, what === "revise" ? id : null);
}

/** What only leads need is fetched only by them. */
async function leadPages(shell, name, turn, person) {
  shell.body.replaceChildren();
  shell.busy(true);
  try {
    const screen = person ? (await import("./lead_person.js")).personScreen : (await import("./lead.js")).leadScreen;
    const opened = turn === shell.turn && (await screen(shell.body, shell, name, person));
    if (turn === shell.turn) shell.screen = opened;
    else opened?.close?.();
  } catch (failure) {
    shell.failed(failure.code ? failure : { code: "offline" });
  } finally {
    if (turn === shell.turn) shell.busy(false);
  }
}

function setCookie(name, value) {
  document.cookie = `${name}=${value};path=${address("") || "/"};max-age=${YEAR};samesite=lax`;
}

function makeShell(root) {
  const body = h("div", { class: "body", id: "main" }); // Gradio's own <main> is around it
  const message = h("div", { class: "message", role: "alert", hidden: true });
  const note = h("p", { class: "note", role: "status", hidden: true });
  const savedLine = h("span", { class: "saved", role: "status" });
  const title = h("a", { class: "home", href: "#/" });
  const stand = h("div", { class: "stand" });
  const links = h("nav", { "aria-label": t("menu") });
  const top = h("header", { class: "top" }, title, stand, savedLine, links);
  fill(root, h("a", { class: "skip-link", href: "#main", on: { click: (e) => (e.preventDefault(), body.querySelector("h1")?.focus()) } }, t("skip_link")), top, message, body, note);
  let noteTimer = 0;
  let current = null;

  const shell = {
    root,
    body,
    /** A passing word of success; a warning stays longer. */
    note(text, warn = false) {
      note.textContent = text;
      note.hidden = false;
      note.classList.toggle("warn", warn);
      clearTimeout(noteTimer);
      noteTimer = setTimeout(() => (note.hidden = true), warn ? 12000 : 2500);
    },
    /** What went wrong, in the reader's words, and what can be done. */
    failed(failure, more = null) {
      const known = ["offline", "store_down", "signed_out", "other_person", "not_a_member", "lease_over", "superseded", "csrf", "not_there", "bad_answer", "paused"];
      const text = t(known.includes(failure.code) ? `error_${failure.code}` : "error_other");
      const detail = failure.code === "bad_answer" || !known.includes(failure.code) ? failure.message : "";
      const way =
        failure.code === "signed_out"
          ? h("a", { href: address(`signin?next=${encodeURIComponent(location.pathname)}`), target: "_blank", rel: "opener" }, t("signin_again"))
          : ["other_person", "csrf"].includes(failure.code)
            ? h("button", { type: "button", class: "quiet", on: { click: () => location.reload() } }, t("reload"))
            : null;
      const words = [text, detail, more].filter(Boolean).join(" ");
      if (message.dataset.words !== words) {
        message.dataset.words = words;
        fill(message, h("span", {}, words), way ? " " : null, way, h("button", { type: "button", class: "quiet close", "aria-label": t("close"), on: { click: () => shell.clear() } }, "×"));
      }
      message.hidden = false;
      message.dataset.code = failure.code;
    },
    clear() {
      message.hidden = true;
      message.dataset.words = message.dataset.code = "";
    },
    /** What is on its way to the server; "none" for a task nothing has been said about. */
    saving(state, failure) {
      if (state === "none") savedLine.textContent = "";
      else if (state === "saving" || state === "saved") {
        savedLine.textContent = t(state);
        if (state === "saved") shell.clear();
      } else {
        savedLine.textContent = t("kept_here");
        if (failure.code !== "not_there") shell.failed(failure);
      }
    },
    /** Something is on its way; a line at the top says so when it takes long. */
    busy(on) {
      root.classList.toggle("busy", on);
    },
    progress(p) {
      fill(
        stand,
        bar(p.needed ? p.done / p.needed : 0, t("project_bar")),
        h("span", {}, t("stand", { mine: number(p.mine), today: number(p.mine_today), done: number(p.done), needed: number(p.needed) })),
      );
    },
    at(project, what) {
      current = project;
      title.textContent = project ? project.title : "Concord";
      document.title = project ? `${project.title} · Concord` : "Concord";
      if (!project) fill(stand);
      savedLine.textContent = "";
      const to = project ? `#/p/${encodeURIComponent(project.name)}` : "#/";
      fill(
        links,
        project && h("a", { href: to, "aria-current": what ? null : "page" }, t("label")),
        project && h("a", { href: `${to}/mine`, "aria-current": what === "mine" ? "page" : null }, t("mine")),
        project?.role === "admin" && h("a", { href: `${to}/lead`, "aria-current": what === "lead" ? "page" : null }, t("lead_project")),
        project && h("button", { type: "button", on: { click: () => showGuidelines(shell, current.name).catch(shell.failed) } }, t("guidelines")),
        h("button", { type: "button", on: { click: () => showSettings(shell) } }, t("settings")),
        h("button", { type: "button", on: { click: shell.signOut } }, t("sign_out")),
      );
    },
    showKeys: () => showKeys(shell.screen?.kind?.()),
    /** In another language; the page starts again, the draft is kept. */
    speak(language) {
      setCookie("lang", language);
      location.reload();
    },
    darken(dark) {
      setCookie("theme", dark ? "dark" : "light");
      document.body.classList.toggle("dark", dark);
    },
    /** Back in this tab after signing in elsewhere: go on where the page stopped. */
    async comeBack() {
      if (message.dataset.code !== "signed_out" || document.hidden) return;
      try {
        await ask("GET", "me");
        shell.clear();
        shell.screen?.retry();
      } catch (failure) {
        shell.failed(failure);
      }
    },
    signOut() {
      if (shell.me?.has_password) return shell.leave();
      signOutSheet(shell.me.person.name, shell.leave, () => (shell.me.has_password = true), shell.failed);
    },
    async leave() {
      shell.screen?.close?.();
      try {
        await ask("POST", "signout");
        location.href = address("signin");
      } catch (failure) {
        shell.failed(failure);
      }
    },
  };
  return shell;
}
