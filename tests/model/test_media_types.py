"""Media types of layers say whose they are, how they are compressed, and whether they are elsewhere."""

import itertools
from typing import get_args

import pytest

from lading.model.media_types import Family, LayerCompression, LayerType, is_foreign_layer

EVERY = [LayerType(*parts) for parts in itertools.product(get_args(Family), get_args(LayerCompression), (False, True))]


@pytest.mark.parametrize("kind", EVERY, ids=str)
def test_a_round_trip(kind: LayerType) -> None:
    assert LayerType.parse(str(kind)) == kind
    assert is_foreign_layer(str(kind)) == kind.is_foreign


@pytest.mark.parametrize(
    "media_type, kind",
    [
        ("application/vnd.oci.image.layer.v1.tar", LayerType("oci")),
        ("application/vnd.oci.image.layer.v1.tar+zstd", LayerType("oci", "zstd")),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LayerType("oci", "gzip", True)),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerType("docker", "gzip")),
        ("application/vnd.docker.image.rootfs.diff.tar+gzip", LayerType("docker", "gzip")),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LayerType("docker", "gzip", True)),
        ("application/vnd.oci.image.layer.v1.tar+bzip2", None),
        ("application/vnd.oci.image.config.v1+json", None),
        ("application/octet-stream", None),
        ("", None),
    ],
)
def test_what_is_read(media_type: str, kind: LayerType | None) -> None:
    assert LayerType.parse(media_type) == kind
