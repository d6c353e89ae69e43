"""Prompt templates: files a person can read and edit, rendered in a sandbox, their hash in each record.

A template is `datagen/prompts/NAME.jinja`, or `NAME.LANGUAGE.jinja` where a language has its own. Each
block is one chat message and its name is the role: `system`, `user`, `assistant`, with a number after it
where a role comes again (few-shot examples: `user1`, `assistant1`, `user2`, …, `user`). Text that is put
in cannot become a block, a message or a template: Jinja reads the file only, never a value.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.errors import BadInput, NotThere, nearest, one_line
from data.text import base_language

PROMPTS = Path(__file__).parent / "prompts"
ROLES = ("system", "user", "assistant")


class Template:
    """One template file: `hash` names its bytes (16 hexadecimal digits), `name` the file without its ending."""

    def __init__(self, path: Path) -> None:
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        source = _read(path)
        self.path = path
        self.name = path.stem
        self.hash = hashlib.sha256(source.encode()).hexdigest()[:16]
        # autoescape stays off: this is text for a model, not HTML.
        sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        try:
            self._template = sandbox.from_string(source)
        except TemplateError as error:
            raise BadInput(f"{path}: {one_line(str(error))}") from None
        for block in self._template.blocks:
            if block.rstrip("0123456789") not in ROLES:
                raise BadInput(f"{path}: block '{block}' is no role; known are {', '.join(ROLES)}, with a number after")
        if not self._template.blocks:
            raise BadInput(f"{path} has no block; put the text between {{% block user %}} and {{% endblock %}}")

    def messages(self, **values: Any) -> list[dict[str, str]]:
        """The chat messages with these values put in, in the order of the blocks; an empty block gives none."""
        from jinja2 import TemplateError

        try:
            context = self._template.new_context(values)
            rendered = [(name, "".join(block(context)).strip()) for name, block in self._template.blocks.items()]
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, OverflowError) as error:
            raise BadInput(f"{self.path} cannot be filled in: {one_line(str(error))}") from None
        return [{"role": name.rstrip("0123456789"), "content": text} for name, text in rendered if text]

    def text(self, **values: Any) -> str:
        """The content of the last message."""
        return self.messages(**values)[-1]["content"]


@lru_cache(maxsize=256)
def find(name: str, language: str | None = None, folder: Path | None = None) -> Template:
    """The template NAME in this language, from the user's folder first, else ours; English where none fits.

    Raises:
        NotThere: no such template.
        BadInput: the file is no template.
    """
    endings = [f"{name}.{base_language(language)}.jinja"] if language else []
    for where in [folder, PROMPTS] if folder else [PROMPTS]:
        for ending in [*endings, f"{name}.jinja"]:
            if (path := where / ending).is_file():
                return Template(path)
    known = sorted({path.name.split(".")[0] for path in PROMPTS.glob("*.jinja")})
    raise NotThere(f"no template '{name}' in {folder or PROMPTS}{nearest(name, known)}")


def known(folder: Path | None) -> None:
    """Check a user's folder of templates: each file must be named as one of ours.

    Raises:
        NotThere: no such folder.
        BadInput: a file that nothing would read.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise NotThere(f"--templates {folder} is no folder")
    names = sorted({path.name.split(".")[0] for path in PROMPTS.glob("*.jinja")})
    for path in sorted(folder.glob("*.jinja")):
        if path.name.split(".")[0] not in names:
            raise BadInput(f"{path} is read by nothing{nearest(path.name.split('.')[0], names)}")
        Template(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
