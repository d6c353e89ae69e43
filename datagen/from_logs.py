"""Prompts and tasks out of chat and agent logs, with what their users' thumbs, retries and edits say.

    python -m datagen.from_logs chats.jsonl --out workspace/logs

Reads OpenAI message lists (tools' calls and answers too) and the request and response pairs that
proxies write; datagen/logs.py names every field. Writes DIR/data/prompts.jsonl (dialogues up to an
answer), DIR/tasks/tasks.jsonl (two answers to one prompt, and a judgment by rule of which is
better), DIR/data/unpaired.jsonl (opinions of an answer without a rival). `annotate.load` takes the
tasks as they are; their judgments fill no slot unless --as-people is given.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data.command import add_json, add_workspace, finish, parser
from data.errors import BadInput, exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the logs, write the folder, print the summary."""
    p = parser(__doc__, "python -m datagen.from_logs")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="logs: .jsonl, .json, .parquet (.gz too)")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: from_logs in the workspace)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    p.add_argument("--every-turn", action="store_true", help="a prompt of every answer, not of the last one alone")
    p.add_argument("--scale", metavar="LOW,HIGH", help="worst and best of numbers under 'rating', such as 1,5")
    p.add_argument("--as-people", action="store_true", help="judgments by the users themselves, which fill slots")
    p.add_argument("--anonymise", action="store_true", help="users and conversations become hashes")
    p.add_argument("--language", metavar="CODE", help="language of rows that do not say theirs, such as en or zh")
    p.add_argument("--project", default="logs", metavar="NAME", help="project the tasks name (default: logs)")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    out = args.out or args.workspace / "from_logs"
    config = {
        "every_turn": args.every_turn,
        "scale": args.scale,
        "as_people": args.as_people,
        "anonymise": args.anonymise,
        "language": args.language,
        "project": args.project,
    }
    finish(convert(args.files, out, config, args.force), args.json)
    return 0


def convert(files: list[Path], out: Path, config: dict[str, Any], force: bool) -> dict[str, Any]:
    """Read all files and write the folder; returns the summary."""
    from data.command import progress
    from data.folder import write_folder
    from data.formats.rows import Reject
    from datagen.implicit import anonymous, dialogues, judged
    from datagen.logs import Exchange, Reading, read_logs

    rejects: list[Reject] = []
    how = Reading(_scale(config["scale"]), config["every_turn"], config["language"])
    with write_folder(out, "from_logs", config, replace=force) as folder, progress("reading logs") as step:
        exchanges: list[Exchange] = []
        for exchange in read_logs(files, how, rejects.append):
            exchanges.append(exchange)
            step(1)
        if not exchanges:
            first = f": {rejects[0].where}: {rejects[0].reason}" if rejects else ""
            raise BadInput(f"no answer can be read from {', '.join(map(str, files))}{first}")
        if config["anonymise"]:
            salt = _salt(files)
            exchanges = [anonymous(exchange, salt) for exchange in exchanges]
        found = dialogues(exchanges)
        tasks = judged(found, config["project"], config["as_people"])
        folder.write("data/prompts.jsonl", (one.prompt for one in found))
        folder.write("data/unpaired.jsonl", (_unpaired(told) for one in found for told in one.unpaired))
        folder.write("tasks/tasks.jsonl", (one.line() for one in tasks))
        folder.write("audit/feedback.jsonl", (_told(told) for one in found for told in one.told if _spoke(told)))
        folder.write("audit/rejected.jsonl", (_reject(r, config["anonymise"]) for r in rejects))
    return _summary(found, tasks, rejects, out)


def _scale(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(end) for end in text.split(","))
    except ValueError:
        low, high = 0, 0
    if not low < high:
        raise BadInput(f"--scale '{text}' is not two rising numbers such as 1,5")
    return low, high


def _salt(files: Iterable[Path]) -> bytes:
    """A secret made of the files themselves: the same for the same files, unknown to who has only the output."""
    import hashlib

    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").digest())
    return hashlib.sha256(b"".join(sorted(hashes))).digest()


def _spoke(told: Any) -> bool:
    return told.exchange.opinion is not None or told.exchange.edited is not None


def _reject(line: Any, anonymise: bool) -> dict[str, Any]:
    """A line of audit/rejected.jsonl; what was in the line names users, so --anonymise leaves it out."""
    row = {"where": line.where, "line": line.number, "reason": line.reason}
    return row if anonymise else {**row, "raw": line.raw}


def _told(told: Any) -> dict[str, Any]:
    """What a user made of one answer, as a line of audit/feedback.jsonl."""
    exchange, opinion = told.exchange, told.exchange.opinion
    return {
        "where": exchange.where,
        "key": exchange.key,
        "prompt": exchange.prompt.id,
        "response": told.response.id,
        "user": exchange.user,
        "conversation": exchange.talk,
        "at": exchange.at,
        "opinion": None if opinion is None else {opinion.kind: opinion.value},
        "edited": exchange.edited is not None,
    }


def _unpaired(told: Any) -> dict[str, Any]:
    """An opinion from which no comparison follows, with the answer it is about."""
    return {**_told(told), "response": told.response.plain()}


def _summary(found: list[Any], tasks: list[Any], rejects: list[Any], out: Path) -> dict[str, Any]:
    from collections import Counter

    from datagen.implicit import has_email

    kinds = Counter(j.comment.removeprefix("implicit: ") for one in tasks for j in one.judgments)
    mails = sum(
        has_email(one.prompt.messages) or any(has_email(t.response.messages) for t in one.told) for one in found
    )
    summary: dict[str, Any] = {
        "prompts": len(found),
        "answers": sum(len(one.told) for one in found),
        "tasks": len(tasks),
        "judgments": dict(sorted(kinds.items())),
        "unpaired": sum(len(one.unpaired) for one in found),
        "rejected": len(rejects),
    }
    if rejects:
        summary["first_reason"] = f"{rejects[0].where}: {rejects[0].reason}"
    if mails:
        summary["private_data"] = f"{mails:,} dialogues hold what looks like an e-mail address; nothing was taken out"
    return {**summary, "wrote": str(out)}


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
