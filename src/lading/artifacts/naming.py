"""What the layers of an artifact are called as files, and which of them are archives that their tools unpack. Pure.

Files of known kinds mostly have no title: their own tools know them by media types. All that is read here was written
by whoever pushed the artifact, so names have to go through the rules for titles.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from lading.artifacts import kinds
from lading.artifacts.titles import TITLE, UNPACK
from lading.model.descriptor import Descriptor
from lading.model.manifest import Manifest

COMPOSE_FILE = "com.docker.compose.file"
"""The annotation of a layer with the name of its Compose file, as `docker compose publish` has it."""
VERSION = "org.opencontainers.image.version"
"""The annotation of a manifest with its version (image-spec annotations §Pre-Defined Annotation Keys)."""
_PREDICATE = ("in-toto.io/predicate-type", "predicateType")
"""The annotations of a layer with the type of its attestation, as BuildKit and cosign have them."""
_SBOM = ("https://spdx.dev/", "https://cyclonedx.org/", "https://syft.dev/")
_ARCHIVES = re.compile(
    r"application/vnd\.(?:cncf\.model\.[a-z.]+\.v1|kitops\.modelkit\.[a-z]+\.v1)\.tar(?:\+(?:gzip|zstd))?"
    r"|application/vnd\.cncf\.flux\.content\.v1\.tar\+gzip"
)
"""What the tools of ModelPack, KitOps and Flux unpack when they pull."""


class FileKind(NamedTuple):
    """What a file with a media type is called where nothing else says so."""

    media_type: str
    stem: str
    ending: str


FILE_KINDS = (
    FileKind(kinds.HELM_CHART, "chart", ".tgz"),
    FileKind(kinds.HELM_PROVENANCE, "chart", ".tgz.prov"),
    FileKind(kinds.WASM, "module", ".wasm"),
    FileKind("application/vnd.wasm.content.layer.v1+wasm", "module", ".wasm"),
    FileKind("application/vnd.module.wasm.content.layer.v1+wasm", "module", ".wasm"),
    FileKind(kinds.ZIP, "module", ".zip"),
    FileKind(kinds.SPDX_JSON, "sbom", ".spdx.json"),
    FileKind("text/spdx+json", "sbom", ".spdx.json"),
    FileKind(kinds.SPDX_TEXT, "sbom", ".spdx"),
    FileKind(kinds.CYCLONEDX_JSON, "sbom", ".cdx.json"),
    FileKind(kinds.CYCLONEDX_XML, "sbom", ".cdx.xml"),
    FileKind("application/vnd.syft+json", "sbom", ".syft.json"),
    FileKind(kinds.SARIF, "report", ".sarif"),
    FileKind(kinds.IN_TOTO, "attestation", ".intoto.json"),
    FileKind(kinds.DSSE, "attestation", ".dsse.json"),
    FileKind("application/vnd.dev.sigstore.bundle.v0.3+json", "bundle", ".sigstore.json"),
    FileKind("application/vnd.dev.cosign.simplesigning.v1+json", "signature", ".json"),
    FileKind("application/jose+json", "signature", ".jws"),
    FileKind("application/cose", "signature", ".cose"),
    FileKind("application/vnd.docker.compose.file+yaml", "compose", ".yaml"),
    FileKind("application/vnd.cncf.kyverno.policy.layer.v1+yaml", "policy", ".yaml"),
    FileKind("application/vnd.cncf.openpolicyagent.policy.layer.v1+rego", "policy", ".rego"),
    FileKind("application/vnd.docker.ai.gguf.v3", "model", ".gguf"),
    FileKind("application/vnd.sylabs.sif.layer.v1.sif", "image", ".sif"),
    FileKind("application/json", "", ".json"),
    FileKind("application/yaml", "", ".yaml"),
    FileKind("text/markdown", "", ".md"),
    FileKind("text/plain", "", ".txt"),
)
"""Media types of files, with what they are called; without a stem by their digest."""

_BY_TYPE = {kind.media_type: kind for kind in FILE_KINDS}


class Named(NamedTuple):
    """What a layer is called as a file."""

    title: str
    """A path that nobody has looked at; empty for the folder itself."""
    root: str | None = None
    """Of an archive that is unpacked, the directory that all members are in, as it calls it; empty for any."""


def needs_config(manifest: Manifest) -> bool:
    """Whether what files of an artifact are called stands in its config only."""
    config = manifest.config
    is_chart = config is not None and config.media_type == kinds.HELM_CONFIG
    is_unnamed = any(
        layer.media_type == kinds.HELM_CHART and not layer.annotations.get(TITLE) for layer in manifest.layers
    )
    return is_chart and is_unnamed and not _chart(manifest, {})


def named(manifest: Manifest, config: Mapping[str, Any]) -> list[Named]:
    """What the layers of an artifact are called as files, in their order.

    Args:
        manifest: of the artifact.
        config: its config as a document; empty where it is not needed.
    """
    guesses = {
        layer.digest: guess
        for layer in manifest.layers
        if not _said(layer) and (guess := _guessed(layer, manifest, config))
    }
    uses = Counter(guesses.values())
    sure = {digest: guess for digest, guess in guesses.items() if uses[guess] == 1}
    return [_named(layer, sure.get(layer.digest, "")) for layer in manifest.layers]


def _named(layer: Descriptor, guess: str) -> Named:
    said = _said(layer)
    if title := layer.annotations.get(TITLE):
        if layer.annotations.get(UNPACK) == "true":
            return Named(title, title)
        # This is how regctl marks a directory; what is in it has names relative to it.
        return Named(title, "" if title.endswith("/") else None)
    if _ARCHIVES.fullmatch(layer.media_type):
        return Named(said, said)
    return Named(said or guess or _by_digest(layer))


def _said(layer: Descriptor) -> str:
    """What an annotation says that a layer is called."""
    return next((said for key in (TITLE, kinds.MODEL_PATH, COMPOSE_FILE) if (said := layer.annotations.get(key))), "")


def _guessed(layer: Descriptor, manifest: Manifest, config: Mapping[str, Any]) -> str:
    """What its kind of file is called; empty where that is not known."""
    kind = _BY_TYPE.get(layer.media_type)
    if kind is None or not kind.stem:
        return ""
    stem = kind.stem
    predicate = next((said for key in _PREDICATE if (said := layer.annotations.get(key))), "")
    if layer.media_type in (kinds.HELM_CHART, kinds.HELM_PROVENANCE):
        stem = _chart(manifest, config) or stem
    elif manifest.artifact_type == kinds.TOFU_PROVIDER_TARGET:
        stem = "provider"
    elif predicate.startswith("https://slsa.dev/provenance"):
        stem = "provenance"
    elif predicate.startswith(_SBOM):
        stem = "sbom"
    return stem + kind.ending


def _chart(manifest: Manifest, config: Mapping[str, Any]) -> str:
    """The name of a Helm chart with its version, as `helm pull` calls its file; empty where that is not said."""
    for name, version in (
        (manifest.annotations.get(TITLE), manifest.annotations.get(VERSION)),
        (config.get("name"), config.get("version")),
    ):
        if isinstance(name, str) and isinstance(version, str) and name and version:
            return f"{name}-{version}"
    return ""


def _by_digest(layer: Descriptor) -> str:
    kind = _BY_TYPE.get(layer.media_type)
    return str(layer.digest).replace(":", "-") + (kind.ending if kind is not None else "")
