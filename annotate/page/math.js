// Formulas: KaTeX from our own server, each drawn when it comes near the screen.

const OPTIONS = { throwOnError: false, trust: false, strict: "ignore", maxExpand: 100, maxSize: 10, errorColor: "currentColor", output: "htmlAndMathml" };
let source = "";
let style = "";
let loading = null;

export function mathFrom(script, css) {
  source = script;
  style = css;
}

function load() {
  if (!loading) {
    if (style && !document.querySelector(`link[href="${style}"]`)) {
      const link = document.createElement("link");
      link.rel = "stylesheet";
      link.href = style;
      document.head.append(link);
    }
    loading = source ? import(source).then((m) => m.default, () => null) : Promise.resolve(null);
  }
  return loading;
}

const written = new WeakMap(); // what was in a span before its formula was drawn

/** The TeX of a formula, drawn or not. */
export const texOf = (span) => written.get(span) ?? span.textContent;

async function draw(span) {
  const tex = span.textContent;
  written.set(span, tex);
  const katex = await load();
  if (!katex) return; // without it the TeX stays readable as it is
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
