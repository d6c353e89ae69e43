"""The elements of a JSON array one at a time, however long the file is.

Only strings, brackets and commas are looked at to find where an element ends; the element
itself is decoded on its own. So one bad element is one problem, and the next still comes.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from data.jsonl import MAX_LINE, parse

CHUNK = 1 << 18
MARK = re.compile(rb'"(?:[^"\\]+|\\.)*+"|["\[\]{},]', re.DOTALL)

Element = tuple[bytes, Any, str | None]


def elements(file: BinaryIO) -> Iterator[Element]:
    """Each element's bytes, value and problem; a fault of the array itself comes as the last problem."""
    buffer = file.read(CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not buffer.startswith(b"["):
        yield buffer, None, "the file is no JSON array"
        return
    start = at = 1  # where the element starts, and how far marks have been looked at
    depth, count = 0, 0
    while True:
        mark = MARK.search(buffer, at)
        if mark is None or mark.group() == b'"':  # no mark left, or a string that goes on: read further
            at = len(buffer) if mark is None else mark.start()
            more = file.read(max(CHUNK, len(buffer) - start))
            if not more or len(buffer) - start > MAX_LINE:
                fault = f"is longer than {MAX_LINE:,} bytes" if more else "is cut off: the file ends inside the array"
                yield buffer[start:], None, f"element {count + 1} {fault}"
                return
            buffer, at, start = buffer[start:] + more, at - start, 0
            continue
        at = mark.end()
        sign = mark.group()
        if sign in (b"[", b"{"):
            depth += 1
        elif depth and sign in (b"]", b"}"):
            depth -= 1
        elif not depth and sign in (b",", b"]", b"}"):
            raw = buffer[start : mark.start()].strip()
            if raw or sign == b"," or count:
                count += 1
                yield ((raw, *parse(raw)) if raw else (raw, None, f"element {count} is empty: a comma too many"))
            start = at
            if sign != b",":
                break
    if rest := (buffer[start:] + file.read(CHUNK)).strip():
        yield rest, None, "something stands after the end of the array"
