"""What differs, as lines for people: a section for each document, a row for each layer, package and file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lading.cli.output import count, paint, short, size, table
from lading.images.diff.results import (
    Change,
    ContentDiff,
    DiffReport,
    FileChange,
    FilesDiff,
    ImageDiff,
    LayerPair,
    LayersDiff,
    PackageChange,
)
from lading.images.files.entries import FileEntry
from lading.model.text import excerpt

_LABEL = 11
_ROWS = 50
_VALUE = 100
_SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": ">", "recompressed": "=", "same": "="}
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_DURATIONS = ("Interval", "Timeout", "StartPeriod", "StartInterval")


def text_of(report: DiffReport, whole: bool) -> list[str]:
    """What differs between two.

    Args:
        report: what was found.
        whole: whether digests, texts and lists are whole.
    """
    if report.is_same:
        names = report.a.reference, report.b.reference
        digest = report.a.digest if report.a.kind != "index" else report.b.digest
        return [f"{' and '.join(names) if len({*names}) > 1 else 'both'} are the same: {digest}"]
    if report.a.kind == report.b.kind == "index":
        return _of_indexes(report, whole)
    (image,) = report.images or (None,)
    lines = _changes(report.changes, whole)
    return lines + (_of_image(image, whole) if image is not None else [])


def _of_indexes(report: DiffReport, whole: bool) -> list[str]:
    lines = _changes(report.changes, whole)
    differ = [one for one in report.images if one.state != "same"]
    if differ:
        states = [one.state for one in report.images]
        said = _counted({state: states.count(state) for state in ("added", "removed", "changed")})
        same = f", {states.count('same')} the same" if "same" in states else ""
        rows = [
            [f"{_SIGNS[one.state]} {_name(one)}", _both([short(digest, whole) for digest in (one.a, one.b) if digest])]
            for one in differ
        ]
        lines += [*_section("entries", [f"{said}{same}"]), *_rows(rows, whole)]
    for one in differ:
        detail = _of_image(one, whole) if one.state == "changed" else []
        if detail:
            lines += ["", paint(_name(one), "cyan"), *(f"  {line}" for line in detail)]
    return lines or _unlike_in_bytes(report.a.digest, report.b.digest, whole)


def _of_image(image: ImageDiff, whole: bool) -> list[str]:
    lines = _changes(image.changes, whole)
    if image.layers is not None:
        lines += _layers(image.layers, whole, brief=image.files is not None)
    if not lines:
        lines = _unlike_in_bytes(image.a, image.b, whole)
    if image.packages is not None:
        lines += _packages(image.packages, whole)
    if image.files is not None:
        lines += _files(image.files, whole)
    for content in image.contents or ():
        lines += ["", *_content(content)]
    return lines


def _name(image: ImageDiff) -> str:
    if image.kind == "attestation":
        return f"attestation of {image.platform or 'nothing that is there'}"
    return image.platform or f"{image.kind} {short(image.b or image.a)}"


def _unlike_in_bytes(a: str | None, b: str | None, whole: bool) -> list[str]:
    digests = f"{short(a, whole)} → {short(b, whole)}"
    return _section("bytes", [f"both say the same, in other bytes: {digests}"])


# Documents


def _changes(changes: Iterable[Change], whole: bool) -> list[str]:
    by_scope: dict[str, list[Change]] = {}
    for change in changes:
        by_scope.setdefault(change.scope, []).append(change)
    lines = []
    for scope, listed in by_scope.items():
        said = _history(listed, whole) if scope == "history" else [_change(change, whole) for change in listed]
        if not whole and len(said) > _ROWS:
            said = [*said[:_ROWS], _more(len(said) - _ROWS)]
        lines += _section("entry" if scope == "descriptor" else scope, said)
    return lines


def _change(change: Change, whole: bool) -> str:
    name = change.name if whole else excerpt(change.name, _VALUE)
    join = "=" if name.startswith(("ENV ", "LABEL ", "annotation ")) else " "
    a, b = (_value(change.name, value, whole) for value in (change.a, change.b))
    if change.a is None or change.b is None:
        return f"{name}{join}{b if change.a is None else a} {change.state}"
    return f"{name}{join}{a} → {b}"


def _value(name: str, value: Any, whole: bool) -> str:
    if name.startswith("HEALTHCHECK ") and name.endswith(_DURATIONS) and isinstance(value, int):
        return f"{value / 1e9:g}s"
    is_text = isinstance(value, str) and value
    text = value if is_text else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if whole else excerpt(text, _VALUE)


def _history(changes: Sequence[Change], whole: bool) -> list[str]:
    """The steps that only one has, and how many are told otherwise."""
    lines = []
    others: dict[str, int] = {}
    for change in changes:
        if change.name == "step":
            step = change.b if change.a is None else change.a
            lines.append(f"{_SIGNS[change.state]} {_value('', ' '.join(str(step).split()), whole)}")
        elif whole:
            lines.append(_change(change, whole))
        else:
            field = change.path.rpartition("].")[2]
            others[field] = others.get(field, 0) + 1
    return [*lines, *(f"{excerpt(field)} of {count(number, 'step')}" for field, number in others.items())]


# Layers, packages, files


def _layers(layers: LayersDiff, whole: bool, *, brief: bool) -> list[str]:
    differ = [pair for pair in layers.pairs if pair.state != "same"]
    if not differ:
        return []
    states = [pair.state for pair in layers.pairs]
    words = {"shared": layers.shared, "recompressed": states.count("recompressed")}
    words |= {state: states.count(state) for state in ("changed", "removed", "added")}
    lines = _section("layers", [f"{_counted(words)}{_grown(layers.size)}"])
    return lines if brief else lines + _rows([_layer(pair, whole) for pair in differ], whole, right=(2,))


def _layer(pair: LayerPair, whole: bool) -> list[str]:
    layers = [layer for layer in (pair.a, pair.b) if layer is not None]
    last = layers[-1]
    words = last.title or " ".join((last.instruction or "").split())
    if pair.state == "recompressed":
        words = "the same content, compressed otherwise"
    return [
        f"{_SIGNS[pair.state]} {last.number}",
        _both([short(layer.digest, whole) for layer in layers]),
        _both([size(layer.size) for layer in layers]),
        words if whole else excerpt(words),
    ]


def _packages(packages: Sequence[PackageChange], whole: bool) -> list[str]:
    if not packages:
        return []
    states = [package.state for package in packages]
    said = _counted({state: states.count(state) for state in ("added", "changed", "removed")})
    rows = [
        [
            f"{_SIGNS[one.state]} {one.name}",
            _both([version for version in (one.a, one.b) if version is not None]),
            one.type,
        ]
        for one in packages
    ]
    return [*_section("packages", [said]), *_rows(rows, whole)]


def _files(files: FilesDiff, whole: bool) -> list[str]:
    if not files.entries:
        return _section("files", ["the same"])
    words = {"added": files.added, "changed": files.changed, "moved": files.moved, "removed": files.removed}
    head = f"{_counted(words)}{_grown(files.size)}"
    return [*_section("files", [head]), *_rows([_file(one, whole) for one in files.entries], whole, right=(1,))]


def _file(one: FileChange, whole: bool) -> list[str]:
    sizes = [size(entry.size) if entry.type == "file" else entry.type for entry in (one.a, one.b) if entry is not None]
    if "size" not in one.changes and "type" not in one.changes:
        sizes = sizes[-1:]
    path = f"/{one.path}" if one.path != "." else "/"
    remarks = [] if one.a is None or one.b is None else [_ASPECTS[aspect](one.a, one.b) for aspect in one.changes]
    if one.state == "moved" and one.a is not None:
        remarks.insert(0, f"from /{one.a.path}")
    said = ", ".join(remark for remark in remarks if remark)
    if "content" in one.changes and "size" not in one.changes:
        said = f"other content{', ' if said else ''}{said}"
    return [f"{_SIGNS[one.state]} {path if whole else excerpt(path, _VALUE)}", " → ".join(sizes), said]


def _owner(entry: FileEntry) -> str:
    return f"{entry.uid}:{entry.gid}"


def _xattrs(a: FileEntry, b: FileEntry) -> str:
    names = [name for name in {**a.xattrs, **b.xattrs} if a.xattrs.get(name) != b.xattrs.get(name)]
    return f"attributes {', '.join(names)}"


_ASPECTS: dict[str, Callable[[FileEntry, FileEntry], str]] = {
    "type": lambda a, b: "",
    "content": lambda a, b: "",
    "size": lambda a, b: "",
    "mode": lambda a, b: f"mode {a.mode:o} → {b.mode:o}",
    "owner": lambda a, b: f"owner {_owner(a)} → {_owner(b)}",
    "xattrs": _xattrs,
    "link": lambda a, b: f"link {a.link} → {b.link}",
    "device": lambda a, b: f"device {a.device} → {b.device}",
    "mtime": lambda a, b: "another time",
}


def _content(content: ContentDiff) -> list[str]:
    if content.state == "text":
        return [_line(line) for line in content.lines]
    sizes = _both([size(one) for one in (content.a_size, content.b_size) if one is not None])
    why = "binary" if content.state == "binary" else "too large to compare line by line"
    return [f"/{content.path} differs: {why}, {sizes}"]


def _line(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    text = line.expandtabs()
    return paint(text, colour) if colour is not None else text


# Lines


def _section(label: str, said: Sequence[str]) -> list[str]:
    return [f"{label if not number else '':{_LABEL}}{line}" for number, line in enumerate(said)]


def _rows(rows: Sequence[Sequence[str]], whole: bool, right: Iterable[int] = ()) -> list[str]:
    shown = rows if whole else rows[:_ROWS]
    lines = table(shown, right=right, indent="  ")
    return lines if len(shown) == len(rows) else [*lines, f"  {_more(len(rows) - len(shown))}"]


def _more(number: int) -> str:
    return f"… and {number:,} more: --no-trunc"


def _both(said: Sequence[str]) -> str:
    return " → ".join(dict.fromkeys(said))


def _counted(words: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {word}" for word, number in words.items() if number)


def _grown(number: int) -> str:
    return f": {'+' if number > 0 else '-'}{size(abs(number))}" if number else ""
