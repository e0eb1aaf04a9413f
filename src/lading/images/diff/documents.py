"""What two documents say differently, in words: manifests, configs, histories, descriptors, and any other JSON.

This module knows decoded documents, and reads nothing. What it does not know it tells by its JSON path; null counts as
absent, as it does for every reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from lading.images.diff.alignment import aligned
from lading.images.diff.results import Change
from lading.images.history import instruction

Scope = Literal["index", "descriptor", "manifest", "config", "history"]
Difference = tuple[str, Any, Any]
"""A JSON path, and what both say there."""

_TEXTS = {"Env": "ENV", "Labels": "LABEL"}
_SETS = {"ExposedPorts": "EXPOSE", "Volumes": "VOLUME"}
_WORDS = {
    "Entrypoint": "ENTRYPOINT",
    "Cmd": "CMD",
    "User": "USER",
    "WorkingDir": "WORKDIR",
    "StopSignal": "STOPSIGNAL",
    "Shell": "SHELL",
    "OnBuild": "ONBUILD",
}


def compared(a: Any, b: Any, path: str = "") -> Iterator[Difference]:
    """What two decoded values say differently, as deep as they are alike.

    Args:
        a: one value.
        b: the other.
        path: where they are.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            yield from compared(a.get(key), b.get(key), at(path, key))
    elif _are_objects(a) and _are_objects(b) and len(a) == len(b):
        for number, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from compared(one, other, f"{path}[{number}]")
    elif not _equal(a, b):
        yield path, a, b


def at(path: str, key: str) -> str:
    """The JSON path of a key of an object.

    Args:
        path: of the object.
        key: the key.
    """
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def manifest_changes(a: Mapping[str, Any], b: Mapping[str, Any], scope: Scope = "manifest") -> list[Change]:
    """What two manifests or two indexes say of themselves: not what they list.

    Args:
        a: one document.
        b: the other.
        scope: what the documents are.
    """
    listed = ("config", "layers", "blobs", "manifests", "annotations")
    changes = _plain(_without(a, listed), _without(b, listed), scope)
    return changes + annotation_changes(a.get("annotations"), b.get("annotations"), scope)


def descriptor_changes(a: Mapping[str, Any], b: Mapping[str, Any], path: str, scope: Scope) -> list[Change]:
    """What two descriptors say of their content, but for which content it is.

    Args:
        a: one descriptor.
        b: the other.
        path: where they are in their documents; empty for that of the image itself.
        scope: which document has them.
    """
    content = ("digest", "size", "annotations", "data")
    changes = _plain(_without(a, content), _without(b, content), scope, path)
    if a.get("digest") == b.get("digest"):
        changes += _plain({"data": a.get("data")}, {"data": b.get("data")}, scope, path)
    return changes + annotation_changes(a.get("annotations"), b.get("annotations"), scope, path)


def annotation_changes(a: Any, b: Any, scope: Scope, path: str = "") -> list[Change]:
    """What the annotations of two documents say differently.

    Args:
        a: the annotations of one.
        b: those of the other.
        scope: which document has them.
        path: where the object is that has them.
    """
    words = f"annotation of {path} " if path else "annotation "
    return _keyed(a, b, scope, at(path, "annotations"), words)


def config_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """What two image configs say differently, in the words of a Dockerfile where it has some (image-spec config).

    Which layers there are is not told: the layers tell it.

    Args:
        a: one document.
        b: the other.
    """
    apart = ("config", "history", "rootfs")
    changes = _plain(_without(a, apart), _without(b, apart), "config")
    runs = [_object(document.get("config")) for document in (a, b)]
    if any(document.get("config") is not None and run is None for document, run in zip((a, b), runs, strict=True)):
        changes += _plain({"config": a.get("config")}, {"config": b.get("config")}, "config")
    else:
        changes += _run_changes(runs[0] or {}, runs[1] or {})
    roots = [document.get("rootfs") for document in (a, b)]
    roots = [_without(root, ("diff_ids",)) if isinstance(root, Mapping) else root for root in roots]
    changes += _plain({"rootfs": roots[0]}, {"rootfs": roots[1]}, "config")
    return changes + history_changes(a.get("history"), b.get("history"))


def history_changes(a: Any, b: Any) -> list[Change]:
    """What two histories tell differently: steps that only one has, and what is said otherwise of the same step.

    Args:
        a: the history of one config.
        b: that of the other.
    """
    if not (_is_history(a) and _is_history(b)):
        return _plain({"history": a}, {"history": b}, "history")
    one, other = list(a or ()), list(b or ())
    changes = []
    for left, right in aligned([_step(step) for step in one], [_step(step) for step in other]):
        if left is not None and right is not None:
            changes += _plain(one[left], other[right], "history", f"history[{right}]")
        elif left is not None:
            changes.append(_change("history", f"history[{left}]", "step", _said(one[left]), None))
        elif right is not None:
            changes.append(_change("history", f"history[{right}]", "step", None, _said(other[right])))
    return changes


def _run_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    changes: list[Change] = []
    rest_a, rest_b = dict(a), dict(b)
    for key in dict.fromkeys([*a, *b]):
        one, other, path = a.get(key), b.get(key), at("config", key)
        known = True
        if key == "Env" and _is_env(one) and _is_env(other):
            changes += _keyed(_variables(one), _variables(other), "config", path, "ENV ")
            if sorted(one or ()) == sorted(other or ()):
                changes += _plain({key: one}, {key: other}, "config", "config", name="the order of ENV")
        elif key == "Labels" and _is_object(one) and _is_object(other):
            changes += _keyed(one, other, "config", path, "LABEL ")
        elif key in _SETS and _is_object(one) and _is_object(other):
            changes += _members(one or {}, other or {}, path, _SETS[key])
        elif key == "Healthcheck" and _is_object(one) and _is_object(other):
            changes += [
                _change("config", where, f"HEALTHCHECK {where.removeprefix(f'{path}.')}", left, right)
                for where, left, right in compared(one or {}, other or {}, path)
            ]
        elif key in _WORDS:
            changes += _plain({key: one}, {key: other}, "config", "config", name=_WORDS[key])
        else:
            known = False
        if known:
            rest_a.pop(key, None)
            rest_b.pop(key, None)
    return changes + _plain(rest_a, rest_b, "config", "config")


def _keyed(a: Any, b: Any, scope: Scope, path: str, words: str) -> list[Change]:
    """Keys with values, such as labels: of what is no object, that it is another value."""
    if not (_is_object(a) and _is_object(b)):
        return [_change(scope, where, where, left, right) for where, left, right in compared(a, b, path)]
    a, b = a or {}, b or {}
    return [
        _change(scope, at(path, key), f"{words}{key}", a.get(key), b.get(key))
        for key in dict.fromkeys([*a, *b])
        if not _equal(a.get(key), b.get(key))
    ]


def _members(a: Mapping[str, Any], b: Mapping[str, Any], path: str, word: str) -> list[Change]:
    """The members of a set, which Go writes as the keys of an object."""
    return [
        _change("config", at(path, key), word, key if key in a else None, key if key in b else None)
        for key in dict.fromkeys([*a, *b])
        if (key in a) != (key in b)
    ]


def _plain(a: Any, b: Any, scope: Scope, path: str = "", *, name: str | None = None) -> list[Change]:
    return [_change(scope, where, name or where or scope, left, right) for where, left, right in compared(a, b, path)]


def _change(scope: Scope, path: str, name: str, a: Any, b: Any) -> Change:
    return Change(scope=scope, path=path, name=name, a=a, b=b)


def _without(document: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def _object(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _are_objects(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Mapping) for one in value)


def _is_history(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(step, Mapping) for step in value))


def _is_env(value: Any) -> bool:
    """Whether it is a list of `NAME=VALUE`, each name once: only then order and names tell all of it."""
    if value is None:
        return True
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return False
    return len({one.partition("=")[0] for one in value}) == len(value)


def _variables(value: Sequence[str] | None) -> dict[str, str]:
    return {name: text for name, _, text in (one.partition("=") for one in value or ())}


def _step(step: Mapping[str, Any]) -> str:
    return _canonical([step.get("created_by") or step.get("comment"), step.get("empty_layer") is True])


def _said(step: Mapping[str, Any]) -> str:
    command = step.get("created_by")
    if isinstance(command, str) and command:
        return instruction(command) or command
    return str(step.get("comment") or "nothing is said of it")


def _equal(a: Any, b: Any) -> bool:
    return _canonical(a) == _canonical(b)


def _canonical(value: Any) -> str:
    return json.dumps([value], sort_keys=True)
