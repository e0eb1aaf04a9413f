"""Kinds of files that the field has a convention for: the media types of each, and how its first bytes tell it. Pure.

What a file is, is told from its content where that says it, and from its name only where a convention is about names.
The content is a stranger's: it is searched, and never parsed as a whole, run or unpacked.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal

import msgspec

HEAD = 256 * 1024
"""How much of the beginning of a file is looked at, in bytes."""

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"
WASM = "application/wasm"
WASM_CONFIG = "application/vnd.wasm.config.v0+json"
MODEL = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
MODEL_WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
MODEL_WEIGHT_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
MODEL_DOC = "application/vnd.cncf.model.doc.v1.raw"
MODEL_CODE = "application/vnd.cncf.model.code.v1.raw"
MODEL_DATASET = "application/vnd.cncf.model.dataset.v1.raw"
MODEL_PATH = "org.cncf.model.filepath"
"""The annotation of a layer with the path of the file in the model."""
TOFU_MODULE = "application/vnd.opentofu.modulepkg"
TOFU_PROVIDER = "application/vnd.opentofu.provider"
TOFU_PROVIDER_TARGET = "application/vnd.opentofu.provider-target"
ZIP = "archive/zip"
BOTTLE_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
SPDX_JSON = "application/spdx+json"
SPDX_TEXT = "text/spdx"
CYCLONEDX_JSON = "application/vnd.cyclonedx+json"
CYCLONEDX_XML = "application/vnd.cyclonedx+xml"
IN_TOTO = "application/vnd.in-toto+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
SARIF = "application/sarif+json"

Convention = Literal["document", "helm", "provenance", "wasm", "model", "tofu-module", "tofu-provider", "bottle"]
"""What an artifact of such files is made like. `document`: its type is that of the file, and nothing else is said."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is."""

    name: str
    """For people, such as `SPDX SBOM`."""
    media_type: str
    """Of its layer."""
    convention: Convention
    artifact_type: str = ""
    """Of an artifact that has nothing else in it; empty where the convention tells it by the config."""


def _document(name: str, media_type: str, artifact_type: str = "") -> Kind:
    return Kind(name=name, media_type=media_type, convention="document", artifact_type=artifact_type or media_type)


KINDS = {
    "spdx-json": _document("SPDX SBOM", SPDX_JSON),
    "spdx-text": _document("SPDX SBOM", SPDX_TEXT),
    "cyclonedx-json": _document("CycloneDX SBOM", CYCLONEDX_JSON),
    "cyclonedx-xml": _document("CycloneDX SBOM", CYCLONEDX_XML),
    "in-toto": _document("in-toto statement", IN_TOTO),
    "dsse-in-toto": _document("signed in-toto statement (DSSE)", DSSE, IN_TOTO),
    "dsse": _document("DSSE envelope", DSSE),
    "sarif": _document("SARIF report", SARIF),
    "helm": Kind(name="Helm chart", media_type=HELM_CHART, convention="helm"),
    "provenance": Kind(name="Helm provenance file", media_type=HELM_PROVENANCE, convention="provenance"),
    "wasm-module": Kind(name="WASM module", media_type=WASM, convention="wasm"),
    "wasm-component": Kind(name="WASM component", media_type=WASM, convention="wasm"),
    "weights": Kind(name="model weights", media_type=MODEL_WEIGHT, convention="model", artifact_type=MODEL),
    "tofu-module": Kind(name="OpenTofu module", media_type=ZIP, convention="tofu-module", artifact_type=TOFU_MODULE),
    "tofu-provider": Kind(
        name="OpenTofu provider", media_type=ZIP, convention="tofu-provider", artifact_type=TOFU_PROVIDER_TARGET
    ),
    "bottle": Kind(name="Homebrew bottle", media_type=BOTTLE_LAYER, convention="bottle"),
}
"""All kinds, each by a word for programs."""

BOTTLE = re.compile(
    r"(?P<formula>[A-Za-z0-9][\w.@+-]*?)--?(?P<version>\d[\w.+-]*?)\.(?P<tag>[a-z0-9_]+)\.bottle"
    r"(?:\.(?P<rebuild>\d+))?\.tar\.gz",
    re.ASCII,
)
"""The name of a bottle: `brew bottle` writes two dashes before the version, and what is downloaded has one."""
PROVIDER = re.compile(
    r"terraform-provider-(?P<name>[\w-]+)_(?P<version>\d[\w.+-]*)_(?P<os>[a-z0-9]+)_(?P<architecture>[a-z0-9]+)\.zip",
    re.ASCII,
)
"""The name of a provider's package."""

_INFLATED = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
# What a stranger writes takes no longer than its length: a text without an end is one that ends with the head.
_JSON_TOKEN = re.compile(rb'"((?:[^"\\]++|\\.)*+)(?:"|\\?\Z)|[{}\[\]:,]', re.DOTALL)
_KEYS = 64
"""How many fields of a JSON object are looked at."""
_TOKENS = 20_000
"""How many texts and marks of a JSON object are looked at, which takes a few milliseconds."""
_ZIP_MEMBER = re.compile(rb"PK\x03\x04.{22}(..)(..)", re.DOTALL)
_ZIP_MEMBERS = 1000
_SPDX_LINE = re.compile(rb"(?:^|\n)SPDXVersion:[ \t]*SPDX-\d")
_CYCLONEDX = re.compile(rb"<(?:\w+:)?bom\s[^<>]*\bhttp://cyclonedx\.org/schema/bom/")
_CODE = (".py", ".sh", ".ipynb", ".js", ".ts", ".c", ".cc", ".cpp", ".h", ".hpp", ".go", ".rs", ".java", ".patch")
_DATASET = (".csv", ".tsv", ".parquet", ".arrow", ".jsonl", ".npz", ".npy")
_WEIGHTS = (".safetensors", ".gguf", ".onnx", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".tflite", ".msgpack", ".mlmodel")
_DOCS = (".md", ".pdf", ".rst", ".html", ".png", ".jpg", ".jpeg", ".svg")
_DOC_NAMES = ("readme", "license", "licence", "notice", "copying", "usage", "changelog")


def kind_of(name: str, head: bytes) -> str | None:
    """The word for the kind of a file, as `KINDS` has it; None for a file that no convention is about.

    Args:
        name: of the file, without the folders that it is in.
        head: its first bytes, `HEAD` of them or the whole file.
    """
    return next((kind for look in _LOOKS if (kind := look(name, head)) is not None), None)


def model_part(name: str) -> str:
    """The media type of a file beside the weights of a model: documentation, code, data, or configuration.

    Args:
        name: of the file, without folders.
    """
    lower = name.lower()
    if lower.endswith(_WEIGHTS):
        return MODEL_WEIGHT
    if lower.endswith(_DOCS) or lower.partition(".")[0] in _DOC_NAMES:
        return MODEL_DOC
    if lower.endswith(_CODE):
        return MODEL_CODE
    return MODEL_DATASET if lower.endswith(_DATASET) else MODEL_WEIGHT_CONFIG


def model_format(name: str) -> str:
    """The format of a file of weights, as a model's config calls it; empty for one that nothing is known of."""
    endings = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx", ".pt": "pt", ".pth": "pt"}
    return next((known for ending, known in endings.items() if name.lower().endswith(ending)), "")


# How they are told


def _json(_: str, head: bytes) -> str | None:
    fields = _fields(head)
    if not fields:
        return None
    context, payload = fields.get("@context", ""), fields.get("payloadType", "")
    if fields.get("spdxVersion", "").startswith("SPDX-") or context.startswith("https://spdx.org/rdf/"):
        return "spdx-json"
    if fields.get("bomFormat") == "CycloneDX":
        return "cyclonedx-json"
    if fields.get("_type", "").startswith("https://in-toto.io/Statement/"):
        return "in-toto"
    if payload and {"payload", "signatures"} <= fields.keys():
        return "dsse-in-toto" if payload == IN_TOTO else "dsse"
    if "runs" in fields and ("sarif" in fields.get("$schema", "") or fields.get("version") == "2.1.0"):
        return "sarif"
    return None


def _fields(head: bytes) -> dict[str, str]:
    """The fields of a JSON object that are texts, and those that are not as empty ones; nothing for what is no object.

    A text is that of the file, with its escapes. The object may end after the head; what follows it may not.
    """
    text = head.removeprefix(_BOM).lstrip()
    if not text.startswith(b"{"):
        return {}
    fields: dict[str, str] = {}
    depth, key, before, at_value = 0, "", b"", False
    for token in islice(_JSON_TOKEN.finditer(text), _TOKENS):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
            at_value = False
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return fields if not text[token.end() :].strip() else {}
        elif depth == 1:
            if mark == b":":
                key, at_value = before.decode("utf-8", "replace"), True
                fields.setdefault(key, "")
            elif mark == b",":
                at_value = False
                if len(fields) >= _KEYS:
                    break
            elif at_value:
                fields[key] = token[1].decode("utf-8", "replace")
            else:
                before = token[1]
    return fields


def _text(_: str, head: bytes) -> str | None:
    if _SPDX_LINE.search(head[: 64 * 1024]) and b"\0" not in head[:1024]:
        return "spdx-text"
    return "cyclonedx-xml" if head.removeprefix(_BOM).lstrip()[:1] == b"<" and _CYCLONEDX.search(head) else None


def _provenance(name: str, head: bytes) -> str | None:
    is_signed = head.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")
    return "provenance" if name.endswith(".tgz.prov") and is_signed else None


def _wasm(_: str, head: bytes) -> str | None:
    # The version of a module is 1; a component has 13 and, in the upper half, layer 1.
    versions = {b"\x01\0\0\0": "wasm-module", b"\x0d\0\x01\0": "wasm-component"}
    return versions.get(head[4:8]) if head.startswith(b"\0asm") else None


def _weights(name: str, head: bytes) -> str | None:
    if head.startswith(b"GGUF"):
        return "weights"
    if name.lower().endswith(".safetensors") and len(head) > 8:
        (size,) = struct.unpack("<Q", head[:8])
        return "weights" if 2 <= size < 100_000_000 and head[8:9] == b"{" else None
    # The first field of an ONNX model is its version, a small number.
    return "weights" if name.lower().endswith(".onnx") and head[:1] == b"\x08" else None


def _zip(name: str, head: bytes) -> str | None:
    if not head.startswith(b"PK\x03\x04"):
        return None
    if PROVIDER.fullmatch(name):
        return "tofu-provider"
    return "tofu-module" if any(_is_tofu(member) for member in _zip_members(head)) else None


def _zip_members(head: bytes) -> Iterator[str]:
    for found in islice(_ZIP_MEMBER.finditer(head), _ZIP_MEMBERS):
        size = min(int.from_bytes(found[1], "little"), 255)
        yield head[found.end() : found.end() + size].decode("utf-8", "replace")


def _is_tofu(member: str) -> bool:
    """Whether a member is a configuration at the root of a module's package."""
    return "/" not in member and member.endswith((".tf", ".tofu", ".tf.json", ".tofu.json"))


def _gzip(name: str, head: bytes) -> str | None:
    if not head.startswith(b"\x1f\x8b"):
        return None
    if BOTTLE.fullmatch(name):
        return "bottle"
    if not name.endswith((".tgz", ".tar.gz")):
        return None
    # `helm package` writes the description of the chart first; other tools write its folder before.
    members = list(_tar_members(_inflated(head)))
    return "helm" if any(_is_chart(member) for member in members) else None


def _is_chart(member: str) -> bool:
    folder, _, name = member.removeprefix("./").partition("/")
    return bool(folder) and name == "Chart.yaml"


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _INFLATED)
    except zlib.error:
        return b""


def _tar_members(data: bytes) -> Iterator[str]:
    """The names in the beginning of a tar archive."""
    at = 0
    while at + 512 <= len(data):
        header = data[at : at + 512]
        if header[257:262] != b"ustar":
            return
        try:
            size = int(header[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            return
        if size < 0:
            return
        yield header[:100].partition(b"\0")[0].decode("utf-8", "replace")
        at += 512 + (size + 511) // 512 * 512


_LOOKS: tuple[Callable[[str, bytes], str | None], ...] = (_wasm, _gzip, _zip, _weights, _provenance, _json, _text)
