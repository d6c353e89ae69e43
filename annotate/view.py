"""The page as Gradio sees it: one component of ours on one page, in our theme.

The component's template never changes and holds no text of anybody's: our own modules
(annotate/page) build what is seen and talk to the label path with fetch, so that moving a
response costs no round trip and Gradio's queue is never in the way.
"""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from fastapi import FastAPI, Request

from annotate.head import asset

CJK_FONTS = ["PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC"]
SYSTEM_FONTS = ["system-ui", "Segoe UI", "Noto Sans", *CJK_FONTS, "sans-serif"]
MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Noto Sans Mono CJK SC", "monospace"]


def theme() -> gr.themes.Base:
    """Calm: Base with system fonts (nothing to download, the right Chinese glyphs), slate and teal."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=SYSTEM_FONTS,
        font_mono=MONO_FONTS,
    ).set(
        body_background_fill="*neutral_50",
        block_background_fill="white",
        block_shadow="none",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )


def katex(base: str = "") -> tuple[str, str]:
    """Addresses of the KaTeX that Gradio ships: its module and its style; empty where it has none."""
    folder = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    found = [next(iter(sorted(folder.glob(f"katex-*.{kind}"))), None) for kind in ("js", "css")]
    script, style = (f"{base}/assets/{path.name}" if path else "" for path in found)
    return script, style


def board(base: str = "") -> gr.HTML:
    """Where our modules build the page; shows a line of its own until they have started.

    A function and not a component class: for a class Gradio writes a stub file beside this one.
    """
    script, style = katex(base)
    return gr.HTML(
        value=None,
        html_template=(
            f'<div class="concord" data-base="{base}" data-katex="{script}" data-katex-css="{style}">'
            '<p class="starting" role="status">Concord · … </p></div>'
        ),
        js_on_load=f"import('{asset('main.js', base)}').then(m => m.mount(element.querySelector('.concord')))",
        apply_default_css=False,
    )


def build(base: str = "") -> gr.Blocks:
    """The page: no events, no state, no queue."""
    page = gr.Blocks(title="Concord", analytics_enabled=False, fill_width=True)
    with page:
        board(base)
    return page


def mount(app: FastAPI, base: str, signed_in: Callable[[Request], str | None]) -> None:
    """Put the page into the app at the base path; `signed_in` says whose session a request is."""
    gr.mount_gradio_app(
        app,
        build(base),
        path=base or "/",
        auth_dependency=signed_in,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        enable_monitoring=False,
        theme=theme(),
    )
