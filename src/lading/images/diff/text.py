"""Contents of two files beside each other: a unified diff of texts, within limits.

This module knows bytes, and reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from lading.images.diff.alignment import matched
from lading.images.diff.results import ContentDiff

LIMIT = 1024 * 1024
"""How large a file may be that is compared line by line, in bytes."""
TOTAL = 32 * 1024 * 1024
"""How large all of them may be together."""
_CONTEXT = 3
_ENDLESS = "\\ No newline at end of file"


def content_diff(path: str, a: bytes | None, b: bytes | None) -> ContentDiff:
    """What differs between two contents.

    Args:
        path: of the file.
        a: the content in A; None where the file is not there.
        b: the content in B.
    """
    sizes = len(a) if a is not None else None, len(b) if b is not None else None
    try:
        texts = [None if content is None else _text(content) for content in (a, b)]
    except ValueError:
        return ContentDiff(path=path, state="binary", a_size=sizes[0], b_size=sizes[1])
    names = [f"{side}/{path}" if text is not None else "/dev/null" for side, text in zip("ab", texts, strict=True)]
    lines = _unified(_lines(texts[0] or ""), _lines(texts[1] or ""))
    return ContentDiff(
        path=path,
        state="text",
        a_size=sizes[0],
        b_size=sizes[1],
        lines=(f"--- {names[0]}", f"+++ {names[1]}", *lines),
    )


def _text(content: bytes) -> str:
    """A content as text: one with zero bytes, or bytes that are no UTF-8, is none."""
    if b"\0" in content:
        raise ValueError("it is binary")
    return content.decode()


def _lines(text: str) -> list[str]:
    """The lines of a text, each with its end: the last may have none."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines


def _unified(a: list[str], b: list[str]) -> Iterator[str]:
    for group in matched(a, b).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
        for kind, a_from, a_to, b_from, b_to in group:
            if kind == "equal":
                yield from _marked(" ", a[a_from:a_to])
            else:
                yield from _marked("-", a[a_from:a_to])
                yield from _marked("+", b[b_from:b_to])


def _marked(mark: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield mark + line.removesuffix("\n")
        if not line.endswith("\n"):
            yield _ENDLESS


def _range(start: int, stop: int) -> str:
    """Lines of a file as the headers of hunks have them (POSIX diff §Diff -u Output Format)."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
