"""Rows that dedup compares, out of files and folders: what each says, what it is called, and when it was judged.

Read are JSON lines and arrays, CSV, TSV and Parquet (any may be .gz but Parquet), an export folder, a snapshot
(its tasks), and any other folder of ours (data/*). A row is one of

    pair        chosen and rejected, with prompt or with the prompt inside both
    answer      prompt and completion
    task        a Task record: a prompt and its responses
    response    a Response record
    prompt      a Prompt record, or nothing but a prompt
    text        whatever has the column that --text names
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from curate.pairs import LAST as LAST  # stands for an event that nobody knows too
from curate.pairs import milliseconds
from curate.retracted import BLANK
from data.errors import BadInput, NotThere, nearest
from data.formats.files import ENDINGS, Item, Source, open_source
from data.formats.parts import in_words
from data.jsonl import parse, read_lines
from data.records import canonical, content_id

On = Literal["prompt", "response", "row"]
PROMPT, FIRST, SECOND = 0, 1, 2
KEYS, KEY = 3, 12  # the parts of Entry.same, and the bytes of each
_NOTHING = blake2b(digest_size=KEY).digest()  # of a part that is not compared
Text: TypeAlias = str | Sequence[Mapping[str, Any]]
"""Text, or a list of messages."""
_LONGEST_ID = 300
_RETRACTED = [{"role": "assistant", "content": BLANK}]  # a response that is as if it had never been there


class Entry(NamedTuple):
    """A row that can be compared."""

    id: str
    """Its own, else a hash of the whole row."""
    unit: str | None
    """What is compared once for several rows: the task, where prompts are compared and rows name one."""
    judged: int
    """Milliseconds since 1970 of its first judgment that counts; LAST where none is known."""
    seq: int
    """The event of the ledger that brought it in; LAST where none is known."""
    parts: list[tuple[int, str]]
    """The texts that are compared, each with its part: prompt, first or chosen, rejected."""
    same: bytes
    """Equal where what is compared is the same to the letter: 12 bytes for each part."""
    pair: bool
    """Whether it says that one text is better than another: chosen and rejected, both compared."""
    file: str
    """The file of the split it belongs to, such as train.jsonl."""
    line: bytes
    """The row as it goes on, on one line; of two rows with one id the lower hash of this comes first."""


class Bad(NamedTuple):
    """A row that cannot be compared, and why."""

    where: str
    reason: str


class Times(NamedTuple):
    """What a folder knows of its rows beside them, by task or judgment id."""

    judged: dict[str, int]
    seq: dict[str, int]


def read_entries(path: Path, on: On, text: str | None = None, project: str | None = None) -> Iterator[Entry | Bad]:
    """Every row of a file or folder.

    Args:
        on: what of a row is compared.
        text: the column that holds the text; rows that are no plain table are read by their own fields.
        project: of a snapshot with several.

    Raises:
        NotThere, BadInput: nothing there, nothing that can be read, or no kind of row that is known.
    """
    for source, file, times in _sources(path, project):
        kind: str | None = None
        for item in source.items():
            where = f"{source.name}, {source.unit} {item.number}"
            if item.problem or not isinstance(item.value, dict):
                yield Bad(where, item.problem or f"the row is {in_words(item.value)}, not an object with named fields")
                continue
            if kind is None:
                kind = _kind(item.value, source.name, on, text)
            try:
                yield _entry(item.value, kind, on, text, times, file)
            except (BadInput, ValueError, TypeError) as error:
                yield Bad(where, str(error))


def _sources(path: Path, project: str | None) -> Iterator[tuple[Source, str, Times]]:
    """What there is to read: each source, the file its rows go to, and what is known of them beside."""
    if not path.is_dir():
        if not path.exists():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise NotThere(f"{path} is not there{nearest(path.name, beside) or '; check the path'}")
        yield open_source(str(path)), "train.jsonl", Times({}, {})
        return
    if (path / "data" / "tasks.parquet").is_file():
        yield _snapshot(path, project)
        return
    files = sorted(p for p in (path / "data").glob("*") if p.suffix in ENDINGS)
    if not files:
        raise BadInput(f"{path} is a folder without data/*.jsonl or data/*.parquet; name a file")
    times = Times(_judged(path), {})
    for file in files:
        yield open_source(str(file)), f"{file.stem}.jsonl", times


def _judged(folder: Path) -> dict[str, int]:
    """When each judgment that an export keeps was given, by its id."""
    kept = folder / "audit" / "judgments.jsonl"
    lines = read_lines(kept) if kept.is_file() else iter(())
    rows = (line.value for line in lines if isinstance(line.value, dict))
    return {str(row.get("id")): milliseconds(row.get("submitted_at")) for row in rows}


def _snapshot(folder: Path, project: str | None) -> tuple[Source, str, Times]:
    """The tasks of a snapshot, when each was first judged, and which event of the ledger brought it in."""
    from curate.engine import engine
    from curate.frozen import choose_project, open_snapshot

    with engine() as con:
        open_snapshot(con, folder)
        name = choose_project(con, project)
        counted = "state = 'counted' AND NOT superseded AND verdict <> 'cannot_judge'"
        judged = con.execute(
            f"SELECT task, min(at_ms) FROM judgments WHERE project = ? AND {counted} GROUP BY task", [name]
        ).fetchall()
        events = con.execute("SELECT seq, rows FROM ledger WHERE project = ? ORDER BY seq", [name]).fetchall()
        tasks = con.execute("SELECT record FROM tasks WHERE project = ? ORDER BY task", [name]).fetchall()
    seq: dict[str, int] = {}
    for number, rows in events:
        for row in parse(rows.encode())[0] or []:
            if row[0] == "tasks":
                seq.setdefault(str(row[1]), int(number))

    def items() -> Iterator[Item]:
        return (Item(number, *parse(record.encode())) for number, (record,) in enumerate(tasks, 1))

    source = Source(f"{folder.name}/tasks", str(folder), "row", True, items, lambda: "")
    return source, "train.jsonl", Times(dict(judged), seq)


def _kind(head: dict[str, Any], name: str, on: On, text: str | None) -> str:
    """What the rows of a source are, told by the fields of the first."""
    if text is not None and text in head:
        return "text"
    kind = next((kind for kind, fields in _FIELDS if all(field in head for field in fields)), None)
    if kind is None:
        has = ", ".join(list(head)[:20])
        if text is not None:
            raise BadInput(f"{name} has no column '{text}'{nearest(text, head)}; it has: {has}")
        raise BadInput(f"{name} has no field dedup knows; --text COLUMN names the one to compare; it has: {has}")
    if on == "response" and kind == "prompt":
        raise BadInput(f"{name} holds prompts and no responses; leave --on response out")
    if on == "prompt" and kind == "response":
        raise BadInput(f"{name} holds responses and no prompts; leave --on prompt out")
    return kind


_FIELDS = (  # the fields by which a kind of row is known, in this order
    ("pair", ("chosen", "rejected")),
    ("task", ("prompt", "responses")),
    ("answer", ("prompt", "completion")),
    ("response", ("prompt_id", "messages")),
    ("prompt", ("messages",)),
    ("prompt", ("prompt",)),
)


def _entry(value: dict[str, Any], kind: str, on: On, text: str | None, times: Times, file: str) -> Entry:
    said = _said(value, kind, text)
    parts = [(part, one) for part, one in said if on == "row" or (part == PROMPT) == (on == "prompt") or kind == "text"]
    line = canonical(value)
    own = value.get("id")
    if isinstance(own, bool) or not isinstance(own, int | str | None) or len(str(own)) > _LONGEST_ID:
        raise BadInput(f"id is no text of at most {_LONGEST_ID} characters and no number")
    judgments = value.get("judgment_ids")
    task = str(value.get("task_id") if kind == "pair" else own)
    known = [times.judged.get(str(id_), LAST) for id_ in (judgments if isinstance(judgments, list) else [task])]
    return Entry(
        id=content_id("row", value) if own is None or own == "" else str(own),
        unit=str(value["task_id"]) if on == "prompt" and value.get("task_id") else None,
        judged=min(known, default=LAST),
        seq=times.seq.get(task, LAST),
        parts=[(part, one if isinstance(one, str) else _flat(one)) for part, one in parts],
        same=_same(parts),
        pair=kind == "pair" and on == "row",
        file=file,
        line=line,
    )


def pair_entry(
    id: str,
    prompt: Text,
    chosen: Text,
    rejected: Text,
    *,
    on: On = "row",
    judged: int = LAST,
    seq: int = LAST,
    task: str | None = None,
    line: bytes = b"",
) -> Entry:
    """A preference row that is in memory already, as dedup compares it: as if it were read from a file.

    Args:
        prompt, chosen, rejected: text, or messages as {"role": ..., "content": ...}.
        judged: milliseconds since 1970 of its first judgment that counts.
        seq: the event of the ledger that brought it in.
        task: where prompts are compared, rows of one task are compared once and go or stay together.
        line: what tells two rows with one id apart; may be left out where ids are not repeated.
    """
    parts, same = [], b""
    for part, one, role in ((PROMPT, prompt, "user"), (FIRST, chosen, "assistant"), (SECOND, rejected, "assistant")):
        if on != "row" and (part == PROMPT) != (on == "prompt"):
            same += _NOTHING
        elif isinstance(one, str):
            parts.append((part, one))
            same += blake2b(canonical([{"content": one, "role": role}]), digest_size=KEY).digest()
        else:
            parts.append((part, _flat(one)))
            same += blake2b(canonical(one), digest_size=KEY).digest()
    unit = task if on == "prompt" else None
    return Entry(id, unit, judged, seq, parts, same, on == "row", "train.jsonl", line)


def _same(parts: list[tuple[int, Any]]) -> bytes:
    """A hash of each part's texts, one after another; those of one part in any order."""
    spelled: tuple[list[bytes], ...] = ([], [], [])
    for part, one in parts:
        spelled[part].append(canonical(one))
    return b"".join([blake2b(b"\n".join(sorted(own)), digest_size=KEY).digest() for own in spelled])


def turned(same: bytes) -> bytes:
    """What `same` of a pair is with chosen and rejected in each other's place."""
    return same[:KEY] + same[SECOND * KEY :] + same[KEY : SECOND * KEY]


def _said(value: dict[str, Any], kind: str, text: str | None) -> list[tuple[int, Any]]:
    """What a row says: text or messages, and the part each belongs to; BadInput names a field that is none."""
    if kind == "text":
        assert text is not None
        return [(PROMPT, _messages(value.get(text), text))]
    if kind == "pair":
        from data.formats.preference import split

        prompt, chosen, rejected = split(value)
        return [(PROMPT, prompt), (FIRST, chosen), (SECOND, rejected)]
    if kind == "task":
        prompt = value["prompt"]
        asked = prompt.get("messages") if isinstance(prompt, dict) else prompt
        answers = value["responses"]
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise BadInput("responses is no list of records")
        there = [one.get("messages") for one in answers]
        answers = [(FIRST, _messages(one, "responses.messages")) for one in there if one != _RETRACTED]
        return [(PROMPT, _messages(asked, "prompt")), *answers]
    if kind == "answer":
        return [(PROMPT, _messages(value["prompt"], "prompt")), (FIRST, _messages(value["completion"], "completion"))]
    field = "messages" if "messages" in value else "prompt"
    return [(FIRST if kind == "response" else PROMPT, _messages(value.get(field), field))]


def _messages(value: Any, field: str) -> Any:
    """Text or a list of messages with text in them, as it came."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        if all(isinstance(one, dict) and isinstance(one.get("content"), str) for one in value):
            return value
        raise BadInput(f"{field} holds a message without text")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadInput(f"{field} is {in_words(value)}, neither text nor messages")


def _flat(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(message["content"] for message in messages)
