"""The media types lading knows by name (image-spec media-types, Docker image manifest v2 schema 2)."""

from __future__ import annotations

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


def is_docker(media_type: str) -> bool:
    """Whether a media type belongs to Docker's own formats."""
    return media_type.startswith("application/vnd.docker.")


def is_foreign_layer(media_type: str) -> bool:
    """Whether a layer of this type need not be in the registry (image-spec layer §Non-Distributable Layers)."""
    return "nondistributable" in media_type or ".foreign." in media_type
