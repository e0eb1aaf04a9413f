"""The media types lading knows by name (image-spec media-types, Docker image manifest v2 schema 2)."""

from __future__ import annotations

import re
from typing import Literal, Self

import msgspec

Family = Literal["oci", "docker"]
"""Whose words media types are in: the OCI specifications', or Docker's own."""
LayerCompression = Literal["none", "gzip", "zstd"]
"""How a layer's tar archive is compressed."""

_LAYER = (
    r"application/vnd\.(?:oci\.image\.layer\.(?P<oci_foreign>nondistributable\.)?v1\.tar"
    r"|(?P<docker>docker)\.image\.rootfs\.(?P<docker_foreign>foreign\.)?diff\.tar)(?:[.+](?P<compression>gzip|zstd))?"
)

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_ARTIFACT_MANIFEST = "application/vnd.oci.artifact.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
OCTET_STREAM = "application/octet-stream"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
"""Manifests that list other manifests."""
IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
"""Manifests with a config and layers."""
MANIFESTS = INDEXES | IMAGES | {OCI_ARTIFACT_MANIFEST}
"""Everything that a registry serves under `/manifests/` and lading reads."""
SCHEMA1 = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
"""Configs that describe a root filesystem and its platform."""
ACCEPT = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT_MANIFEST)
"""What a request for a manifest accepts, best first."""

_MEDIA_TYPE = r"(?a)[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*"


def is_media_type(text: str) -> bool:
    """Whether a text is a media type, without parameters (RFC 6838 §4.2)."""
    return re.fullmatch(_MEDIA_TYPE, text) is not None


def is_docker(media_type: str) -> bool:
    """Whether a media type belongs to Docker's own formats."""
    return media_type.startswith("application/vnd.docker.")


def is_foreign_layer(media_type: str) -> bool:
    """Whether a layer of this type need not be in the registry (image-spec layer §Non-Distributable Layers)."""
    return "nondistributable" in media_type or ".foreign." in media_type


class LayerType(msgspec.Struct, frozen=True):
    """What the media type of an image's layer says (image-spec layer, Docker image manifest v2 schema 2).

    `str(layer_type)` is the media type. Docker has no type for zstd: `…diff.tar.zstd` is what its daemons have written.
    """

    family: Family
    compression: LayerCompression = "none"
    is_foreign: bool = False
    """Whether the layer need not be in the registry (image-spec layer §Non-Distributable Layers)."""

    @classmethod
    def parse(cls, media_type: str) -> Self | None:
        """Read a media type; None where it is not that of an image's layer, such as an artifact's file.

        `+` and `.` before the compression mean the same.
        """
        match = re.fullmatch(_LAYER, media_type)
        if match is None:
            return None
        found = match["compression"]
        compression: LayerCompression = "gzip" if found == "gzip" else "zstd" if found else "none"
        is_foreign = bool(match["oci_foreign"] or match["docker_foreign"])
        return cls("docker" if match["docker"] else "oci", compression, is_foreign)

    def __str__(self) -> str:
        """The media type."""
        if self.family == "docker":
            suffix = "" if self.compression == "none" else f".{self.compression}"
            return f"application/vnd.docker.image.rootfs.{'foreign.' if self.is_foreign else ''}diff.tar{suffix}"
        suffix = "" if self.compression == "none" else f"+{self.compression}"
        return f"application/vnd.oci.image.layer.{'nondistributable.' if self.is_foreign else ''}v1.tar{suffix}"
