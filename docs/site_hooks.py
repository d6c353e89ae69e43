"""What the site needs beside the pages: files of the root as pages, links as a site has them, search by language.

The pages are written to be read in the repository too. There a page names its twin in the other language and links to
files outside docs/; the site has a switch for the first, and takes the second in as pages of its own.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "bench/README.md": "measurements.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files outside docs/ that are pages of the site too, and what they are called there."""
TWIN = re.compile(r" ?(?:中文版|English(?: version)?)\s?[:：]\s?\[[^\]]*\]\([^)]*\)[.。]?")
OWN_LANGUAGE = """
const chinese = document.documentElement.lang === "zh";
__index.docs = __index.docs.filter((one) => one.location.startsWith("zh/") === chinese);
"""
CELL_CODE = re.compile(r"(?<=<code>)[\w/.-]{18,}(?=</code>)")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Name the pages from outside docs/ as if they lay there."""
    from mkdocs.structure.files import File

    for name in PAGES.values():
        files.append(File(name, config.docs_dir, config.site_dir, config.use_directory_urls))
    return files


def on_page_read_source(page: Any, config: Any) -> str | None:
    """The text of a page from outside docs/; None, which is to read it as usual, for all others."""
    source = next((source for source, name in PAGES.items() if page.file.src_uri == name), None)
    return source and LINK.sub(lambda link: _from_root(link, source), (ROOT / source).read_text("utf-8"))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as the site has them; the line that names the twin is the switch's business."""
    return LINK.sub(_within, TWIN.sub("", markdown))


def on_page_content(html: str, **_: Any) -> str:
    """Long names in tables may break after an underscore or a slash; copied, they are as they were."""
    return CELL_CODE.sub(lambda code: re.sub(r"(?<=[_/])(?=\w)", "<wbr>", code[0]), html)


@event_priority(-200)  # when every language stands in the index
def on_post_build(config: Any, **_: Any) -> None:
    """Write the index as a script, which a page opened from disk can read; it keeps the pages of its own language."""
    folder = Path(config.site_dir, "search")
    index = (folder / "search_index.json").read_text("utf-8")
    (folder / "search_index.js").write_text(f"var __index = {index};{OWN_LANGUAGE}", "utf-8")


def _from_root(link: re.Match[str], source: str) -> str:
    """A link of a page from outside docs/: to a page of the site, or else only its words."""
    target = (ROOT / source).parent.joinpath(link[1]).resolve().relative_to(ROOT).as_posix()
    if target.startswith("docs/"):
        return f"]({target.removeprefix('docs/')}{link[2] or ''})"
    return f"]({PAGES[target]})" if target in PAGES else "](index.md)"


def _within(link: re.Match[str]) -> str:
    """A link of a page in docs/: outside files by their names here, Chinese pages by the name both share."""
    target = link[1].removeprefix("../")
    target = PAGES.get(target, link[1]) if link[1].startswith("../") else target
    return f"]({target.replace('.zh.md', '.md')}{link[2] or ''})"
