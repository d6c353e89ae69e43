"""What every page starts with: the security policy, the first script, and where the page's files are."""

import hashlib
from functools import lru_cache
from pathlib import Path

PAGE = Path(__file__).parent / "page"

# Gradio builds its components from strings, so it needs unsafe-eval; no answer's text ever reaches that path.
CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none';"
    " form-action 'self'; base-uri 'self'; object-src 'none'"
)

# Gradio reads language and theme from the browser and the address, once, at start: say them before it does.
_FIRST = """<script>{const c=k=>(document.cookie.match("(?:^|; )"+k+"=([a-z]+)")||[])[1],t=c("theme");
let l=c("lang");if(!l&&/^zh/i.test(navigator.language))l="zh";
if(l)for(const[k,v]of[["language",l=="zh"?"zh-CN":l],["languages",[l=="zh"?"zh-CN":l]]])
Object.defineProperty(navigator,k,{get:()=>v});
if(t){document.documentElement.dataset.theme=t;
const u=new URL(location);if(u.searchParams.get("__theme")!=t){
u.searchParams.set("__theme",t);history.replaceState(null,"",u)}}}</script>"""


# Three bars, best first. Said here so that no browser asks for Gradio's, nor above our base path.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='8' fill='%230f766e'/%3E"
    "%3Cpath d='M9 10h14M9 16h9M9 22h5' stroke='%23fff' stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E"
)


@lru_cache(maxsize=1)
def page_hash() -> str:
    """Hash of all the page's files: part of their address, so that a browser may keep them for good."""
    seen = hashlib.sha256()
    for path in [*sorted(PAGE.rglob("*")), PAGE.parent / "render_code.py"]:
        if path.is_file():
            seen.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return seen.hexdigest()[:12]


def asset(name: str, base: str = "") -> str:
    """The address of one of the page's files."""
    return f"{base}/ui/{page_hash()}/{name}"


def head_start(base: str = "") -> str:
    """What stands first in every page's head: the first script, our style, and our code fetched early.

    A browser finds a module's imports only when it has the module; named here, all come at once.
    The lead's modules are fetched when a lead asks for them.
    """
    styles = ("board.css", "reading.css", "code.css")
    modules = sorted(path.name for path in PAGE.glob("*.js") if not path.name.startswith("lead"))
    return (
        f'{_FIRST}<link rel="icon" href="{_ICON}">'
        + "".join(f'<link rel="stylesheet" href="{asset(name, base)}">' for name in styles)
        + "".join(f'<link rel="modulepreload" href="{asset(name, base)}">' for name in modules)
    )
