"""What every command that asks a model shares: its flags, the plan of --dry-run, the run, and its summary."""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from data.command import add_json, add_workspace, progress
from data.errors import BadInput, one_line
from data.folder import check_place
from data.records import digest
from datagen.budget import PICO, Price, asked_price, price_of, read_prices, usd
from datagen.client import Client, Settings
from datagen.provider import checked_url
from datagen.request_log import RequestLog
from datagen.templates import known

T = TypeVar("T")
LOCAL = "http://127.0.0.1:8000/v1"  # where vLLM, and our fake server, listen
FREE = Price(0, 0)


class Plan(NamedTuple):
    """What one stage is expected to ask, for --dry-run: requests, and tokens of all of them together."""

    stage: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    """At most: requests times max_tokens."""


def add_asking(to: argparse.ArgumentParser, command: str) -> None:
    """The flags of a command that asks; `command` names its folder in the workspace, such as "respond"."""
    server = to.add_argument_group("the server")
    server.add_argument(
        "--base-url", metavar="URL", help=f"an OpenAI-compatible server (OPENAI_BASE_URL; default {LOCAL})"
    )
    server.add_argument(
        "--api-key-env", metavar="NAME", default="OPENAI_API_KEY", help="environment variable that holds the key"
    )
    server.add_argument("--concurrency", type=int, default=32, metavar="N", help="requests at once (default 32)")
    server.add_argument("--rpm", type=float, metavar="N", help="requests a minute at most")
    server.add_argument("--tpm", type=float, metavar="N", help="tokens a minute at most (worst case counted)")
    server.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds for one answer (default 120)")
    server.add_argument(
        "--structured", choices=("schema", "object", "none"), default="schema", help="how JSON is asked for"
    )
    server.add_argument("--any-model", action="store_true", help="take answers whatever model the server names")
    server.add_argument(
        "--overflow", choices=("stop", "reject"), default="stop", help="what a prompt too long for the model does"
    )
    money = to.add_argument_group("the budget")
    money.add_argument("--max-cost-usd", metavar="USD", help="never spend more than this, over all runs on this log")
    money.add_argument("--max-tokens-total", type=int, metavar="N", help="never use more tokens than this, likewise")
    money.add_argument("--prices", type=Path, metavar="FILE", help="YAML of USD per million tokens, by model")
    money.add_argument(
        "--dry-run", action="store_true", help="say what would be asked and what it would cost; ask nothing"
    )
    to.add_argument("--templates", type=Path, metavar="DIR", help="folder of prompt templates that replace ours")
    to.add_argument("--out", type=Path, metavar="DIR", help=f"folder to write (default: {command} in the workspace)")
    to.add_argument("--log", type=Path, metavar="FILE", help="log of requests (default: beside --out)")
    to.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn at random (default 0)")
    to.set_defaults(command=command)
    add_workspace(to)
    add_json(to)


def run(
    args: argparse.Namespace, plans: Iterable[Plan], work: Callable[[Client], Awaitable[T]]
) -> tuple[T, dict[str, Any]] | None:
    """Run a command's work with a client made from its flags.

    Returns:
        What `work` returned and the summary of what was asked; None after --dry-run, which prints the plan.

    Raises:
        BadInput, NotThere: a flag that cannot be meant.
        ModelError: the server cannot be used.
    """
    plans = list(plans)
    settings = _settings(args, {plan.model for plan in plans})
    if args.dry_run:
        _show(plans, args)
        return None
    check_place(args.out, replace=True)  # before anything is paid for
    log = RequestLog(args.log)
    try:
        return asyncio.run(_run(settings, log, plans, work))
    finally:
        log.close()


async def _run(
    settings: Settings, log: RequestLog, plans: list[Plan], work: Callable[[Client], Awaitable[T]]
) -> tuple[T, dict[str, Any]]:
    before = log.spent
    with progress("asking", total=sum(plan.requests for plan in plans) or None) as step:
        async with Client(settings, log, answered=lambda: step(1)) as client:
            result = await work(client)
    return result, _summary(client, log, before.cost, before.tokens)


def check(args: argparse.Namespace) -> None:
    """Check the flags and fill in what was left out: `out`, `log`, `base_url`; needed before any of them is read.

    Raises:
        BadInput, NotThere: naming the flag.
    """
    for name in ("concurrency", "rpm", "tpm", "timeout", "max_tokens_total"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise BadInput(f"--{name.replace('_', '-')} is {value}; it is more than 0")
    args.base_url = checked_url(args.base_url or os.environ.get("OPENAI_BASE_URL") or LOCAL)
    args.out = args.out or args.workspace / args.command
    args.log = args.log or args.out.with_name(args.out.name + ".requests.db")
    known(args.templates)


def template_hash(folder: Path | None) -> str | None:
    """One hash of all templates of a user's own; None where ours are used."""
    if folder is None:
        return None
    return digest([[path.name, path.read_text(encoding="utf-8")] for path in sorted(folder.glob("*.jinja"))])


def _settings(args: argparse.Namespace, models: set[str]) -> Settings:
    prices = read_prices(args.prices)
    cap = _picodollars(args.max_cost_usd)
    priced = {model: asked_price(model, prices) for model in sorted(models)} if cap is not None else {}
    openai = urlsplit(args.base_url).hostname == "api.openai.com"
    key = os.environ.get(args.api_key_env, "")
    if openai and not key:
        raise BadInput(f"{args.base_url} needs a key; set it in the environment variable {args.api_key_env}")
    return Settings(
        base_url=args.base_url,
        api_key=key or "none",
        concurrency=args.concurrency,
        rpm=args.rpm,
        tpm=args.tpm,
        timeout_s=args.timeout,
        price=lambda model: priced.get(model) or price_of(model, prices) or FREE,
        max_cost=cap,
        max_tokens_total=args.max_tokens_total,
        structured=args.structured,
        limit_name="max_completion_tokens" if openai else "max_tokens",
        any_model=args.any_model,
        reject_too_long=args.overflow == "reject",
    )


def _picodollars(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        amount = Decimal(text.removeprefix("$"))
        return int(amount * PICO) if amount >= 0 else _no_amount(text)
    except (InvalidOperation, OverflowError, ValueError):
        return _no_amount(text)


def _no_amount(text: str) -> int:
    raise BadInput(f"--max-cost-usd is {one_line(text, 40)!r}; an amount such as 2.50 is needed")


def rough_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """About how many tokens these messages take: a quarter of their ASCII letters, one for each other."""
    total = 0
    for message in messages:
        text = str(message.get("content") or "")
        ascii_letters = sum(c.isascii() for c in text) if not text.isascii() else len(text)
        total += 4 + ascii_letters // 4 + len(text) - ascii_letters
    return total


def _show(plans: list[Plan], args: argparse.Namespace) -> None:
    """Print the plan of a run: per stage its requests, tokens and cost, then all of them."""
    from rich.console import Console
    from rich.table import Table

    prices = read_prices(args.prices)
    rows: list[tuple[Plan, int | None]] = []
    for plan in plans:
        price = price_of(plan.model, prices)
        cost = None if price is None else plan.prompt_tokens * price.input + plan.completion_tokens * price.output
        rows.append((plan, cost))
    known_costs = [cost for _, cost in rows if cost is not None]
    if args.json:
        from data.command import finish

        stages: list[dict[str, Any]] = [
            {**plan._asdict(), "cost_usd": None if c is None else c / PICO} for plan, c in rows
        ]
        finish({"dry_run": True, "stages": stages}, as_json=True)
        return
    table = Table(
        title="Nothing was asked. Expected, second tries aside:", title_justify="left", box=None, pad_edge=False
    )
    for name in ("stage", "model"):
        table.add_column(name)
    for name in ("requests", "prompt tokens", "answer tokens", "cost"):
        table.add_column(name, justify="right")
    for plan, cost in rows:
        counts = (plan.requests, plan.prompt_tokens, plan.completion_tokens)
        table.add_row(plan.stage, plan.model, *(f"{n:,}" for n in counts), "no price" if cost is None else usd(cost))
    totals = [p.requests for p in plans], [p.prompt_tokens for p in plans], [p.completion_tokens for p in plans]
    table.add_row(
        "all", "", *(f"{sum(counts):,}" for counts in totals), usd(sum(known_costs)) if known_costs else "no price"
    )
    Console().print(table)


def _summary(client: Client, log: RequestLog, cost_before: int, tokens_before: int) -> dict[str, Any]:
    """What was asked in this run, per stage and per cause of failure, and what it cost."""
    stages: dict[str, dict[str, int]] = {}
    for (stage, what), n in sorted(client.counts.items()):
        stages.setdefault(stage, {})[what] = n
    for (stage, fault), n in sorted(client.sender.retried.items()):
        stages.setdefault(stage, {})[f"retried: {fault}"] = n
    asked = sum(held.get("asked", 0) for held in stages.values())
    summary: dict[str, Any] = {
        "requests_sent": asked,
        "answers_from_log": sum(held.get("from_log", 0) for held in stages.values()),
        "tokens": client.budget.tokens - tokens_before,
        "cost": usd(client.budget.cost - cost_before),
        "cost_of_log": usd(client.budget.cost),
        **{f"asked_for_{stage}": held for stage, held in stages.items()},
        "log": str(log.path),
    }
    if log.in_flight:
        twice = f"python -m datagen.requests {log.path} --state lost --cause killed"
        summary["possibly_paid_twice"] = f"{len(log.in_flight)}, listed by {twice}"
    if client.sender.pace.slowed:
        summary["slowed_down"] = client.sender.pace.slowed
    return summary
