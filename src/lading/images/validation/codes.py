"""What validation can find: the codes of what only reading every byte shows, and those that it shares with lint.

A code keeps its meaning for ever; one that is no longer found is not used again. This module reads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lading.images.lint.codes import CODES as LINT_CODES
from lading.images.lint.codes import Code, Finding
from lading.images.lint.findings import short
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest

_ANEW = "Write it there anew, from where it is whole."
BUILD = "Build the image anew."
_CODES = (
    Code(
        "LAD801",
        "error",
        "A blob that is not what its digest says",
        "The bytes that are kept have another digest, or another number. Every client verifies what it downloads, and "
        "refuses the image.",
        _ANEW,
    ),
    Code(
        "LAD802",
        "error",
        "A layer that has another diff ID",
        "The config of an image has the digest of each layer without its compression (image-spec config §rootfs). "
        "containerd and Docker compare it when they unpack the layer, and refuse the image; podman does not look.",
        BUILD,
    ),
    Code(
        "LAD803",
        "error",
        "A layer that cannot be unpacked",
        "The bytes are those of the digest, and they are no tar archive that container engines take: the compressed "
        "stream is damaged, cut off or has something behind it, a header of the archive is malformed, or it is so "
        "large without compression that it looks like an attack.",
        BUILD,
    ),
    Code(
        "LAD804",
        "error",
        "A file that container engines refuse",
        "An entry of a layer cannot be applied: it is there twice, is a hard link to nothing, leads out of the root, "
        "has a name that no system opens, or the like. Engines end the pull there.",
        BUILD,
    ),
    Code(
        "LAD805",
        "warning",
        "A layer that is compressed otherwise than it says",
        "The media type names another compression than the bytes have. Docker and podman go by the bytes; containerd "
        "and umoci go by the media type in places, and fail.",
        "Convert the layers to the compression that they have, which sets their media types right.",
    ),
    Code(
        "LAD806",
        "error",
        "A config that does not fit its manifest",
        "`rootfs` of the config has to be of the type `layers`, with one diff ID for each layer of the manifest "
        "(image-spec config §Properties). Engines refuse anything else.",
        BUILD,
    ),
    Code(
        "LAD807",
        "warning",
        "A history that does not fit the layers",
        "The history of the config has another number of steps with a layer than the manifest has layers. Docker "
        "refuses a history with too many; tools that rebase or squash take the wrong layers.",
        "Build the image anew, or leave out the history.",
    ),
    Code(
        "LAD808",
        "error",
        "Embedded content that is another",
        "The `data` of a descriptor has to be the content that its digest and size name (image-spec descriptor "
        "§Embedded Content). Clients that believe it get something else than those that download.",
        "Leave out `data`, or correct it.",
    ),
    Code(
        "LAD809",
        "warning",
        "An attestation whose statement is about something else",
        "An attestation (provenance, SBOM) is kept with an image, and none of the subjects of its in-toto statement "
        "has that image's digest. What verifies it refuses it; what does not verify tells of another build.",
        "Attest to the image that is there, or remove the attestation.",
    ),
    Code(
        "LAD810",
        "warning",
        "A descriptor with another artifact type",
        "The artifact type of a descriptor has to be that of its manifest, or of the manifest's config (image-spec "
        "descriptor §Properties). Tools that look for a type do not find it.",
        "Correct the descriptor.",
    ),
    Code(
        "LAD811",
        "warning",
        "A referrer that refers to something else",
        "It is listed as a referrer of a manifest, and its own `subject` is another one (distribution-spec §Listing "
        "Referrers): the list was written by hand, or is out of date.",
        "Push the referrer again.",
    ),
)
CODES: dict[str, Code] = {code.code: code for code in _CODES}
"""Every code that only validation has, in order."""
DAMAGE = frozenset(
    {"LAD301", "LAD302", "LAD304", "LAD305", "LAD403", "LAD801", "LAD802", "LAD803", "LAD804", "LAD806", "LAD808"}
)
"""What is missing, malformed, or not the bytes that a digest names."""
DISAGREEMENT = frozenset({"LAD104", "LAD306", "LAD805", "LAD807", "LAD809", "LAD810", "LAD811"})
"""What is whole, and says other than something else does."""
TOLD = frozenset({"LAD303"})
"""What cannot be verified, and is meant to be so."""
ALL: dict[str, Code] = {code: (LINT_CODES | CODES)[code] for code in sorted(DAMAGE | DISAGREEMENT | TOLD)}
"""Every code that validation finds, in order."""


def finding(
    code: str,
    message: str,
    entry: Descriptor | None = None,
    *,
    digest: Digest | None = None,
    remedy: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Finding:
    """Make a finding.

    Args:
        code: one of ALL.
        message: what was found, in one or two sentences.
        entry: the descriptor of the manifest that it is about, as its index has it.
        digest: the blob that it is about, where that is not the manifest.
        remedy: what to do; by default what the code says.
        fields: what the remedy takes.
    """
    kind = ALL[code]
    platform = entry.platform if entry is not None else None
    image = short(entry.digest) if entry is not None else None
    return Finding(
        code=code,
        severity=kind.severity,
        message=message,
        remedy=remedy or kind.remedy,
        digest=digest or (entry.digest if entry is not None else None),
        platform=str(platform) if platform is not None else None,
        fields={**({"image": image} if image else {}), **(fields or {})},
    )
