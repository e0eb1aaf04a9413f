"""Docker's own files of local manifest lists: their names and their bytes, exactly.

This module knows the format (`docker/cli` cli/manifest/store), and neither folders, locks nor registries. Docker
ignores keys that it does not know, and drops them when it rewrites an entry. What lading adds is in one key, `lading`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from lading.drafts.draft import DraftEntry
from lading.errors import InvalidContent, InvalidReference
from lading.model.descriptor import Descriptor, convert
from lading.model.digest import Digest, verify
from lading.model.encoding import Document, decode, encode_compact, reindent
from lading.model.media_types import DOCKER_MANIFEST, OCI_MANIFEST
from lading.model.platform import Platform
from lading.model.reference import Reference, is_tag

SIZE_LIMIT = 16 * 1024 * 1024
"""The largest entry file read, in bytes: it holds a manifest twice, once in base64."""

_KEYS = {DOCKER_MANIFEST: "SchemaV2Manifest", OCI_MANIFEST: "OCIManifest"}
_OURS = "lading"
_KNOWN = {"Ref", "Descriptor", "Raw", "Digest", "Platform", _OURS, *_KEYS.values()}
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[ \t\r\n]+', re.DOTALL)
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def file_name(reference: Reference) -> str:
    """The name of a list's folder or an entry's file: the reference with `-` for `:` and `_` for `/`.

    Two references can have the same name.
    """
    return str(reference).replace(":", "-").replace("/", "_")


def name_of(entry: DraftEntry) -> str:
    """The name of an entry's file."""
    return entry.file or file_name(entry.reference)


def with_files(entries: Iterable[DraftEntry], used: Collection[str] = ()) -> tuple[DraftEntry, ...]:
    """Entries each of which has a file of its own: one manifest may be listed several times.

    Args:
        entries: the entries.
        used: the names of files that others have.
    """
    taken = set(used)
    found: list[DraftEntry] = []
    numbers: dict[str, int] = {}
    for entry in entries:
        usual, name = file_name(entry.reference), name_of(entry)
        while name in taken:
            numbers[usual] = numbers.get(usual, 1) + 1
            name = f"{usual}.{numbers[usual]}"
        taken.add(name)
        file = "" if name == usual else name
        found.append(entry if file == entry.file else msgspec.structs.replace(entry, file=file))
    return tuple(found)


def docker_order(names: Mapping[str, object]) -> list[str]:
    """File names in Docker's order: by their bytes."""
    return sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


def looks_like_a_name(name: str) -> bool:
    """Whether Docker may have given a file this name; if such a file cannot be read, it is damaged."""
    return not name.startswith(".") and "_" in name and ("-" in name or "@" in name)


def references_of(name: str, entries: Iterable[DraftEntry]) -> list[Reference]:
    """The references that a folder of this name can stand for, in the repositories of its entries."""
    repositories = {entry.reference.name: None for entry in entries}
    found = (_in_repository(name, repository) for repository in repositories)
    return [reference for reference in found if reference is not None]


def guess_reference(name: str) -> Reference | None:
    """A reference whose folder or file has this name; None if there can be none."""
    first, _, rest = name.partition("_")
    registry = re.sub(r"-(\d+)$", r":\1", first)
    if registry.startswith("["):
        address, _, port = first.partition("]")
        registry = address.replace("-", ":") + "]" + port.replace("-", ":")
    tagged, at, digest = rest.partition("@")
    path, separator, tag = tagged.rpartition("-")
    ways = [(path, separator, tag)] if separator else []
    if at:  # A name with a digest need not have a tag; what looks like a path is none.
        ways.insert(0 if "_" in tag else len(ways), (tagged, "", ""))
    for path, separator, tag in ways:
        for slashed in (path.replace("_", "/"), re.sub(r"(?<!_)_(?!_)", "/", path), path):
            text = f"{registry}/{slashed}{':' if separator else ''}{tag}"
            reference = _parsed(text + (f"@{digest.replace('-', ':', 1)}" if at else ""))
            if reference is not None and file_name(reference) == name:
                return reference
    return None


def compact(raw: bytes) -> bytes:
    """JSON text as Go's `json.Marshal` copies it: without white space, with `<`, `>` and `&` escaped."""
    text = _TOKEN.sub(lambda token: b"" if token.group()[:1].isspace() else token.group(), raw)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def embed(raw: bytes, media_type: str) -> bytes:
    """A manifest as Docker keeps it beside its bytes; empty for a media type that Docker does not know."""
    if media_type not in _KEYS:
        return b""
    said = decode(raw, limit=len(raw)).get("mediaType")
    return compact(raw) if said == media_type or (not said and media_type == OCI_MANIFEST) else b""


def encode_entry(entry: DraftEntry, list_id: str = "") -> bytes:
    """The file of an entry.

    Args:
        entry: the entry.
        list_id: the identifier of the list, for a file that lading writes; empty for a file as Docker writes it.
    """
    descriptor = entry.descriptor
    document: Document = {
        "Ref": str(entry.reference),
        "Descriptor": msgspec.structs.replace(descriptor, extra={}).to_document(),
    }
    if entry.raw:
        document["Raw"] = base64.b64encode(entry.raw).decode()
    text = encode_compact(document)
    if entry.embedded and descriptor.media_type in _KEYS:
        text = text[:-1] + f',"{_KEYS[descriptor.media_type]}":'.encode() + compact(entry.embedded) + b"}"
    rest = dict(entry.extra)
    if list_id:
        rest[_OURS] = {"list": list_id} | ({"descriptor": descriptor.extra} if descriptor.extra else {})
    return text[:-1] + b"," + encode_compact(rest)[1:] if rest else text


def decode_entry(data: bytes, what: str) -> tuple[DraftEntry, str]:
    """Read the file of an entry: Docker's present form, its former one, or the least that Docker accepts.

    Args:
        data: the file's content.
        what: the file's path, for errors.

    Returns:
        The entry, and the identifier of the list that lading wrote it for, empty if Docker wrote it.

    Raises:
        InvalidContent: it is not the file of an entry, or damaged.
    """
    document = decode(data, what, SIZE_LIMIT)
    reference = _canonical(document.get("Ref"), what)
    key, embedded = _embedded(data, document, what)
    if document.get("Digest"):
        descriptor = _former_descriptor(document, key, embedded, what)
    else:
        descriptor = Descriptor.from_document(document.get("Descriptor"), f"{what}: Descriptor")
    if not descriptor.media_type and key:
        descriptor = msgspec.structs.replace(descriptor, media_type=key)
    descriptor = msgspec.structs.replace(descriptor, extra={})
    ours = document.get(_OURS)
    list_id = ours.get("list") if isinstance(ours, dict) else None
    if isinstance(ours, dict) and isinstance(ours.get("descriptor"), dict):
        descriptor = msgspec.structs.replace(descriptor, extra=_unknown_fields(ours["descriptor"]))
    entry = DraftEntry(
        reference=reference,
        descriptor=descriptor,
        raw=_raw(document.get("Raw"), embedded, descriptor, what),
        embedded=compact(embedded),
        extra={name: value for name, value in document.items() if name not in _KNOWN},
    )
    return entry, list_id if isinstance(list_id, str) else ""


def _canonical(text: Any, what: str) -> Reference:
    if not isinstance(text, str):
        raise InvalidContent(f"{what} is no entry of a manifest list", cause="it has no Ref")
    reference = _parsed(text)
    if reference is None or str(reference) != text:
        raise InvalidContent(f"{what} is malformed", cause=f"its Ref {text!r} is not a full reference")
    return reference


def _parsed(text: str) -> Reference | None:
    try:
        return Reference.parse_repository(text)
    except InvalidReference:
        return None


def _embedded(data: bytes, document: Document, what: str) -> tuple[str, bytes]:
    """The media type and the exact text of the manifest within the file, both empty where there is none."""
    present = [(kind, key) for kind, key in _KEYS.items() if document.get(key) is not None]
    if not present:
        return "", b""
    if len(present) > 1 or not isinstance(document[present[0][1]], dict):
        raise InvalidContent(f"{what} is malformed", cause="it should hold one manifest")
    try:
        parts = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise InvalidContent(f"{what} is not valid JSON", cause=str(error)) from None
    kind, key = present[0]
    return kind, bytes(parts[key])


def _former_descriptor(document: Document, kind: str, embedded: bytes, what: str) -> Descriptor:
    if not embedded or document["Digest"] != Digest.of(embedded):
        raise InvalidContent(f"{what} is damaged", cause="its manifest does not match its Digest")
    platform = document.get("Platform")
    return Descriptor(
        media_type=kind,
        digest=Digest.of(embedded),
        size=len(embedded),
        platform=convert(platform, Platform, f"{what}: Platform") if platform is not None else None,
    )


def _raw(text: Any, embedded: bytes, descriptor: Descriptor, what: str) -> bytes | None:
    if text:
        try:
            raw = base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise InvalidContent(f"{what} is malformed", cause="its Raw is not base64") from None
        return verify(raw, descriptor.digest, descriptor.size, name=f"the manifest in {what}")
    if not embedded:
        return None
    # Without Raw the white space is lost. One of these layouts, which tools push, may give the digest again.
    layouts = (embedded, reindent(embedded, "   "), reindent(embedded, "  "))
    return next((raw for raw in layouts if Digest.of(raw, descriptor.digest.algorithm) == descriptor.digest), None)


def _unknown_fields(document: Document) -> Document:
    known = Descriptor(digest=Digest.of(b""), size=0, urls=("",), annotations={"": ""}, data=" ", artifact_type=" ")
    taken = {*msgspec.structs.replace(known, platform=Platform()).to_document()}
    return {key: value for key, value in document.items() if key not in taken}


def _in_repository(name: str, repository: str) -> Reference | None:
    escaped = repository.replace(":", "-").replace("/", "_")
    if not name.startswith(escaped):
        return None
    rest, at, digest = name[len(escaped) :].partition("@")
    if rest and not (rest[0] == "-" and is_tag(rest[1:])):
        return None
    text = f"{repository}:{rest[1:]}" if rest else repository
    reference = _parsed(text + (f"@{digest.replace('-', ':', 1)}" if at else ""))
    return reference if reference is not None and file_name(reference) == name else None
