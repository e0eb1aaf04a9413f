"""What an artifact is for, told by its media types and annotations: a signature, an SBOM, provenance.

Pure, and no proof of anything: what a manifest says of itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from lading.model.descriptor import Descriptor

Purpose = Literal["signature", "attestation", "provenance", "SBOM", "report", "VEX", "bundle"]
"""`report`: what a scanner has found. `bundle`: Sigstore's, which does not say whether it signs or attests."""

PREDICATE = ("in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType")
"""The annotations that have the predicate type of a statement, as BuildKit, cosign and Sigstore's bundles call them."""
_CONTENT = "dev.sigstore.bundle.content"
"""The annotation that says what is in one of Sigstore's bundles."""

_PREDICATES: tuple[tuple[str, Purpose], ...] = (
    (r"https://slsa\.dev/provenance/.*", "provenance"),
    (r"https://spdx\.dev/Document.*|https://cyclonedx\.org/bom.*", "SBOM"),
    (r"https://sigstore\.dev/cosign/sign/.*", "signature"),
    (r"https://cosign\.sigstore\.dev/attestation/vuln/.*|https://in-toto\.io/attestation/vulns.*", "report"),
    (r"https://openvex\.dev/ns.*", "VEX"),
)
_TYPES: tuple[tuple[str, Purpose], ...] = (
    (r"application/vnd\.dev\.cosign\.(artifact\.sig\.|simplesigning\.).*", "signature"),
    (r"application/vnd\.cncf\.notary\.signature", "signature"),
    (r"application/vnd\.dev\.cosign\.artifact\.sbom\..*|(application|text)/spdx.*", "SBOM"),
    (r"application/vnd\.(cyclonedx|syft)([.+-].*)?", "SBOM"),
    (r"application/(sarif\+json|vnd\.security\.vulnerability\.report.*)", "report"),
    (r"application/(vnd\.openvex|openvex|vex).*", "VEX"),
    (r"application/vnd\.dev\.sigstore\.bundle.*", "bundle"),
    (r"application/vnd\.(in-toto|dsse\.|docker\.attestation\.|dev\.cosign\.artifact\.att\.).*", "attestation"),
)
_SUFFIXES: dict[str, Purpose] = {"sig": "signature", "att": "attestation", "sbom": "SBOM"}


def purpose_of(
    types: Iterable[str],
    predicates: Iterable[str] = (),
    annotations: Mapping[str, str] | None = None,
    tag: str | None = None,
) -> Purpose | None:
    """What an artifact is for; None where that is not told.

    Args:
        types: its artifact type and the media types of its config and layers, the most telling first.
        predicates: the predicate types of the statements in it.
        annotations: of its manifest.
        tag: the tag by which it is found, where that is one of cosign's.
    """
    told = [_matching(_PREDICATES, predicate) or "attestation" for predicate in predicates]
    if told:
        return told[0] if len(set(told)) == 1 else "attestation"
    if (annotations or {}).get(_CONTENT) == "message-signature":
        return "signature"
    found = (purpose for kind in types if (purpose := _matching(_TYPES, kind)) is not None)
    return next(found, None) or _SUFFIXES.get((tag or "").rpartition(".")[2])


def purpose_of_statement(predicate: str) -> Purpose:
    """What a statement is for, by its predicate type."""
    return _matching(_PREDICATES, predicate) or "attestation"


def predicates_of(annotations: Mapping[str, str], layers: Iterable[Descriptor] = ()) -> list[str]:
    """The predicate types of the statements in an artifact, each once.

    Args:
        annotations: of its manifest.
        layers: its layers, of which annotations say the same.
    """
    said = [each.get(name) for each in (annotations, *(layer.annotations for layer in layers)) for name in PREDICATE]
    return list(dict.fromkeys(predicate for predicate in said if predicate))


def _matching(known: Iterable[tuple[str, Purpose]], text: str) -> Purpose | None:
    return next((purpose for pattern, purpose in known if re.fullmatch(pattern, text)), None)
