"""What an index is made of, as files say it: descriptors, as imagetools takes them, and manifest-tool's YAML.

This module reads texts, and neither stores nor files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from lading.errors import UsageError
from lading.images.indexes.sources import IndexSource
from lading.model.descriptor import Descriptor
from lading.model.encoding import decode
from lading.model.platform import Platform
from lading.stores.location import Location

SIZE_LIMIT = 1024 * 1024
"""The largest file read, in bytes."""
_NOTHING = ("", "~", "null", "Null", "NULL")
_FIELDS = ("image", "tags", "annotations", "manifests")
_ENTRY_FIELDS = ("image", "platform")
_PLATFORM_FIELDS = {
    "architecture": "architecture",
    "os": "os",
    "variant": "variant",
    **dict.fromkeys(("osversion", "osVersion", "os.version", "os_version"), "os_version"),
    **dict.fromkeys(("osfeatures", "osFeatures", "os.features", "os_features"), "os_features"),
}
_LIKE_MANIFESTS = ("manifests", "layers", "config", "schemaVersion")


class IndexSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An index as a file describes it."""

    target: str
    """Its name; empty where the file says none."""
    tags: tuple[str, ...] = ()
    """More names of it, in the same repository."""
    annotations: dict[str, str] = {}
    sources: tuple[IndexSource, ...] = ()


def read_spec(text: str, what: str) -> IndexSpec:
    """Read manifest-tool's YAML; every scalar in it is a text, so that `1.10` stays one.

    Args:
        text: the YAML.
        what: what the file is called in messages.

    Raises:
        UsageError: it is not valid, or has a field that there is not.
    """
    document = _yaml(text, what)
    _check_fields(document, _FIELDS, what, "")
    entries = _list(document.get("manifests"), what, "manifests")
    if not entries:
        raise _wrong(what, "it lists no manifests")
    return IndexSpec(
        target=_text(document.get("image"), what, "image"),
        tags=tuple(_text(tag, what, "tags") for tag in _list(document.get("tags"), what, "tags")),
        annotations={
            key: _text(value, what, f"annotations.{key}", empty="")
            for key, value in _mapping(document.get("annotations"), what, "annotations").items()
        },
        sources=tuple(_source(entry, what, f"manifests[{at}]") for at, entry in enumerate(entries)),
    )


def from_template(template: str, platforms: Sequence[Platform]) -> list[IndexSource]:
    """The images that a template names for platforms: ARCH, OS and VARIANT stand for the parts of each.

    Each of them is replaced once, in this order, as manifest-tool does.

    Raises:
        UsageError: the template has none of them, or there are no platforms.
    """
    if not platforms:
        raise UsageError("a template names an image for each platform, and no platforms were given")
    if not any(word in template for word in ("ARCH", "OS", "VARIANT")):
        raise UsageError(f"{template} is no template", cause="it has neither ARCH nor OS nor VARIANT in it")
    sources = []
    for platform in platforms:
        name = template.replace("ARCH", platform.architecture, 1).replace("OS", platform.os, 1)
        sources.append(IndexSource(name.replace("VARIANT", platform.variant, 1), platform))
    return sources


def read_sources(raw: bytes, target: Location, what: str) -> list[IndexSource]:
    """The sources in a file: a descriptor as JSON, a list of such, or lines with references and digests.

    A descriptor or a digest is of something in the target's repository.

    Args:
        raw: the content of the file.
        target: the index that is made of them.
        what: what the file is called in messages.

    Raises:
        UsageError: it is none of that, or a manifest.
        InvalidContent: it is no valid JSON, or the descriptor is malformed.
    """
    if len(raw) > SIZE_LIMIT:
        raise _wrong(what, f"it is larger than {SIZE_LIMIT:,} bytes")
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise _wrong(what, "it is not UTF-8 text") from None
    if text.startswith(("{", "[")):
        whole = decode(f'{{"all":{text}}}'.encode(), what)["all"]
        listed = whole if isinstance(whole, list) else [whole]
        return [_described(one, target, what) for one in listed]
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    if not named:
        raise _wrong(what, "it names nothing")
    return [IndexSource(line) for line in named]


def _described(document: Any, target: Location, what: str) -> IndexSource:
    if isinstance(document, dict) and any(field in document for field in _LIKE_MANIFESTS):
        raise _wrong(what, "it is a manifest or an index, and a descriptor is wanted")
    found = Descriptor.from_document(document, f"the descriptor in {what}")
    return IndexSource(
        target.with_digest(found.digest),
        found.platform,
        found.annotations or None,
        found.artifact_type or None,
        found,
    )


def _source(entry: Any, what: str, where: str) -> IndexSource:
    fields = _mapping(entry, what, where)
    _check_fields(fields, _ENTRY_FIELDS, what, f"{where}.")
    image = _text(fields.get("image"), what, f"{where}.image")
    if not image:
        raise _wrong(what, f"{where} has no image")
    said = _mapping(fields.get("platform"), what, f"{where}.platform")
    _check_fields(said, _PLATFORM_FIELDS, what, f"{where}.platform.")
    values: dict[str, Any] = {}
    for key, value in said.items():
        name, place = _PLATFORM_FIELDS[key], f"{where}.platform.{key}"
        if name == "os_features":
            values[name] = tuple(_text(one, what, place) for one in _list(value, what, place))
        else:
            values[name] = _text(value, what, place)
    platform = Platform(**values)
    return IndexSource(image, platform.canonical() if platform != Platform() else None)


def _yaml(text: str, what: str) -> dict[str, Any]:
    import yaml

    class Loader(yaml.BaseLoader):  # type: ignore[misc]
        """Leaves scalars texts, and refuses a key that is there twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            if twice := next((key for at, key in enumerate(keys) if key in keys[:at]), None):
                raise _wrong(what, f"{twice} is there twice")
            return super().construct_mapping(node, deep)

    if len(text) > SIZE_LIMIT:
        raise _wrong(what, f"it is larger than {SIZE_LIMIT:,} bytes")
    try:
        found = yaml.load(text, Loader)  # noqa: S506  # a BaseLoader makes nothing but texts, lists and dicts
    except yaml.YAMLError as error:
        raise _wrong(what, " ".join(str(error).split())[:200]) from None
    except (RecursionError, ValueError, TypeError):
        raise _wrong(what, "it is nested too deeply, or no valid YAML") from None
    if not isinstance(found, dict):
        raise _wrong(what, "it is not a mapping")
    return found


def _check_fields(fields: dict[str, Any], known: Iterable[str], what: str, where: str) -> None:
    names = list(known)
    for key in fields:
        if key in names:
            continue
        close = get_close_matches(str(key), names, n=1)
        raise UsageError(
            f"{what} is not valid",
            cause=f"there is no field {where}{key}",
            remedy=f"did you mean {close[0]}?" if close else f"its fields are {', '.join(names)}",
            code="invalid-spec",
        )


def _text(value: Any, what: str, where: str, *, empty: str | None = None) -> str:
    if value is None or (empty is None and value in _NOTHING):
        return ""
    if not isinstance(value, str):
        raise _wrong(what, f"{where} is not a text")
    return value


def _list(value: Any, what: str, where: str) -> list[Any]:
    if value is None or value in _NOTHING:
        return []
    if not isinstance(value, list):
        raise _wrong(what, f"{where} is not a list")
    return value


def _mapping(value: Any, what: str, where: str) -> dict[str, Any]:
    if value is None or value in _NOTHING:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _wrong(what, f"{where} is not a mapping")
    return value


def _wrong(what: str, cause: str) -> UsageError:
    return UsageError(f"{what} is not valid", cause=cause, code="invalid-spec")
