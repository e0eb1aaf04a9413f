"""Files in a registry: pushed as an artifact, attached to another one, and pulled again.

What the user guide of oras-py does with its `Registry`: push, push with annotations, attach, discover, pull, pull only
what has a media type. lading's own artifacts come later; until then a program makes the manifest itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lading import Client, Descriptor, Manifest, UsageError
from lading.model import EMPTY, OCI_MANIFEST

TITLE = "org.opencontainers.image.title"


class File(NamedTuple):
    """A file to be pushed."""

    path: Path
    media_type: str = "application/vnd.oci.image.layer.v1.tar"
    title: str | None = None
    """Where it is put when it is pulled; its name by default."""
    annotations: Mapping[str, str] = {}


def push(
    client: Client,
    target: str,
    files: Iterable[File],
    *,
    artifact_type: str = "application/vnd.unknown.artifact.v1",
    annotations: Mapping[str, str] | None = None,
    subject: str | None = None,
) -> Descriptor:
    """Push files as one artifact; with a subject it is found as a referrer of that."""
    layers: list[dict[str, Any]] = []
    for file in files:
        blob = client.blobs.put(target, file.path, media_type=file.media_type)
        titled = {TITLE: file.title or file.path.name, **file.annotations}
        layers.append(blob.to_document() | {"annotations": titled})
    client.blobs.put(target, b"{}", media_type=EMPTY.media_type)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY.to_document(),
        "layers": layers,
    }
    if subject is not None:
        document["subject"] = client.get(subject).descriptor.to_document()
    if annotations:
        document["annotations"] = dict(annotations)
    return client.put(Manifest.build(document, OCI_MANIFEST), target)


def pull(client: Client, source: str, folder: Path, *, media_types: Sequence[str] = ()) -> list[Path]:
    """Pull the files of an artifact into a folder, and nowhere else."""
    paths: list[Path] = []
    for layer in client.get_manifest(source).layers:
        title = layer.annotations.get(TITLE)
        if title is None or (media_types and layer.media_type not in media_types):
            continue
        path = (folder / title).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise UsageError(f"{title!r} leads out of {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(client.blobs.download(source, layer, path))
    return paths


def attached(client: Client, reference: str, artifact_type: str | None = None) -> list[Descriptor]:
    """What refers to something."""
    with client.open(reference) as store:
        return list(store.referrers(client.get(reference).descriptor, artifact_type))


def tags(client: Client, repository: str) -> list[str]:
    """The tags of a repository."""
    return [info.tag for info in client.tags(repository)]
