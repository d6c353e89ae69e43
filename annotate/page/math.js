// Formulas: KaTeX from our own server, each drawn when it comes near the screen.

const OPTIONS = { throwOnError: false, trust: false, strict: "ignore", maxExpand: 100, maxSize: 10, errorColor: "currentColor", output: "htmlAndMathml" };
const FONTS = ["1em KaTeX_Main", "italic 1em KaTeX_Math", "1em KaTeX_Size1", "1em KaTeX_Size2"];
let source = "";
let style = "";
let loading = null;

export function mathFrom(script, css) {
  source = script;
  style = css;
}

function load() {
  loading ??= source && style ? Promise.all([import(source), styled()]).then(([module]) => module.default).catch(() => null) : Promise.resolve(null);
  return loading;
}

/** The style is there, and the fonts most formulas are set in: one drawn before them would move the page again. */
async function styled() {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: style });
  await new Promise((done, failed) => {
    Object.assign(link, { onload: done, onerror: failed });
    document.head.append(link);
  });
  await Promise.allSettled(FONTS.map((font) => document.fonts.load(font)));
}

const written = new WeakMap(); // what was in a span before its formula was drawn

/** The TeX of a formula, drawn or not. */
export const texOf = (span) => written.get(span) ?? span.textContent;

async function draw(span) {
  const tex = span.textContent;
  written.set(span, tex);
  const katex = await load();
  if (!katex) return; // without it or its style the TeX stays readable as it is
  try {
    katex.render(tex, span, { ...OPTIONS, displayMode: span.classList.contains("d") });
  } catch {
    span.textContent = tex;
  }
}

/** Draw the formulas inside a node as they come into view. */
export function drawMath(node) {
  const spans = node.querySelectorAll("span.math");
  if (!spans.length) return;
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watch.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "200px" },
  );
  for (const span of spans) watch.observe(span);
}
