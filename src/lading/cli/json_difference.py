"""How two JSON documents differ, line by line, for people."""

from __future__ import annotations

from difflib import unified_diff

from lading.cli.output import paint
from lading.model.encoding import Document, encode_indented

_COLOURS = {"+": "green", "-": "red"}


def json_difference(before: Document, after: Document, indent: str = "") -> list[str]:
    """The lines of a document that change, with a little around them; none where nothing does.

    Args:
        before: the document as it was.
        after: the document as it is.
        indent: what each line starts with.
    """
    old, new = (
        encode_indented(document, "  ", escape_html=False).decode("utf-8", "replace").splitlines()
        for document in (before, after)
    )
    lines = list(unified_diff(old, new, n=2, lineterm=""))[2:]
    return [indent + (paint(line, _COLOURS[line[0]]) if line[0] in _COLOURS else line) for line in lines]
