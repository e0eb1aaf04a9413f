"""Helm charts: what a packaged chart says of itself, as `helm push` writes it into an artifact.

This module reads a file and knows no stores. What a chart says is YAML that a stranger has written: it is read as plain
values within limits, in the way in which Helm reads it. Everything here is work for a thread.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from lading.errors import InvalidContent
from lading.io.tarball import decompressed, reading
from lading.model.encoding import Document, encode_compact

_FILE_LIMIT = 1024 * 1024
_ARCHIVE_LIMIT = 32 * 1024 * 1024
"""How much of a chart is read until its description is found, without compression, in bytes."""
_VALUES = 20_000
"""How many values a description may have; one that is referred to several times counts each time."""
_ANNOTATION = "org.opencontainers.image"
_OWN = (f"{_ANNOTATION}.title", f"{_ANNOTATION}.version")
"""What the annotations of a chart do not change."""


class _NoChart(Exception):  # it is no failure: such a file is pushed as any other
    """What the description of a chart has wrong."""


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart says of itself."""

    document: Document
    """As the config has it: Helm's fields, in Helm's order."""
    name: str
    version: str

    @property
    def config(self) -> bytes:
        """The config of its artifact."""
        return encode_compact(self.document)

    @property
    def tag(self) -> str:
        """The tag under which Helm looks for it: its version, with `_` for what no tag can have."""
        return self.version.replace("+", "_")

    @property
    def annotations(self) -> dict[str, str]:
        """Those of the manifest, but for when it was made."""
        said = self.document
        authors = ", ".join(
            one.get("name", "") + (f" ({one['email']})" if one.get("email") else "")
            for one in said.get("maintainers", [])
        )
        own = {
            "description": said.get("description", ""),
            "title": self.name,
            "version": self.version,
            "url": said.get("home", ""),
            "source": next(iter(said.get("sources", [])), ""),
            "authors": authors,
        }
        given = {key: value for key, value in said.get("annotations", {}).items() if key not in _OWN}
        return {f"{_ANNOTATION}.{key}": value for key, value in own.items() if value.strip()} | given


def read_chart(path: str) -> Chart | None:
    """Read what a packaged chart says; None where it is none that Helm would push.

    Args:
        path: of the archive.

    Raises:
        ModuleNotFoundError: the package for YAML is not installed.
    """
    try:
        document = _document(_described(path))
    except (_NoChart, InvalidContent, OSError, ValueError):
        return None
    if document is None:
        return None
    return Chart(document=document, name=document["name"], version=document["version"])


def _described(path: str) -> dict[str, bytes]:
    """The files of a chart that describe it, by their names."""
    found: dict[str, bytes] = {}
    with Path(path).open("rb") as file, reading(path), decompressed(file) as (plain, _):
        limited = cast("BinaryIO", _Limited(plain, _ARCHIVE_LIMIT))
        with tarfile.open(fileobj=limited, mode="r|") as tar:
            for member in tar:
                _, _, name = member.name.removeprefix("./").partition("/")
                if name not in ("Chart.yaml", "requirements.yaml") or not member.isreg() or name in found:
                    continue
                content = tar.extractfile(member)
                if content is not None and member.size <= _FILE_LIMIT:
                    found[name] = content.read()
    return found


class _Limited:
    """The beginning of a file."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many."""
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece


def _document(files: Mapping[str, bytes]) -> Document | None:
    """The description of a chart as Helm has it; None for one that Helm refuses."""
    if "Chart.yaml" not in files:
        return None
    said = _yaml(files["Chart.yaml"])
    document = _read(said, _FIELDS)
    document.setdefault("apiVersion", "v1")
    if document["apiVersion"] == "v1" and "requirements.yaml" in files:
        # In charts of the first version, what a chart depends on is in a file of its own.
        document |= _read(_yaml(files["requirements.yaml"]), {"dependencies": _FIELDS["dependencies"]})
    ordered = {name: document[name] for name in _FIELDS if name in document}
    is_whole = ordered.get("name") and ordered.get("version") and "/" not in ordered["name"]
    return ordered if is_whole else None


def _yaml(raw: bytes) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Leaves dates texts, as Helm does."""

        yaml_implicit_resolvers = {  # noqa: RUF012  # of the class above, without one of them
            first: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
            for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        found = yaml.load(raw.decode(), Loader)  # noqa: S506  # a SafeLoader makes plain values only
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise _NoChart("it is no valid YAML") from error
    if not isinstance(found, dict):
        raise _NoChart("it is no mapping")
    _check_size(found)
    return found


def _check_size(value: Any) -> None:
    """Refuse what has more in it than its text: values may refer to each other, and to themselves."""
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > _VALUES:
            raise _NoChart("it is too large")
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


# Helm's fields, each with what is made of its value. Like Go's decoder, names are read whatever their case.


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _go_number(value)
    raise _NoChart("it is no text")


def _go_number(value: float) -> str:
    """A number as Go writes it where a text is wanted (`strconv.FormatFloat` with `g`): 1.10 is 1.1, and 1.0 is 1."""
    number = Decimal(repr(value))
    if not number.is_finite():
        raise _NoChart("it is no text")
    sign, digits, _ = number.normalize().as_tuple()
    exponent = number.adjusted()
    if -5 < exponent < 6:
        return f"{number.normalize():f}"
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}{'.' if text[1:] else ''}{text[1:]}e{exponent:+03d}"


def _shown(value: Any) -> str:
    """A text without what cannot be printed, and with plain spaces."""
    kept = (
        " " if one.isspace() and one not in "\x1c\x1d\x1e\x1f" else one if one.isprintable() else ""
        for one in _text(value)
    )
    return "".join(kept)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _NoChart("it is neither true nor false")
    return value


def _list(item: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _NoChart("it is no list")
        return [item(one) for one in value]

    return read


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _NoChart("it is no mapping")
    return {
        _text(key): _text(one) for key, one in sorted(value.items(), key=lambda pair: _text(pair[0])) if one is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(key): _plain(one) for key, one in sorted(value.items(), key=lambda pair: _text(pair[0]))}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _read(value: Any, fields: Mapping[str, Callable[[Any], Any]], always: tuple[str, ...] = ()) -> Document:
    """An object with the fields that are known and say something."""
    if not isinstance(value, dict):
        raise _NoChart("it is no mapping")
    said = {_text(key).lower(): one for key, one in value.items()} | {_text(key): one for key, one in value.items()}
    found: Document = {}
    for name, read in fields.items():
        one = said.get(name, said.get(name.lower()))
        made = read(one) if one is not None else None
        if made or name in always:
            found[name] = made or ""
    return found


def _maintainer(value: Any) -> Document:
    return _read(value, {"name": _shown, "email": _shown, "url": _shown})


def _dependency(value: Any) -> Document:
    fields: dict[str, Callable[[Any], Any]] = {
        "name": _shown,
        "version": _shown,
        "repository": _shown,
        "condition": _shown,
        "tags": _list(_shown),
        "enabled": _flag,
        "import-values": _list(_plain),
        "alias": _text,
    }
    return _read(value, fields, always=("name", "repository"))


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": _shown,
    "home": _shown,
    "sources": _list(_shown),
    "version": _text,
    "description": _shown,
    "keywords": _list(_shown),
    "maintainers": _list(_maintainer),
    "icon": _shown,
    "apiVersion": _text,
    "condition": _shown,
    "tags": _shown,
    "appVersion": _shown,
    "deprecated": _flag,
    "annotations": _texts,
    "kubeVersion": _shown,
    "dependencies": _list(_dependency),
    "type": _text,
}
