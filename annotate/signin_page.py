"""The two small pages before the labelling page: sign in, and a one-time link's welcome. No script needed."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.head import asset

if TYPE_CHECKING:
    from jinja2 import Environment

WORDS = {
    "en": {
        "signin": "Sign in",
        "name": "Name",
        "password": "Password",
        "lead": "Compare model responses.",
        "no_password": "No password? Your project lead can give you a sign-in link.",
        "welcome": "Welcome",
        "welcome_name": "Welcome, {name}",
        "join_lead": "This link signs you in once. With a password you can come back from anywhere.",
        "new_password": "Password (optional, at least 8 characters)",
        "start": "Start",
        "wrong": "That name and password do not go together.",
        "too_many": "Too many tries. Wait five minutes, or ask your lead for a sign-in link.",
        "link_over": "This link was used already or is too old. Ask your project lead for a new one.",
        "password_short": "A password has at least 8 characters.",
        "other": "中文",
    },
    "zh": {
        "signin": "登录",
        "name": "姓名",
        "password": "密码",
        "lead": "比较模型的回答。",
        "no_password": "没有密码？请向项目负责人要一个登录链接。",
        "welcome": "欢迎",
        "welcome_name": "欢迎，{name}",
        "join_lead": "此链接只能登录一次。设置密码后，您可以随时随地再次登录。",
        "new_password": "密码（可不填，至少 8 个字符）",
        "start": "开始",
        "wrong": "姓名与密码不符。",
        "too_many": "尝试次数过多。请等五分钟，或向负责人要一个登录链接。",
        "link_over": "此链接已被使用或已过期。请向项目负责人要一个新的。",
        "password_short": "密码至少需要 8 个字符。",
        "other": "English",
    },
}


@lru_cache(maxsize=1)
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "page"
    return Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)


def _page(template: str, lang: str, base: str, error: str | None, **values: str) -> str:
    t = WORDS["zh" if lang == "zh" else "en"]
    other = "en" if lang == "zh" else "zh"
    said = t.get(error, error) if error else None
    return (
        _templates()
        .get_template(template)
        .render(t=t, lang=lang, other=other, base=base, css=asset("signin.css", base), error=said, **values)
    )


def signin_html(lang: str, next: str, error: str | None = None, name: str = "", base: str = "") -> str:
    """The sign-in page; `next` is where to go afterwards, `error` a word of WORDS."""
    return _page("signin.html", lang, base, error, next=next, name=name)


def join_html(lang: str, link: str, name: str, error: str | None = None, base: str = "") -> str:
    """The welcome of a one-time link; with `error` link_over nothing can be sent."""
    return _page("join.html", lang, base, error, link=link, name=name, over="yes" if error == "link_over" else "")
