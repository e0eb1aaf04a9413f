"""JSON as registries hold it: strict reading, and the two wire styles lading writes.

Reading keeps key order and number spelling, so that a document that is edited keeps every byte of meaning it had.
Writing follows Go's `encoding/json`, which made nearly every document in a registry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn, Self

from lading.errors import InvalidContent

SIZE_LIMIT = 4 * 1024 * 1024
"""The largest manifest accepted unless the caller says otherwise, in bytes (distribution-spec §Pushing Manifests)."""
DEPTH_LIMIT = 64
"""How deep objects and arrays may nest."""

Document = dict[str, Any]
"""A decoded JSON object, in the key order of its text."""

_STRING = rb'(?s)"(?:[^"\\]|\\.)*+"'
# A string that does not end takes all that follows, or the search would start again at each of its quotes.
_STRING_OR_BRACKET = rb'(?s)"(?:[^"\\]|\\.)*+"?|[\[\]{}]'


class Number(float):
    """A number with a fraction or an exponent, or `-0`, that is written again as it was read."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Keep the number's text."""
        self = super().__new__(cls, text)
        self.text = text
        return self


def decode(raw: bytes, what: str = "the document", limit: int = SIZE_LIMIT) -> Document:
    """Decode a JSON object strictly.

    Args:
        raw: the UTF-8 text.
        what: what the document is called in an error.
        limit: the largest size accepted, in bytes.

    Returns:
        The object, keys in their order.

    Raises:
        InvalidContent: too large, not UTF-8, not JSON, a key twice in one object, nested deeper than DEPTH_LIMIT,
            or not an object.
    """
    if len(raw) > limit:
        raise InvalidContent(
            f"{what} is too large", cause=f"{len(raw)} bytes, and {limit} are allowed", code="too-large"
        )
    if raw.count(b"[") + raw.count(b"{") > DEPTH_LIMIT and _depth(raw) > DEPTH_LIMIT:
        raise InvalidContent(f"{what} is nested too deeply", cause=f"more than {DEPTH_LIMIT} levels")
    try:
        value = json.loads(
            raw.decode(),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise InvalidContent(f"{what} is not UTF-8 text", cause=f"byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidContent(f"{what} is not valid JSON", cause=_first_line(error)) from None
    if not isinstance(value, dict):
        raise InvalidContent(f"{what} is not a JSON object")
    return value


def respelled(document: Document, names: Collection[str]) -> Document:
    """The same object with the keys that Go takes for one of these names spelled so; Go does not heed case.

    Args:
        document: a decoded object of a file that people may have written.
        names: the names of the fields. A key that is one of them exactly counts before others.
    """
    if all(key in names for key in document):
        return document
    exact = {name.casefold(): name for name in names if name not in document}
    return {exact.pop(key.casefold(), key) if key not in names else key: value for key, value in document.items()}


def check_text(value: Any, what: str) -> None:
    """Make sure that every text of a decoded value is one: an escape may stand for half of a character.

    Args:
        value: an object, a list, or anything in them.
        what: what it is called in an error.

    Raises:
        InvalidContent: one is not.
    """
    try:
        "".join(_write(value, "", "")).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise InvalidContent(
            f"{what} has a text that cannot be kept", cause=f"{half} is half of a character", code="not-unicode"
        ) from None


def encode_docker(document: Mapping[str, Any]) -> bytes:
    """Encode as `docker manifest push` does: three spaces, Go's HTML escaping, no newline at the end.

    Keys are written in the order of `document`; order them for Docker with the model's `to_document`.
    """
    return "".join(_write(document, "   ", "\n")).encode("utf-8", "backslashreplace")


def encode_compact(document: Mapping[str, Any]) -> bytes:
    """Encode as Go's `json.Marshal` does: no white space, HTML escaping, no newline at the end."""
    return "".join(_write(document, "", "")).encode("utf-8", "backslashreplace")


def encode_indented(document: Mapping[str, Any] | list[Any], indent: str, *, escape_html: bool = True) -> bytes:
    """Encode with any indent, for people to read.

    Args:
        document: what to encode.
        indent: what each level is moved to the right by; empty for everything on one line.
        escape_html: whether `<`, `>` and `&` are escaped, as Go does.
    """
    return "".join(_write(document, indent, "\n", escape_html)).encode("utf-8", "backslashreplace")


def encode_like(document: Mapping[str, Any], raw: bytes) -> bytes:
    """Encode a changed document in the layout of its original: indent, escapes, and a newline at the end.

    Args:
        document: what to encode; keys are written in its order.
        raw: the bytes that the document was before it was changed.
    """
    found = re.match(rb"\s*\{\r?\n([ \t]+)", raw)
    indent = found[1].decode() if found else ""
    # Go escapes these wherever they are, and what has one as it is was not written by Go.
    escape_html = not any(character in raw for character in (b"<", b">", b"&"))
    text = "".join(_write(document, indent, "\n" if found else "", escape_html))
    return text.encode("utf-8", "backslashreplace") + (b"\n" if raw.endswith(b"\n") else b"")


def reindent(raw: bytes, indent: str) -> bytes:
    """Lay valid JSON out anew and change nothing else: Go's `json.Indent`.

    Strings, numbers and key order stay as they are, byte for byte.

    Args:
        raw: the JSON text.
        indent: what each level is moved to the right by.

    Raises:
        InvalidContent: a string in it does not end.
    """
    out: list[bytes] = []
    depth = 0
    position = 0
    pad = indent.encode()
    opened = False
    while position < len(raw):
        byte = raw[position : position + 1]
        if byte in b" \t\r\n":
            position += 1
            continue
        if opened and byte not in b"]}":
            out.append(b"\n" + pad * depth)
        if byte == b'"':
            string = re.compile(_STRING).match(raw, position)
            if string is None:
                raise InvalidContent("the document is not valid JSON", cause="a string does not end")
            out.append(string.group())
            position = string.end()
            opened = False
            continue
        if byte in b"[{":
            depth += 1
            out.append(byte)
            opened = True
        elif byte in b"]}":
            depth -= 1
            out.append(byte if opened else b"\n" + pad * depth + byte)
            opened = False
        else:
            out.append(byte + b"\n" + pad * depth if byte == b"," else b": " if byte == b":" else byte)
            opened = False
        position += 1
    return b"".join(out)


def _write(value: Any, indent: str, newline: str, escape_html: bool = True) -> Iterator[str]:
    colon = ": " if newline else ":"
    if isinstance(value, Mapping):
        if not value:
            yield "{}"
            return
        inner = newline + indent if newline else ""
        separator = "{"
        for key, item in value.items():
            yield f"{separator}{inner}{_string(str(key), escape_html)}{colon}"
            yield from _write(item, indent, inner, escape_html)
            separator = ","
        yield f"{newline}}}"
    elif isinstance(value, (list, tuple)):
        if not value:
            yield "[]"
            return
        inner = newline + indent if newline else ""
        separator = "["
        for item in value:
            yield separator + inner
            yield from _write(item, indent, inner, escape_html)
            separator = ","
        yield f"{newline}]"
    elif isinstance(value, str):
        yield _string(value, escape_html)
    elif isinstance(value, Number):
        yield value.text
    elif value is None or isinstance(value, (bool, int, float)):
        yield json.dumps(value, allow_nan=False)
    else:
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _string(text: str, escape_html: bool) -> str:
    quoted = json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    if not escape_html:
        return quoted
    return quoted.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for found in re.finditer(_STRING_OR_BRACKET, raw):
        token = found.group()
        if token in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"]", b"}"):
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return document


def _integer(text: str) -> int | Number:
    return Number(text) if text == "-0" else int(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _first_line(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno} column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).splitlines()[0][:200]
